"""Classifies pictures with a `.tflite` file or a Keras model."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mixer._backend import predict
from keras_mixer._extras import needs
from keras_mixer._types import InputRange, Labels, Tflite
from keras_mixer.images import PIXELS, Preprocessing, find_preprocessing
from keras_mixer.tflite.convert.model import image_shape
from keras_mixer.tflite.examples import batches, picture
from keras_mixer.tflite.file.labels import read_labels
from keras_mixer.tflite.file.metadata import Metadata
from keras_mixer.tflite.run.runner import Runner

with needs(__name__):
    from PIL import Image


class Prediction(NamedTuple):
    """A class and its score."""

    index: int
    label: str
    score: float


class Classifier:
    """Classifies pictures with a `.tflite` file, on the CPU, or with a Keras model.

        classifier = keras_mixer.tflite.Classifier("model.tflite")
        best, *others = classifier("cat.jpg")

    Args:
        path: Path or content of a `.tflite` classifier, `[1, H, W, C] -> [1, classes]`, or a Keras
            model.
        labels: Class names: a sequence, or the path of a text file with one name per line. By
            default the names in the file, or numbers if there are none.
        input_range: The values of a black and of a white pixel, if the file or the Keras model does
            not state them.
        threads: CPU threads for a file; by default one per core, at most four.

    Raises:
        FileNotFoundError, ValueError: The file is missing, damaged or not a classifier; labels do
            not match its classes; or the scale of pixels is unknown.

    Warns:
        UserWarning: The last layer of a Keras model is all zeros: it was never trained.

    Attributes:
        preprocessing: The `keras_mixer.Preprocessing` by which pictures are cropped and scaled.
    """

    def __init__(
        self,
        path: Tflite | keras.Model,
        *,
        labels: Labels | None = None,
        input_range: InputRange | None = None,
        threads: int | None = None,
    ) -> None:
        self.runner = _Keras(path) if isinstance(path, keras.Model) else Runner(path, threads)
        self.preprocessing = self._preprocessing(input_range)
        if labels is None:
            metadata = self.runner.metadata or Metadata()
            labels = metadata.labels or range(self.runner.classes)
        self.labels = list(read_labels(labels))
        if len(self.labels) != self.runner.classes:
            raise ValueError(
                f"{self.runner.name} gives {self.runner.classes} scores; "
                f"got {len(self.labels)} labels."
            )

    def _preprocessing(self, input_range):
        preprocessing = self.runner.preprocessing
        if input_range is not None:
            preprocessing = preprocessing or Preprocessing(size=self.runner.shape[:2])
            preprocessing = preprocessing.ranging(input_range)
        if preprocessing is None:
            raise ValueError(
                f"{self.runner.name} does not state its values of a black and of a white pixel. "
                "Pass input_range= (--input-range), such as (0, 255), (0, 1) or (-1, 1)."
            )
        return preprocessing

    def __call__(self, image: Any, top: int = 5) -> list[Prediction]:
        """The `top` best classes of one image, best first.

        Args:
            image: A picture, which is cropped and scaled: a path, a file's bytes, a Pillow image,
                or integers from 0 to 255, `[h, w, C]` or `[h, w]`. Or floating-point numbers
                `[H, W, C]`, already scaled for the model. Arrays may be tensors or lists.
            top: Maximum number of classes.

        Returns:
            A list of `Prediction(index, label, score)`, with the model's own scores.

        Raises:
            FileNotFoundError, ValueError: The file is missing or not a picture; an array has the
                wrong shape or scale; or the scores are not finite.
        """
        scores = self.runner(self._image(image))
        if not np.isfinite(scores).all():
            raise ValueError(
                f"{self.runner.name} gives scores that are not finite (NaN or infinite), so there "
                "is no best class. Its weights are damaged, for example by training that diverged, "
                "or the image is outside its range."
            )
        best = np.argsort(-scores, kind="stable")[:top]
        return [Prediction(int(i), self.labels[i], float(scores[i])) for i in best]

    def _image(self, image):
        preprocessing, shape = self.preprocessing, self.runner.shape
        if not isinstance(image, str | Path | bytes | Image.Image):
            image = _array(image)
            if image.dtype.kind not in "iu":
                [(images, _)] = batches(image[None], shape, "Classifier", preprocessing)
                return images[0]
            image = image.astype(np.uint8)
        return picture(image, preprocessing, shape[-1])


def _array(image):
    """An image as an array; integers must be from 0 to 255."""
    try:
        image = np.asarray(image)
    except ValueError:  # a list whose rows differ in length
        image = np.array(None)
    if image.dtype.kind not in "fiu" or not image.size:
        raise ValueError(
            f"Classifier needs a path, a Pillow image or an array of numbers; got {image.dtype} of "
            f"shape {image.shape}."
        )
    low, high = image.min(), image.max()
    if image.dtype.kind in "iu" and not PIXELS[0] <= low <= high <= PIXELS[1]:
        raise ValueError(
            f"Classifier needs integers to be pixels from 0 to 255; got {low} to {high}. Pass "
            "images that are already scaled for the model as floats."
        )
    return image


class _Keras:
    """A Keras model with the interface of a `Runner`."""

    def __init__(self, model):
        self.model = model
        self.name = model.name
        self.shape = image_shape(model, "Classifier")
        output = tuple(model.outputs[0].shape)
        if len(output) != 2:
            raise ValueError(
                f"Classifier needs a model that gives scores, [B, classes]; '{model.name}' gives "
                f"{output}."
            )
        self.classes = model.outputs[0].shape[-1]
        head = next((layer for layer in reversed(model.layers) if layer.weights), None)
        if head and not any(np.any(keras.ops.convert_to_numpy(w)) for w in head.weights):
            warnings.warn(
                f"Classifier: the last layer of '{model.name}', '{head.name}', is all zeros, as "
                "before training, so that every class gets the same score. Train the model, or "
                "build it with weights=.",
                stacklevel=3,
            )
        self.metadata, self.preprocessing = None, find_preprocessing(model)

    def __call__(self, image):
        return predict(self.model, image[None])[0]
