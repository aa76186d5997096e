"""The header for microcontrollers has the file's bytes and ops, and the sample runs with it.

Its C++ sources are in no package registry. TFLITE_MICRO names the flags for the compiler of a build
by hand: where its headers are, and its library.
"""

import csv
import os
import re
import shlex
import shutil
import subprocess

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer.tflite import c_array, convert, inspect
from keras_mixer.tflite.run.runner import Runner
from tests.conftest import ROOT
from tests.tflite.files import tiny_file

SAMPLE = ROOT / "tflite/microcontroller"
PAGE = (SAMPLE / "README.md").read_text()
COMPILER = shutil.which("g++")
# Writes the array, the number of ops and the ops in the order in which they are added.
PRINT = """
#include "model.h"
#include <cstdint>
#include <cstdio>
struct Resolver {{ {methods} }};
int main() {{
  if (reinterpret_cast<std::uintptr_t>(model_data) % 16) return 1;
  std::fwrite(model_data, 1, sizeof model_data, stdout);
  std::fprintf(stderr, "%u", model_ops);
  Resolver resolver;
  return add_model_ops(resolver) ? 0 : 2;
}}
"""
# The class of each image in a file of float32 numbers.
HOST = """
#include <cstdio>
#include <cstdlib>
#include <vector>
#include "classify.h"
int main(int, char** arguments) {
  std::vector<float> image(std::atoi(arguments[2]));
  std::FILE* file = std::fopen(arguments[1], "rb");
  while (std::fread(image.data(), sizeof(float), image.size(), file) == image.size())
    std::printf("%d\\n", classify(image.data()));
}
"""


@pytest.mark.skipif(not COMPILER, reason="there is no g++")
def test_the_header_compiles_to_the_file_and_adds_each_op(tmp_path):
    content = tiny_file("int8")
    header = c_array(content)
    (tmp_path / "model.h").write_text(header)
    added = re.findall(r"resolver\.(Add\w+)\(\)", header)
    methods = " ".join(
        f'int {name}() {{ std::fputs(" {name}", stderr); return 0; }}' for name in added
    )
    (tmp_path / "main.cc").write_text(PRINT.format(methods=methods))
    subprocess.run([COMPILER, "-std=c++17", "-o", "main", "main.cc"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, check=True)
    assert done.stdout == content
    ops = {name.replace("_", "").lower() for name in inspect(content).counts}
    count, *found = done.stderr.decode().split()
    assert int(count) == len(found) == len(ops)
    assert {name.removeprefix("Add").lower() for name in found} == ops


@pytest.mark.skipif(not COMPILER, reason="there is no g++")
def test_a_program_includes_several_headers(tmp_path):
    small = convert(keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()]))
    contents = {"cats": tiny_file("int8"), "dogs_2": small}
    for name, content in contents.items():
        (tmp_path / f"{name}.h").write_text(c_array(content, name))
    main = "".join(f'#include "{name}.h"\n' for name in contents) + "int main() { return "
    main += " + ".join(f"(sizeof {name}_data != {len(contents[name])})" for name in contents)
    (tmp_path / "main.cc").write_text(main + "; }")
    subprocess.run([COMPILER, "-std=c++17", "-o", "main", "main.cc"], cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "main"], check=True)


@pytest.mark.parametrize("name", ["", "2", "a b", "a-b", "_a", "a__b", "a_", "a;b", "ä"])
def test_a_name_that_is_none_in_cpp_is_refused(name):
    with pytest.raises(ValueError, match=f"begin with a letter .*; got {name!r}"):
        c_array(tiny_file("int8"), name)


def test_a_file_with_other_ops_is_refused():
    with pytest.raises(ValueError, match="does not have GELU, which The model needs"):
        c_array(tiny_file("float32"))


def test_a_name_does_not_leave_its_comment(tmp_path):
    path = tmp_path / "a\nint b;.tflite"
    path.write_bytes(tiny_file("int8"))
    assert c_array(path).splitlines()[0].startswith("// a")
    assert "\nint b;" not in c_array(path)


def measured():
    """(recipe, type of inputs) -> row of the benchmark's table."""
    with (ROOT / "benchmarks/results/microcontroller.csv").open() as file:
        return {(row["recipe"], row["input_and_output"]): row for row in csv.DictReader(file)}


def test_the_sample_has_the_arena_that_was_measured():
    [size] = re.findall(r"arena_size = (\d+) \* 1024", (SAMPLE / "classify.h").read_text())
    assert int(size) * 1024 == int(measured()["int8", "int8"]["arena_bytes"])


def test_the_page_has_the_measured_numbers():
    rows = re.findall(r"^\| `(\w+)` +\| (\w+) +\| ([\d,]+) KB \| (\d+) KiB \|$", PAGE, re.M)
    assert {(recipe, io): (kb, int(kib)) for recipe, io, kb, kib in rows} == {
        key: (f"{int(row['file_bytes']) / 1e3:,.0f}", int(row["arena_bytes"]) // 1024)
        for key, row in measured().items()
    }


@pytest.mark.slow
def test_the_page_makes_the_header(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("pictures.npy", np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8))
    [python] = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    [command] = re.findall(r"```\n(keras-mixer .*?)\n```", PAGE)
    exec(python, {})
    here(*shlex.split(command)[1:], cwd=tmp_path)
    assert (tmp_path / "model.h").read_text() == c_array(tmp_path / "model.tflite")


@pytest.mark.slow
def test_the_command_does_not_replace_the_file_that_it_reads(here, tmp_path):
    file = tmp_path / "model.tflite"
    file.write_bytes(tiny_file("int8"))
    done = here("c-array", file, "--output", file, "--overwrite", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "would replace" in done.stderr
    assert file.read_bytes() == tiny_file("int8")


@pytest.mark.slow
def test_the_measured_arena_is_enough_and_less_is_not():
    pytest.importorskip("tflite_micro", reason="it comes for Linux on x86-64 alone")
    from benchmarks.microcontroller import STEP, interpreter

    images = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    model = keras_mixer.MixerTi4(weights="cifar10")
    content = convert(model, "int8", calibration=images, integer_io=True)
    arena = int(measured()["int8", "int8"]["arena_bytes"])
    assert interpreter(content, arena)
    assert not interpreter(content, arena - STEP)


@pytest.mark.slow
@pytest.mark.skipif(
    "TFLITE_MICRO" not in os.environ,
    reason="TFLITE_MICRO does not say where LiteRT for Microcontrollers was built",
)
def test_the_sample_gives_the_classes_of_litert(tmp_path):
    images = np.random.default_rng(0).uniform(-1, 1, (16, 32, 32, 3)).astype(np.float32)
    images[1::2] = images[1::2].mean((1, 2), keepdims=True)  # plain, to have several classes
    model = keras_mixer.MixerTi4(weights="cifar10")
    content = convert(model, "int8", calibration=images, integer_io=True)
    (tmp_path / "model.h").write_text(c_array(content))
    (tmp_path / "main.cc").write_text(HOST)
    images.tofile(tmp_path / "images.bin")
    flags = shlex.split(os.environ["TFLITE_MICRO"])
    sources = [tmp_path / "main.cc", SAMPLE / "classify.cc"]
    subprocess.run(
        [COMPILER, "-std=c++17", "-I.", f"-I{SAMPLE}", *sources, *flags, "-o", "host"],
        cwd=tmp_path,
        check=True,
    )
    done = subprocess.run(
        [tmp_path / "host", tmp_path / "images.bin", str(images[0].size)],
        capture_output=True,
        text=True,
        check=True,
    )
    runner = Runner(content)
    expected = [int(runner(image).argmax()) for image in images]
    assert len({*expected}) > 1
    # A score of int8 is a whole number of 1/256: two classes may share the best.
    assert (
        np.mean([int(line) == e for line, e in zip(done.stdout.split(), expected, strict=True)])
        > 0.9
    )
