"""Does the file classify as the Keras model does?"""

from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from keras_mixer._backend import predict
from keras_mixer.tflite._data import batches
from keras_mixer.tflite._runner import Runner
from keras_mixer.tflite.convert import image_shape


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    Attributes:
        images: How many images both ran on.
        bytes: Size of the `.tflite` file.
        keras_accuracy: Share of images that the Keras model labels right, 0 to 1; `None` without
            labels.
        accuracy: The same for the file.
        agreement: Share of images to which both give the same class, 0 to 1.
        max_abs_difference: Largest difference between two scores, over images and classes.
        ms_per_image: Median wall-clock time of one call of the file, in milliseconds.
    """

    images: int
    bytes: int
    keras_accuracy: float | None
    accuracy: float | None
    agreement: float
    max_abs_difference: float
    ms_per_image: float

    def as_dict(self):
        return asdict(self)

    def __str__(self):
        lines = [f"{self.images} images, {self.bytes / 1e6:.2f} MB"]
        if self.accuracy is not None:
            lines += [f"accuracy {self.accuracy:.2%}, Keras {self.keras_accuracy:.2%}"]
        lines += [
            f"agreement with Keras {self.agreement:.2%}",
            f"largest difference of a score {self.max_abs_difference:.3g}",
            f"{self.ms_per_image:.2f} ms an image",
        ]
        return "\n".join(lines)


def verify(model, tflite, data, *, threads=None):
    """Runs a Keras classifier and its `.tflite` file over the same images and compares the answers.

    Args:
        model: The Keras model, `[B, H, W, C] -> [B, classes]`.
        tflite: Path of the file, or its content as bytes.
        data: Images as the model takes them: an array `[N, H, W, C]`, a pair `(images, labels)`, a
            `tf.data.Dataset`, or an iterable of batches. Labels, whole numbers `[N]` or one-hot
            `[N, classes]`, give accuracies as well.
        threads: CPU threads for LiteRT; by default one a core, four at most.

    Returns:
        A `Report`.

    Raises:
        FileNotFoundError, ValueError: A missing, damaged or foreign file; a file and a model of
            different shapes; data that do not fit; labels on some batches only.
    """
    shape = image_shape(model, "verify")
    runner = Runner(tflite, threads)
    theirs = (runner.shape, runner.classes)
    ours = (shape, *model.outputs[0].shape[1:])
    if theirs != ours:
        raise ValueError(
            f"verify needs a file made from the model; '{model.name}' takes images {ours[0]} to "
            f"outputs {ours[1:]}, the file {theirs[0]} to {theirs[1:]}."
        )

    expected, scores, labels, seconds = [], [], [], []
    for images, batch_labels in batches(data, shape, "verify"):
        expected.append(predict(model, images))
        labels.append(batch_labels)
        for image in images:
            start = perf_counter()
            scores.append(runner(image))
            seconds.append(perf_counter() - start)
    _check_labels(labels, runner.classes)
    expected, scores = np.concatenate(expected).astype(np.float32), np.stack(scores)
    return Report(
        images=len(scores),
        bytes=len(tflite) if isinstance(tflite, bytes) else Path(tflite).stat().st_size,
        keras_accuracy=_accuracy(expected, labels),
        accuracy=_accuracy(scores, labels),
        agreement=float(np.mean(expected.argmax(-1) == scores.argmax(-1))),
        max_abs_difference=float(np.abs(expected - scores).max()),
        ms_per_image=float(np.median(seconds) * 1e3),
    )


def _check_labels(labels, classes):
    given = [batch for batch in labels if batch is not None]
    if not given:
        return
    if len(given) < len(labels):
        missing = len(labels) - len(given)
        raise ValueError(f"verify needs labels on all batches or none; {missing} have none.")
    values = np.concatenate(given)
    if values.min() < 0 or values.max() >= classes:
        raise ValueError(
            f"verify needs labels from 0 to {classes - 1}; got {values.min()} to {values.max()}."
        )


def _accuracy(scores, labels):
    if labels[0] is None:
        return None
    return float(np.mean(scores.argmax(-1) == np.concatenate(labels)))
