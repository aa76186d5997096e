"""A PyTorch checkpoint -> named arrays, without PyTorch and without running code in it.

Such files are pickles, which can call any function by name. This reader allows only a few functions
that describe tensors; any other name is an error.

Source: torch/serialization.py, `_save` (zip files, since PyTorch 1.6) and `_legacy_save`.
"""

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from keras_mixer.weights.limits import members as members_of

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
BFLOAT16 = "bfloat16"  # NumPy has none; its bits are the upper half of a float32's
DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
RANK = 32  # of a tensor; before version 2 NumPy has no more dimensions
INSTRUCTIONS, TUPLES = 1_000_000, 50_000  # of a pickle; a tensor takes about thirty, and four
NESTING = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
# Keys under which training scripts store the weights, averaged ones first, as in timm.
WEIGHTS = ("state_dict_ema", "model_ema", "state_dict", "model")


def read_state_dict(path, budget):
    """The arrays of a state dict saved with `torch.save`, by name.

    A dict that holds the state dict under one of the names of `WEIGHTS` is understood.

    Args:
        budget: A `Budget` of the file.

    Raises:
        ValueError: The file is not a state dict, or holds more than tensors and plain values.
    """
    with path.open("rb") as file:
        read = _read_zip if zipfile.is_zipfile(path) else _read_legacy
        content, storages = read(file, budget)
    for key in WEIGHTS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not any(isinstance(v, _Tensor) for v in content.values()):
        raise ValueError("it holds no dict of tensors by name, as model.state_dict() gives")
    arrays = {}
    for name, tensor in content.items():
        if isinstance(tensor, _Tensor):
            if not isinstance(name, str):
                raise ValueError(f"the name of a tensor is {name!r:.50}")
            budget.array(name, *tensor.check())
            arrays[name] = tensor.array(storages)
    return arrays


@dataclass(frozen=True)
class _Storage:
    dtype: str
    key: str
    size: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple

    def check(self):
        """The shape and the type, after their kinds are checked."""
        numbers = (self.storage.size, self.offset, *self.shape, *self.strides)
        if (
            len(self.shape) != len(self.strides)
            or len(self.shape) > RANK
            or not all(isinstance(n, int) and 0 <= n < 2**63 for n in numbers)
        ):
            raise ValueError("a tensor's shape makes no sense")
        if math.prod(self.shape) > self.storage.size:
            raise ValueError("a tensor reaches beyond its storage")
        return self.shape, "<f4" if self.storage.dtype == BFLOAT16 else self.storage.dtype

    def array(self, storages):
        """The values, in row-major order; every index is checked against the storage's size."""
        flat = storages(self.storage)
        last = sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if math.prod(self.shape) and self.offset + last >= flat.size:
            raise ValueError("a tensor reaches beyond its storage")
        view = np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.shape, [flat.itemsize * step for step in self.strides]
        )
        return np.array(view)


def _rebuild_tensor(storage, offset, shape, strides, *_):
    if not isinstance(storage, _Storage):
        raise ValueError("it holds a tensor without a storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor, *_):
    return tensor


class _OnceDict(OrderedDict):
    """What `collections.OrderedDict` is read as: no key may be there twice."""

    def __setitem__(self, key, value):
        if key in self:
            raise ValueError(f"it holds {key!r:.50} twice")
        super().__setitem__(key, value)


def _size(numbers):
    """A `torch.Size`, which is a tuple that holds no others."""
    if not all(isinstance(n, int) for n in numbers):
        raise ValueError("a tensor's shape makes no sense")
    return tuple(numbers)


KNOWN = {
    ("collections", "OrderedDict"): _OnceDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): _size,
    **{("torch", name): dtype for name, dtype in DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return KNOWN[module, name]
        except KeyError:
            raise ValueError(
                f"it asks to run {module}.{name}, and only tensors are read from such a file. "
                "Where it is one of your own, save model.state_dict() alone, or as .safetensors"
            ) from None

    def persistent_load(self, pid):
        kind, dtype, key, _, size, *view = pid
        if kind != "storage" or any(view):
            raise ValueError("it holds a storage of an unknown kind")
        return _Storage(dtype, str(key), size)


def _load(file, unpickler=_Unpickler):
    """The next pickle in a file, after its instructions are checked."""
    start, tuples = file.tell(), 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        tuples += opcode.name in NESTING
        # Python makes room for as many objects as the largest number under which one is stored,
        # and the hash of a tuple in a tuple in a tuple takes the stack until there is none left.
        too_large = "PUT" in opcode.name and int(argument) > count
        if too_large or tuples > TUPLES or count > INSTRUCTIONS or opcode.name == "BYTEARRAY8":
            raise ValueError("its pickle is far larger than a state dict")
    file.seek(start)
    return unpickler(file).load()


def _read_zip(file, budget):
    archive = zipfile.ZipFile(file)
    members = {name.partition("/")[2]: name for name in members_of(archive, budget)}
    if "data.pkl" not in members:
        raise ValueError("it is a zip file, but not one of PyTorch's")
    if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
        raise ValueError("it was written on a big-endian machine")
    content = _load(io.BytesIO(archive.read(members["data.pkl"])))
    data = {key: archive.read(name) for key, name in members.items() if key.startswith("data/")}
    return content, lambda storage: _values(data[f"data/{storage.key}"], storage)


def _read_legacy(file, budget):
    """Five pickles one after the other, then every storage: its length and its bytes."""
    if _load(file) != LEGACY_MAGIC:
        raise ValueError("it is no PyTorch file")
    _load(file)  # the format's version
    _load(file)  # about the machine that wrote it
    sizes = {}

    class Remembering(_Unpickler):
        def persistent_load(self, pid):
            storage = super().persistent_load(pid)
            sizes[storage.key] = storage
            return storage

    content = _load(file, Remembering)
    data = {}
    for key in _load(file):
        length = int.from_bytes(file.read(8), "little")
        width = np.dtype("<u2" if sizes[key].dtype == BFLOAT16 else sizes[key].dtype).itemsize
        budget.take(length * width)
        data[key] = file.read(length * width)
    return content, lambda storage: _values(data[storage.key], storage)


def _values(data, storage):
    dtype = "<u2" if storage.dtype == BFLOAT16 else storage.dtype
    if len(data) != storage.size * np.dtype(dtype).itemsize:
        raise ValueError(f"storage {storage.key} is incomplete")
    values = np.frombuffer(data, dtype)
    if storage.dtype == BFLOAT16:
        return (values.astype("<u4") << 16).view("<f4")
    return values
