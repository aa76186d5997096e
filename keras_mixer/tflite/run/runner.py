"""Runs a `.tflite` image model with LiteRT."""

from dataclasses import replace
from numbers import Integral
from threading import Lock

from keras_mixer._text import one_line
from keras_mixer.images import Preprocessing
from keras_mixer.tflite.file.content import content_of, unpacked
from keras_mixer.tflite.file.interpreter import dequantised, open_interpreter, quantised
from keras_mixer.tflite.file.metadata import (
    activation_of_file,
    metadata_in,
    preprocessing_in,
)
from keras_mixer.tflite.file.trial import tried

THREADS = 1024  # LiteRT starts as many as it is told, until the process ends


class Runner:
    """Runs a `.tflite` model of one image: float32 [H, W, C] -> float32 scores [classes].

    Integer input and output tensors are converted from and to floats. Calls from several threads
    run one after the other.

    Args:
        source: Path of a `.tflite` file, or its content as bytes.
        threads: CPU threads, up to 1,024; by default one per core, at most four.
        untrusted: Whether LiteRT runs the file once in another process before it runs in this one.

    Attributes:
        shape: `(H, W, C)` of the image.
        classes: Number of scores.
        metadata: The file's `Metadata`, or `None`.
        preprocessing: The `keras_mixer.Preprocessing` of its images; `None` if unknown. The scale
            of pixels in the file's metadata, if any, takes precedence.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a `.tflite` file, is truncated, needs ops that LiteRT does not have,
            or is not an image classifier; or there are no such threads.
    """

    def __init__(self, source, threads=None, untrusted=False):
        self.name, content = content_of(source)
        whole = isinstance(threads, Integral) and not isinstance(threads, bool)
        if threads is not None and not (whole and 1 <= threads <= THREADS):
            raise ValueError(
                f"{self.name} runs on a number of threads from 1 to {THREADS:,}; got {threads!r}."
            )
        if untrusted:
            tried(self.name, content, run=True)
        try:
            self.interpreter = open_interpreter(content, threads)
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{self.name} does not load: {one_line(error)}") from None

        inputs, outputs = (
            self.interpreter.get_input_details(),
            self.interpreter.get_output_details(),
        )
        shapes = [tuple(int(n) for n in d["shape"]) for d in inputs + outputs]
        if [len(shape) for shape in shapes] != [4, 2] or shapes[0][0] != 1:
            raise ValueError(
                f"{self.name} is not an image classifier, [1, H, W, C] -> [1, classes]: its inputs "
                f"and outputs are {', '.join(map(str, shapes))}."
            )
        self.content, self.lock = content, Lock()
        self.input, self.output = inputs[0], outputs[0]
        self.shape = shapes[0][1:]
        self.classes = shapes[1][1]
        self.metadata = metadata_in(self.name, content)
        self.preprocessing = self._preprocessing(content)

    @property
    def names(self):
        """The names of the classes in the file's metadata; empty without them."""
        return self.metadata.labels if self.metadata else ()

    @property
    def activation(self):
        """What the scores come from: `"softmax"`, `"sigmoid"`, or None for anything else."""
        return activation_of_file(unpacked(self.content, self.name))

    def _preprocessing(self, content):
        preprocessing = preprocessing_in(self.name, content)
        if self.metadata and self.metadata.input_range:
            preprocessing = (preprocessing or Preprocessing()).ranging(self.metadata.input_range)
        return preprocessing and replace(preprocessing, size=self.shape[:2])

    def __call__(self, image):
        with self.lock:  # the interpreter has one set of tensors
            self.interpreter.set_tensor(self.input["index"], quantised(image[None], self.input))
            try:
                self.interpreter.invoke()
            except RuntimeError as error:
                raise ValueError(f"{self.name} does not run: {one_line(error)}") from None
            scores = self.interpreter.get_tensor(self.output["index"])
        if scores.shape != (1, self.classes):
            raise ValueError(
                f"{self.name} does not run: its output has the shape (1, {self.classes}) before it "
                f"runs, and {scores.shape} afterwards."
            )
        return dequantised(scores[0], self.output)
