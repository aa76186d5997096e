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
from keras_mixer.weights.limits import Budget, members
from keras_mixer.weights.state_dict import read_state_dict

KERAS = (".weights.h5", ".keras")
PACKAGE = "keras_mixer"  # under which our layers are registered with Keras
NPY = b"\x93NUMPY"  # the first bytes of a file of one array
CONFIG = 2**24  # bytes of the configuration in a .keras file; of our models it has 20,000
GROUPS, DEPTH = 5_000, 100  # of an HDF5 file: layers, and layers within layers
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
        arrays = READERS[suffix](path, Budget(path))
    except MemoryError:
        raise
    except Exception as error:  # damaged files fail in whatever code meets the damage
        raise _damaged(path, suffix, error) from error
    for name, array in arrays.items():
        if array.dtype.name == "bfloat16":  # no type of NumPy's own
            arrays[name] = array.astype(np.float32)
        elif array.dtype == "V2" and suffix == ".npz":  # as which NumPy writes it
            arrays[name] = _of_bfloat16(array)
    wrong = [name for name, array in arrays.items() if array.dtype.kind not in "fiub"]
    if wrong:
        some = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise ValueError(f"{path} holds something else than numbers: {some}.")
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
            members(archive, Budget(Path(path)))
            if archive.getinfo("config.json").file_size > CONFIG:
                raise ValueError(f"its configuration has more than {CONFIG:,} bytes")
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


def _read_npz(path, budget):
    with path.open("rb") as file:
        if file.read(len(NPY)) == NPY:
            raise ValueError("it holds one array without a name")
        with zipfile.ZipFile(file) as archive:
            members(archive, budget)
            for info in archive.infolist():
                budget.array(info.filename.removesuffix(".npy"), (), "u1")
                with archive.open(info) as array:
                    _check_npy(array, info)
        file.seek(0)
        with np.load(file, allow_pickle=False) as loaded:
            return dict(loaded)  # zipfile checks every array's checksum


def _check_npy(file, info):
    """Raises ValueError if an array says that it is larger than its file, for which NumPy asks."""
    version = np.lib.format.read_magic(file)
    reader = {(1, 0): "read_array_header_1_0", (2, 0): "read_array_header_2_0"}.get(version)
    if reader is None:
        raise ValueError(f"{info.filename} is of an unknown version of NumPy's format")
    shape, _, dtype = getattr(np.lib.format, reader)(file)
    if np.prod(shape, dtype=object) * dtype.itemsize > info.file_size:
        raise ValueError(f"{info.filename} is cut short: it says that it has shape {shape}")


def _read_safetensors(path, budget):
    # Its reader refuses a name that is there twice, and bytes that no array or two arrays have.
    with safe_open(path, framework="numpy") as file:
        for name in (names := [*file.keys()]):
            budget.array(name, (), "u1")
        return {name: file.get_tensor(name) for name in names}


def _read_keras(path, budget):
    with zipfile.ZipFile(path) as archive:
        members(archive, budget)
        with archive.open("model.weights.h5") as file:
            return _read_h5(io.BytesIO(file.read()), budget)


def _read_h5(file, budget):
    arrays, groups = {}, 0

    def inside(group, key):  # links to other files are not followed
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise ValueError(f"{group.name}/{key} points into another file")
        return group[key]

    def visit(group, path, depth=0):
        nonlocal groups
        groups += 1
        if groups > GROUPS or depth > DEPTH:  # links may form circles
            raise ValueError(f"it holds more than {GROUPS:,} groups, or more than {DEPTH} nested")
        if "vars" in group:
            weights = inside(group, "vars")
            for place in weights:
                weight = inside(weights, place)
                if weight.external or weight.is_virtual:
                    raise ValueError(f"{weight.name} points into another file")
                budget.array(f"{path}/{place}", weight.shape, weight.dtype)
                arrays[f"{path}/{place}"] = _values(weight)
        for key in group:
            # State of training: of the optimizer and of random generators.
            if key in ("vars", "optimizer", "seed_generator"):
                continue
            inner, name = inside(group, key), key
            if "vars" in inner:
                name = inside(inner, "vars").attrs.get("name", key)
            visit(inner, path if key == "layers" else f"{path}/{name}".lstrip("/"), depth + 1)

    with h5py.File(file, "r") as file:
        visit(file, "")
    return arrays


def _values(weight):
    """The values of a data set; of bfloat16, which HDF5 does not have, Keras writes the bytes."""
    values = weight[()]
    if values.dtype == "V2" and weight.attrs.get("dtype") == "bfloat16":
        return _of_bfloat16(values)
    return values


def _of_bfloat16(values):
    """The numbers in the bytes of bfloat16, which are the upper half of a float32's."""
    bits = np.asarray(values).view(np.uint16).astype(np.uint32) << 16
    return bits.view(np.float32)


READERS = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".pth": read_state_dict,
    ".pt": read_state_dict,
    ".bin": read_state_dict,
    ".weights.h5": _read_h5,
    ".keras": _read_keras,
}
