"""Evaluation: a model is measured on every image of a source."""

import math
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mixer import data
from keras_mixer._backend import jit_compile, settings
from keras_mixer._checks import check_model, check_whole
from keras_mixer._keras import graph_of
from keras_mixer._text import listed
from keras_mixer._types import InputRange
from keras_mixer.data.sources import Source, check_source
from keras_mixer.images import Preprocessing, find_preprocessing, preprocessing
from keras_mixer.tasks import task_of
from keras_mixer.training.confusion_matrix import MOST_CLASSES, Confusion, Counts
from keras_mixer.training.devices import batch_share, replicas
from keras_mixer.training.heads import last_activation
from keras_mixer.training.optimizers import metrics
from keras_mixer.training.record import record_of


def evaluate(
    model: keras.Model,
    images: Source,
    *,
    crop: str | None = None,
    batch_size: int = 256,
    input_range: InputRange | None = None,
    run: Any = None,
) -> dict[str, float]:
    """Evaluates a model on every image of a source, each once, on any number of replicas.

    Images are cut and scaled as the model says, see `keras_mixer.preprocessing`. How the model was
    compiled, and its optimizer, stay as they are.

    Args:
        model: A model that ends in softmax, sigmoid or logits, with a score for each class, or for
            two classes with one score, that of class 1; with several replicas, one that was built
            or loaded in the strategy's scope.
        images: A `keras_mixer.data.Source`.
        crop: How images are cut, where not as the model says: `"resize"`, `"resize_crop"` or
            `"resmall_crop"`.
        batch_size: Images at a time, over all replicas; so many more that they can be divided.
        input_range: The model's input values for black and for white, where nothing in the model
            says so.
        run: The folder of the run that trained the model, or a model file in it. Its record gives
            `input_range` and `crop` where nothing in the model says so.

    Returns:
        A dict: `loss` (cross-entropy), `accuracy` (top-1), `top_5` where there are more classes,
        and `images`, how many were counted.

    Raises:
        ValueError: The model has other classes or channels, or does not say what images it takes.
    """
    return _measured(model, images, crop, batch_size, input_range, run)


def confusion(
    model: keras.Model,
    images: Source,
    *,
    crop: str | None = None,
    batch_size: int = 256,
    input_range: InputRange | None = None,
    run: Any = None,
) -> Confusion:
    """Evaluates a model as `evaluate` does, and counts which classes it takes for which.

    Args:
        model, images, crop, batch_size, input_range, run: As in `evaluate`.

    Returns:
        A `keras_mixer.training.Confusion`, whose `measured` is what `evaluate` returns.

    Raises:
        ValueError: As `evaluate` does; or there are more than 1,000 classes.
    """
    check_source(images, "confusion")
    classes = images.classes
    if len(classes) > MOST_CLASSES:
        raise ValueError(
            f"A confusion matrix has at most {MOST_CLASSES:,} classes; {images.name} has "
            f"{len(classes):,}. Use evaluate without it (without --confusion)."
        )
    measured = _measured(model, images, crop, batch_size, input_range, run, count=True)
    counts = np.asarray(measured.pop("counts"), np.int64)
    return Confusion(classes, counts, measured)


def _measured(model, images, crop, batch_size, input_range, run, count=False):
    """What `evaluate` returns; with `count` also the `counts` of a `Confusion`."""
    check_model(model, "evaluate")
    check_source(images, "evaluate")
    check_whole("evaluate", 1, batch_size=batch_size)
    record = record_of(run) if run else None
    if record and input_range is None and find_preprocessing(model) is None:
        input_range = Preprocessing(**record["preprocessing"]).input_range
        crop = crop or record["recipe"].evaluation_crop
    shape = getattr(model, "input_shape", None)  # a Sequential model that was not built has none
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        raise ValueError(
            f"evaluate needs a model of one image [B, H, W, C] of a fixed size; '{model.name}' "
            f"takes {shape}. A model of unknown input becomes functional as keras.Model(image, "
            "model(image)) with image = keras.Input((height, width, channels))."
        )
    outputs = [tuple(x.shape) for x in model.outputs]
    if [len(shape) for shape in outputs] != [2]:
        raise ValueError(
            f"evaluate needs a model with one output, scores [B, classes]; '{model.name}' gives "
            f"{listed(outputs)}."
        )
    _, height, width, channels = model.input_shape
    classes = len(images.classes)
    images = images.with_channels(channels)
    yes_or_no = model.output_shape[1:] == (1,) and classes == 2
    fits = yes_or_no or model.output_shape[1:] == (classes,)
    if channels != images.channels or not fits:
        raise ValueError(
            f"'{model.name}' takes images {height} x {width} x {channels} and answers with "
            f"{model.output_shape[-1]} classes; {images.name} has {classes} classes and "
            f"{images.channels} channels."
        )
    takes = preprocessing(model, input_range=input_range)
    activation = last_activation(model)
    if yes_or_no:
        task_of(activation, 1, "evaluate", task="binary")  # refuses a softmax, which is always 1
    strategy = getattr(model, "distribute_strategy", None) or keras.distribution.distribution()
    parts = replicas(strategy) if strategy else 1
    batch_size = math.ceil(batch_size / parts) * parts  # what is too many is padding
    batches = data.evaluation_batches(
        images, batch_size, (height, width), crop=crop, preprocessing=takes, **batch_share()
    )
    with _scope(model), settings():
        loss = {
            "softmax": keras.losses.CategoricalCrossentropy(),
            "sigmoid": keras.losses.BinaryCrossentropy(),
            "linear": keras.losses.CategoricalCrossentropy(from_logits=True),
        }["softmax" if yes_or_no and activation == "sigmoid" else activation]
        same = _of_two_classes(model, activation) if yes_or_no else _uncompiled(model)
        counted = [*metrics(classes), *([Counts(classes)] if count else [])]
        same.compile(loss=loss, weighted_metrics=counted, jit_compile=jit_compile())
        result = same.evaluate(batches, return_dict=True, verbose=0)
    if not math.isfinite(result["loss"]):
        raise ValueError(
            f"'{model.name}' gives scores that are not finite (NaN or infinite) for some of "
            f"{images.name}, so it has no accuracy. Its weights may be damaged, or it cannot take "
            "such images."
        )
    counts = {"counts": result.pop("counts")} if count else {}
    result = {key: float(value) for key, value in result.items()}
    return result | {"images": int(result["images"])} | counts


def _uncompiled(model):
    """A model of the same function that can be compiled without a trace."""
    if graph_of(model) is not None:
        return keras.Model(model.inputs[0], model.outputs[0])
    image = keras.Input(batch_shape=model.inputs[0].shape, dtype=model.inputs[0].dtype)
    return keras.Model(image, model(image))  # whose own `call` does more than its graph


def _of_two_classes(model, activation):
    """As `_uncompiled`, with the scores of both classes, of a model that gives that of class 1."""
    same = _uncompiled(model)
    score = ops.cast(same.outputs[0], "float32")
    other = 1 - score if activation == "sigmoid" else ops.zeros_like(score)  # of two logits, 0
    return keras.Model(same.inputs[0], ops.concatenate([other, score], -1))


def _scope(model):
    """That of the TensorFlow strategy that a model was built in."""
    strategy = getattr(model, "distribute_strategy", None)
    return strategy.scope() if strategy else nullcontext()
