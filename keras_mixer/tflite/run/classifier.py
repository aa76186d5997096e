"""Classifies pictures with a `.tflite` file or a Keras model."""

import os
import warnings
from numbers import Integral
from threading import Lock
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mixer._arrays import as_array, as_pixels
from keras_mixer._backend import predict
from keras_mixer._extras import needs
from keras_mixer._keras import activation_of, last_operation
from keras_mixer._types import InputRange, Labels, Tflite
from keras_mixer.images import Preprocessing, check_channels, find_preprocessing
from keras_mixer.tasks import task_of
from keras_mixer.tflite.convert.model import image_shape
from keras_mixer.tflite.examples import batches
from keras_mixer.tflite.file.labels import check_order, read_labels
from keras_mixer.tflite.file.metadata import Metadata
from keras_mixer.tflite.reading import picture
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
            default the names in the file, or numbers if there are none. Of a model with one score
            from a sigmoid, the probability of class 1: two names, class 1 second, or that of class
            1 alone.
        input_range: The values of a black and of a white pixel, if the file or the Keras model does
            not state them.
        threads: CPU threads for a file; by default one per core, at most four.
        untrusted: Whether a file is run once in another process first, see `inspect`.

    One classifier may be called from several threads; the calls run one after the other.

    Raises:
        FileNotFoundError, ValueError: The file is missing, damaged or not a classifier; its one
            score is not from a sigmoid; labels do not match its classes, or are its own names in
            another order; or the scale of pixels is unknown.

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
        untrusted: bool = False,
    ) -> None:
        is_model = isinstance(path, keras.Model)
        self.runner = _Keras(path) if is_model else Runner(path, threads, untrusted)
        self.preprocessing = self._preprocessing(input_range)
        self.binary = self._binary()
        own = (self.runner.metadata or Metadata()).labels
        names = own if labels is None else read_labels(labels)
        if labels is not None:
            check_order(names, own, self.runner.name)
        if self.binary and len(names) <= 2:
            names = self.binary.pair(names)
        classes = 2 if self.binary else self.runner.classes
        self.labels = [*(names or map(str, range(classes)))]
        if len(self.labels) != classes:
            raise ValueError(
                f"{self.runner.name} gives {self.runner.classes} scores; "
                f"got {len(self.labels)} labels."
            )

    def _binary(self):
        """The task of a model with one score; None if it has several."""
        if self.runner.classes != 1:
            return None
        activation = self.runner.activation
        if activation not in ("sigmoid", "softmax"):  # of which `task_of` knows more
            raise ValueError(
                f"Classifier needs scores of classes; {self.runner.name} gives one number that "
                "does not come from a sigmoid, so that it is a quantity or a logit. For yes or no, "
                "end the model with a sigmoid; verify takes models of quantities."
            )
        return task_of(activation, 1, "Classifier")

    def _preprocessing(self, input_range):
        preprocessing = self.runner.preprocessing
        if input_range is not None:
            preprocessing = preprocessing or Preprocessing(size=self.runner.shape[:2])
            preprocessing = preprocessing.ranging(input_range)
            check_channels(preprocessing, self.runner.shape[-1], self.runner.name)
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
                or integers from 0 to 255, `[h, w, C]` or `[h, w]`, of any type; booleans are black
                and white. Or floating-point numbers `[H, W, C]`, already scaled for the model.
                Arrays may be tensors or lists, and have a batch axis of one image.
            top: Maximum number of classes, from 1.

        Returns:
            A list of `Prediction(index, label, score)`, with the model's own scores. A model with
            one score gives it to class 1, and 1 minus it to class 0.

        Raises:
            FileNotFoundError, ValueError: The file is missing or not a picture; an array has the
                wrong shape or scale; or the scores are not finite.
        """
        if not isinstance(top, Integral) or top < 1:
            raise ValueError(f"Classifier needs top to be a number of classes from 1; got {top!r}.")
        scores = self.runner(self._image(image))
        if not np.isfinite(scores).all():
            raise ValueError(
                f"{self.runner.name} gives scores that are not finite (NaN or infinite), so there "
                "is no best class. Its weights are damaged, for example by training that diverged, "
                "or the image is outside its range."
            )
        if self.binary:
            scores = np.array([1 - scores[0], scores[0]])
        best = np.argsort(-scores, kind="stable")[:top]
        return [Prediction(int(i), self.labels[i], float(scores[i])) for i in best]

    def _image(self, image):
        preprocessing, shape = self.preprocessing, self.runner.shape
        if not isinstance(image, str | os.PathLike | bytes | Image.Image):
            image = _array(image)
            if image.dtype.kind == "f":
                [(images, _)] = batches(image[None], shape, "Classifier", preprocessing)
                return images[0]
            image = as_pixels(image, "Classifier")
        return picture(image, preprocessing, shape[-1])


def _array(image):
    """One image as an array of numbers, without a batch axis."""
    image = as_array(image)
    if image.dtype.kind not in "fiub" or not image.size:
        raise ValueError(
            f"Classifier needs a path, a Pillow image or an array of numbers; got {image.dtype} of "
            f"shape {image.shape}."
        )
    if image.ndim == 4 and len(image) != 1:
        raise ValueError(
            f"Classifier takes one image at a time; got {len(image)}, an array {image.shape} of "
            f"type {image.dtype}."
        )
    return image[0] if image.ndim == 4 else image


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
        self.activation = activation_of(last_operation(model))
        head = next((layer for layer in reversed(model.layers) if layer.weights), None)
        if head and not any(np.any(keras.ops.convert_to_numpy(w)) for w in head.weights):
            warnings.warn(
                f"Classifier: the last layer of '{model.name}', '{head.name}', is all zeros, as "
                "before training, so that every class gets the same score. Train the model, or "
                "build it with weights=.",
                stacklevel=3,
            )
        self.metadata, self.preprocessing = None, find_preprocessing(model)
        self.lock = Lock()

    def __call__(self, image):
        with self.lock:
            return predict(self.model, image[None])[0]
