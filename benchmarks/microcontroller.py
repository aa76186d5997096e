"""The memory that files need in LiteRT for Microcontrollers.

    python -m benchmarks.microcontroller

MixerTi4 with `weights="cifar10"` is converted with the recipes whose ops are all integer, with
float32 and with integer inputs and outputs. `arena_bytes` is the smallest arena, in steps of 1 KiB,
in which the package `tflite-micro` loads the file on this machine. Pointers have 8 bytes here and 4
on a microcontroller, which needs slightly less. `difference` is the largest difference of a score
from LiteRT's, over 8 random images. The arena does not depend on the values of images and weights.
"""

import numpy as np

import keras_mixer
from benchmarks.measure import write_csv
from keras_mixer.tflite import RECIPES, convert
from keras_mixer.tflite.file.graphs import graphs_in
from keras_mixer.tflite.file.interpreter import dequantised, quantised
from keras_mixer.tflite.run.runner import Runner

STEP, MOST = 1024, 2**22  # bytes


def interpreter(content, arena):
    """LiteRT for Microcontrollers with a file, or None if the arena is too small."""
    from tflite_micro.python.tflite_micro import runtime

    try:
        return runtime.Interpreter.from_bytes(content, arena_size=arena)
    except RuntimeError:
        return None


def smallest_arena(content):
    """The smallest arena for a file, in bytes, a multiple of `STEP`."""
    low, high = 0, MOST // STEP
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if interpreter(content, middle * STEP) else (middle, high)
    return high * STEP


def difference(content, arena, images):
    """The largest difference of a score between this runtime and LiteRT."""
    micro, litert, largest = interpreter(content, arena), Runner(content), 0.0
    for image in images:
        micro.set_input(quantised(image[None], litert.input), 0)
        micro.invoke()
        scores = dequantised(micro.get_output(0)[0], litert.output)
        largest = max(largest, float(np.abs(scores - litert(image)).max()))
    return largest


def measured(model, images):
    """The rows of the table.

    Args:
        model: A Keras model.
        images: Images [N, H, W, C] to calibrate and to compare with.
    """
    rows = []
    for recipe in (recipe.name for recipe in RECIPES.values() if recipe.every_op):
        for integer_io in (False, True):
            content = convert(model, recipe, calibration=images, integer_io=integer_io)
            arena = smallest_arena(content)
            rows.append(
                {
                    "model": model.name,
                    "recipe": recipe,
                    "input_and_output": recipe.split("x")[0] if integer_io else "float32",
                    "file_bytes": len(content),
                    "arena_bytes": arena,
                    "difference": f"{difference(content, arena, images):.2g}",
                    "ops": " ".join(sorted({op for g in graphs_in(content) for op, _, _ in g.ops})),
                }
            )
    return rows


def main():
    images = np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 3)).astype(np.float32)
    write_csv("microcontroller", measured(keras_mixer.MixerTi4(weights="cifar10"), images))


if __name__ == "__main__":
    main()
