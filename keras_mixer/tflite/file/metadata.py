"""What a `.tflite` file says about itself: LiteRT metadata, as MediaPipe and Android read them."""

import io
import json
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import flatbuffers
import numpy as np

from keras_mixer.images import Preprocessing
from keras_mixer.tflite.file import schema
from keras_mixer.tflite.file.schema import Found, table

ENTRY = "TFLITE_METADATA"  # the name of the buffer in the model
OURS = "keras_mixer.Preprocessing"  # JSON, for which LiteRT's metadata have no field
LABELS = "labels.txt"
ALIGNMENT = 16  # bytes; force_align of Buffer.data in LiteRT's schema.fbs
UNREADABLE = (
    *(struct.error, TypeError, ValueError, IndexError, OverflowError, MemoryError),
    RecursionError,
)
DATE = 1980, 1, 1, 0, 0, 0  # a ZIP's first day, so that the same model is the same file
WHITE = 255.0  # a pixel's largest value


@dataclass(frozen=True)
class Metadata:
    """What an image classifier's file says about itself.

    Attributes:
        name: What the model is called.
        description: What it does, in a sentence or two.
        version: Its author's own.
        author: Who made it.
        license: Under which terms it may be used, such as `"Apache-2.0"`.
        input_range: What it takes for black and for white, such as `(-1, 1)`: two numbers, or, in
            other people's files, two tuples of one a channel. `None` where the file does not say.
        labels: Names of the classes in the order of the scores; `()` where it does not say.
    """

    name: str = ""
    description: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    input_range: tuple | None = None
    labels: tuple[str, ...] = ()


def with_metadata(tflite, metadata):
    """A `.tflite` image classifier with metadata in it.

    They are LiteRT's, so that MediaPipe Tasks, Android Studio and `Classifier` know what goes in
    and what comes out. LiteRT runs the file as before. The names of the classes become the last
    axis's labels and lie in a ZIP at the file's end: `unzip model.tflite` gives `labels.txt`. Other
    metadata that were there are replaced. Weights are aligned to 16 bytes, as LiteRT's schema
    wants them, which TensorFlow's converter does not do.

    Args:
        tflite: The file's content, as bytes: one image `[1, H, W, C]` -> `[1, classes]`.
        metadata: A `Metadata`. Its `input_range` must be two numbers, because MediaPipe takes no
            normalisation that differs by channel, or `None`.

    Returns:
        The new file's content, as bytes; the same for the same arguments.

    Raises:
        ValueError: It is no `.tflite` file, is cut short, is no image classifier or larger than
            2 GB; labels that do not match its classes, are empty or hold a line break; an
            `input_range` that is none.
    """
    who = "with_metadata"
    model = unpacked(tflite, who)
    image, scores = _ends(model, who)
    check_labels(metadata.labels, int(scores.shape[-1]), who)
    check_range(metadata.input_range, who)
    packed = _packed(
        model, ENTRY, schema.write(_described(model, image, metadata)), len(tflite), who
    )
    if not metadata.labels:
        return packed
    # In the file as a whole, so that offsets count from its beginning, as LiteRT's own tools do.
    file = io.BytesIO(packed)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(LABELS, DATE), lines(metadata.labels))
    return file.getvalue()


def read_metadata(source):
    """The `Metadata` of a `.tflite` file, whoever wrote them; `None` where it has none.

    Args:
        source: Path of the file, or its content as bytes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no `.tflite` file, or metadata or labels in it are damaged.
    """
    return metadata_in(*content_of(source))


def with_preprocessing(tflite, takes, who):
    """A `.tflite` file that says what images it takes, a `keras_mixer.Preprocessing`.

    LiteRT's metadata can say the scale of pixels only, and only of classifiers.
    """
    said = json.dumps(takes.as_dict()).encode()
    return _packed(unpacked(tflite, who), OURS, said, len(tflite), who)


def preprocessing_in(name, content):
    """The `Preprocessing` in a file's content, or None; `name` is for errors."""
    try:
        said = _entry(content, OURS)
        return None if said is None else Preprocessing(**json.loads(said))
    except UNREADABLE as error:
        raise ValueError(f"{name} does not say what images it takes: {error}.") from None


def metadata_in(name, content):
    """What `read_metadata` gives for a file's content; `name` is for errors."""
    try:
        packed = _entry(content, ENTRY)
        return None if packed is None else _read(packed, content)
    except UNREADABLE as error:
        raise ValueError(f"The metadata in {name} cannot be read: {error}.") from None


def content_of(source):
    """What to call a `.tflite` file, given as path or bytes, and its content."""
    if isinstance(source, bytes):
        name, content = "The model", source
    else:
        name = str(source)
        if not Path(source).is_file():
            raise FileNotFoundError(f"There is no .tflite file at {name!r}.")
        content = Path(source).read_bytes()
    if content[4:8] != b"TFL3":  # the file identifier of LiteRT's flatbuffers
        raise ValueError(f"{name} is not a .tflite file: it does not begin like one.")
    return name, content


def associated_files(content):
    """The names in the ZIP at the end of a file's content."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return tuple(archive.namelist())
    except zipfile.BadZipFile:
        return ()


def read_labels(labels):
    """Names of classes as a tuple, from a sequence or the path of a text file with one a line."""
    if not isinstance(labels, str | Path):
        return tuple(map(str, labels))
    if not Path(labels).is_file():
        raise FileNotFoundError(f"There is no file of labels at {str(labels)!r}.")
    try:
        return tuple(_from_lines(Path(labels).read_text(encoding="utf-8")))
    except UnicodeDecodeError:
        raise ValueError(f"{labels} is not a text file in UTF-8.") from None


def lines(labels):
    """The text of a file with one label a line."""
    return "".join(f"{label}\n" for label in labels)


def check_labels(labels, classes, who):
    """Raises ValueError unless there is one label a class, or none at all."""
    if labels and len(labels) != classes:
        raise ValueError(f"{who} needs one label a class, {classes:,}; got {len(labels):,} labels.")
    bad = [i for i, label in enumerate(labels) if not label.strip() or len(label.splitlines()) > 1]
    if bad:
        raise ValueError(
            f"{who} needs labels of one line each, with something in it; got {labels[bad[0]]!r} "
            f"for class {bad[0]}."
        )


def check_range(input_range, who):
    """Raises ValueError unless it is None or two different numbers, for black and for white."""
    if input_range is None:
        return
    numbers = np.asarray(input_range)
    if (
        numbers.shape != (2,)
        or numbers.dtype.kind not in "iuf"
        or not np.isfinite(numbers).all()
        or numbers[0] == numbers[1]
    ):
        raise ValueError(
            f"{who} needs input_range to be two different numbers, what the model takes for black "
            f"and for white; got {input_range!r}."
        )


def unpacked(content, who):
    from ai_edge_litert.schema_py_generated import ModelT

    _, content = content_of(content)
    try:
        model = ModelT.InitFromPackedBuf(content)
    except UNREADABLE:
        raise ValueError(f"{who} needs a whole .tflite file; this one is cut short.") from None
    if any(buffer.offset > 1 for buffer in model.buffers):
        raise ValueError(f"{who} takes files of at most 2 GB, whose weights are inside the model.")
    return model


def _ends(model, who):
    """The tensors of the one image and of its scores."""
    main = model.subgraphs[0]
    ends = [main.tensors[i] for i in (*main.inputs, *main.outputs)]
    shapes = [[] if tensor.shape is None else [int(n) for n in tensor.shape] for tensor in ends]
    if [len(shape) for shape in shapes] != [4, 2]:
        raise ValueError(
            f"{who} needs an image classifier, [1, H, W, C] -> [1, classes]; the file's inputs and "
            f"outputs are {', '.join(map(str, shapes))}."
        )
    return ends


def _described(model, image, metadata):
    """The table that says all this in LiteRT's words."""
    _, height, width, channels = map(int, image.shape)
    colour = {1: (schema.GRAYSCALE, "grey"), 3: (schema.RGB, "RGB")}.get(channels)
    about = f"One picture, {height} x {width} pixels, {colour[1] if colour else channels} channels."
    if colour:
        about = f"One {colour[1]} picture, {height} pixels high and {width} wide."
    units, stats = [], None
    if metadata.input_range:
        black, white = map(float, metadata.input_range)
        about += f" Black is {black:g}, white {white:g}."
        std = WHITE / (white - black)  # value = (pixel - mean) / std
        normalisation = table("NormalizationOptions", mean=[-black * std], std=[std])
        units = [
            table("ProcessUnit", options_type=schema.NORMALIZATION_OPTIONS, options=normalisation)
        ]
        stats = table("Stats", max=[max(black, white)], min=[min(black, white)])
    takes = table(
        "TensorMetadata",
        name="image",
        description=about,
        content=table(
            "Content",
            content_properties_type=schema.IMAGE_PROPERTIES,
            content_properties=table("ImageProperties", color_space=colour[0] if colour else 0),
        ),
        process_units=units,
        stats=stats,
    )
    probabilities = gives_probabilities(model)
    labels = table(
        "AssociatedFile",
        name=LABELS,
        description="The names of the classes, in the order of the scores.",
        type=schema.TENSOR_AXIS_LABELS,
    )
    gives = table(
        "TensorMetadata",
        name="scores",
        description="The probability of each class; they add up to 1."
        if probabilities
        else "The score of each class; the best class has the highest.",
        content=table(
            "Content",
            content_properties_type=schema.FEATURE_PROPERTIES,
            content_properties=table("FeatureProperties"),
        ),
        stats=table("Stats", max=[1.0], min=[0.0]) if probabilities else None,
        associated_files=[labels] if metadata.labels else [],
    )
    return table(
        "ModelMetadata",
        name=metadata.name,
        description=metadata.description,
        version=metadata.version,
        author=metadata.author,
        license=metadata.license,
        subgraph_metadata=[
            table("SubGraphMetadata", input_tensor_metadata=[takes], output_tensor_metadata=[gives])
        ],
        min_parser_version="1.0.0",  # older than every field that is used here
    )


def gives_probabilities(model):
    """Whether an unpacked model's only output is a softmax, be it quantised or not."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    main = model.subgraphs[0]
    makers = {int(o): op for op in main.operators for o in op.outputs}
    maker = makers.get(int(main.outputs[0]))
    while maker is not None:
        code = model.operatorCodes[maker.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind not in (BuiltinOperator.DEQUANTIZE, BuiltinOperator.QUANTIZE):
            return kind == BuiltinOperator.SOFTMAX
        maker = makers.get(int(maker.inputs[0]))
    return False


def _packed(model, name, metadata, size, who):
    """The model's flatbuffer with these metadata under a name, its buffers aligned."""
    from ai_edge_litert.schema_py_generated import BufferT, MetadataT

    class Aligned(BufferT):
        def Pack(self, builder):  # noqa: N802  flatbuffers calls it
            if self.data is not None:
                builder.Prep(ALIGNMENT, len(self.data))
            return super().Pack(builder)

    added = BufferT()
    added.data = np.frombuffer(metadata, np.uint8)
    entries = {_name(entry): entry for entry in model.metadata or []}
    if name in entries:
        model.buffers[entries[name].buffer] = added
    else:
        entry = MetadataT()
        entry.name, entry.buffer = name, len(model.buffers)
        model.metadata = [*entries.values(), entry]
        model.buffers.append(added)
    for buffer in model.buffers:
        buffer.__class__ = Aligned
    # Room for everything at once: a builder that has to grow copies all that it holds.
    room = size + len(metadata) + 64 * len(model.buffers) + 2**16
    try:
        builder = flatbuffers.Builder(room)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    except flatbuffers.builder.BuilderSizeError:
        raise ValueError(f"{who} takes files of at most 2 GB; got {size / 1e9:.1f} GB.") from None
    return bytes(builder.Output())


def _name(entry):
    return entry.name.decode() if isinstance(entry.name, bytes) else entry.name


def _entry(content, name):
    """The bytes of an entry of the metadata in a file's content, or None."""
    from ai_edge_litert.schema_py_generated import Model

    model = Model.GetRootAs(content, 0)
    for i in range(model.MetadataLength()):
        if model.Metadata(i).Name() == name.encode():
            return model.Buffers(model.Metadata(i).Buffer()).DataAsNumpy().tobytes()
    return None


def _read(packed, content):
    if packed[4:8] != schema.IDENTIFIER:
        raise ValueError("they do not begin like metadata")
    root = Found("ModelMetadata", packed)
    inputs, outputs = [], []
    for main in root.many("subgraph_metadata", "SubGraphMetadata")[:1]:
        inputs = main.many("input_tensor_metadata", "TensorMetadata")
        outputs = main.many("output_tensor_metadata", "TensorMetadata")
    files = [f for tensor in outputs for f in tensor.many("associated_files", "AssociatedFile")]
    labels = [f.text("name") for f in files if f.byte("type") == schema.TENSOR_AXIS_LABELS]
    words = {key: root.text(key) for key in ("name", "description", "version", "author", "license")}
    return Metadata(
        **words,
        input_range=_range(inputs),
        labels=_associated(labels[0], content) if labels else (),
    )


def _range(inputs):
    """What black and white are to the first input that says it."""
    for tensor in inputs:
        for unit in tensor.many("process_units", "ProcessUnit"):
            if unit.byte("options_type") == schema.NORMALIZATION_OPTIONS:
                options = unit.one("options", "NormalizationOptions")
                mean, std = (np.array(options.floats(key)) for key in ("mean", "std"))
                ends = ((pixel - mean) / std for pixel in (0.0, WHITE))
                # float32 has seven digits, of which six come back.
                ends = [tuple(float(f"{value:.6g}") for value in end) for end in ends]
                return tuple(end[0] if len(set(end)) == 1 else end for end in ends)
    return None


def _associated(file, content):
    """The lines of a text file in the ZIP at the end of a file's content."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return tuple(_from_lines(archive.read(file).decode()))
    except (zipfile.BadZipFile, KeyError):
        raise ValueError(f"the file should hold {file} and does not; it may be cut short") from None


def _from_lines(text):
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
