"""Checkpoint files -> named arrays. Nothing in a file is ever run."""

import io
import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from keras_mixer._types import StrPath
from keras_mixer.weights.state_dict import read_state_dict

KERAS = (".weights.h5", ".keras")
PACKAGE = "keras_mixer"  # under which our layers are registered with Keras
SUFFIXES = (".npz", ".safetensors", ".pth", ".pt", ".bin", *KERAS)


def is_file(weights: StrPath) -> bool:
    """Whether `weights` means a file, and not the name of a release."""
    path = Path(weights)
    return not isinstance(weights, str) or bool(path.suffix) or path.name != weights


def read(path):
    """The arrays in a checkpoint file, by name.

    Arrays in Keras's own files have no names. They are named by their layer and their position in
    it: `block_3/token_norm/0`.

    Args:
        path: A `.npz` of arrays, a `.safetensors`, a PyTorch state dict (`.pth`, `.pt`, `.bin`), a
            `.weights.h5` or a `.keras` file.

    Returns:
        A dict of NumPy arrays. All are read, and their checksums compared if the format has them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is of another kind, is damaged, or holds other things than arrays.
    """
    path = Path(path)
    suffix = next((s for s in SUFFIXES if path.name.endswith(s)), None)
    if suffix is None:
        raise ValueError(
            f"Weights are read from {', '.join(SUFFIXES[:-1])} and {SUFFIXES[-1]} files; got "
            f"{str(path)!r}."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file at {str(path)!r}.")
    try:
        arrays = READERS[suffix](path)
    except MemoryError:
        raise
    except Exception as error:  # damaged files fail in whatever code meets the damage
        raise _damaged(path, suffix, error) from error
    for name, array in arrays.items():
        if array.dtype.name == "bfloat16":  # no type of NumPy's own
            arrays[name] = array.astype(np.float32)
    wrong = [name for name, array in arrays.items() if array.dtype.kind not in "fiub"]
    if wrong:
        raise ValueError(f"{path} holds something else than numbers: {', '.join(wrong)}.")
    return arrays


def configs(path):
    """The configurations of our layers in a `.keras` file, as data; nothing is built from them.

    Returns:
        Pairs of the name of a layer's class and its configuration, with the `input_shape` for which
        it was built or None, in the order of the file.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            rest = [json.loads(archive.read("config.json"))]
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(path, ".keras", error) from error
    found = []
    while rest:  # models within models, at any depth
        value = rest.pop()
        if isinstance(value, dict):
            package, _, name = str(value.get("registered_name")).partition(">")
            if package == PACKAGE and isinstance(value.get("config"), dict):
                built = value.get("build_config") or {}
                found.append((name, value["config"] | {"input_shape": built.get("input_shape")}))
            value = [*value.values()]
        if isinstance(value, list):
            rest += reversed(value)
    return found


def _damaged(path, suffix, error):
    hint = "" if type(error) is ValueError else " It may have come incomplete."
    return ValueError(
        f"{path} cannot be read as a {suffix} file, so nothing was loaded: "
        f"{str(error).rstrip('.') or type(error).__name__}.{hint}"
    )


def write(path, arrays):
    """Writes named arrays to a `.npz` or `.safetensors` file, by its suffix."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:  # other programs recognise it as PyTorch's by this entry
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(contiguous, path, {"format": "pt"})


def _read_npz(path):
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it holds one array without a name")
        return dict(loaded)  # zipfile checks every array's checksum


def _read_safetensors(path):
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict


def _read_keras(path):
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as file:
        return _read_h5(io.BytesIO(file.read()))


def _read_h5(file):
    arrays = {}

    def inside(group, key):  # links to other files are not followed
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise ValueError(f"{group.name}/{key} points into another file")
        return group[key]

    def visit(group, path):
        if "vars" in group:
            weights = inside(group, "vars")
            for place in weights:
                weight = inside(weights, place)
                if weight.external or weight.is_virtual:
                    raise ValueError(f"{weight.name} points into another file")
                arrays[f"{path}/{place}"] = _values(weight)
        for key in group:
            # State of training: of the optimizer and of random generators.
            if key in ("vars", "optimizer", "seed_generator"):
                continue
            inner, name = inside(group, key), key
            if "vars" in inner:
                name = inside(inner, "vars").attrs.get("name", key)
            visit(inner, path if key == "layers" else f"{path}/{name}".lstrip("/"))

    with h5py.File(file, "r") as file:
        visit(file, "")
    return arrays


def _values(weight):
    """The values of a data set; of bfloat16, which HDF5 does not have, Keras writes the bytes."""
    values = weight[()]
    if values.dtype == "V2" and weight.attrs.get("dtype") == "bfloat16":
        return (np.asarray(values).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return values


READERS = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".pth": read_state_dict,
    ".pt": read_state_dict,
    ".bin": read_state_dict,
    ".weights.h5": _read_h5,
    ".keras": _read_keras,
}
