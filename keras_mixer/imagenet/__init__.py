"""ImageNet: input pixels and class names of released weights."""

import os
from functools import cache
from importlib import resources
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mixer._arrays import as_pixels
from keras_mixer._types import Numbers
from keras_mixer.images import Preprocessing, preprocessing
from keras_mixer.layers import pixel_rescaling

# Number of classes -> the file with their WordNet ids and names, in the order of the scores.
CLASSES = {1000: "imagenet1k.txt", 21843: "imagenet21k.txt"}


def preprocess_input(
    images: ArrayLike, model: keras.Model | None = None, *, mean: Numbers = 0.5, std: Numbers = 0.5
) -> Any:
    """Normalises pixels from 0 to 255 for a model.

    With `model`, the pixels are normalised as that model needs them. Without it they become
    [-1, 1], as for Google's Mixers.

    Args:
        images: An array, a tensor or a list `[..., C]` of any type, also inside `tf.data`. In NumPy
            arrays integers must be from 0 to 255, and booleans are black and white.
        model: The model, or a `keras_mixer.Preprocessing`.
        mean, std: Without a model: `(images / 255 - mean) / std`; numbers, or one for each channel.

    Returns:
        float32 `[..., C]`: an array for an array, a tensor for a tensor.

    Raises:
        ValueError: The model's input range is unknown, see `keras_mixer.preprocessing`; integers
            are not from 0 to 255; or a path was given.
    """
    if images is None or isinstance(images, str | os.PathLike):
        raise ValueError(
            f"preprocess_input needs pixels [..., C]; got {images!r}. Read a picture first, as "
            "keras.utils.img_to_array(keras.utils.load_img(path, target_size=(224, 224)))."
        )
    if model is not None:
        takes = model if isinstance(model, Preprocessing) else preprocessing(model)
        mean, std = takes.mean, takes.std
    if isinstance(images, np.ndarray) and images.dtype.kind in "iub":
        images = as_pixels(images, "preprocess_input")
    rescaled = pixel_rescaling(mean, std)(images)
    if isinstance(images, np.ndarray):
        return keras.ops.convert_to_numpy(rescaled)
    return rescaled


def decode_predictions(scores: ArrayLike, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """The best classes of each image, by name.

    Args:
        scores: `[B, 1000]` or `[B, 21843]`: the classes of ImageNet-1k, or of ImageNet-21k in
            Google's order. Probabilities or logits.
        top: Number of classes.

    Returns:
        For each image a list of `top` tuples `(WordNet id, name, score)`, the best first.

    Raises:
        ValueError: The scores have another shape, or `top` is out of range.

    Source of the order: the WordNet ids of each set, sorted; timm/data/_info in
    huggingface/pytorch-image-models has the same. The names are WordNet's first lemmas.
    """
    scores = keras.ops.convert_to_numpy(scores)
    if scores.ndim != 2 or scores.shape[1] not in CLASSES:
        raise ValueError(
            "decode_predictions needs scores [B, 1000] or [B, 21843], those of ImageNet-1k or "
            f"ImageNet-21k; got shape {scores.shape}."
        )
    if not 1 <= top <= scores.shape[1]:
        raise ValueError(
            f"decode_predictions needs top to be from 1 to {scores.shape[1]}; got {top!r}."
        )
    names = classes(scores.shape[1])
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [(*names[i], float(row[i])) for i in indices]
        for row, indices in zip(scores, best, strict=True)
    ]


@cache
def classes(count):
    """Pairs (WordNet id, name) of the `count` classes of ImageNet, in the order of the scores."""
    text = resources.files(__name__).joinpath(CLASSES[count]).read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines())
    return [(wordnet_id, lemmas.split(",")[0]) for wordnet_id, lemmas in rows]
