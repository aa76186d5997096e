"""LiteRT metadata of a `.tflite` file, which MediaPipe and Android read."""

import json
from dataclasses import dataclass, replace

import numpy as np

from keras_mixer._text import one_line
from keras_mixer._types import Tflite
from keras_mixer.images import Preprocessing
from keras_mixer.tflite import _litert
from keras_mixer.tflite.file import schema
from keras_mixer.tflite.file.content import (
    content_of,
    entry_of,
    packed,
    text_file_in,
    unpacked,
    with_text_file,
)
from keras_mixer.tflite.file.labels import check_labels, from_lines, to_lines
from keras_mixer.tflite.file.schema import StoredTable, table
from keras_mixer.tflite.file.structure import UNREADABLE

ENTRY = "TFLITE_METADATA"  # the name of the buffer in the model
PREPROCESSING = "keras_mixer.Preprocessing"  # JSON: LiteRT's metadata have no field for it
CLASSES = "keras_mixer.Classes"  # JSON: of one score LiteRT's metadata name class 1 alone
LABELS = "labels.txt"
WHITE = 255.0  # a pixel's largest value
TEXTS = "name", "description", "version", "author", "license"
SCORES = {
    "softmax": "The probability of each class; they add up to 1.",
    "sigmoid": "The probability of each label; they are independent.",
    None: "The score of each class; the best class has the highest.",
}
# In a file's metadata black and white differ by at least and are at most so much.
SMALLEST_RANGE, LARGEST_VALUE = 1e-6, 1e6
SMALLEST_CROP = 0.05  # of a side: pictures are enlarged by 20, and with nonsense until memory ends


@dataclass(frozen=True)
class Metadata:
    """Metadata of an image classifier's file.

    Attributes:
        name: The model's name.
        description: What the model does, in a sentence or two.
        version: The model's version.
        author: The model's author.
        license: The licence, such as `"Apache-2.0"`.
        input_range: The values of a black and of a white pixel, such as `(-1, 1)`: two numbers, or,
            in files of other tools, two tuples with one number for each channel. `None` if unknown.
        labels: Class names in the order of the scores; of one score, yes or no, the name of class 1
            or those of both classes, class 1 second; `()` if unknown.
    """

    name: str = ""
    description: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    input_range: tuple | None = None
    labels: tuple[str, ...] = ()


def with_metadata(tflite: bytes, metadata: "Metadata") -> bytes:
    """Adds metadata to a `.tflite` image classifier.

    The format is LiteRT's, which MediaPipe Tasks, Android Studio and `Classifier` read. LiteRT runs
    the file as before. The class names are the labels of the output's last axis, in a ZIP at the
    end of the file: `unzip model.tflite` extracts `labels.txt`. Of one score `labels.txt` has the
    name of class 1, and an entry of our own those of both classes. Existing metadata are replaced.
    Weights are aligned to 16 bytes, as LiteRT's schema requires; TensorFlow's converter does not
    align them.

    Args:
        tflite: The file's content, as bytes: one image `[1, H, W, C]` -> `[1, classes]`.
        metadata: A `Metadata`. Its `input_range` must be two numbers or `None`, because MediaPipe
            does not support a normalisation that differs by channel.

    Returns:
        The new file's content, as bytes; the same for the same arguments.

    Raises:
        ValueError: The file is not a `.tflite` file, is truncated, is not an image classifier or is
            larger than 2 GB; labels do not match its classes, are empty or contain a line break; or
            `input_range` is not two different numbers.
    """
    who = "with_metadata"
    model = unpacked(tflite, who)
    image, scores = _input_and_output(model, who)
    classes, labels = int(scores.shape[-1]), metadata.labels
    check_labels(labels, min(len(labels), 2) if classes == 1 else classes, who)
    _check_range(metadata.input_range, who)
    for field in TEXTS:
        if not isinstance(getattr(metadata, field), str):
            raise ValueError(f"{who} needs {field} to be text; got {getattr(metadata, field)!r}.")
    entries = {ENTRY: schema.write(_described(model, image, metadata))}
    if classes == 1:
        entries[CLASSES] = json.dumps(labels).encode()
        labels = labels[-1:]
    content = packed(model, entries, len(tflite), who)
    return with_text_file(content, LABELS, to_lines(labels)) if labels else content


def read_metadata(source: Tflite) -> "Metadata | None":
    """The `Metadata` of any `.tflite` file; `None` if it has none.

    Args:
        source: Path of the file, or its content as bytes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a `.tflite` file, or its metadata or labels are damaged.
    """
    return metadata_in(*content_of(source))


def preprocessing_entry(preprocessing):
    """The entry with the `keras_mixer.Preprocessing` of a file's images, name -> bytes.

    LiteRT's own metadata have only the scale of pixels, and only for classifiers.
    """
    return {PREPROCESSING: json.dumps(preprocessing.as_dict()).encode()}


def preprocessing_in(name, content):
    """The `Preprocessing` in a file's content, or None; `name` is for errors."""
    try:
        entry = entry_of(content, PREPROCESSING)
        found = None if entry is None else Preprocessing(**json.loads(entry))
        if found and found.crop_share < SMALLEST_CROP:
            raise ValueError(f"crop_share is {found.crop_share:g}")
        return found
    except UNREADABLE as error:
        raise ValueError(f"The preprocessing in {name} cannot be read: {_why(error)}.") from None


def metadata_in(name, content):
    """The `Metadata` in a file's content, or None; `name` is for errors."""
    try:
        entry = entry_of(content, ENTRY)
        if entry is None:
            return None
        found, both = _read(entry, content), json.loads(entry_of(content, CLASSES) or "[]")
        if len(both) == 2 and (both[1],) == found.labels:
            found = replace(found, labels=tuple(map(str, both)))
        return found
    except UNREADABLE as error:
        raise ValueError(f"The metadata in {name} cannot be read: {_why(error)}.") from None


def _why(error):
    """The reason of ours why something cannot be read; other libraries' words say nothing here."""
    return one_line(error).rstrip(".") if type(error) is ValueError else "they are damaged"


def _check_range(input_range, who):
    """Raises ValueError unless `input_range` is None or two different numbers."""
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
            f"{who} needs input_range to be two different numbers, the model's values of black and "
            f"of white; got {input_range!r}."
        )


def _input_and_output(model, who):
    """The tensors of the image and of its scores."""
    main = model.subgraphs[0]
    tensors = [main.tensors[i] for i in (*main.inputs, *main.outputs)]
    shapes = [[] if tensor.shape is None else [int(n) for n in tensor.shape] for tensor in tensors]
    if [len(shape) for shape in shapes] != [4, 2]:
        raise ValueError(
            f"{who} needs an image classifier, [1, H, W, C] -> [1, classes]; the file's inputs and "
            f"outputs are {', '.join(map(str, shapes))}."
        )
    return tensors


def _described(model, image, metadata):
    """The metadata as a `ModelMetadata` table of LiteRT's schema."""
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
    input_tensor = table(
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
    activation = activation_of_file(model)
    labels = table(
        "AssociatedFile",
        name=LABELS,
        description="The names of the classes, in the order of the scores.",
        type=schema.TENSOR_AXIS_LABELS,
    )
    output_tensor = table(
        "TensorMetadata",
        name="scores",
        description=SCORES[activation],
        content=table(
            "Content",
            content_properties_type=schema.FEATURE_PROPERTIES,
            content_properties=table("FeatureProperties"),
        ),
        stats=table("Stats", max=[1.0], min=[0.0]) if activation else None,
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
            table(
                "SubGraphMetadata",
                input_tensor_metadata=[input_tensor],
                output_tensor_metadata=[output_tensor],
            )
        ],
        min_parser_version="1.0.0",  # all fields used here are in this version
    )


def activation_of_file(model):
    """What the only output of an unpacked model comes from, quantised or not.

    `"softmax"`, `"sigmoid"`, or None for anything else.
    """
    op_codes = _litert.schema().BuiltinOperator
    kinds = {op_codes.SOFTMAX: "softmax", op_codes.LOGISTIC: "sigmoid"}
    main = model.subgraphs[0]
    producers = {int(o): op for op in main.operators for o in op.outputs}
    op = producers.get(int(main.outputs[0]))
    while op is not None:
        code = model.operatorCodes[op.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind not in (op_codes.DEQUANTIZE, op_codes.QUANTIZE):
            return kinds.get(kind)
        op = producers.get(int(op.inputs[0]))
    return None


def _read(entry, content):
    if entry[4:8] != schema.IDENTIFIER:
        raise ValueError("bytes 4 to 8 are not M001")
    root = StoredTable("ModelMetadata", entry)
    inputs, outputs = [], []
    for main in root.children("subgraph_metadata", "SubGraphMetadata")[:1]:
        inputs = main.children("input_tensor_metadata", "TensorMetadata")
        outputs = main.children("output_tensor_metadata", "TensorMetadata")
    files = [f for tensor in outputs for f in tensor.children("associated_files", "AssociatedFile")]
    labels = [f.text("name") for f in files if f.byte("type") == schema.TENSOR_AXIS_LABELS]
    texts = {key: root.text(key) for key in TEXTS}
    return Metadata(
        **texts,
        input_range=_range(inputs),
        labels=tuple(from_lines(text_file_in(content, labels[0]))) if labels else (),
    )


def _range(inputs):
    """Black and white in the first input that has normalisation options."""
    for tensor in inputs:
        for unit in tensor.children("process_units", "ProcessUnit"):
            if unit.byte("options_type") == schema.NORMALIZATION_OPTIONS:
                options = unit.child("options", "NormalizationOptions")
                mean, std = (np.array(options.floats(key), float) for key in ("mean", "std"))
                return _black_and_white(mean, std)
    return None


def _black_and_white(mean, std):
    """The values of both from the mean and the deviation of pixels, of all or of each channel."""
    sizes = {mean.size, std.size}
    with np.errstate(all="ignore"):
        ends = np.array([(pixel - mean) / std for pixel in (0.0, WHITE)]) if _fit(sizes) else None
        good = (
            ends is not None
            and np.isfinite(ends).all()
            and np.abs(ends).max() <= LARGEST_VALUE
            and np.abs(ends[1] - ends[0]).min() >= SMALLEST_RANGE
        )
    if not good:
        raise ValueError(
            "they normalise pixels by a mean and a deviation that make no sense, "
            f"{_some(mean)} and {_some(std)}"
        )
    # Six digits, because rounding to float32 changes the seventh.
    values = [tuple(float(f"{v:.6g}") for v in channels) for channels in ends]
    return tuple(v[0] if len(set(v)) == 1 else v for v in values)


def _fit(sizes):
    return 0 not in sizes and len(sizes - {1}) <= 1


def _some(values):
    return f"{values.tolist()[:4]}{' and more' if values.size > 4 else ''}"
