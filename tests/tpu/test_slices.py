"""The table of TPUs says what their compiler says."""

import json
import os
import subprocess
import sys

import pytest

from keras_mixer.tpu import CHIPS, SLICES, find_slice
from keras_mixer.tpu.preflight import ENVIRONMENT
from keras_mixer.tpu.slices import GIB
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def compiler():
    done = subprocess.run(
        [sys.executable, "-m", "tests.tpu.topologies"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        env=os.environ | ENVIRONMENT,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_every_slice_has_the_cores_that_the_compiler_sees(compiler):
    assert compiler["cores"] == {name: slice.cores for name, slice in SLICES.items()}


@pytest.mark.slow
def test_a_core_has_the_memory_that_the_compiler_has_available(compiler):
    assert {name: int(gib * GIB) for name, gib in compiler["memory"].items()} == {
        name: chip.memory for name, chip in CHIPS.items()
    }


# As published: "Ten Lessons From Three Generations" (Jouppi et al. 2021), table 1; "TPU v4" (Jouppi
# et al. 2023), table 4; jax-ml.github.io/scaling-book for v5e and v5p.
@pytest.mark.parametrize(
    ("chip", "megahertz"), [("v2", 700), ("v3", 940), ("v4", 1050), ("v5e", 1500), ("v5p", 1750)]
)
def test_peak_and_matrix_units_give_the_published_clock(chip, megahertz):
    assert CHIPS[chip].clock / 1e6 == pytest.approx(megahertz, rel=0.01)


@pytest.mark.parametrize("name", ["v5e-8", "V5E-8", "v5litepod-8"])
def test_a_slice_is_found_by_its_names(name):
    assert find_slice(name) is SLICES["v5e-8"]


@pytest.mark.parametrize("name", ["v5e-3", "v9", "", 8])
def test_an_unknown_name_lists_those_known(name):
    with pytest.raises(ValueError, match=r"no TPU .*v2-8, .*v6e-256"):
        find_slice(name)
