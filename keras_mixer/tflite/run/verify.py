"""Compares a `.tflite` file with its Keras model: accuracy, agreement, layer outputs."""

import warnings
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np

from keras_mixer._backend import predict
from keras_mixer._keras import activation_of, last_operation
from keras_mixer._types import Images, InputRange, Labels, Tflite
from keras_mixer.images import PIXELS, find_preprocessing
from keras_mixer.tasks import task_of
from keras_mixer.tflite._litert import Float16Runner
from keras_mixer.tflite.convert.float_file import to_float
from keras_mixer.tflite.convert.layer_names import layers_by_tensor
from keras_mixer.tflite.convert.model import image_shape
from keras_mixer.tflite.examples import are_pictures, batches
from keras_mixer.tflite.file.interpreter import (
    activations,
    default_threads,
    every_tensor,
    open_interpreter,
)
from keras_mixer.tflite.file.labels import check_order, read_labels
from keras_mixer.tflite.file.precision import computes_in_float16
from keras_mixer.tflite.run.runner import Runner

LAYER_IMAGES = 16  # images for the comparison of layers; each gives thousands of values per layer
LAYER_ERROR = 0.1  # relative error above which a layer is reported as wrong


@dataclass(frozen=True)
class Report:
    """The result of `verify`.

    Attributes:
        images: Number of images.
        bytes: Size of the `.tflite` file.
        keras_accuracy: Share of right answers of the Keras model, 0 to 1: of images whose class is
            right (top-1), or with task `"multilabel"` of single labels. `None` without labels and
            with task `"regression"`.
        accuracy: The same for the file.
        agreement: Share of answers that both give alike, 0 to 1; `None` with task `"regression"`.
        max_abs_difference: Largest difference between two scores, over images and classes;
            infinite if a score is not finite.
        worst_image: Index of the image with that difference.
        not_finite: Number of images for which the file or the Keras model gives a score that is NaN
            or infinite. They count as wrong and as disagreement.
        ms_per_image: Median wall-clock time of one call of the file, in milliseconds, in the
            arithmetic of this CPU.
        layers: With `layers=True`, the relative error of each layer's output, in the order of
            computation: pairs of the layer's path and the root mean square of the difference,
            divided by that of the output, both computed in float32 or integers. Empty otherwise.
        task: `"classification"`, `"binary"`, `"multilabel"` or `"regression"`, see `verify`.
        keras_error: With task `"regression"` the mean absolute error of the Keras model; `None`
            without labels and with other tasks.
        error: The same for the file.
        float16: Whether the scores were computed in float16, as ARM CPUs that have it compute the
            file; False if XNNPACK cannot do so on this CPU, and `None` if it is not such a file.
    """

    images: int
    bytes: int
    keras_accuracy: float | None
    accuracy: float | None
    agreement: float | None
    max_abs_difference: float
    worst_image: int
    ms_per_image: float
    not_finite: int = 0
    layers: tuple[tuple[str, float], ...] = ()
    task: str = "classification"
    keras_error: float | None = None
    error: float | None = None
    float16: bool | None = None

    @property
    def first_wrong_layer(self):
        """Path of the first layer with a relative error above 0.1, or None."""
        # `not <=`, so that NaN counts as an error.
        return next((path for path, error in self.layers if not error <= LAYER_ERROR), None)

    @property
    def departs(self):
        """Deprecated name of `first_wrong_layer`."""
        warnings.warn(
            "Report.departs is deprecated; use Report.first_wrong_layer.",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.first_wrong_layer

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self):
        task = "" if self.task == "classification" else f", task {self.task}"
        lines = [f"{self.images} images, {self.bytes / 1e6:.2f} MB{task}"]
        if self.accuracy is not None:
            of = " of single labels" if self.task == "multilabel" else ""
            lines += [f"accuracy{of} {self.accuracy:.2%}, Keras {self.keras_accuracy:.2%}"]
        if self.error is not None:
            lines += [f"mean absolute error {self.error:.4g}, Keras {self.keras_error:.4g}"]
        if self.not_finite:
            lines += [
                f"scores of {self.not_finite} images are NaN or infinite, in the file or in Keras; "
                "they count as wrong and as disagreement"
            ]
        if self.agreement is not None:
            lines += [f"agreement with Keras {self.agreement:.2%}"]
        difference, where = self.max_abs_difference, f", at image {self.worst_image}"
        lines += [
            f"largest difference between scores {difference:.3g}{where if difference else ''}",
            f"{self.ms_per_image:.2f} ms an image",
        ]
        if self.float16:
            lines += ["computed in float16, as ARM CPUs that have it compute this file"]
        elif self.float16 is not None:
            lines += [
                "computed in float32, because XNNPACK does not run all of it in float16 on this "
                "CPU; ARM CPUs that have float16 do"
            ]
        if self.layers:
            how = "" if self.float16 is None else ", computed in float32"
            lines += [f"error of each layer's output{how}:"]
            lines += [f"  {path:36} {error:8.2%}" for path, error in self.layers]
            first = self.first_wrong_layer
            lines += [
                f"{first} is the first layer with an error above 10%."
                if first
                else "No layer has an error above 10%."
            ]
        return "\n".join(lines)


def verify(
    model: keras.Model,
    tflite: Tflite,
    data: Images,
    *,
    threads: int | None = None,
    layers: bool = False,
    cut_as: str | None = None,
    input_range: InputRange | None = None,
    labels: Labels | None = None,
    task: str | None = None,
    untrusted: bool = False,
) -> Report:
    """Runs a Keras model and its `.tflite` file on the same images and compares the scores.

    Args:
        model: The Keras model, `[B, H, W, C] -> [B, classes]`, or with other scores, see `task`.
        tflite: Path of the file, or its content as bytes.
        data: Images: an array `[N, H, W, C]`, a pair `(images, labels)`, a `tf.data.Dataset`, a
            `keras.utils.PyDataset`, or another iterable of batches, each an array, a tuple or list
            of images, labels and sample weights, or a dict of `"image"` and `"label"`. Arrays may
            be tensors of TensorFlow, PyTorch or JAX. Floats are images as the model takes them;
            integers are pixels from 0 to 255 and are scaled for it. Images of weight 0 are left
            out. Labels add the accuracies. Batches whose number is not known may have up to 100,000
            images, because they may be without end.
            Or the path of a `.npy` or `.npz`, or of a folder of pictures. In that there may be one
            folder of pictures for each class, also in the folder of a test or validation split,
            which is taken as `keras_mixer.training.evaluation_source` takes it. Or a
            `keras_mixer.data.Source`.
        threads: CPU threads for LiteRT; by default one per core, at most four.
        layers: Whether to compare the output of every layer, too, with that of the model in
            float32, on the first 16 images. The file must come from `convert`, because layers are
            found by the names of tensors.
        cut_as: How the pictures of a folder or a `Source` are cropped: `None`, as in the model's
            evaluation, or `"mediapipe"`, as by MediaPipe's image classifier and, nearly, most apps.
        input_range: The values of a black and of a white pixel, if the model does not state them.
        labels: For a folder, the class names in the order of the scores, or the path of a text file
            with one name per line; by default the names in the file's metadata.
        task: What the scores are; by default found from the last activation, the number of scores
            and the labels.
            `"classification"`: of classes, of which the best is the answer; labels are numbers
            `[N]`, or one-hot or probabilities `[N, classes]`.
            `"binary"`: one score, for yes above 0.5, of logits above 0; labels are 0 or 1.
            `"multilabel"`: each score is a yes or no; labels are 0 or 1, `[N, scores]`.
            `"regression"`: quantities, for which there are errors instead of accuracies; labels are
            `[N, scores]`, or `[N]` for one.
            One score is binary if it comes from a sigmoid, or if all labels are 0 or 1. Several
            are multilabel if they come from a sigmoid, or if an image has several labels, and
            otherwise classification, or regression if labels are neither.
        untrusted: Whether the file is run once in another process first, see `inspect`.

    If the file's metadata have another scale of pixels than the model, images are converted to it
    for the file.

    Returns:
        A `Report`.

    Raises:
        FileNotFoundError, ValueError: The file is missing, damaged or not a classifier; file and
            model have different shapes; data have a wrong shape or scale, or no end; labels do not
            fit the task, only some batches have labels, or classes are the file's own in another
            order; the model cannot have that task; or, with `layers`, no tensor has the name of a
            layer.
    """
    if isinstance(tflite, keras.Model):
        raise ValueError("verify takes the Keras model first and the .tflite file second.")
    shape = image_shape(model, "verify")
    runner = Runner(tflite, threads, untrusted)
    theirs = (runner.shape, runner.classes)
    ours = (shape, *model.outputs[0].shape[1:])
    if theirs != ours:
        raise ValueError(
            f"verify needs a file made from the model; '{model.name}' maps images {ours[0]} to "
            f"outputs {ours[1:]}, the file {theirs[0]} to {theirs[1:]}."
        )

    names = read_labels(labels) if labels else runner.names
    for given in (names, data.classes if hasattr(data, "order") else ()):  # a Source has names
        check_order(tuple(given), runner.names, runner.name)
    classes = names or max(runner.classes, 2)  # one score is yes or no
    activation = activation_of(last_operation(model))
    task_of(activation, runner.classes, "verify", task=task)  # errors before any work
    expected, scores, labels, seconds, layer_images = [], [], [], [], []
    if cut_as not in (None, "mediapipe"):
        raise ValueError(f"verify needs cut_as to be None or 'mediapipe'; got {cut_as!r}.")
    if cut_as and not are_pictures(data):
        raise ValueError(
            f"verify crops pictures with cut_as={cut_as!r} (--as); these images have the model's "
            "size already. Give a folder of pictures, or leave cut_as out."
        )
    preprocessing = find_preprocessing(model, input_range)
    if not preprocessing and runner.preprocessing and runner.preprocessing.input_range != PIXELS:
        # The file says what the model does not. A file of pixels may have the rescaling inside.
        preprocessing = runner.preprocessing
    if cut_as and preprocessing:
        preprocessing = preprocessing.on_device()
    theirs = _other_scale(preprocessing, runner)
    pixels = preprocessing if theirs and theirs.input_range == PIXELS else None
    read = batches(data, shape, "verify", preprocessing, labelled=True, classes=classes)
    with _in_float16(runner, threads) as in_float16:
        for images, batch_labels in read:
            expected.append(predict(model, images))
            if batch_labels is not None:
                found = task_of(activation, runner.classes, "verify", batch_labels, task)
                found.labels(batch_labels, "verify")  # errors at once
            labels.append(batch_labels)
            in_file = images if theirs is None else theirs.scaled(preprocessing.pixels(images))
            if layers:
                pairs = [*zip(images, in_file, strict=True)]
                layer_images += pairs[: LAYER_IMAGES - len(layer_images)]
            for image in in_file:
                start = perf_counter()
                here = runner(image)
                seconds.append(perf_counter() - start)
                scores.append(in_float16(image) if in_float16 else here)
    labels = _joined(labels)
    found = task_of(activation, runner.classes, "verify", labels, task)
    labels = None if labels is None else found.labels(labels, "verify")
    expected, scores = np.concatenate(expected).astype(np.float32), np.stack(scores)
    finite = np.isfinite(expected).all(-1) & np.isfinite(scores).all(-1)
    with np.errstate(invalid="ignore"):  # inf - inf
        differences = np.where(finite, np.abs(expected - scores).max(-1), np.inf)
    return Report(
        images=len(scores),
        bytes=len(tflite) if isinstance(tflite, bytes) else Path(tflite).stat().st_size,
        keras_accuracy=found.accuracy(expected, labels),
        accuracy=found.accuracy(scores, labels),
        agreement=found.agreement(expected, scores, finite),
        max_abs_difference=float(differences.max()),
        worst_image=int(differences.argmax()),
        ms_per_image=float(np.median(seconds) * 1e3),
        not_finite=int(np.sum(~finite)),
        layers=tuple(layer_errors(model, runner.content, layer_images, pixels).items())
        if layers
        else (),
        task=found.name,
        keras_error=found.error(expected, labels),
        error=found.error(scores, labels),
        float16=bool(in_float16) if computes_in_float16(runner.content) else None,
    )


def _in_float16(runner, threads):
    """A context with what runs a file as ARM CPUs do, in float16; None for others, or here."""
    if computes_in_float16(runner.content):
        with suppress(ValueError):
            return Float16Runner(runner.content, threads or default_threads())
    return nullcontext()


def _other_scale(preprocessing, runner):
    """The file's `Preprocessing` if its scale differs from the model's; otherwise None."""
    theirs = runner.preprocessing
    if not preprocessing or not theirs:
        return None
    black_and_white = [np.reshape(p.input_range, (2, -1)) for p in (preprocessing, theirs)]
    return None if np.allclose(*black_and_white, rtol=1e-4) else theirs  # metadata have six digits


def layer_errors(model, content, images, pixels=None):
    """The relative error of each layer's output in a file: path -> error, in order.

    The error is the root mean square of the difference over all images, divided by that of the
    layer's output in the model.

    Args:
        images: Pairs of the same image for the model and for the file.
        pixels: The model's `Preprocessing`, if the file takes pixels from 0 to 255 instead.
    """
    interpreter = open_interpreter(content, preserve_tensors=True)
    kinds = [tensor["dtype"] for tensor in activations(interpreter).values()]
    arithmetic = "float16" if computes_in_float16(content) else "float32"
    if sum(np.issubdtype(kind, np.integer) for kind in kinds) > len(kinds) / 2:
        arithmetic = "integer"
    shape = image_shape(model, "verify")
    reference = to_float(model, shape, arithmetic=arithmetic, pixels=pixels)
    float_interpreter = open_interpreter(reference, preserve_tensors=True)
    ours = layers_by_tensor(float_interpreter, model)
    theirs = layers_by_tensor(interpreter, model)
    [output] = float_interpreter.get_output_details()
    [their_output] = interpreter.get_output_details()
    # The last tensor of each layer that is in both files.
    last = {
        path: (name, name)
        for name, path in ours.items()
        if theirs.get(name) == path and name != output["name"]
    }
    if not last:
        raise ValueError(
            "verify finds no tensor in the file with the name of one of the model's layers, so it "
            "cannot compare layers; convert the file with keras_mixer, or leave layers out."
        )
    last[ours[output["name"]]] = output["name"], their_output["name"]
    order = [*ours]
    last = dict(sorted(last.items(), key=lambda item: order.index(item[1][0])))

    errors, outputs = dict.fromkeys(last, 0.0), dict.fromkeys(last, 0.0)  # sums of squares
    for_model, for_file = zip(*images, strict=True)
    as_reference = for_file if pixels else for_model
    pairs = zip(every_tensor(reference, as_reference), every_tensor(content, for_file), strict=True)
    for expected, got in pairs:
        for path, (name, their_name) in last.items():
            outputs[path] += float(np.square(expected[name], dtype=np.float64).sum())
            with np.errstate(invalid="ignore"):  # inf - inf
                difference = got[their_name] - expected[name]
            errors[path] += float(np.square(difference, dtype=np.float64).sum())
    return {path: _relative(errors[path], outputs[path]) for path in last}


def _relative(error, output):
    """Relative error from two sums of squares; infinite if one of them is not finite."""
    if not np.isfinite([error, output]).all():
        return float("inf")
    return (error / output) ** 0.5 if output else 0.0


def _joined(labels):
    """The labels of all batches as one array; None without labels."""
    missing = sum(batch is None for batch in labels)
    if missing == len(labels):
        return None
    if missing:
        raise ValueError(f"verify needs labels on all batches or none; {missing} have none.")
    shapes = {batch.shape[1:] for batch in labels}
    if len(shapes) > 1:
        raise ValueError(
            "verify needs labels of the same shape in all batches; got "
            f"{' and '.join(str(['N', *shape]) for shape in sorted(shapes))}."
        )
    return np.concatenate(labels)
