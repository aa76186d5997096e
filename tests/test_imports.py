"""Imports run one way, rooms keep their private names, and what is light stays light."""

import ast
import subprocess
import sys

import pytest

from keras_mixer import tflite
from tests.conftest import ROOT

PACKAGE = ROOT / "keras_mixer"
# Helpers for all rooms, each with a leading underscore because none is public API.
SHARED = {
    *("_accelerators", "_arrays", "_backend", "_extras", "_files", "_keras", "_quiet", "_runs"),
    *("_checks", "_memory", "_replicas", "_tensorflow", "_text", "_types"),
    "tflite/_litert",
}
# What a room may import of the package besides itself. A room is a folder or a file directly in
# keras_mixer/ or keras_mixer/tflite/; a room that is not listed may import nothing.
MAY = {
    "__init__": {
        "_backend",
        "complexity",
        "imagenet",
        "images",
        "layers",
        "loading",
        "models",
        "transfer",
        "weights",
    },
    "images": {"_arrays", "_checks", "_keras"},
    "tasks": {"_arrays", "_text"},
    "layers": {"images", "_checks", "_keras", "_replicas"},
    "weights": {"images", "layers", "_files", "_keras", "_runs", "_text"},
    "models": {
        *("images", "layers", "weights"),
        *("_checks", "_keras", "_memory", "_runs", "_text"),
    },
    "imagenet": {"images", "layers", "_arrays"},
    "complexity": {"_checks", "_keras", "_tensorflow", "_text"},
    "transfer": {"layers", "_checks"},
    "visualize": {"layers", "_checks", "_extras"},
    "loading": {"imagenet", "models", "weights", "_runs"},
    "data": {
        *("imagenet", "images", "tasks"),
        *("_arrays", "_backend", "_checks", "_extras", "_files", "_keras", "_runs", "_text"),
    },
    "training": {
        *("data", "images", "layers", "loading", "models", "tasks", "weights"),
        *("_accelerators", "_backend", "_checks", "_extras", "_files", "_keras", "_memory"),
        *("_runs", "_text"),
    },
    "tpu": {"models", "_extras", "_text"},
    "tflite/reading": {"data", "images", "_text"},
    "tflite/examples": {"images", "tasks", "tflite/reading", "_arrays", "_text"},
    "tflite/file": {"images", "_extras", "_text", "tflite/_litert"},
    "tflite/convert": {
        *("images", "layers", "tflite/examples", "tflite/file"),
        *("_checks", "_extras", "_keras", "_tensorflow", "_text", "tflite/_litert"),
    },
    "tflite/run": {
        *("images", "tasks", "tflite/convert", "tflite/examples", "tflite/file", "tflite/reading"),
        *("_arrays", "_backend", "_extras", "_keras", "_text", "tflite/_litert"),
    },
    "tflite/_litert": {"_extras", "_quiet"},
    "tflite/android": {"tflite/file", "_text"},
    "tflite/card": {"tasks", "tflite/convert", "tflite/file"},
    "tflite/export": {
        *(
            "images",
            "tasks",
            "tflite/android",
            "tflite/card",
            "tflite/convert",
            "tflite/examples",
            "tflite/file",
            "tflite/run",
            "_extras",
            "_files",
            "_keras",
        ),
    },
    "tflite/__init__": {"tflite/convert", "tflite/export", "tflite/file", "tflite/run"},
    "_backend": {"_extras"},
    "_keras": {"_replicas"},
    "doctor": {"_accelerators", "_extras"},
    "quickstart": {
        *("images", "models", "tflite", "tflite/convert"),
        *("_backend", "_extras", "_files", "_quiet"),
    },
    "web": {"weights", "_text"},
    "cli": {
        *("data", "doctor", "imagenet", "images", "models", "quickstart", "tflite", "tpu"),
        *("loading", "tflite/android", "tflite/file", "training", "visualize", "weights"),
        *("web", "_accelerators", "_arrays", "_backend", "_files", "_quiet", "_runs", "_text"),
    },
}
TENSORFLOW = {
    *("complexity", "data", "training", "tflite/convert", "tflite/reading"),
    *("_replicas", "_tensorflow"),
}
LIGHT_ROOMS = {"images", "imagenet", "layers", "loading", "models", "tasks", "transfer", "weights"}
READERS = {"filelock", "h5py", "safetensors", "tqdm"}  # small, and on every machine
LIGHT = {"keras", "numpy", *READERS, *sys.stdlib_module_names}
FILES = [*PACKAGE.rglob("*.py")]
BENCHMARKS = [*(ROOT / "benchmarks").glob("*.py")]


def room_of(parts):
    """The room of a module or file, from the names below keras_mixer."""
    count = 2 if parts[:1] == ["tflite"] else 1
    return "/".join(parts[:count]).removesuffix(".py") or "__init__"


def imports(file):
    """The modules that a file imports, wherever in it: parts of the module's name, and a name."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split("."), None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            yield from ((node.module.split("."), alias.name) for alias in node.names)


def ours(file):
    """What a file imports of the package: pairs of a room and all names on the way to it."""
    for (package, *parts), name in imports(file):
        if package == "keras_mixer" and name != "__version__":
            names = parts if name is None else [*parts, name]
            is_room = not parts or (parts == ["tflite"] and name not in tflite.__all__)
            yield room_of(names if is_room else parts), names


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(file):
    room = room_of([*file.relative_to(PACKAGE).parts])
    foreign = {other for other, _ in ours(file)} - {room, "_types"}  # types are for everybody
    assert foreign <= MAY.get(room, set())
    packages = {package for (package, *_), _ in imports(file)} - {"keras_mixer"}
    assert "tensorflow" not in packages or room in TENSORFLOW
    assert packages <= LIGHT or room not in LIGHT_ROOMS


@pytest.mark.parametrize("file", [*FILES, *BENCHMARKS], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_room_uses_the_private_names_of_another(file):
    own = room_of([*file.relative_to(PACKAGE).parts]) if file in FILES else None
    found, modules = [], set()
    for room, names in ours(file):
        if room != own:
            parts = names[room.count("/") + 1 :] if room in SHARED else names
            found += [name for name in parts if name.startswith("_")]
            modules |= {*names[-1:]}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            is_private = node.attr.startswith("_") and not node.attr.startswith("__")
            found += [f"{node.value.id}.{node.attr}"] * (is_private and node.value.id in modules)
    assert found == []


def test_rooms_that_are_listed_exist():
    rooms = {room_of([*file.relative_to(PACKAGE).parts]) for file in FILES}
    assert {*MAY} | {*SHARED} | TENSORFLOW | LIGHT_ROOMS <= rooms


@pytest.mark.parametrize("file", [*FILES, *BENCHMARKS], ids=lambda p: str(p.relative_to(ROOT)))
def test_only_tests_patch_what_they_call(file):
    assert "unittest" not in {package for (package, *_), _ in imports(file)}


def loaded_by(code):
    """The modules that a new process has loaded after `code`."""
    code += "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


LATER = """
import sys, keras
before = {*sys.modules}
import keras_mixer
print(*{*sys.modules} - before)
try:
    keras_mixer.tflite.Classifier(b"0000TFL3")
except ValueError:
    print(*sys.modules)
"""


def test_importing_the_package_loads_nothing_heavy_which_is_there_when_it_is_touched():
    done = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True, check=True)
    first, later = ({name.split(".")[0] for name in x.split()} for x in done.stdout.splitlines())
    heavy = {"ai_edge_litert", "jax", "matplotlib", "rich", "sklearn", "tensorflow_datasets"}
    assert "keras_mixer" in first
    assert not first & heavy
    assert "ai_edge_litert" in later


def test_the_command_line_starts_without_keras():
    loaded = loaded_by("import sys; sys.argv[0] = 'keras-mixer'; import keras_mixer.cli")
    assert not loaded & {"keras", "tensorflow", "numpy"}


def test_without_a_backend_the_error_names_the_extra_to_install():
    code = "import sys; sys.modules['tensorflow'] = None; import keras_mixer"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'pip install -e ".[cpu]"' in done.stderr
