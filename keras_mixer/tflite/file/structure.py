"""Checks the structure of a `.tflite` file before LiteRT reads it.

LiteRT trusts much of what a file says: it may end the process (SIGSEGV, SIGABRT) on files that its
own flatbuffer verifier accepts. No converter writes what is refused here.
"""

import math
import struct
from functools import cache

import numpy as np

from keras_mixer.tflite._litert import schema

# Exceptions of flatbuffer readers on damaged files.
UNREADABLE = (
    *(struct.error, TypeError, ValueError, IndexError, OverflowError, MemoryError),
    *(RecursionError, AttributeError, KeyError, NotImplementedError, EOFError),
)
REPEATED = 4  # how often a file may name the same bytes, on average
TABLES = 100_000  # tensors, ops, buffers and so on; large language models have ten thousand
RANK = 8  # LiteRT's kernels have loops for at most so many dimensions
ELEMENTS = 2**31 - 1  # of a tensor: LiteRT's kernels count in int32
# Bytes that the tensors need which are alive at the same time: so many, or for large files so many
# times their size.
MEMORY, FACTOR = 2**31 - 1, 8
NESTED = 1000  # calls of subgraphs by subgraphs, counted along all paths
# Scales lie in this range, so that the product of any three of them is a float32.
SMALLEST_SCALE, LARGEST_SCALE = 1e-30, 1e18
BITS = {  # of an element; strings, resources and variants have no fixed size
    **dict.fromkeys(("COMPLEX128",), 128),
    **dict.fromkeys(("FLOAT64", "INT64", "UINT64", "COMPLEX64"), 64),
    **dict.fromkeys(("FLOAT32", "INT32", "UINT32"), 32),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("INT8", "UINT8", "BOOL", "FLOAT8_E4M3FN", "FLOAT8_E5M2"), 8),
    **dict.fromkeys(("INT4", "UINT4"), 4),
    "INT2": 2,
}
QUANTISED = ("INT8", "UINT8", "INT16", "INT4", "INT2")
# Inputs that may be left out (-1), by their positions.
OPTIONAL = {
    **dict.fromkeys(("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_3D"), (2,)),
    **dict.fromkeys(("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE", "SVDF"), (3,)),
    **dict.fromkeys(
        (
            *("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM"),
            *("RNN", "UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN"),
            *("CUSTOM", "STABLEHLO_COMPOSITE", "STABLEHLO_CUSTOM_CALL", "DELEGATE"),
        ),
        range(100),
    ),
}
# The smallest and the largest number of inputs, and the number of outputs; None for any.
ARITY = {
    op: arity
    for arity, ops in {
        (1, 1, 1): "ABS AVERAGE_POOL_2D CAST CEIL COS DEPTH_TO_SPACE DEQUANTIZE ELU EXP "
        "FAKE_QUANT FLOOR GELU HARD_SWISH L2_NORMALIZATION L2_POOL_2D LEAKY_RELU "
        "LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_NOT LOGISTIC LOG_SOFTMAX MAX_POOL_2D NEG "
        "QUANTIZE RANK RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 ROUND RSQRT SHAPE SIGN SIN SOFTMAX "
        "SPACE_TO_DEPTH SQRT SQUARE SQUEEZE TANH WHERE ZEROS_LIKE COMPLEX_ABS REAL IMAG "
        "BITCAST BUCKETIZE DENSIFY HASHTABLE_SIZE MATRIX_DIAG RANDOM_STANDARD_NORMAL "
        "RANDOM_UNIFORM READ_VARIABLE SKIP_GRAM",
        (2, 2, 1): "ADD ARG_MAX ARG_MIN ATAN2 BATCH_MATMUL BROADCAST_ARGS BROADCAST_TO CUMSUM DIV "
        "EMBEDDING_LOOKUP EQUAL EXPAND_DIMS FILL FLOOR_DIV FLOOR_MOD GATHER GATHER_ND GREATER "
        "GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_OR MAXIMUM MEAN MINIMUM MIRROR_PAD MUL "
        "NOT_EQUAL PAD POW PRELU REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD "
        "RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_SEQUENCE REVERSE_V2 RFFT2D "
        "SQUARED_DIFFERENCE SUB SUM TILE TRANSPOSE BITWISE_XOR RIGHT_SHIFT "
        "MATRIX_SET_DIAG MULTINOMIAL SEGMENT_SUM",
        (3, 3, 1): "BATCH_TO_SPACE_ND DILATE DYNAMIC_UPDATE_SLICE HASHTABLE_FIND PADV2 "
        "RANGE SCATTER_ND SELECT SELECT_V2 SLICE SPACE_TO_BATCH_ND UNSORTED_SEGMENT_MAX "
        "UNSORTED_SEGMENT_MIN UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_SUM",
        (4, 4, 1): "ONE_HOT SPARSE_TO_DENSE STRIDED_SLICE",
        (1, 2, 1): "RESHAPE",
        (2, 3, 1): "CONV_2D DEPTHWISE_CONV_2D CONV_3D",
        (3, 4, 1): "CONV_3D_TRANSPOSE TRANSPOSE_CONV",
        (1, math.inf, 1): "ADD_N CONCATENATION PACK",
        (0, 0, 1): "HASHTABLE VAR_HANDLE",
        (5, 5, 1): "EMBEDDING_LOOKUP_SPARSE REDUCE_WINDOW SVDF",
        (20, 24, 1): "UNIDIRECTIONAL_SEQUENCE_LSTM",
        (2, 2, 0): "ASSIGN_VARIABLE",
        (3, 3, 0): "HASHTABLE_IMPORT",
        (1, 1, 2): "UNIQUE",
        (2, 2, 2): "TOPK_V2",
        (3, 3, 2): "HASHTABLE_LOOKUP",
        (5, 5, 2): "NON_MAX_SUPPRESSION_V4",
        (6, 6, 3): "NON_MAX_SUPPRESSION_V5",
        (1, 1, None): "UNPACK",
        (2, 2, None): "SPLIT",
        (2, 3, None): "FULLY_CONNECTED",
        (3, 3, None): "SPLIT_V",
        (1, math.inf, None): "IF WHILE",
    }.items()
    for op in ops.split()
}
# Ops whose tensors of `QUANTISED` types need scales; the latter compute with plain INT16, too.
SCALED = (
    *("AVERAGE_POOL_2D", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "DIV"),
    *("ELU", "EXP", "FULLY_CONNECTED", "GELU", "HARD_SWISH", "L2_NORMALIZATION", "LEAKY_RELU"),
    *("LOGISTIC", "LOG_SOFTMAX", "PRELU", "RSQRT", "SOFTMAX", "SQUARED_DIFFERENCE", "TANH"),
    "TRANSPOSE_CONV",
)
PLAIN = ("ADD", "MEAN", "MUL", "SUB", "SUM")
# Ops whose output has the type of their first input, and those whose first two inputs are alike.
SAME_TYPE = (
    *("ABS", "AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "ELU", "EXP", "GATHER", "GELU"),
    *("HARD_SWISH", "L2_NORMALIZATION", "LEAKY_RELU", "LOGISTIC", "LOG_SOFTMAX", "MAX_POOL_2D"),
    *("MEAN", "NEG", "PAD", "RELU", "RELU6", "RESHAPE", "RSQRT", "SLICE", "SOFTMAX", "SQRT"),
    *("SQUARE", "SQUEEZE", "STRIDED_SLICE", "TANH", "TILE", "TRANSPOSE"),
)
SAME_TYPES = ("ADD", "DIV", "MAXIMUM", "MINIMUM", "MUL", "PRELU", "SQUARED_DIFFERENCE", "SUB")
# Ops whose number of outputs stands in their options, and the field.
PARTS = {"SPLIT": "NumSplits", "SPLIT_V": "NumSplits", "UNPACK": "Num"}
# Ops whose kernels compute with the ratio of scales.
SUMS = ("ADD", "SUB", "SQUARED_DIFFERENCE")
COMPARED = ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL")
# Fields of ops' options that are numbers of an enumeration of the schema.
ENUMERATED = {"FusedActivationFunction": "ActivationFunctionType", "Padding": "Padding"}
# Fields of an op's options that are indices of subgraphs.
CALLS = {
    "CallOptions": ("Subgraph",),
    "CallOnceOptions": ("InitSubgraphIndex",),
    "IfOptions": ("ThenSubgraphIndex", "ElseSubgraphIndex"),
    "WhileOptions": ("CondSubgraphIndex", "BodySubgraphIndex"),
    "StablehloWhileOptions": ("CondSubgraphIndex", "BodySubgraphIndex"),
    "StablehloReduceOptions": ("BodySubgraphIndex",),
    "StablehloReduceWindowOptions": ("BodySubgraphIndex",),
    "StablehloScatterOptions": ("UpdateComputationSubgraphIndex",),
    "StablehloSortOptions": ("ComparatorSubgraphIndex",),
    "StableHLOCompositeOptions": ("DecompositionSubgraphIndex",),
}


def check_structure(name, content):
    """Raises ValueError if a `.tflite` file is damaged so that LiteRT could crash.

    Args:
        name: The file's name, for messages.
        content: Its bytes.
    """
    try:
        problem = next(_problems(content), None)
    except UNREADABLE:
        raise ValueError(
            f"{name} does not load; it may be cut short: an offset in it points outside."
        ) from None
    if problem:
        raise ValueError(f"{name} does not load, its structure is damaged: {problem}.")


def _problems(content):
    """What is wrong with a file, in words; the first one is enough, and later ones may be wrong."""
    model = schema().Model.GetRootAs(content, 0)
    yield from _size_problems(model, len(content))
    count = model.SubgraphsLength()
    codes = [_op_name(model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())]
    buffers = [_stored(model.Buffers(i), content) for i in range(model.BuffersLength())]
    for i in range(model.MetadataLength()):
        if not 0 <= model.Metadata(i).Buffer() < len(buffers):
            yield f"metadata entry {i} has a buffer that does not exist"
    calls = []
    for i in range(count):
        graph = _Graph(model.Subgraphs(i), f"subgraph {i}, " if count > 1 else "")
        yield from graph.tensor_problems(buffers)
        yield from graph.op_problems(codes)
        yield from graph.order_problems(max(MEMORY, FACTOR * len(content)))
        calls.append([n for op in graph.ops for n in _called(op)])
        if not all(0 <= n < count for n in calls[i]):
            yield f"subgraph {i} calls a subgraph that does not exist"
    yield from _call_problems(calls)
    yield from _signature_problems(model)


def _size_problems(model, size):
    """Whether a file lists far more than it can hold, by naming the same bytes again and again."""
    graphs = [model.Subgraphs(i) for i in range(min(model.SubgraphsLength(), TABLES))]
    if not graphs:
        yield "it has no subgraph"
    tables = model.BuffersLength() + model.OperatorCodesLength() + model.MetadataLength()
    tables += model.SignatureDefsLength() + len(graphs)
    tables += sum(graph.TensorsLength() + graph.OperatorsLength() for graph in graphs)
    if tables > min(TABLES, size // 4):
        yield f"it lists {tables:,} tensors, ops and other tables"
    numbers = 0
    for graph in graphs:
        numbers += graph.InputsLength() + graph.OutputsLength()
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            numbers += tensor.ShapeLength() + tensor.ShapeSignatureLength()
            numbers += len(tensor.Name() or b"")
            if tensor.Quantization():
                numbers += tensor.Quantization().ScaleLength()
                numbers += tensor.Quantization().ZeroPointLength()
            if tensor.Type() == schema().TensorType.STRING or tensor.Sparsity():
                numbers += model.Buffers(tensor.Buffer()).DataLength()
            if numbers > REPEATED * size:
                yield "its tensors have more names and numbers than fit into it"
        for op in map(graph.Operators, range(graph.OperatorsLength())):
            numbers += op.InputsLength() + op.OutputsLength() + op.IntermediatesLength()
        if numbers > REPEATED * size:
            yield "its ops have more tensors than fit into it"


def _op_name(code):
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    return _names("BuiltinOperator").get(number, f"op {number}")


@cache
def _own_options(kind):
    """The name of the options that an op of a kind has; None if it shares them with others."""
    plain = f"{kind.replace('_', '')}OPTIONS"
    return next((o for o in _names("BuiltinOptions").values() if o.upper() == plain), None)


@cache
def _names(enum):
    """Number -> name of an enumeration in LiteRT's schema."""
    return {n: name for name, n in vars(getattr(schema(), enum)).items() if name[0] != "_"}


def _stored(buffer, content):
    """The bytes that a buffer stores, as an array."""
    if buffer.Offset() > 1:  # behind the flatbuffer
        return np.frombuffer(content, np.uint8, buffer.Size(), buffer.Offset())
    data = buffer.DataAsNumpy()
    return data if isinstance(data, np.ndarray) else np.zeros(0, np.uint8)


class _Graph:
    """A subgraph, read in place.

    Args:
        graph: Of LiteRT's schema.
        where: Words that come before a tensor or an op in messages.
    """

    def __init__(self, graph, where):
        self.where = where
        self.tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
        self.ops = [graph.Operators(i) for i in range(graph.OperatorsLength())]
        self.inputs, self.outputs = graph.InputsAsNumpy(), graph.OutputsAsNumpy()
        self.inputs, self.outputs = map(_numbers, (self.inputs, self.outputs))
        self.types = [_names("TensorType").get(t.Type(), "unknown") for t in self.tensors]
        self.shapes = [_numbers(t.ShapeAsNumpy()) for t in self.tensors]

    def tensor_problems(self, buffers):
        """Also sets `data`, `constant` and `bytes` of each tensor."""
        self.data, self.constant, self.bytes = [], [], []
        for i, (tensor, kind, shape) in enumerate(
            zip(self.tensors, self.types, self.shapes, strict=True)
        ):
            where = f"{self.where}tensor {i}"
            if kind not in BITS and kind not in ("STRING", "RESOURCE", "VARIANT"):
                yield f"{where} has an unknown type"
            if len(shape) > RANK or min(shape, default=0) < 0 or math.prod(shape) > ELEMENTS:
                yield f"{where} has the shape {_short(shape)}"
            if len(_numbers(tensor.ShapeSignatureAsNumpy())) not in (0, len(shape)):
                yield f"{where} has a shape and a signature of different rank"
            if not _is_text(tensor.Name()):
                yield f"{where} has a name that is not UTF-8"
            if not 0 <= tensor.Buffer() < len(buffers):
                yield f"{where} has a buffer that does not exist"
            data = buffers[tensor.Buffer()]
            length = data.size
            size = -(-math.prod(shape) * BITS.get(kind, 0) // 8)
            sparse, external = tensor.Sparsity() is not None, bool(tensor.ExternalBuffer())
            if length and kind in BITS and not sparse and length != size:
                yield f"{where} has {length:,} bytes stored and needs {size:,}"
            if length and kind == "STRING" and not _are_strings(data):
                yield f"{where} has damaged strings"
            if length and kind in ("RESOURCE", "VARIANT"):
                yield f"{where} is a constant, which its type cannot be"
            if sparse:
                problems = _sparsity_problems(tensor, kind, shape, length)
                yield from (f"{where} {problem}" for problem in problems)
            self.data.append(data)
            self.constant.append(bool(length) or external)
            self.bytes.append(size)
            yield from (f"{where} {problem}" for problem in _scale_problems(tensor, kind, shape))

    def op_problems(self, codes):
        """Also sets `reads` and `writes` of each op, and `kinds`."""
        count = len(self.tensors)
        self.kinds, self.reads, self.writes = [], [], []
        for i, op in enumerate(self.ops):
            if not 0 <= op.OpcodeIndex() < len(codes):
                yield f"{self.where}op {i} is of a kind that the file does not list"
            kind = codes[op.OpcodeIndex()]
            where = f"{self.where}op {i} ({kind})"
            inputs, outputs, between = map(
                _numbers, (op.InputsAsNumpy(), op.OutputsAsNumpy(), op.IntermediatesAsNumpy())
            )
            if not all(-1 <= n < count for n in (*inputs, *outputs, *between)):
                yield f"{where} has a tensor that does not exist"
            low, high, results = ARITY.get(kind, (0, math.inf, None))
            if not low <= len(inputs) <= high or results not in (None, len(outputs)):
                yield f"{where} has {len(inputs)} inputs and {len(outputs)} outputs"
            optional = OPTIONAL.get(kind, ())
            if any(n < 0 and place not in optional for place, n in enumerate(inputs)):
                yield f"{where} leaves out an input that it needs"
            if kind in ARITY and -1 in outputs:
                yield f"{where} leaves out its output"
            own, given = _own_options(kind), _names("BuiltinOptions").get(op.BuiltinOptionsType())
            if own and given not in ("NONE", own):
                yield f"{where} has the options of another kind"
            if own in CALLS and given == "NONE":  # LiteRT would take any number for a subgraph
                yield f"{where} does not say which subgraph it calls"
            for name, table in _options(op):
                if kind in PARTS and name == own and getattr(table, PARTS[kind])() != len(outputs):
                    yield f"{where} has {len(outputs)} outputs, and another number in its options"
            unpacks = kind == "DEQUANTIZE" and self.constant[inputs[0]]
            if unpacks and self.shapes[inputs[0]] != self.shapes[outputs[0]]:
                yield f"{where} has a constant input and an output of different shapes"
            alike = 2 if kind in SAME_TYPES else int(kind in SAME_TYPE)
            if alike and len({self.types[n] for n in (*inputs[:alike], *outputs)}) > 1:
                yield f"{where} has tensors of different types"
            for field, number in _enumerated(op):
                if number not in _names(ENUMERATED[field]):
                    yield f"{where} has options with {field} {number}, which does not exist"
            yield from (f"{where} {problem}" for problem in self._unscaled(kind, inputs + outputs))
            if not self._fit(kind, inputs, outputs):
                yield f"{where} has scales whose ratio LiteRT cannot compute with"
            if kind == "RESHAPE" and not self._is_shape(inputs[1:]):
                yield f"{where} has an invalid new shape"
            self.kinds.append(kind)
            self.reads.append([n for n in inputs if n >= 0])
            self.writes.append([n for n in outputs if n >= 0])

    def _unscaled(self, kind, tensors):
        """Tensors of an op that have no scale and need one."""
        tensors = [n for n in tensors if n >= 0 and self.types[n] in QUANTISED]
        scaled = [n for n in tensors if _scales(self.tensors[n]).size]
        plain = kind in PLAIN and not scaled and all(self.types[n] == "INT16" for n in tensors)
        if kind in SCALED + PLAIN and len(scaled) < len(tensors) and not plain:
            yield f"needs a scale of tensor {min({*tensors} - {*scaled})}"
        if kind in SUMS + COMPARED and any(_scales(self.tensors[n]).size > 1 for n in scaled):
            yield "has a tensor with a scale for each channel, which it cannot have"

    def _fit(self, kind, inputs, outputs):
        """Whether LiteRT's kernels can express the ratio of an op's scales in integers.

        Where they cannot, they end the process; XNNPACK's fully connected layer frees its memory
        twice.
        """
        tensors = [n for n in (*inputs[:2], *outputs) if n >= 0]
        scales = [float(_scales(self.tensors[n]).max(initial=0)) for n in tensors]
        if len(scales) < 3 or not all(self.types[n] in QUANTISED for n in tensors[:2]):
            return True
        first, second, result = scales[:3]
        if kind in COMPARED:
            return 1 not in (first, second)  # they have a case below 1, and one above it
        wide = self.types[tensors[0]] == "INT16"
        if kind == "ADD" and all(scales):
            return 2 * max(first, second) < 2 ** (15 if wide else 20) * result
        if wide or not all(scales):
            return True
        if kind == "SQUARED_DIFFERENCE":
            return (2 * max(first, second)) ** 2 < 2**14 * result
        return kind != "FULLY_CONNECTED" or first * second < 256 * result

    def _is_shape(self, tensors):
        """Whether a tensor, if it is there and constant, stores a shape with one -1 at most."""
        if not tensors or self.types[tensors[0]] != "INT32" or not self.constant[tensors[0]]:
            return True
        sizes = self.data[tensors[0]].view(np.int32) if self.data[tensors[0]].size else np.empty(0)
        return len(sizes) <= RANK and (sizes >= -1).all() and (sizes == -1).sum() <= 1

    def order_problems(self, memory):
        """Tensors are written once, before they are read, and fit into so many bytes of memory."""
        count = len(self.tensors)
        if not all(0 <= n < count for n in (*self.inputs, *self.outputs)):
            yield f"{self.where or 'it '}has an input or output that does not exist"
        variable = {i for i, tensor in enumerate(self.tensors) if tensor.IsVariable()}
        empty = {i for i, shape in enumerate(self.shapes) if 0 in shape}
        written = {*self.inputs, *variable, *empty} | {i for i in range(count) if self.constant[i]}
        last = {n: i for i, reads in enumerate(self.reads) for n in reads}
        last.update(dict.fromkeys(self.outputs, len(self.ops)))
        alive = {n: self.bytes[n] for n in {*self.inputs, *variable} if not self.constant[n]}
        used = sum(alive.values())
        for i, (reads, writes) in enumerate(zip(self.reads, self.writes, strict=True)):
            for n in reads:
                if n not in written:
                    yield f"{self.where}op {i} ({self.kinds[i]}) reads tensor {n} before it is set"
            for n in writes:
                if n in written and n not in empty:
                    yield f"{self.where}op {i} ({self.kinds[i]}) writes tensor {n}, which is set"
                written.add(n)
                used += self.bytes[n] if n not in alive else 0
                alive[n] = self.bytes[n]
            if used > memory:
                yield f"{self.where}op {i} ({self.kinds[i]}) would need {used:,} bytes of memory"
            for n in {*reads, *writes}:
                if last.get(n, i) <= i and n in alive and n not in variable:
                    used -= alive.pop(n)
        if not {*self.outputs} <= written:
            yield f"{self.where or 'it '}has an output that no op writes"


def _is_text(name):
    try:
        return (name or b"").decode() is not None
    except UnicodeDecodeError:
        return False


def _scales(tensor):
    quantisation = tensor.Quantization()
    scales = quantisation.ScaleAsNumpy() if quantisation else 0
    return scales if isinstance(scales, np.ndarray) else np.zeros(0, np.float32)


def _scale_problems(tensor, kind, shape):
    scales = _scales(tensor)
    if not scales.size:
        return
    if not (np.isfinite(scales) & (scales >= SMALLEST_SCALE) & (scales <= LARGEST_SCALE)).all():
        yield "has a scale that is not finite, not above 0, or of absurd size"
    quantisation = tensor.Quantization()
    points = quantisation.ZeroPointAsNumpy()
    points = points if isinstance(points, np.ndarray) else np.zeros(0, np.int64)
    if points.size != scales.size:
        yield f"has {scales.size} scales and {points.size} zero points"
    axis = quantisation.QuantizedDimension()
    if not 0 <= axis < max(len(shape), 1):
        yield f"is quantised along axis {axis} and has the shape {_short(shape)}"
    if scales.size > 1 and (not shape or scales.size != shape[axis]):
        yield f"has {scales.size} scales and the shape {_short(shape)}"
    if kind in ("INT8", "UINT8", "INT16"):
        limits = np.iinfo(kind.lower())
        if points.min() < limits.min or points.max() > limits.max:
            yield f"has a zero point that its type, {kind.lower()}, does not have"


def _are_strings(data):
    """Whether data are strings as LiteRT stores them: their number, offsets, and text."""
    count = int.from_bytes(data[:4].tobytes(), "little")
    start = 4 * (count + 2)
    if data.size < start or data.size < 4:
        return False
    offsets = np.frombuffer(data.tobytes(), "<u4", count + 1, 4).astype(np.int64)
    return offsets[0] == start and offsets[-1] == data.size and bool((np.diff(offsets) >= 0).all())


def _sparsity_problems(tensor, kind, shape, length):
    """What is wrong with a sparse tensor, whose rows are compressed dimension by dimension."""
    table = tensor.Sparsity()
    blocks, order = map(_numbers, (table.BlockMapAsNumpy(), table.TraversalOrderAsNumpy()))
    rank = len(shape) + len(blocks)
    if sorted(order) != [*range(rank)] or table.DimMetadataLength() != rank or rank > 2 * RANK:
        yield "has damaged sparsity: its dimensions are not those of its shape"
    if not all(0 <= n < len(shape) for n in blocks):
        yield "has damaged sparsity: blocks of a dimension that does not exist"
    sparse, count = schema().DimensionType.SPARSE_CSR, 1
    for i in range(rank):
        found = schema().DimensionMetadataT.InitFromObj(table.DimMetadata(i))
        if found.format != sparse:
            count *= found.denseSize
            if found.denseSize < 1 or count > ELEMENTS:
                yield "has damaged sparsity: a dimension of absurd size"
            continue
        segments, indices = (
            np.asarray(getattr(each, "values", ())).astype(np.int64).ravel()
            for each in (found.arraySegments, found.arrayIndices)
        )
        limit = shape[order[i]] if order[i] < len(shape) else ELEMENTS
        if (
            segments.size != count + 1
            or segments[0] != 0
            or segments[-1] != indices.size
            or (np.diff(segments) < 0).any()
            or not ((indices >= 0) & (indices < limit)).all()
        ):
            yield "has damaged sparsity: indices outside their dimension"
        count = indices.size
    if length * 8 // BITS.get(kind, 8) != count:
        yield f"has {length:,} bytes stored for {count:,} numbers"


def _options(op):
    """Yields the name and the table of an op's options."""
    for enum, number, options in (
        ("BuiltinOptions", op.BuiltinOptionsType(), op.BuiltinOptions()),
        ("BuiltinOptions2", op.BuiltinOptions2Type(), op.BuiltinOptions2()),
    ):
        name = _names(enum).get(number, "NONE")
        if name != "NONE" and options is not None:
            table = getattr(schema(), name)()
            table.Init(options.Bytes, options.Pos)
            yield name, table


def _called(op):
    """Indices of the subgraphs that an op calls."""
    return [
        getattr(table, field)() for name, table in _options(op) for field in CALLS.get(name, ())
    ]


def _enumerated(op):
    """Yields the fields of an op's options that are of `ENUMERATED`, with their numbers."""
    for name, table in _options(op):
        for field in ENUMERATED:
            if hasattr(table, field) and not name.startswith("Stablehlo"):  # whose padding is sizes
                yield field, getattr(table, field)()


def _call_problems(calls):
    """Subgraphs that call themselves, or one another too often.

    Args:
        calls: For each subgraph the subgraphs that it calls.
    """
    total = {}  # subgraph -> the number of calls along all paths from it
    pending = [*range(len(calls))]
    visiting = set()
    while pending:
        n = pending[-1]
        below = [m for m in calls[n] if m not in total]
        if n in total or not below:
            pending.pop()
            visiting.discard(n)
            total[n] = sum(1 + total[m] for m in calls[n])
            if total[n] > NESTED:
                yield f"subgraph {n} calls subgraphs {total[n]:,} times"
        elif visiting & {*below} or n in below:
            yield f"subgraph {n} calls itself"
            return
        else:
            visiting.add(n)
            pending += below


def _signature_problems(model):
    for i in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(i)
        if not 0 <= signature.SubgraphIndex() < model.SubgraphsLength():
            yield f"signature {i} is of a subgraph that does not exist"
        graph = model.Subgraphs(signature.SubgraphIndex())
        tensors = [signature.Inputs(j) for j in range(min(signature.InputsLength(), TABLES))]
        tensors += [signature.Outputs(j) for j in range(min(signature.OutputsLength(), TABLES))]
        if not all(0 <= tensor.TensorIndex() < graph.TensorsLength() for tensor in tensors):
            yield f"signature {i} has a tensor that does not exist"


def _numbers(array):
    """A vector of the schema as a tuple; flatbuffers returns 0 for a missing vector."""
    return tuple(array.tolist()) if isinstance(array, np.ndarray) else ()


def _short(shape):
    shape = [*map(str, shape)]
    return f"[{', '.join(shape[:RANK])}{', ...' if len(shape) > RANK else ''}]"
