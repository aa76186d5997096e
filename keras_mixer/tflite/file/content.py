"""The bytes of a `.tflite` file: a flatbuffer with named entries, and perhaps a ZIP at its end."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np

from keras_mixer._extras import needs
from keras_mixer.tflite._litert import schema

with needs(__name__):
    import flatbuffers

IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every LiteRT flatbuffer
ALIGNMENT = 16  # bytes; force_align of Buffer.data in LiteRT's schema.fbs
# What the readers of a damaged flatbuffer raise.
UNREADABLE = (
    *(struct.error, TypeError, ValueError, IndexError, OverflowError, MemoryError),
    RecursionError,
)
DATE = 1980, 1, 1, 0, 0, 0  # a ZIP's first day, so that the same model is the same file


def content_of(source):
    """The name of a `.tflite` file for messages and its content, from its path or its bytes."""
    if isinstance(source, bytes):
        name, content = "The model", source
    else:
        name = str(source)
        if not Path(source).is_file():
            raise FileNotFoundError(f"There is no .tflite file at {name!r}.")
        content = Path(source).read_bytes()
    if content[4:8] != IDENTIFIER:
        raise ValueError(f"{name} is not a .tflite file: it does not begin like one.")
    return name, content


def unpacked(content, who):
    """A file as LiteRT's `ModelT`, a Python object that can be changed.

    Raises:
        ValueError: It is not a whole `.tflite` file, or one of more than 2 GB; begins with `who`.
    """
    _, content = content_of(content)
    try:
        model = schema().ModelT.InitFromPackedBuf(content)
    except UNREADABLE:
        raise ValueError(f"{who} needs a whole .tflite file; this one is cut short.") from None
    if any(buffer.offset > 1 for buffer in model.buffers):
        raise ValueError(f"{who} takes files of at most 2 GB, whose weights are inside the model.")
    return model


def packed(model, name, entry, size, who):
    """A file from LiteRT's `ModelT`, with one more entry and its buffers aligned.

    Args:
        model: As `unpacked` gives it.
        name: The entry's name; an entry of that name is replaced.
        entry: The entry's bytes.
        size: About how many bytes the file has without it.
        who: Who asks; errors begin with it.

    Raises:
        ValueError: The file would be larger than 2 GB.
    """
    buffer_class = schema().BufferT

    class Aligned(buffer_class):
        def Pack(self, builder):  # noqa: N802  flatbuffers calls it
            if self.data is not None:
                builder.Prep(ALIGNMENT, len(self.data))
            return super().Pack(builder)

    added = buffer_class()
    added.data = np.frombuffer(entry, np.uint8)
    entries = {_name(listed): listed for listed in model.metadata or []}
    if name in entries:
        model.buffers[entries[name].buffer] = added
    else:
        listed = schema().MetadataT()
        listed.name, listed.buffer = name, len(model.buffers)
        model.metadata = [*entries.values(), listed]
        model.buffers.append(added)
    for buffer in model.buffers:
        buffer.__class__ = Aligned
    # Memory for everything at once: a builder that has to grow copies all that it holds.
    room = size + len(entry) + 64 * len(model.buffers) + 2**16
    try:
        builder = flatbuffers.Builder(room)
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    except flatbuffers.builder.BuilderSizeError:
        raise ValueError(f"{who} takes files of at most 2 GB; got {size / 1e9:.1f} GB.") from None
    return bytes(builder.Output())


def entry_of(content, name):
    """The bytes of the entry of this name in a file's flatbuffer, or None."""
    model = schema().Model.GetRootAs(content, 0)
    for i in range(model.MetadataLength()):
        if model.Metadata(i).Name() == name.encode():
            return model.Buffers(model.Metadata(i).Buffer()).DataAsNumpy().tobytes()
    return None


def with_text_file(content, name, text):
    """A file's content with a text file in a ZIP at its end, which `unzip` can read.

    The same arguments give the same bytes.
    """
    # Added to the file as a whole, so that offsets count from its beginning, as in LiteRT's tools.
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name, DATE), text)
    return file.getvalue()


def text_file_in(content, name):
    """The text of a file in the ZIP at the end of a file's content.

    Raises:
        ValueError: It is not there.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(name).decode()
    except (zipfile.BadZipFile, KeyError):
        raise ValueError(f"the file should hold {name} and does not; it may be cut short") from None


def associated_files(content):
    """Names of the files in the ZIP at the end of a file's content."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return tuple(archive.namelist())
    except zipfile.BadZipFile:
        return ()


def _name(entry):
    return entry.name.decode() if isinstance(entry.name, bytes) else entry.name
