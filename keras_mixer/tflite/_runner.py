"""A `.tflite` image model, run with LiteRT."""

import os

import numpy as np

from keras_mixer.tflite.metadata import content_of, metadata_in


class Runner:
    """Runs a `.tflite` model of one image: float32 [H, W, C] -> float32 scores [classes].

    Integer inputs and outputs are quantised and dequantised at the door.

    Args:
        source: Path of a `.tflite` file, or its content as bytes.
        threads: CPU threads; by default one a core, four at most.

    Attributes:
        shape: `(H, W, C)` of the image.
        classes: Number of scores.
        metadata: What the file says about itself, a `Metadata`; `None` where it says nothing.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a `.tflite` file, is cut short, needs ops that LiteRT does not have,
            or is no image classifier.
    """

    def __init__(self, source, threads=None):
        from ai_edge_litert.interpreter import Interpreter

        self.name, content = content_of(source)
        threads = threads or min(os.cpu_count() or 1, 4)
        try:
            self.interpreter = Interpreter(model_content=content, num_threads=threads)
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{self.name} does not load; it may be cut short: {error}") from None

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
        self.input, self.output = inputs[0], outputs[0]
        self.shape = shapes[0][1:]
        self.classes = shapes[1][1]
        self.metadata = metadata_in(self.name, content)

    def __call__(self, image):
        self.interpreter.set_tensor(self.input["index"], _quantise(image[None], self.input))
        self.interpreter.invoke()
        return _dequantise(self.interpreter.get_tensor(self.output["index"])[0], self.output)


def _quantise(values, tensor):
    dtype = tensor["dtype"]
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale + zero_point), limits.min, limits.max).astype(dtype)


def _dequantise(values, tensor):
    if not np.issubdtype(tensor["dtype"], np.integer):
        return values.astype(np.float32)
    scale, zero_point = tensor["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale)
