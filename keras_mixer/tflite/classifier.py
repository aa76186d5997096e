"""A `.tflite` file, or a Keras model, as a function from a picture to its classes."""

from typing import NamedTuple

import keras
import numpy as np

from keras_mixer._backend import predict
from keras_mixer.tflite._data import batches, image_range, picture
from keras_mixer.tflite._runner import Runner
from keras_mixer.tflite.metadata import Metadata, check_range, read_labels


class Prediction(NamedTuple):
    """One class and the score that a picture got for it."""

    index: int
    label: str
    score: float


class Classifier:
    """Classifies pictures with a `.tflite` file, on the CPU, or with a Keras model.

        classifier = keras_mixer.tflite.Classifier("model.tflite")
        best, *others = classifier("cat.jpg")

    Args:
        path: The file, or its content as bytes: a classifier, `[1, H, W, C] -> [1, classes]`. Or a
            Keras model.
        labels: Names of the classes: a sequence, or the path of a text file with one a line.
            Without it they are those in the file, and where there are none a class is called by its
            number.
        input_range: What the model takes for black and for white; by default what the file says, or
            as the Keras model was built, else `(-1, 1)`, Mixer's own.
        threads: CPU threads of a file; by default one a core, four at most.

    Raises:
        FileNotFoundError, ValueError: A missing, damaged or foreign file, or labels that do not
            match its classes.
    """

    def __init__(self, path, *, labels=None, input_range=None, threads=None):
        self.runner = _Keras(path) if isinstance(path, keras.Model) else Runner(path, threads)
        said = self.runner.metadata or Metadata()
        check_range(input_range, "Classifier")
        ranges = (input_range, said.input_range, (-1.0, 1.0))
        self.input_range = next(ends for ends in ranges if ends is not None)
        if labels is None:
            labels = said.labels or range(self.runner.classes)
        self.labels = list(read_labels(labels))
        if len(self.labels) != self.runner.classes:
            raise ValueError(
                f"{self.runner.name} gives {self.runner.classes} scores; "
                f"got {len(self.labels)} labels."
            )

    def __call__(self, image, top=5):
        """The `top` best classes of one image, best first.

        Args:
            image: A picture, which is resized and scaled: a path, a Pillow image or a uint8 array
                `[h, w, C]`. Or a float array `[H, W, C]` that is already what the model takes.
            top: How many classes at most.

        Returns:
            A list of `Prediction(index, label, score)`; scores are what the model gives.

        Raises:
            FileNotFoundError, ValueError: Nothing there, not a picture, an array that does not
                fit, or scores that are not finite.
        """
        shape = self.runner.shape
        if isinstance(image, np.ndarray) and image.dtype != np.uint8:
            [(images, _)] = batches(image[None], shape, "Classifier")
            image = images[0]
        else:
            image = picture(image, shape, self.input_range)
        scores = self.runner(image)
        if not np.isfinite(scores).all():
            raise ValueError(
                f"{self.runner.name} gives scores that are not finite (NaN or infinite), so it "
                "names no class. Its weights are damaged, from a training that diverged for "
                "example, or it cannot take such an image."
            )
        best = np.argsort(-scores, kind="stable")[:top]
        return [Prediction(int(i), self.labels[i], float(scores[i])) for i in best]


class _Keras:
    """What `Runner` is to a file, for a Keras model."""

    def __init__(self, model):
        self.model = model
        self.name = model.name
        self.shape = tuple(model.inputs[0].shape[1:])  # also where it is in a dict
        self.classes = model.outputs[0].shape[-1]
        self.metadata = Metadata(input_range=image_range(model))

    def __call__(self, image):
        return predict(self.model, image[None])[0]
