"""Reads what is in a `.tflite` file, whoever made it."""

from collections import Counter

import numpy as np

from keras_mixer._extras import needs
from keras_mixer._types import Tflite
from keras_mixer.tflite._litert import op_details, schema
from keras_mixer.tflite.file.content import UNREADABLE, associated_files, content_of
from keras_mixer.tflite.file.inspection import Inspection, Op, Tensor, Weights
from keras_mixer.tflite.file.metadata import metadata_in


def inspect(source: Tflite) -> Inspection:
    """Reads a `.tflite` file: its inputs and outputs, ops, weights and metadata.

    LiteRT loads the file, to find out which ops XNNPACK runs on this machine's CPU, but does not
    run it. It need not be an image classifier.

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
    sizes, inside = partitions(nodes)
    main = graphs[0]
    return Inspection(
        bytes=len(content),
        inputs=tuple(main.tensor(i) for i in main.inputs),
        outputs=tuple(main.tensor(i) for i in main.outputs),
        subgraphs=len(graphs),
        ops=_ops(graphs, inside),
        partitions=sizes,
        problem=problem,
        weights=_weights(graphs),
        metadata=metadata,
        files=associated_files(content),
    )


class _Graph:
    """A subgraph: its tensors, inputs, outputs and ops; dtypes by name."""

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
        """The number of a tensor's buffer, and its bytes: 0 if the tensor is not a constant."""
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
        codes.append((code.CustomCode() or b"CUSTOM").decode() if name == "CUSTOM" else name)
    dtypes = {number: name.lower() for number, name in dtypes.items()}
    return [_Graph(model, i, codes, dtypes) for i in range(model.SubgraphsLength())]


def _names(enum):
    return {number: name for name, number in vars(enum).items() if name[0] != "_"}


def _numbers(array):
    """A vector of the schema, which is 0 where there is none, as a tuple."""
    return tuple(int(n) for n in array) if isinstance(array, np.ndarray) else ()


def _nodes(name, content):
    """The ops of the main subgraph as LiteRT runs them, and why LiteRT does not run the file here.

    One of the two is None. Ops are `(name, inputs, outputs)`, in order. LiteRT finds out whether a
    file is whole: it checks every offset.
    """
    with needs(__name__):
        from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        if "Flatbuffer" in str(error):
            raise ValueError(f"{name} does not load; it may be cut short: {error}") from None
        return None, " ".join(str(error).split())
    details = op_details(interpreter)
    if details is None:
        return None, None
    return [(op["op_name"], [*op["inputs"]], [*op["outputs"]]) for op in details], None


def partitions(nodes):
    """How many ops each XNNPACK partition has, and which ops are in one; None if not known.

    LiteRT keeps the ops that a delegate runs and adds an op called DELEGATE behind them for each
    partition. The ops of a partition are those between its inputs and its outputs.
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
    """Kinds of ops. `inside` has numbers of ops of the main subgraph, None if not known."""
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
