"""Files in integers run in LiteRT for microcontrollers too, which has fewer ops."""

import numpy as np
import pytest

from keras_mixer.tflite import RECIPES
from keras_mixer.tflite.file.interpreter import dequantised, quantised
from keras_mixer.tflite.run.runner import Runner
from tests.cases import CASES
from tests.marks import slow
from tests.tflite.convert.test_convert import TOLERANCES
from tests.tflite.files import tiny_file, tiny_model

runtime = pytest.importorskip(
    "tflite_micro.python.tflite_micro.runtime", reason="it comes for Linux on x86-64 alone"
)
ARENA = 1_000_000  # bytes for activations, which on a microcontroller are scarce


EVERY_OP = [r.name for r in RECIPES.values() if r.every_op]


@pytest.mark.parametrize(
    ("row", "recipe", "integer_io"),
    [
        (CASES[0], "int8", True),
        *(slow(case, "int8", True) for case in CASES[1:]),
        *(slow(CASES[0], recipe, False) for recipe in EVERY_OP),
        slow(CASES[0], "int16x8", True),
    ],
    ids=lambda value: getattr(value, "architecture", str(value)),
)
def test_a_file_of_every_op_in_integers_runs_on_a_microcontroller(row, recipe, integer_io):
    content, images = tiny_file(recipe, row, integer_io=integer_io), row.images(16)
    micro, ends, got = (
        runtime.Interpreter.from_bytes(content, arena_size=ARENA),
        Runner(content),
        [],
    )
    for image in images:
        micro.set_input(quantised(image[None], ends.input), 0)
        micro.invoke()
        got.append(dequantised(micro.get_output(0)[0], ends.output))
    expected = np.asarray(tiny_model(row)(images))
    assert np.abs(got - expected).max() < TOLERANCES[recipe] * np.abs(expected).max()
