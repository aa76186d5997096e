"""Files on ARM CPUs, emulated: the kernels that phones run, which x86 does not have."""

import numpy as np
import pytest

from benchmarks import emulator
from keras_mixer.tflite import RECIPES
from keras_mixer.tflite.export import golden_picture
from keras_mixer.tflite.run.runner import Runner
from tests.tflite.files import tiny_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(emulator.missing() is not None, reason=str(emulator.missing())),
]

# Largest difference between the scores, from 0 to 1, of MixerTi4 on ARM and on x86. Activations of
# dynamic_ and static_ recipes round to another integer where float ops before them differ in the
# last digit. "int8" has no float ops.
BOUNDS = {
    "float32": 2e-6,
    "float16": 2e-2,  # computed in float16 where the CPU has it
    "dynamic_int8": 2e-2,
    "static_int8": 5e-2,
    "int8": 0,
    "int16x8": 1e-3,
    "dynamic_int4": 3e-2,
}


@pytest.fixture(scope="module")
def trained(exported):
    """All recipes of a trained model, images, and the scores on this CPU."""
    picture = golden_picture((32, 32, 3)) / 127.5 - 1
    random = np.random.default_rng(0)
    images = [picture, random.uniform(-1, 1, picture.shape)]
    images = np.asarray(images, np.float32)
    files = {name: (exported / f"model_{name}.tflite").read_bytes() for name in RECIPES}
    expected = {}
    for name, content in files.items():
        runner = Runner(content)
        expected[name] = np.stack([runner(image) for image in images])
    return files, images, expected


@pytest.mark.parametrize("cpu", emulator.CPUS)
def test_every_recipe_gives_the_scores_of_x86(trained, cpu):
    files, images, expected = trained
    found = emulator.run(files, images, cpu)
    off = {name: np.abs(found[name] - expected[name]).max() for name in files}
    print({name: float(f"{difference:.2g}") for name, difference in off.items()})
    assert {name for name, difference in off.items() if difference > BOUNDS[name]} == set()


def test_every_architecture_gives_the_logits_of_x86(case):
    bounds = {name: BOUNDS[name] for name in ("float32", "float16", "dynamic_int8", "int8")}
    files = {name: tiny_file(name, case) for name in bounds}
    images = case.images(2)
    found = emulator.run(files, images, "cortex-a76")
    for name, bound in bounds.items():
        runner = Runner(files[name])
        expected = np.stack([runner(image) for image in images])
        off = np.abs(found[name] - expected).max() / np.abs(expected).max()
        print(name, float(f"{off:.2g}"))
        assert off <= bound, name


def test_in_float16_no_op_falls_back_to_float32(case):
    count = emulator.count(tiny_file("float16", case), case.images(1), "cortex-a76")
    assert count["float32 multiply-add"] == 0
    assert count["float16 multiply-add"] > 0


def test_float16_takes_half_the_instructions_and_only_where_a_cpu_has_it(trained):
    files, images, _ = trained
    of = {
        name: emulator.count(files[name], images[:1], "cortex-a76")
        for name in ("float16", "float32")
    }
    assert of["float16"]["all"] <= 0.56 * of["float32"]["all"]
    older = emulator.count(files["float16"], images[:1], "cortex-a53")
    assert older["float16 multiply-add"] == 0 < older["float32 multiply-add"]
