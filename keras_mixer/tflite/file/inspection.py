"""What is in a `.tflite` file, whoever made it."""

from collections import Counter
from dataclasses import asdict, dataclass
from textwrap import wrap

import numpy as np

from keras_mixer._text import listed
from keras_mixer.tflite.file.metadata import (
    UNREADABLE,
    Metadata,
    associated_files,
    content_of,
    metadata_in,
)

WIDTH = 80  # columns


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    Attributes:
        name: In the file.
        dtype: Such as `"float32"`.
        shape: Its sizes; -1 for one that may change.
        scale, zero_point: Of a quantised tensor, whose values are `(stored - zero_point) * scale`;
            else `None`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class Op:
    """A kind of op.

    Attributes:
        name: LiteRT's, such as `"FULLY_CONNECTED"`; of a custom op, its own.
        dtype: Of what comes in.
        weights: The dtype in which its weights are stored, where that is another one.
        count: How many there are.
        outside: How many of them XNNPACK leaves to LiteRT; `None` when that is not known.
    """

    name: str
    dtype: str
    weights: str | None
    count: int
    outside: int | None


@dataclass(frozen=True)
class Weights:
    """Constants that are stored in the same way.

    Attributes:
        dtype: Of a stored number.
        quantised: `"per tensor"`, `"per channel"`, `"in blocks of 32"`, or `None`.
        tensors: How many.
        bytes: How many they take, together.
    """

    dtype: str
    quantised: str | None
    tensors: int
    bytes: int


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found. `str()` shows it in 80 columns.

    Attributes:
        bytes: Size of the file.
        inputs, outputs: Of its main subgraph, as `Tensor`s.
        subgraphs: How many; more than one where there are conditions or loops.
        ops: Kinds of ops in all subgraphs, the most frequent first, as `Op`s.
        partitions: How many ops each part of the main subgraph has that XNNPACK runs as one;
            `None` when LiteRT does not run the file here or does not tell.
        problem: Why LiteRT does not run the file here, in its own words; `None` when it does.
        weights: How constants are stored, as `Weights`, the largest share first.
        metadata: A `Metadata`, or `None`.
        files: Names of the files in it, such as `labels.txt`.
    """

    bytes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    subgraphs: int
    ops: tuple[Op, ...]
    partitions: tuple[int, ...] | None
    problem: str | None
    weights: tuple[Weights, ...]
    metadata: Metadata | None
    files: tuple[str, ...]

    @property
    def counts(self):
        """How often each op occurs, by its name alone."""
        counts = Counter()
        for op in self.ops:
            counts[op.name] += op.count
        return counts

    @property
    def outside(self):
        """Which ops XNNPACK leaves to LiteRT, and how many; empty too when that is not known."""
        counts = Counter()
        for op in self.ops:
            counts[op.name] += op.outside or 0
        return +counts

    def as_dict(self):
        return asdict(self) | {"outside": dict(self.outside)}

    def __str__(self):
        ends = [
            *(("input", tensor) for tensor in self.inputs),
            *(("output", tensor) for tensor in self.outputs),
        ]
        ops = [
            (op.name, op.dtype, op.weights or "", f"{op.count}", f"{op.outside or ''}")
            for op in self.ops
        ]
        weights = [
            (w.dtype, w.quantised or "", f"{w.tensors}", f"{w.bytes:,}") for w in self.weights
        ]
        sections = [
            [size_of(self.bytes) + self._in_subgraphs()],
            _columns([_end(role, tensor) for role, tensor in ends], "<<<<<"),
            self._about(),
            _wrapped(self._xnnpack()),
            _columns([("op", "takes", "weights", "number", "outside"), *ops], "<<<>>"),
            _columns([("constants", "quantised", "number", "bytes"), *weights], "<<>>"),
        ]
        return "\n\n".join("\n".join(lines) for lines in sections if lines)

    def _in_subgraphs(self):
        return f", {self.subgraphs} subgraphs" if self.subgraphs > 1 else ""

    def _about(self):
        if self.metadata is None:
            return ["no metadata"]
        rows = [
            (key, f"{value}")
            for key, value in asdict(self.metadata).items()
            if value and key not in ("labels", "input_range")
        ]
        if self.metadata.input_range:
            black, white = self.metadata.input_range
            rows.append(("black, white", f"{_number(black)}, {_number(white)}"))
        if self.metadata.labels:
            some = ", ".join(self.metadata.labels[:5])
            more = ", ..." if len(self.metadata.labels) > 5 else ""
            rows.append(("labels", f"{len(self.metadata.labels):,}: {some}{more}"))
        if self.files:
            rows.append(("files", ", ".join(self.files)))
        return _columns(rows, "<<") or ["metadata without content"]

    def _xnnpack(self):
        if self.problem:
            return f"LiteRT does not run it here: {self.problem}"
        if self.partitions is None:
            return "This LiteRT does not tell which ops XNNPACK takes."
        parts, inside, outside = len(self.partitions), sum(self.partitions), self.outside
        total = inside + sum(outside.values())
        if not parts:
            return f"XNNPACK takes none of the {total} ops."
        partitions = "1 partition" if parts == 1 else f"{parts} partitions"
        if not outside:
            return f"XNNPACK runs all {total} ops in {partitions}."
        left = listed(f"{count} {name}" for name, count in outside.most_common())
        return f"XNNPACK runs {inside} of {total} ops, in {partitions}; outside are {left}."


def size_of(count):
    """A number of bytes in words."""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} KB"


def inspect(source):
    """Reads a `.tflite` file: what goes in and out, its ops, how weights are stored, who made it.

    It is loaded, so that it can say which ops LiteRT gives to XNNPACK on this machine's CPU, but
    not run. It need not be an image classifier.

    Args:
        source: Path of the file, or its content as bytes.

    Returns:
        An `Inspection`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a `.tflite` file, is cut short, or its metadata are damaged.
    """
    name, content = content_of(source)
    nodes, problem = _nodes(name, content)
    metadata = metadata_in(name, content)
    try:
        graphs = _graphs(content)
    except UNREADABLE as error:
        raise ValueError(f"{name} cannot be read: {error}.") from None
    partitions, inside = _partitions(nodes)
    main = graphs[0]
    return Inspection(
        bytes=len(content),
        inputs=tuple(main.tensor(i) for i in main.inputs),
        outputs=tuple(main.tensor(i) for i in main.outputs),
        subgraphs=len(graphs),
        ops=_ops(graphs, inside),
        partitions=partitions,
        problem=problem,
        weights=_weights(graphs),
        metadata=metadata,
        files=associated_files(content),
    )


class _Graph:
    """A subgraph: lists of what it has, dtypes by name."""

    def __init__(self, model, index, codes, dtypes):
        graph = model.Subgraphs(index)
        self.model, self.dtypes = model, dtypes
        self.tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
        self.inputs = _numbers(graph.InputsAsNumpy())
        self.outputs = _numbers(graph.OutputsAsNumpy())
        operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
        self.ops = [(codes[op.OpcodeIndex()], _numbers(op.InputsAsNumpy())) for op in operators]

    def dtype(self, index):
        return self.dtypes[self.tensors[index].Type()]

    def stored(self, index):
        """The number of a constant's buffer and its bytes, which are none where it is computed."""
        buffer = self.tensors[index].Buffer()
        found = self.model.Buffers(buffer)
        return buffer, max(found.DataLength(), found.Size())

    def tensor(self, index):
        tensor = self.tensors[index]
        signature = _numbers(tensor.ShapeSignatureAsNumpy())
        scale, zero_point = None, None
        quantisation = tensor.Quantization()
        if quantisation and quantisation.ScaleLength() == 1:
            scale = float(quantisation.Scale(0))
            zero_point = quantisation.ZeroPoint(0) if quantisation.ZeroPointLength() else 0
        return Tensor(
            name=(tensor.Name() or b"").decode(),
            dtype=self.dtype(index),
            shape=signature or _numbers(tensor.ShapeAsNumpy()),
            scale=scale,
            zero_point=zero_point,
        )

    def quantised(self, index):
        """How a constant is quantised, in words, or None."""
        from ai_edge_litert.schema_py_generated import BlockwiseQuantization, QuantizationDetails

        quantisation = self.tensors[index].Quantization()
        if quantisation is None:
            return None
        if quantisation.DetailsType() == QuantizationDetails.BlockwiseQuantization:
            details, blocks = quantisation.Details(), BlockwiseQuantization()
            blocks.Init(details.Bytes, details.Pos)
            return f"in blocks of {blocks.BlockSize()}"
        scales = quantisation.ScaleLength()
        return ("per tensor" if scales == 1 else "per channel") if scales else None


def _graphs(content):
    from ai_edge_litert.schema_py_generated import BuiltinOperator, Model, TensorType

    names, dtypes = _names(BuiltinOperator), _names(TensorType)
    model, codes = Model.GetRootAs(content, 0), []
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = names.get(number, f"op {number}")
        codes.append((code.CustomCode() or b"CUSTOM").decode() if name == "CUSTOM" else name)
    dtypes = {number: name.lower() for number, name in dtypes.items()}
    return [_Graph(model, i, codes, dtypes) for i in range(model.SubgraphsLength())]


def _names(enum):
    return {number: name for name, number in vars(enum).items() if name[0] != "_"}


def _numbers(array):
    """A vector of the schema, which is 0 where there is none, as a tuple."""
    return tuple(int(n) for n in array) if isinstance(array, np.ndarray) else ()


def _nodes(name, content):
    """What LiteRT has made of the main subgraph, `(op, inputs, outputs)` in order; or why not.

    It is LiteRT that knows whether a file is whole, by its checks of every offset.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        if "Flatbuffer" in str(error):
            raise ValueError(f"{name} does not load; it may be cut short: {error}") from None
        return None, " ".join(str(error).split())
    details = getattr(interpreter, "_get_ops_details", None)  # public in no release so far
    if details is None:
        return None, None
    return [(op["op_name"], [*op["inputs"]], [*op["outputs"]]) for op in details()], None


def _partitions(nodes):
    """How many ops each of XNNPACK's parts has, and which ops are inside one; None if not known.

    LiteRT keeps the ops that it has given away and adds one called DELEGATE for each part, after
    them. A part's ops are those on the way back from its outputs to its inputs.
    """
    if nodes is None:
        return None, None
    makers = {
        output: i
        for i, (op, _, outputs) in enumerate(nodes)
        if op != "DELEGATE"
        for output in outputs
    }
    parts = []
    for op, inputs, outputs in nodes:
        if op != "DELEGATE":
            continue
        part, seen, ahead = set(), set(inputs), [*outputs]
        while ahead:
            tensor = ahead.pop()
            if tensor not in seen and tensor in makers:
                part.add(makers[tensor])
                ahead += nodes[makers[tensor]][1]
            seen.add(tensor)
        parts.append(part)
    return tuple(map(len, parts)), set().union(*parts)


def _ops(graphs, inside):
    """Kinds of ops; those of the main subgraph are numbered as LiteRT's nodes."""
    counts, outside = Counter(), Counter()
    for graph in graphs:
        for i, (name, inputs) in enumerate(graph.ops):
            given = [index for index in inputs if index >= 0]  # -1 stands for no tensor
            constant = [index for index in given if graph.stored(index)[1]]
            dtype = next((graph.dtype(i) for i in given if i not in constant), None)
            dtype = dtype or next(map(graph.dtype, given), "nothing")
            # A constant of 32 or 64-bit integers is a shape, an axis or a bias.
            stored = [d for d in map(graph.dtype, constant) if d not in ("int32", "int64", dtype)]
            kind = name, dtype, next(iter(stored), None)
            counts[kind] += 1
            outside[kind] += graph is graphs[0] and inside is not None and i not in inside
    return tuple(
        Op(*kind, count, None if inside is None else outside[kind])
        for kind, count in counts.most_common()
    )


def _weights(graphs):
    tensors, sizes, seen = Counter(), Counter(), set()
    for graph in graphs:
        for index in range(len(graph.tensors)):
            buffer, size = graph.stored(index)
            if size:
                kind = graph.dtype(index), graph.quantised(index)
                tensors[kind] += 1
                sizes[kind] += 0 if buffer in seen else size
                seen.add(buffer)
    return tuple(Weights(*kind, tensors[kind], size) for kind, size in sizes.most_common())


def _end(role, tensor):
    shape = ", ".join("?" if n < 0 else str(n) for n in tensor.shape)
    quantised = (
        "" if tensor.scale is None else f"({tensor.zero_point} is 0, step {tensor.scale:.4g})"
    )
    return role, tensor.name, tensor.dtype, f"[{shape}]", quantised


def _number(value):
    return ", ".join(f"{n:g}" for n in value) if isinstance(value, tuple) else f"{value:g}"


def _columns(rows, sides):
    """Lines of aligned columns, `<` for left and `>` for right, of at most 80 characters."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, sides, strict=True)
        lines.append("  ".join(f"{cell:{side}{width}}" for cell, width, side in cells).rstrip())
    return [_cut(line) for line in lines]


def _cut(line):
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def _wrapped(text):
    return wrap(text, WIDTH, break_on_hyphens=False)
