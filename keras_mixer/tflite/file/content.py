"""The bytes of a `.tflite` file: a flatbuffer with named entries, and a ZIP at its end."""

import io
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from keras_mixer._extras import needs
from keras_mixer._text import listed
from keras_mixer.tflite._litert import schema
from keras_mixer.tflite.file.labels import BYTES
from keras_mixer.tflite.file.structure import UNREADABLE, check_structure

with needs(__name__):
    import flatbuffers

IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every LiteRT flatbuffer
ALIGNMENT = 16  # bytes; force_align of Buffer.data in LiteRT's schema.fbs
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, RuntimeError, OSError, *UNREADABLE)
DATE = 1980, 1, 1, 0, 0, 0  # the earliest in a ZIP; fixed, so that files are reproducible


def content_of(source):
    """The path or bytes of a `.tflite` file -> its name for messages, and its content.

    Whatever reads a file of others begins here, so that nothing else meets a damaged structure.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a `.tflite` file, is truncated, or LiteRT could crash on it.
    """
    if isinstance(source, bytes):
        name, content = "The model", source
    else:
        if not isinstance(source, str | os.PathLike):
            raise ValueError(
                "A .tflite file is given by its path or by its content, as bytes; got "
                f"{type(source).__name__}."
            )
        name = str(source)
        if not Path(source).is_file():
            raise FileNotFoundError(_missing(Path(source)))
        content = Path(source).read_bytes()
    if content[4:8] != IDENTIFIER:
        model = name.endswith(".keras")
        cure = f" It is a Keras model; make one with keras-mixer export {name}." if model else ""
        raise ValueError(f"{name} is not a .tflite file: bytes 4 to 8 are not TFL3.{cure}")
    check_structure(name, content)
    return name, content


def _missing(path):
    if not path.is_dir():
        return f"There is no .tflite file at {str(path)!r}."
    files = sorted(file.name for file in path.glob("*.tflite"))
    return f"{str(path)!r} is a folder; give a .tflite file" + (
        f" in it: {listed(files[:5])}." if files else ", of which it has none."
    )


def unpacked(content, who):
    """A file as LiteRT's `ModelT`, a mutable Python object.

    Raises:
        ValueError: The file is not a `.tflite` file, is truncated, or is larger than 2 GB. The
            message begins with `who`.
    """
    _, content = content_of(content)
    try:
        model = schema().ModelT.InitFromPackedBuf(content)
    except UNREADABLE:
        raise ValueError(f"{who} needs a complete .tflite file; this one is cut short.") from None
    if any(buffer.offset > 1 for buffer in model.buffers):
        raise ValueError(f"{who} takes files of at most 2 GB, with the weights in the flatbuffer.")
    return model


def with_entries(content, entries, who):
    """A file's content with more entries, name -> bytes; see `packed`."""
    return packed(unpacked(content, who), entries, len(content), who) if entries else content


def packed(model, entries, size, who):
    """A file from LiteRT's `ModelT`, with more entries and its buffers aligned.

    Args:
        model: From `unpacked`.
        entries: Name -> bytes; an existing entry of that name is replaced.
        size: Approximate size of the file without the entries, in bytes.
        who: The caller's name, with which errors begin.

    Raises:
        ValueError: The file would be larger than 2 GB.
    """
    buffer_class = schema().BufferT

    class Aligned(buffer_class):
        def Pack(self, builder):  # noqa: N802  flatbuffers calls it
            if self.data is not None:
                builder.Prep(ALIGNMENT, len(self.data))
            return super().Pack(builder)

    there = {_name(listed): listed for listed in model.metadata or []}
    for name, entry in entries.items():
        added = buffer_class()
        added.data = np.frombuffer(entry, np.uint8)
        if name in there:
            model.buffers[there[name].buffer] = added
        else:
            there[name] = listed = schema().MetadataT()
            listed.name, listed.buffer = name, len(model.buffers)
            model.buffers.append(added)
    model.metadata = [*there.values()]
    for buffer in model.buffers:
        buffer.__class__ = Aligned
    # Enough memory at the start, because a builder copies its content whenever it grows.
    capacity = size + sum(map(len, entries.values())) + 64 * len(model.buffers) + 2**16
    try:
        builder = flatbuffers.Builder(capacity)
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    except flatbuffers.builder.BuilderSizeError:
        raise ValueError(f"{who} takes files of at most 2 GB; got {size / 1e9:.1f} GB.") from None
    return bytes(builder.Output())


def entry_of(content, name):
    """The bytes of a named entry in a file's flatbuffer; None if there is none."""
    model = schema().Model.GetRootAs(content, 0)
    for i in range(model.MetadataLength()):
        if model.Metadata(i).Name() == name.encode():
            data = model.Buffers(model.Metadata(i).Buffer()).DataAsNumpy()
            return data.tobytes() if isinstance(data, np.ndarray) else b""
    return None


def with_text_file(content, name, text):
    """Adds a text file in a ZIP at the end of a file's content, for `unzip`.

    The same arguments give the same bytes.
    """
    # Opening the whole file as a ZIP makes offsets count from its beginning, as in LiteRT's tools.
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name, DATE), text)
    return file.getvalue()


def text_file_in(content, name):
    """The text of a file in the ZIP at the end of a file's content.

    Raises:
        ValueError: There is no such file in it, or it is damaged, too large or not in UTF-8.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = archive.getinfo(name).file_size  # at most so many bytes are read
            data = archive.read(name) if size <= BYTES else None
    except (zipfile.BadZipFile, KeyError):
        raise ValueError(
            f"its metadata name {name}, which is missing; the file may be cut short"
        ) from None
    except ZIP_ERRORS:
        raise ValueError(f"its {name} cannot be unpacked") from None
    if data is None:
        raise ValueError(f"its {name} has {size:,} bytes, and at most {BYTES:,} are read")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"its {name} is not text in UTF-8") from None


def associated_files(content):
    """Names of the files in the ZIP at the end of a file's content."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return tuple(archive.namelist())
    except ZIP_ERRORS:
        return ()


def _name(entry):
    return entry.name.decode(errors="replace") if isinstance(entry.name, bytes) else entry.name
