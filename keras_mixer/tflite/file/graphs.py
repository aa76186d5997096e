"""The subgraphs of any `.tflite` file, read in place."""

import numpy as np

from keras_mixer.tflite._litert import schema

UNKNOWN = "op {}"  # the name of an op of a newer schema than ours, by its number


class Graph:
    """A subgraph: its tensors, inputs, outputs and ops.

    Attributes:
        tensors: The schema's `Tensor`s.
        inputs, outputs: Indices of its input and output tensors.
        ops: `(name, version, inputs)` of each op, in order; an omitted input has the index -1.
    """

    def __init__(self, model, index, codes, dtypes):
        graph = model.Subgraphs(index)
        self.model, self.dtypes = model, dtypes
        self.tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
        self.inputs = numbers(graph.InputsAsNumpy())
        self.outputs = numbers(graph.OutputsAsNumpy())
        operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
        self.ops = [(*codes[op.OpcodeIndex()], numbers(op.InputsAsNumpy())) for op in operators]

    def dtype(self, index):
        """A tensor's type, such as `"float32"`."""
        return self.dtypes[self.tensors[index].Type()]

    def stored(self, index):
        """The index of a tensor's buffer and its size in bytes: 0 unless it is a constant."""
        buffer = self.tensors[index].Buffer()
        found = self.model.Buffers(buffer)
        return buffer, max(found.DataLength(), found.Size())

    def types(self, inputs):
        """Types of an op's input, and of its stored weights if that is another type, or None."""
        present = [index for index in inputs if index >= 0]
        constant = [index for index in present if self.stored(index)[1]]
        dtype = next((self.dtype(i) for i in present if i not in constant), None)
        dtype = dtype or next(map(self.dtype, present), "nothing")
        # A constant of 32 or 64-bit integers is a shape, an axis or a bias.
        stored = [d for d in map(self.dtype, constant) if d not in ("int32", "int64", dtype)]
        return dtype, next(iter(stored), None)

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


def graphs_in(content):
    """The `Graph`s of a file's content, the main one first."""
    names, dtypes = _names(schema().BuiltinOperator), _names(schema().TensorType)
    model, codes = schema().Model.GetRootAs(content, 0), []
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = names.get(number, UNKNOWN.format(number))
        custom = text(code.CustomCode() or b"CUSTOM")
        codes.append((custom if name == "CUSTOM" else name, code.Version()))
    dtypes = {number: name.lower() for number, name in dtypes.items()}
    return [Graph(model, i, codes, dtypes) for i in range(model.SubgraphsLength())]


def text(name):
    """A name in the file, which need not be UTF-8, or None."""
    return (name or b"").decode(errors="replace")


def numbers(array):
    """A vector of the schema as a tuple; flatbuffers returns 0 for a missing vector."""
    return tuple(int(n) for n in array) if isinstance(array, np.ndarray) else ()


def _names(enum):
    return {number: name for name, number in vars(enum).items() if name[0] != "_"}
