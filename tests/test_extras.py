"""Without the packages of extras: models work, and what needs one says in one line which extra."""

import json
import re
import subprocess
import sys
import tomllib

import pytest

from keras_mixer._extras import EXTRAS, ROOMS
from tests.conftest import ROOT

# Imports fail as where nothing but the dependencies and a TensorFlow is installed, first of all
# packages, then of one at a time. TensorFlow itself needs flatbuffers.
WITHOUT = """
import json, sys
from contextlib import suppress

missing = dict.fromkeys(json.loads(sys.argv[1]))
sys.modules |= missing
sys.argv[1:] = ["quickstart"]
import keras, keras_mixer
from keras_mixer import cli

model = keras_mixer.MixerS32(classes=2, input_shape=(32, 32, 3))
keras_mixer.save_weights(model, "weights.npz")
keras_mixer.load_weights(model, "weights.npz")
keras_mixer.preprocess_input, keras_mixer.features(model)
with suppress(SystemExit):
    cli.main()

for name in missing:
    del sys.modules[name]
errors = []
for name, action in (
    ("PIL", lambda: keras_mixer.data),
    ("flatbuffers", lambda: keras_mixer.tflite),
    ("PIL", lambda: keras_mixer.tflite),
    ("ai_edge_litert", lambda: keras_mixer.tflite.Classifier(b"0000TFL3")),
    ("ai_edge_litert", lambda: keras_mixer.tflite.inspect(b"0000TFL3")),
    ("ai_edge_litert", lambda: keras_mixer.tflite.convert(model)),
    ("litert_quantizer", lambda: keras_mixer.tflite.convert(model)),
    ("tensorboard", lambda: keras_mixer.training),
    ("tensorflow_datasets", lambda: keras_mixer.data.tfds("cifar10", "train")),
    ("importlib_resources", lambda: keras_mixer.data.tfds("cifar10", "train")),
    ("matplotlib", lambda: keras_mixer.show_weights),
    ("sklearn", lambda: __import__("keras_mixer.quickstart")),
):
    there = {key: sys.modules.pop(key) for key in [*sys.modules] if key.split(".")[0] == name}
    sys.modules[name] = None
    try:
        action()
    except ImportError as error:
        errors.append((error.name, str(error)))
    else:
        errors.append((name, "no error"))
    del sys.modules[name]
    sys.modules |= there
print(json.dumps(errors))
"""


@pytest.mark.slow
def test_what_needs_an_extra_says_in_one_line_which_and_models_need_none(tmp_path):
    missing = [name for name in EXTRAS["all"] if name != "flatbuffers"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, json.dumps(missing)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [said] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "keras_mixer.quickstart needs " in said
    assert said.endswith('not installed: pip install -e ".[all]" in a clone of keras_mixer')
    assert "Traceback" not in done.stderr
    errors = json.loads(done.stdout.splitlines()[-1])
    assert {name for name, _ in errors} == {*EXTRAS["all"]}
    for name, message in errors:
        said = re.fullmatch(
            r"keras_mixer\.(\w+) needs ([\w-]+), which is not installed: "
            r'pip install -e "\.\[(\w+)\]" in a clone of keras_mixer',
            message,
        )
        assert said, message
        room, package, extra = said.groups()
        assert (extra, package) == (ROOMS[room], EXTRAS[extra][name])


def test_nobody_is_told_to_install_a_name_that_is_not_registered():
    """The package is on no index yet, where the name can become anybody's."""
    written = [
        *(ROOT / "keras_mixer").rglob("*.py"),
        *(path for path in ROOT.rglob("*.md") if "CHANGELOG" not in path.name),
        *(ROOT / "examples").glob("*.ipynb"),
    ]
    told = re.compile(r"pip install[^`'\n&]*keras-mixer")
    assert [path.name for path in written if told.search(path.read_text("utf-8"))] == []


def test_extras_are_those_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = {
        extra: {re.match(r"[\w-]+", line)[0] for line in lines}
        for extra, lines in project["optional-dependencies"].items()
    }
    parts = {*ROOMS.values()} - {"all"}
    assert f"keras-mixer[{','.join(sorted(parts))}]" in project["optional-dependencies"]["all"]
    listed["all"] = listed["all"] - {"keras-mixer"} | set().union(*(listed[part] for part in parts))
    assert {extra: {*packages.values()} for extra, packages in EXTRAS.items()} == {
        extra: listed[extra] for extra in EXTRAS
    }
