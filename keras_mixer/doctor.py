"""Checks the installation, and says what to install or change."""

import importlib.util
import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from keras_mixer._accelerators import gpus, tpu_address, tpu_chips
from keras_mixer._extras import EXTRAS, install

GOOD, NOTE, BAD = "ok", "note", "problem"
# The devices of each distribution of TensorFlow. All install the module `tensorflow`, so that two
# distributions overwrite each other.
DISTRIBUTIONS = {
    "tensorflow": "CPUs, and GPUs with its CUDA extra",
    "tensorflow-cpu": "CPUs",
    "tensorflow-tpu": "TPUs",
}
FRAMEWORKS = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}
OPTIONAL = {
    "jax": "pip install jax, for several machines, and TPUs and GPUs through JAX",
    "libtpu": f"{install('preflight')}, to compile for TPUs of other machines",
    "keras-cv": "pip install keras-cv, for KerasCV's augmentation layers",
}
ENOUGH_SPACE = 5 * 2**30  # bytes: for a released model and a small data set


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: The subject.
        state: `"ok"`, `"note"` or `"problem"`.
        text: What was found.
        cure: What to do; empty if nothing needs to be done.
    """

    what: str
    state: str
    text: str
    cure: str = ""


def doctor(data_dir=None):
    """Checks Python, Keras, TensorFlow, accelerators, extras and folders; changes nothing.

    It imports neither Keras nor TensorFlow, so that it also works if their import fails.

    Args:
        data_dir: Folder of TensorFlow Datasets; by default its own default.

    Returns:
        A list of `Finding`.
    """
    return [_python(), _keras(), *_tensorflow(), *_accelerators(), *_extras(), *_folders(data_dir)]


def _python():
    text = f"{platform.python_version()}, {platform.system()} on {platform.machine()}"
    return Finding("Python", GOOD, f"{text}, {sys.prefix}")


def _keras():
    backend = _backend()
    text = f"{_version('keras')} on {backend}"
    module = FRAMEWORKS.get(backend)
    if module is None:
        return Finding("Keras", BAD, text, f"set KERAS_BACKEND to one of {', '.join(FRAMEWORKS)}")
    if importlib.util.find_spec(module) is None:
        cure = install(_extra())
        if backend != "tensorflow":
            cure = f"pip install {module}, or set KERAS_BACKEND=tensorflow"
        return Finding("Keras", BAD, f"{text}, which is not installed", cure)
    return Finding("Keras", GOOD, text)


def _tensorflow():
    installed = [name for name in DISTRIBUTIONS if _version(name)]
    if not installed:
        what = f"{install(_extra())}; data pipelines and .tflite need it"
        yield Finding("TensorFlow", BAD, "not installed", what)
        return
    for name in installed:
        found = _version(name)
        good = (2, 20) <= tuple(map(int, found.split(".")[:2])) < (2, 22)
        text = f"{name} {found}, for {DISTRIBUTIONS[name]}"
        cure = "" if good else f"{install(_extra())} brings 2.20 or 2.21"
        yield Finding("TensorFlow", GOOD if good else BAD, text, cure)
        if name == "tensorflow-tpu" and not (tpu_chips() or tpu_address()):
            cure = (
                f"set TPU_LOAD_LIBRARY=0, or pip uninstall -y {name} libtpu and {install(_extra())}"
            )
            text = f"without a TPU, importing {name} may wait for minutes"
            yield Finding("TensorFlow", NOTE, text, cure)
    if len(installed) > 1:
        cure = f"pip uninstall -y {' '.join(installed)}; {install(_extra())}"
        yield Finding(
            "TensorFlow",
            BAD,
            f"{len(installed)} distributions of TensorFlow overwrite each other",
            cure,
        )


def _accelerators():
    tpus, address, cards = tpu_chips(), tpu_address(), gpus()
    if tpus or address:
        text = f"{len(tpus)} x {tpus[0]}" if tpus else f"at {address}"
        works = _version("libtpu") if _backend() == "jax" else _version("tensorflow-tpu")
        cure = (
            "plain TensorFlow cannot use it: pip uninstall -y tensorflow tensorflow-cpu; "
            f'{install("tpu")}, or pip install "jax[tpu]" and KERAS_BACKEND=jax'
        )
        yield Finding("TPU", GOOD if works else BAD, text, "" if works else cure)
    if cards:
        text, cure = f"{len(cards)} x {cards[0]}", _missing_for_gpus()
        yield Finding("GPU", NOTE if cure else GOOD, text, cure)
    if not (tpus or address or cards):
        yield Finding("Accelerators", GOOD, f"none; {os.cpu_count()} CPU cores")


def _missing_for_gpus():
    """What to install so that Keras's backend can use a GPU; empty if it can."""
    if _backend() == "jax":
        there = _any("jax-cuda12-plugin", "jax-cuda13-plugin")
        return "" if there else 'pip install "jax[cuda12]" brings CUDA with it'
    if _backend() == "torch":
        return ""  # PyTorch's default build can
    there = _any("nvidia-cudnn-cu12", "nvidia-cudnn-cu13") and _version("tensorflow")
    others = [name for name in ("tensorflow-cpu", "tensorflow-tpu") if _version(name)]
    if there and not others:
        return ""
    uninstall = f"pip uninstall -y {' '.join(others)}; " if others else ""
    return f"{uninstall}{install('gpu')} brings CUDA with it"


def _any(*packages):
    return any(_version(package) for package in packages)


def _extras():
    for extra in ("train", "tflite", "plot"):
        missing = [name for name in EXTRAS[extra].values() if not _version(name)]
        text = f"{', '.join(missing)} not installed" if missing else "installed"
        cure = install(extra) if missing else ""
        yield Finding(f"Extra {extra}", NOTE if missing else GOOD, text, cure)
    for package, cure in OPTIONAL.items():
        found = _version(package)
        state = GOOD if found else NOTE
        yield Finding(package, state, found or "not installed", "" if found else cure)


def _folders(data_dir):
    data = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    cache = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras_mixer"
    # A data set has its description behind its version, or behind its configuration and version.
    # A folder of a download that failed has none.
    there = sorted({p.relative_to(data).parts[0] for p in data.glob("*/**/dataset_info.json")})
    sets = f": {', '.join(there[:6])}{', ...' if len(there) > 6 else ''}" if there else ", empty"
    yield _writable("Data sets", data, f"{data}{sets}")
    held = sum(p.stat().st_size for p in cache.rglob("*") if p.is_file())
    yield _writable("Cache", cache, f"{cache}, {held / 2**20:,.0f} MiB of released weights")
    free = shutil.disk_usage(_nearest(Path.cwd())).free
    state = GOOD if free > ENOUGH_SPACE else NOTE
    cure = "" if state == GOOD else "little space for data sets and checkpoints"
    yield Finding("Disk", state, f"{free / 2**30:,.0f} GiB free here", cure)


def _writable(what, path, text):
    if os.access(_nearest(path), os.W_OK):
        return Finding(what, GOOD, text)
    return Finding(what, NOTE, text, "not writable: nothing can be downloaded to it")


def _nearest(path):
    """The path, or the nearest folder above it that exists."""
    return next(p for p in (path, *path.parents) if p.exists())


def _backend():
    """Keras's backend: from the environment, from keras.json, or TensorFlow."""
    if chosen := os.environ.get("KERAS_BACKEND"):
        return chosen
    file = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras.json"
    try:
        return json.loads(file.read_text()).get("backend") or "tensorflow"
    except (OSError, ValueError, AttributeError):
        return "tensorflow"


def _extra():
    return "tpu" if tpu_chips() or tpu_address() else "gpu" if gpus() else "cpu"


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None
