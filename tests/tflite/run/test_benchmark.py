"""What a timing says of a file. How long it takes is not judged here."""

from importlib import import_module

import numpy as np
import pytest

from keras_mixer.tflite import RECIPES, benchmark, convert, inspect
from tests.cases import CASES
from tests.tflite.files import tiny_files

CASE = CASES[0]
# The type of matrix multiplication whose peak throughput bounds each recipe.
TYPES = {
    "float32": "float32",
    "float16": "float32",
    "dynamic_int8": "dynamic_int8",
    "static_int8": "int8",
    "int8": "int8",
    "int16x8": "int8",
    "dynamic_int4": "dynamic_int8",
}


@pytest.fixture(scope="module", autouse=True)
def small_matrices():
    """Peak throughput from matrices of 64 x 64, which take less time."""
    module = import_module("keras_mixer.tflite.run.benchmark")  # as a name it is the function
    before, module.SIDE = module.SIDE, 64
    module.matmul_file.cache_clear()
    yield
    module.SIDE = before
    module.matmul_file.cache_clear()


def matmuls(model):
    """10^9 multiplications and additions of a Mixer's forward pass, counted by its kernels."""
    total = 0
    for weight in model.weights:
        if weight.name == "kernel":
            _, height, width, _ = model.input_shape
            tokens = (height // 4) * (width // 4)
            path = weight.path
            rows = 24 if "token_mlp" in path else 1 if "head" in path else tokens
            total += 2 * rows * int(np.prod(weight.shape))
    return total / 1e9


@pytest.fixture(scope="module")
def timings():
    return {
        name: (content, benchmark(content, threads=2, runs=7))
        for name, content in tiny_files().items()
    }


@pytest.mark.slow
def test_peak_throughput_is_that_of_the_type_that_a_recipe_computes_in(timings):
    assert timings.keys() == RECIPES.keys() == TYPES.keys()
    for name, (_, timing) in timings.items():
        assert timing.matmuls.keys() == timing.peak.keys() == {TYPES[name]}
        assert timing.matmuls[TYPES[name]] == pytest.approx(matmuls(CASE.tiny()))
        least = timing.matmuls[TYPES[name]] / timing.peak[TYPES[name]]
        assert timing.share == pytest.approx(least / timing.ms * 1e3)


def test_old_names_of_fields_are_deprecated(timings):
    _, timing = timings["float32"]
    with pytest.warns(DeprecationWarning, match=r"Timing\.products is deprecated; use .*matmuls"):
        assert timing.products == timing.matmuls
    with pytest.warns(DeprecationWarning, match=r"Timing\.roof is deprecated; use Timing\.peak"):
        assert timing.roof == timing.peak


def test_runs_are_whole_bursts_and_quartiles_are_around_the_median(timings):
    for content, timing in timings.values():
        low, high = timing.quartiles
        assert 0 < low <= timing.ms <= high
        assert (timing.runs, timing.threads, timing.bytes) == (10, 2, len(content))
        assert f"{timing.ms:.2f} ms an image" in str(timing)


def test_what_xnnpack_leaves_is_told(timings):
    for content, timing in timings.values():
        found = inspect(content)
        assert timing.partitions == len(found.partitions)
        assert timing.outside == dict(found.outside)
        assert timing.ops == found.counts.total()
    assert "outside: none" in str(timings["float32"][1])
    assert "10 RSQRT" in str(timings["int8"][1])


@pytest.mark.slow
def test_memory_grows_with_the_file():
    small, large = (
        benchmark(convert(CASE.tiny(channel_mlp_dim=width, depth=1)), runs=1).peak_memory
        for width in (8, 20_000)
    )
    if small is not None:  # Linux says
        weights = 4 * 2 * 24 * 20_000
        assert small + weights < large


def test_nothing_is_timed_for_no_runs_or_no_file(tmp_path):
    with pytest.raises(ValueError, match="runs to be 1 or more; got 0"):
        benchmark(b"", runs=0)
    with pytest.raises(ValueError, match="runs to be 1 or more; got '5'"):
        benchmark(b"", runs="5")
    with pytest.raises(FileNotFoundError, match=r"no\.tflite"):
        benchmark(tmp_path / "no.tflite")
