"""Reads and writes the tables of LiteRT's metadata schema 1.5.0 by their field names.

Source: mediapipe/tasks/metadata/metadata_schema.fbs in google-ai-edge/mediapipe.
"""

import numpy as np

from keras_mixer._extras import needs

with needs(__name__):
    import flatbuffers
    from flatbuffers import encode
    from flatbuffers.number_types import Float32Flags, Uint8Flags, UOffsetTFlags
    from flatbuffers.table import Table

IDENTIFIER = b"M001"
TABLES = 256  # in one list; damaged metadata may claim billions
FIELDS = {  # in the order of their ids; a union is two fields, its type and its value
    "ModelMetadata": (
        *("name", "description", "version", "subgraph_metadata"),
        *("author", "license", "associated_files", "min_parser_version"),
    ),
    "SubGraphMetadata": (
        *("name", "description", "input_tensor_metadata", "output_tensor_metadata"),
        "associated_files",
    ),
    "TensorMetadata": (
        *("name", "description", "dimension_names", "content"),
        *("process_units", "stats", "associated_files"),
    ),
    "Content": ("content_properties_type", "content_properties", "range"),
    "FeatureProperties": (),
    "ImageProperties": ("color_space", "default_size"),
    "ProcessUnit": ("options_type", "options"),
    "NormalizationOptions": ("mean", "std"),
    "Stats": ("max", "min"),
    "AssociatedFile": ("name", "description", "type", "locale", "version"),
}
FEATURE_PROPERTIES, IMAGE_PROPERTIES = 1, 2  # of the union ContentProperties
NORMALIZATION_OPTIONS = 1  # of the union ProcessUnitOptions
RGB, GRAYSCALE = 1, 2  # of ColorSpaceType
TENSOR_AXIS_LABELS = 2  # of AssociatedFileType


def table(kind, **fields):
    """A table to write. Fields are strings, tables, lists of floats or tables, or enums."""
    return kind, fields


def write(root):
    """A root table -> the bytes of a flatbuffer."""
    builder = flatbuffers.Builder()
    builder.Finish(_put(builder, root), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _put(builder, value):
    """Writes a field's value into the builder; returns its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, list) and isinstance(value[0], float):
        return builder.CreateNumpyVector(np.array(value, np.float32))
    if isinstance(value, list):
        offsets = [_put(builder, item) for item in value]
        builder.StartVector(UOffsetTFlags.bytewidth, len(offsets), UOffsetTFlags.bytewidth)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    kind, fields = value
    fields = {name: field for name, field in fields.items() if field or field == 0}
    written = {
        name: field if isinstance(field, int) else _put(builder, field)
        for name, field in fields.items()
    }
    builder.StartObject(len(FIELDS[kind]))
    for name, field in written.items():
        slot = FIELDS[kind].index(name)
        if isinstance(fields[name], int):  # every integer in these tables is an enum of one byte
            builder.PrependUint8Slot(slot, field, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, field, 0)
    return builder.EndObject()


class StoredTable:
    """A table in a flatbuffer, read in place. A missing field is an empty value.

    Args:
        kind: The table's name in `FIELDS`.
        content: The flatbuffer's bytes.
        position: The table's offset; by default that of the root table.
    """

    def __init__(self, kind, content, position=None):
        if position is None:
            position = encode.Get(UOffsetTFlags.packer_type, content, 0)
        self.kind, self.table = kind, Table(content, position)

    def text(self, name):
        offset = self._offset(name)
        return self.table.String(self.table.Pos + offset).decode() if offset else ""

    def byte(self, name):
        offset = self._offset(name)
        return self.table.Get(Uint8Flags, self.table.Pos + offset) if offset else 0

    def floats(self, name):
        offset = self._offset(name)
        return self.table.GetVectorAsNumpy(Float32Flags, offset).tolist() if offset else []

    def child(self, name, kind):
        offset = self._offset(name)
        return (
            StoredTable(kind, self.table.Bytes, self.table.Indirect(self.table.Pos + offset))
            if offset
            else ()
        )

    def children(self, name, kind):
        offset = self._offset(name)
        if not offset:
            return []
        if self.table.VectorLen(offset) > TABLES:
            raise ValueError(f"{self.table.VectorLen(offset):,} tables in {name}")
        start = self.table.Vector(offset)
        positions = range(start, start + 4 * self.table.VectorLen(offset), 4)
        return [StoredTable(kind, self.table.Bytes, self.table.Indirect(p)) for p in positions]

    def _offset(self, name):
        return self.table.Offset(4 + 2 * FIELDS[self.kind].index(name))
