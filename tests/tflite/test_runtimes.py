"""Files run in the runtimes that they are said to need, and older ones refuse them or are named.

`.ci/tools/runtimes FOLDER/runtimes` makes the environments; KERAS_MIXER_TOOLS names FOLDER.
"""

import csv
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.runtimes import known, ops, probe
from keras_mixer.tflite import RECIPES, inspect
from keras_mixer.tflite._litert import schema
from keras_mixer.tflite.convert.versions import ENTRY
from keras_mixer.tflite.file.content import (
    associated_files,
    entry_of,
    packed,
    text_file_in,
    unpacked,
    with_text_file,
)
from keras_mixer.tflite.file.metadata import LABELS
from keras_mixer.tflite.file.runtimes import FAULTS, OLDEST, TABLE, Runtimes, runtimes_of
from keras_mixer.tflite.run.runner import Runner
from tests.conftest import ROOT
from tests.test_docs import table
from tests.tflite.files import spotted, tiny_file, tiny_files

# What each recipe of a Mixer needs, as docs/export.md says.
NEEDS = {
    **dict.fromkeys(("float32", "float16"), ("2.9", "1.0")),
    "dynamic_int8": ("2.17", "1.0"),
    **dict.fromkeys(("static_int8", "int8"), ("2.10", "1.0")),
    "int16x8": ("2.20", "1.2"),
    "dynamic_int4": ("2.15", "1.0"),
}
# The mean difference of scores between runtimes, twice what was seen: kernels round differently,
# and where every op rounds to 8 bits, differences add up.
BOUNDS = {
    **dict.fromkeys(("float32", "float16"), 2e-7),
    "dynamic_int8": 1e-3,
    "static_int8": 5e-3,
    "int8": 12e-3,
    "int16x8": 1e-4,
    "dynamic_int4": 6e-3,
}
WRONG = 0.05  # a wrong answer is off by twice as much
ENVIRONMENTS = [
    *("tensorflow-2.9.1", "tensorflow-2.10.0", "tensorflow-2.14.0", "tensorflow-2.15.1"),
    *("tensorflow-2.17.1", "litert-1.0.1", "litert-1.1.1", "litert-1.2.0"),
]
# Without gates, and so in the versions of ops that the quantiser writes.
UNGATED = ["dynamic_int8", "int16x8"]
# Runs in a runtime's own environment: scores [N, classes], or a refusal as text.
RUN = """
import pathlib, sys
import numpy as np
try:
    from tflite_runtime.interpreter import Interpreter
except ImportError:
    from ai_edge_litert.interpreter import Interpreter
folder = pathlib.Path(sys.argv[1])
images, found = np.load(folder / "images.npy"), {}
for path in folder.glob("*.tflite"):
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        found[path.stem] = str(error)
        continue
    [image], [scores] = interpreter.get_input_details(), interpreter.get_output_details()
    found[path.stem] = []
    for pixels in images:
        interpreter.set_tensor(image["index"], pixels[None])
        interpreter.invoke()
        found[path.stem].append(interpreter.get_tensor(scores["index"])[0])
np.savez(sys.argv[2], **found)
"""


def number(version):
    return tuple(map(int, version.split(".")))


def ungated(content):
    """The file with version 1 of every op."""
    model = unpacked(content, "test")
    for code in model.operatorCodes:
        code.version = 1
    changed = packed(model, {}, len(content), "test")
    if LABELS in associated_files(content):
        changed = with_text_file(changed, LABELS, text_file_in(content, LABELS))
    return changed


@pytest.fixture(scope="module")
def folder(exported, tmp_path_factory):
    """MixerTi4 by every recipe, also without gates, and images."""
    folder = tmp_path_factory.mktemp("runtimes")
    for name in RECIPES:
        content = (exported / f"model_{name}.tflite").read_bytes()
        (folder / f"{name}.tflite").write_bytes(content)
        if name in UNGATED:
            (folder / f"{name}-ungated.tflite").write_bytes(ungated(content))
    np.save(folder / "images.npy", spotted(seed=0))
    return folder


@pytest.fixture(scope="module")
def today(folder):
    """File -> the scores that LiteRT of today gives for the images."""
    images = np.load(folder / "images.npy")
    return {
        path.stem: np.stack([Runner(path.read_bytes())(image) for image in images])
        for path in folder.glob("*.tflite")
    }


def python_of(environment):
    """The Python of a runtime's environment; without it the test is skipped."""
    tools = os.environ.get("KERAS_MIXER_TOOLS")
    if not tools:
        pytest.skip("KERAS_MIXER_TOOLS is not set; .ci/tools/runtimes makes what it names")
    python = Path(tools, "runtimes", environment, "bin/python")
    if not python.exists():
        pytest.skip(f"{python} is missing; .ci/tools/runtimes makes it")
    return python


def scores_in(environment, folder):
    """File -> scores, or the runtime's message why it refuses the file."""
    python, found = python_of(environment), folder / f"{environment}.npz"
    if not found.exists():
        subprocess.run([python, "-I", "-c", RUN, folder, found], check=True, capture_output=True)
    return {name: f"{v}" if v.dtype.kind == "U" else v for name, v in np.load(found).items()}


@pytest.mark.slow
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_runtime_answers_rightly_refuses_or_is_named(environment, folder, today):
    runtime, version = environment.split("-")
    found = scores_in(environment, folder)
    assert found.keys() == today.keys()
    for name, scores in found.items():
        needs = runtimes_of((folder / f"{name}.tflite").read_bytes())
        refused = isinstance(scores, str)
        off = None if refused else np.abs(scores - today[name]).mean()
        if number(version) >= number(getattr(needs, runtime)):
            assert not refused, f"{name}: {scores}"
            assert off < BOUNDS[name.removesuffix("-ungated")], name
        elif not needs.wrong:
            assert refused, f"{name} is off by {off:.2g} and is not said to be"
        else:
            assert refused or off > WRONG, f"{name} is off by {off:.2g} only"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("dynamic_int8-ungated", "tensorflow-2.15.1"),
        ("int16x8-ungated", "litert-1.0.1"),
        ("int8", "tensorflow-2.9.1"),
        ("static_int8", "tensorflow-2.9.1"),
    ],
)
def test_what_is_said_to_be_wrong_is_wrong_without_an_error(name, environment, folder, today):
    scores = scores_in(environment, folder)[name]
    assert np.abs(scores - today[name]).mean() > WRONG
    assert np.mean(scores.argmax(-1) == today[name].argmax(-1)) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_runtime_has_the_versions_of_ops_that_the_table_says(environment, tmp_path):
    runtime, version = environment.split("-")
    numbers = {op: number for number, op in ops().items()}
    with TABLE.open(newline="") as file:
        table = {(row["op"], int(row["version"])): row[runtime] for row in csv.DictReader(file)}
    for op, of_op in table:
        (tmp_path / f"{op}-{of_op}").write_bytes(probe(numbers[op], of_op))
    expected = {op for op, since in table.items() if since and number(since) <= number(version)}
    assert known(python_of(environment), tmp_path) == expected


def test_inspect_says_what_a_file_needs_and_what_is_wrong_in_older_runtimes():
    found = inspect(tiny_files()["int8"])
    text = " ".join(str(found).split())
    assert "Needs TensorFlow Lite 2.10 or LiteRT 1.0." in text
    assert "TensorFlow Lite before 2.10 computes FULLY_CONNECTED with int8 input and int8" in text
    [wrong] = json.loads(json.dumps(found.as_dict()))["runtimes"]["wrong"]
    assert wrong.endswith("wrongly, without an error")
    text = str(inspect(tiny_files()["float32"]))
    assert "Needs TensorFlow Lite 2.9 or LiteRT 1.0; older ones were not tried." in text


def test_each_recipe_needs_what_the_documentation_says():
    for name, content in tiny_files().items():
        found = runtimes_of(content)
        assert (found.tensorflow, found.litert) == NEEDS[name], name
        assert bool(found.wrong) == (name in ("static_int8", "int8")), name
        entry = entry_of(content, ENTRY).rstrip(b"\0").decode()
        assert entry == f"{found.tensorflow}.0" or found.tensorflow == OLDEST["tensorflow"]


def test_the_documentation_has_a_row_for_each_recipe():
    rows = table("docs/export.md", "file", "TensorFlow Lite", "LiteRT")
    assert {recipe: (tensorflow, litert) for recipe, tensorflow, litert, _ in rows} == NEEDS


def test_a_gate_keeps_out_all_runtimes_that_are_wrong():
    for name in UNGATED:
        gated, before = tiny_files()[name], runtimes_of(ungated(tiny_files()[name]))
        assert not runtimes_of(gated).wrong
        [wrong] = before.wrong
        assert "wrongly, without an error" in wrong
        assert "FULLY_CONNECTED" in wrong


@pytest.mark.parametrize(
    ("op", "version"),
    [("TRANSPOSE", 99), ("RESHAPE", 99), ("GELU", 99), ("STABLEHLO_TRANSPOSE", 1), (250, 1)],
)
def test_an_op_newer_than_every_runtime_needs_one_that_is_not_known(op, version):
    content = tiny_file("float32")
    model = unpacked(content, "test")
    [code] = [c for c in model.operatorCodes if c.builtinCode == schema().BuiltinOperator.TRANSPOSE]
    code.builtinCode = getattr(schema().BuiltinOperator, op) if isinstance(op, str) else op
    code.version = version
    found = runtimes_of(packed(model, {}, len(content), "test"))
    assert found == Runtimes(None, None)
    assert str(found) == "Needs a newer runtime than LiteRT 2.3."


def test_faults_are_of_versions_in_the_table():
    from keras_mixer.tflite.file.runtimes import _table

    for fault in FAULTS:
        if fault.gate:
            op, version = fault.gate
            oldest = _table()[op][version]
            assert number(oldest["tensorflow"]) >= number(fault.tensorflow)
            assert number(oldest["litert"]) >= number(fault.litert)
    assert (ROOT / ".ci/tools/runtimes").exists()
