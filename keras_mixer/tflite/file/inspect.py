"""Reads the content of any `.tflite` file."""

from collections import Counter

import numpy as np

from keras_mixer._extras import needs
from keras_mixer._text import one_line
from keras_mixer._types import Tflite
from keras_mixer.tflite._litert import op_details, schema
from keras_mixer.tflite.file.content import associated_files, content_of
from keras_mixer.tflite.file.inspection import Inspection, Op, Tensor, Weights
from keras_mixer.tflite.file.metadata import metadata_in
from keras_mixer.tflite.file.structure import UNREADABLE
from keras_mixer.tflite.file.trial import tried


def inspect(source: Tflite, *, untrusted: bool = False) -> Inspection:
    """Reads a `.tflite` file: its inputs and outputs, ops, weights and metadata.

    LiteRT loads the file, to find out which ops XNNPACK runs on this machine's CPU, but does not
    run it. The file may be any model.

    Args:
        source: Path of the file, or its content as bytes.
        untrusted: Whether LiteRT loads it in another process, for a file of an unknown source. The
            file's structure is checked in any case, but LiteRT may also crash on files in which
            nothing is wrong by itself.

    Returns:
        An `Inspection`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a `.tflite` file, is truncated, its structure or its metadata are
            damaged; or, with `untrusted`, LiteRT crashed on it.
    """
    name, content = content_of(source)
    nodes, problem = tried(name, content, run=False) if untrusted else _nodes(content)
    if problem and "Flatbuffer" in problem:  # which also checks every offset
        raise ValueError(f"{name} does not load; it may be cut short: {problem}")
    metadata = metadata_in(name, content)
    try:
        graphs = _graphs(content)
    except UNREADABLE as error:
        raise ValueError(f"{name} cannot be read: {error}.") from None
    sizes, delegated = partitions(nodes)
    main = graphs[0]
    return Inspection(
        bytes=len(content),
        inputs=tuple(main.tensor(i) for i in main.inputs),
        outputs=tuple(main.tensor(i) for i in main.outputs),
        subgraphs=len(graphs),
        ops=_ops(graphs, delegated),
        partitions=sizes,
        problem=problem,
        weights=_weights(graphs),
        metadata=metadata,
        files=associated_files(content),
    )


class _Graph:
    """A subgraph: its tensors, inputs, outputs and ops."""

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
        """The index of a tensor's buffer and its size in bytes: 0 unless it is a constant."""
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
            name=_text(tensor.Name()),
            dtype=self.dtype(index),
            shape=signature or _numbers(tensor.ShapeAsNumpy()),
            scale=scale,
            zero_point=zero_point,
        )

    def quantised(self, index):
        """A constant's kind of quantisation, such as "per channel"; None if it has none."""
        quantisation = self.tensors[index].Quantization()
        if quantisation is None:
            return None
        if quantisation.DetailsType() == schema().QuantizationDetails.BlockwiseQuantization:
            details, blocks = quantisation.Details(), schema().BlockwiseQuantization()
            blocks.Init(details.Bytes, details.Pos)
            return f"in blocks of {blocks.BlockSize()}"
        scales = quantisation.ScaleLength()
        return ("per tensor" if scales == 1 else "per channel") if scales else None


def _graphs(content):
    names, dtypes = _names(schema().BuiltinOperator), _names(schema().TensorType)
    model, codes = schema().Model.GetRootAs(content, 0), []
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = names.get(number, f"op {number}")
        codes.append(_text(code.CustomCode() or b"CUSTOM") if name == "CUSTOM" else name)
    dtypes = {number: name.lower() for number, name in dtypes.items()}
    return [_Graph(model, i, codes, dtypes) for i in range(model.SubgraphsLength())]


def _text(name):
    """A name in the file, which need not be UTF-8, or None."""
    return (name or b"").decode(errors="replace")


def _names(enum):
    return {number: name for name, number in vars(enum).items() if name[0] != "_"}


def _numbers(array):
    """A vector of the schema as a tuple; flatbuffers returns 0 for a missing vector."""
    return tuple(int(n) for n in array) if isinstance(array, np.ndarray) else ()


def _nodes(content):
    """The ops of the main subgraph as LiteRT runs them, and the reason why it cannot.

    One of the two is None. Ops are `(name, inputs, outputs)`, in order.
    """
    with needs(__name__):
        from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        return None, one_line(error)
    details = op_details(interpreter)
    if details is None:
        return None, None
    return [(op["op_name"], [*op["inputs"]], [*op["outputs"]]) for op in details], None


def partitions(nodes):
    """The number of ops in each XNNPACK partition, and the indices of all their ops.

    Both are None if unknown. LiteRT keeps the ops that a delegate runs, and appends an op called
    DELEGATE for each partition. The ops of a partition are those between its inputs and outputs.
    """
    if nodes is None:
        return None, None
    producers = {
        output: i
        for i, (op, _, outputs) in enumerate(nodes)
        if op != "DELEGATE"
        for output in outputs
    }
    found = []
    for op, inputs, outputs in nodes:
        if op != "DELEGATE":
            continue
        partition, seen, pending = set(), set(inputs), [*outputs]
        while pending:
            tensor = pending.pop()
            if tensor not in seen and tensor in producers:
                partition.add(producers[tensor])
                pending += nodes[producers[tensor]][1]
            seen.add(tensor)
        found.append(partition)
    return tuple(map(len, found)), set().union(*found)


def _ops(graphs, delegated):
    """Kinds of ops. `delegated`: indices of the main subgraph's ops in XNNPACK, or None."""
    counts, outside = Counter(), Counter()
    for graph in graphs:
        for i, (name, inputs) in enumerate(graph.ops):
            present = [index for index in inputs if index >= 0]  # -1 is an omitted input
            constant = [index for index in present if graph.stored(index)[1]]
            dtype = next((graph.dtype(i) for i in present if i not in constant), None)
            dtype = dtype or next(map(graph.dtype, present), "nothing")
            # A constant of 32 or 64-bit integers is a shape, an axis or a bias.
            stored = [d for d in map(graph.dtype, constant) if d not in ("int32", "int64", dtype)]
            kind = name, dtype, next(iter(stored), None)
            counts[kind] += 1
            outside[kind] += graph is graphs[0] and delegated is not None and i not in delegated
    return tuple(
        Op(*kind, count, None if delegated is None else outside[kind])
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
