"""Changes of checkpoint files: ZIPs, NumPy's headers, JSON, pickles, HDF5."""

import io
import json
import re
import struct
import zipfile
from contextlib import suppress

import h5py
import numpy as np

from tests.fuzz.mutate import FLOATS, NUMBERS, TEXTS, damaged, json_bytes, of, other_json

DTYPES = ("<f8", "<f2", ">f4", "|b1", "<u8", "<i4", "|O", "|S5", "<U3", "<M8[s]", "V2", "bfloat16")
SHAPES = (
    "()",
    "(0,)",
    "(-1,)",
    "(3, 2)",
    "(10**9,)",
    "(99999999999999,)",
    "(2, 4611686018427387904)",
)


def unpacked(content):
    """A ZIP -> names and their bytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def packed(random, entries):
    """Names and bytes -> a ZIP."""
    file = io.BytesIO()
    kind = of(random, (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, kind)
    return file.getvalue()


def other_entries(random, entries, change):
    """Entries of a ZIP, of which one is changed by `change`, left out, renamed or there twice."""
    entries = [*entries]
    i = int(random.integers(len(entries)))
    name, data = entries[i]
    kind = random.integers(12)
    if kind == 0:
        entries.pop(i)
    elif kind == 1:
        entries.append((name, damaged(random, data)))
    elif kind == 2:
        texts = [text.encode("utf-8", "replace").decode() for text in TEXTS]
        entries[i] = (of(random, ("../x", "/x", name * 2, *texts)), data)
    elif kind == 3:
        entries[i] = (name, data + bytes(int(of(random, (1, 10**6, 4 * 10**7)))))
    elif kind == 4:
        entries += [(f"{name}{n}", data) for n in range(int(of(random, (1, 300))))]
    elif kind == 5:
        entries[i] = (name, damaged(random, data))
    else:
        entries[i] = (name, change(random, name, data))
    return entries


def npz(random, content):
    def change(random, name, data):
        header_size = int.from_bytes(data[8:10], "little")
        header = data[10 : 10 + header_size].decode("latin1")
        kind = random.integers(5)
        if kind == 0:
            header = re.sub(r"'descr': [^,]+", f"'descr': '{of(random, DTYPES)}'", header)
        elif kind == 1:
            header = re.sub(r"'shape': \([^)]*\)", f"'shape': {of(random, SHAPES)}", header)
        elif kind == 2:
            header = header.replace("False", "True")
        elif kind == 3:
            return damaged(random, data[: 10 + header_size]) + data[10 + header_size :]
        else:
            values = bytearray(data)
            values[-4:] = np.float32(of(random, FLOATS)).tobytes()
            return bytes(values)
        header = header.encode("latin1")
        return data[:8] + struct.pack("<H", len(header)) + header + data[10 + header_size :]

    if random.random() < 0.15:
        return damaged(random, content)
    return packed(random, other_entries(random, unpacked(content), change))


def safetensors(random, content):
    if random.random() < 0.15:
        return damaged(random, content)
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    kind = random.integers(8)
    names = [name for name in header if name != "__metadata__"]
    if kind == 0:  # a name twice
        text = (
            json.dumps(header)[:-1] + f", {json.dumps(names[0])}: {json.dumps(header[names[1]])}}}"
        )
        head = text.encode()
    elif kind == 1:
        data = bytearray(data)
        data[-4:] = np.float32(of(random, FLOATS)).tobytes()
        head = json.dumps(header).encode()
    elif kind == 2:
        types = ("F64", "F16", "BF16", "BOOL", "U8", "U64", "I32", "F8_E4M3", "F8_E8M0", "X")
        header[of(random, names)]["dtype"] = of(random, types)
        head = json.dumps(header).encode()
    else:
        for _ in range(int(of(random, (1, 2)))):
            header = other_json(random, header)
            header = header if isinstance(header, dict) else {"x": header}
        head = json_bytes(header)
    length = of(random, (len(head), len(head), len(head), len(head), *map(abs, NUMBERS)))
    return int(length).to_bytes(8, "little") + head + bytes(data)


def pth(random, content):
    def change(random, name, data):
        if not name.endswith("data.pkl"):
            values = bytearray(data)
            values[-4:] = np.float32(of(random, FLOATS)).tobytes()
            return bytes(values)
        kind = random.integers(8)
        deep = b"\x80\x02})" + b"\x85" * int(of(random, (10, 10**5, 3 * 10**5)))
        if kind == 0:
            return deep + b"K\x01s."
        if kind == 1:
            return (
                data[:2]
                + b"r"
                + of(random, (2**24, 2**28, 2**32 - 1)).to_bytes(4, "little")
                + data[2:]
            )
        if kind == 2:
            return b"\x80\x05\x96" + of(random, (2**30, 2**40)).to_bytes(8, "little") + b"."
        if kind == 3:  # a number: of a size, a stride, an offset
            places = [found.start() for found in re.finditer(rb"[KM]", data)]
            at = int(of(random, places))
            new = b"J" + (of(random, NUMBERS) % 2**32).to_bytes(4, "little")
            return data[:at] + new + data[at + (2 if data[at : at + 1] == b"K" else 3) :]
        if kind == 4:
            kinds = (
                b"DoubleStorage",
                b"BoolStorage",
                b"LongStorage",
                b"BFloat16Storage",
                b"system",
            )
            return data.replace(b"FloatStorage", of(random, kinds), int(of(random, (1, -1))))
        if kind == 5:
            names = re.findall(rb"X.\0\0\0([a-z_.0-9]+)", data)
            return data.replace(of(random, names), of(random, names), 1)
        return damaged(random, data)

    if random.random() < 0.1 or not content.startswith(b"PK"):
        return damaged(random, content)
    return packed(random, other_entries(random, unpacked(content), change))


def h5(random, content):
    if random.random() < 0.2:
        return damaged(random, content)
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as opened, suppress(Exception):
        for _ in range(int(of(random, (1, 1, 2)))):
            _other_h5(random, opened)
    return file.getvalue()


def _other_h5(random, file):
    groups, arrays = ["/"], []
    file.visititems(
        lambda name, item: (groups if isinstance(item, h5py.Group) else arrays).append(name)
    )
    group, array = of(random, groups), of(random, arrays)
    kind = random.integers(12)
    if kind == 0:
        del file[of(random, (group, array))]
    elif kind == 1:
        file[f"{of(random, groups)}/again"] = file[group]  # perhaps a circle
    elif kind == 2:
        for n in range(25):  # each holds the one before twice
            new = file.create_group(f"level{n}")
            if n:
                new["a"] = new["b"] = file[f"level{n - 1}"]
    elif kind == 3:
        file[f"{group}/link"] = of(
            random, (h5py.SoftLink("/nowhere"), h5py.SoftLink("/"), h5py.ExternalLink("x.h5", "/"))
        )
    elif kind == 4:
        values = file[array][()].copy()
        values[...] = of(random, FLOATS)
        file[array][...] = values
    elif kind == 5:
        dtype = of(random, ("?", "u8", "i4", "f8", "f2", "S5", "O", "V2", "c8"))
        shape = file[array].shape
        del file[array]
        file.create_dataset(array, shape, h5py.string_dtype() if dtype == "O" else dtype)
    elif kind == 6:
        del file[array]
        shape = of(random, ((), (0,), (3,), (10**6, 10**6), (2**31,), (2,) * 20))
        file.create_dataset(array, shape, "f4", chunks=True if shape and 0 not in shape else None)
    elif kind == 7:
        del file[array]
        file.create_dataset(array, (10**4, 10**5), "f4", compression="gzip", chunks=(10**3, 10**4))
    elif kind == 8:
        names = [name for name in groups if "name" in file[name].attrs]
        if names:
            file[of(random, names)].attrs["name"] = of(
                random, ("dense", "", "a/b", 3, [1, 2], "x" * 2000)
            )
    elif kind == 9:
        for _ in range(150):
            group = f"{group}/deeper"
            file.create_group(group)
    elif kind == 10:
        for n in range(3000):
            file.create_group(f"{group}/many{n}")
    else:
        file.move(group, f"{of(random, groups)}/moved") if group != "/" else None


def keras(random, content):
    def change(random, name, data):
        if name.endswith(".json"):
            value = json.loads(data)
            for _ in range(int(of(random, (1, 1, 1, 3)))):
                value = other_json(random, value)
            return json_bytes(value)
        return h5(random, data)

    if random.random() < 0.05:
        return damaged(random, content)
    entries = unpacked(content)
    if random.random() < 0.5:  # only the configuration, which has three of four members
        return packed(
            random, [(n, change(random, n, d) if n == "config.json" else d) for n, d in entries]
        )
    return packed(random, other_entries(random, entries, change))
