"""Imports run one way, and the light ones stay light."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "keras_mixer"
TENSORFLOW = {"data", "tflite", "training"}
READERS = {"filelock", "h5py", "safetensors", "tqdm"}  # small, and on every machine
LIGHT = {"keras", "numpy", *READERS, *sys.stdlib_module_names}
ON_EVERY_BACKEND = {
    *("layers", "weights", "models", "imagenet"),
    *("images.py", "loading.py", "transfer.py"),
}
# What a room may import of the package; a room that is not named may import everything.
MAY = {
    "layers": {"layers", "images"},
    "images.py": {"_keras"},
    "weights": {"weights", "images", "_files", "_keras", "_text"},
    "models": {"images", "layers", "weights", "models", "_text"},
    "imagenet": {"images", "layers", "imagenet"},
    "data": {"data", "images", "_backend", "_files", "_text"},
    "loading.py": {"_runs", "imagenet", "models", "weights"},
    "tpu": {"tpu", "models", "_text"},
    "training": {
        *("training", "data", "images", "loading", "models", "weights"),
        *("_accelerators", "_backend", "_files", "_keras", "_runs", "_text"),
    },
}


def imports(file):
    """The first two parts of every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[:2] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            inside = [node.module.split(".")[:2]]
            if node.module == "keras_mixer":
                inside = [["keras_mixer", alias.name] for alias in node.names]
            yield from inside


@pytest.mark.parametrize(
    "file", [*PACKAGE.rglob("*.py")], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_run_one_way(file):
    room = file.relative_to(PACKAGE).parts[0]
    for first, *second in imports(file):
        if first == "keras_mixer":
            assert room not in MAY or set(second) <= MAY[room]
        if first == "tensorflow":
            assert room in TENSORFLOW
        if room in (
            "layers",
            "weights",
            "models",
            "imagenet",
            "images.py",
            "loading.py",
            "transfer.py",
        ):
            assert first in LIGHT | {"keras_mixer"}


def loaded_by(code):
    """The modules that a new process has loaded after `code`."""
    code += "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_package_loads_nothing_heavy_that_keras_does_not_load():
    loaded = loaded_by("import keras_mixer") - loaded_by("import keras")
    heavy = {"ai_edge_litert", "jax", "matplotlib", "rich", "sklearn", "tensorflow_datasets"}
    assert "keras_mixer" in loaded
    assert not loaded & heavy


def test_the_rest_is_there_when_it_is_touched():
    assert "ai_edge_litert" in loaded_by(
        "import keras_mixer; keras_mixer.tflite.Classifier;"
        "import contextlib\nwith contextlib.suppress(ValueError): "
        "keras_mixer.tflite.Classifier(b'0000TFL3')\npass"
    )


def test_the_command_line_starts_without_keras():
    loaded = loaded_by("import sys; sys.argv[0] = 'keras-mixer'; import keras_mixer.cli")
    assert not loaded & {"keras", "tensorflow", "numpy"}


def test_without_a_backend_the_error_names_the_extra_to_install():
    code = "import sys; sys.modules['tensorflow'] = None; import keras_mixer"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'pip install "keras-mixer[cpu]"' in done.stderr
