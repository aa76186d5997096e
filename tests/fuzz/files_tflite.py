"""Changes of `.tflite` files: through the schema's objects, and of metadata and the ZIP behind."""

import io
import json
import struct
import zipfile
from contextlib import suppress

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mixer.tflite.file.structure import ARITY
from tests.fuzz.mutate import FLOATS, NUMBERS, TEXTS, damaged, of, other_json

CANNOT = (AttributeError, IndexError, OverflowError, TypeError, ValueError)
SHAPES = ((), (0,), (1,), (-1, 4), (1, 1, 1, 1), (1, 2**16, 2**16, 1), (2**31 - 1,), (1,) * 9)


def mutate(random, content):
    """Another file from a good one."""
    if random.random() < 0.1:
        return damaged(random, content)
    model = schema.ModelT.InitFromPackedBuf(content)
    tail = content[content.rindex(b"PK\3\4") :] if content.endswith(b"\0\0") else b""
    changes = of(random, (CHANGES, GENTLE))
    for _ in range(int(of(random, (1, 1, 1, 2, 3)))):
        with suppress(*CANNOT):  # the second change of what the first has taken away
            of(random, changes)(random, model)
    try:
        builder = flatbuffers.Builder(len(content))
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    except (*CANNOT, struct.error, flatbuffers.builder.BuilderSizeError):  # it cannot be written
        return damaged(random, content)
    packed = bytes(builder.Output())
    packed = packed if not tail or random.random() < 0.5 else packed + tail
    return damaged(random, packed) if random.random() < 0.03 else packed


def _graph(random, model):
    return of(random, model.subgraphs) if model.subgraphs else None


def _index(random, limit):
    """An index that is mostly in range."""
    return int(of(random, (random.integers(max(limit, 1)), -1, limit, limit + 1, *NUMBERS[-4:])))


def shape(random, model):
    tensor = _tensor(random, model)
    if tensor is None:
        return
    found = [] if tensor.shape is None else [int(n) for n in tensor.shape]
    kind = random.integers(4)
    if kind == 0 or not found:
        found = [*of(random, SHAPES)]
    elif kind == 1:
        found[random.integers(len(found))] = of(random, NUMBERS)
    elif kind == 2:
        found = found[::-1]
    else:
        found.append(of(random, (1, 2, 0)))
    field = of(random, ("shape", "shape", "shape", "shapeSignature"))
    setattr(tensor, field, np.array(found, np.int64).astype(np.int32))


def _tensor(random, model):
    graph = _graph(random, model)
    return of(random, graph.tensors) if graph and graph.tensors else None


def type_(random, model):
    tensor = _tensor(random, model)
    if tensor is not None:
        tensor.type = int(of(random, (*range(24), 24, 50, 127, -1)))


def buffer_of(random, model):
    tensor = _tensor(random, model)
    if tensor is not None:
        tensor.buffer = abs(_index(random, len(model.buffers)))


def variable(random, model):
    tensor = _tensor(random, model)
    if tensor is not None:
        tensor.isVariable = not tensor.isVariable


def scales(random, model):
    tensors = [t for graph in model.subgraphs for t in graph.tensors or ()]
    with_scales = [t for t in tensors if t.quantization and t.quantization.scale is not None]
    tensor = of(random, with_scales or tensors) if tensors else None
    if tensor is None:
        return
    kind = random.integers(6)
    if kind == 0:
        tensor.quantization = None
        return
    if tensor.quantization is None:
        tensor.quantization = schema.QuantizationParametersT()
    found = tensor.quantization
    size = 1 if found.scale is None else max(len(found.scale), 1)
    if kind == 1:
        found.scale = np.full(size, of(random, FLOATS), np.float32)
    elif kind == 2:
        found.scale = np.array(found.scale if found.scale is not None else [1.0], np.float32)
        if found.scale.size:
            found.scale[random.integers(found.scale.size)] = of(random, FLOATS)
    elif kind == 3:
        found.zeroPoint = np.full(size, of(random, (*NUMBERS, 2**40)), np.int64)
    elif kind == 4:
        found.quantizedDimension = of(random, NUMBERS)
    else:
        found.scale = np.ones(int(of(random, (0, 1, 2, 3, 1000))), np.float32)
        found.zeroPoint = np.zeros(int(of(random, (0, 1, 2, 3, found.scale.size))), np.int64)


def sparsity(random, model):
    tensor = _tensor(random, model)
    if tensor is None:
        return
    rank = 0 if tensor.shape is None else len(tensor.shape)
    found = schema.SparsityParametersT()
    found.traversalOrder = np.arange(rank, dtype=np.int32)
    found.dimMetadata = []
    for n in tensor.shape if rank else ():
        dimension = schema.DimensionMetadataT()
        dimension.format = int(random.integers(2))
        dimension.denseSize = int(n)
        if dimension.format:
            dimension.arraySegmentsType = dimension.arrayIndicesType = 1
            dimension.arraySegments = schema.Int32VectorT()
            dimension.arraySegments.values = random.integers(-1, 9, 5).astype(np.int32)
            dimension.arrayIndices = schema.Int32VectorT()
            dimension.arrayIndices.values = random.integers(-1, 9, 5).astype(np.int32)
        found.dimMetadata.append(dimension)
    tensor.sparsity = found


def data(random, model):
    buffer = of(random, model.buffers)
    kind = random.integers(5)
    if kind == 0 or buffer.data is None:
        buffer.data = np.frombuffer(random.bytes(int(of(random, (0, 1, 4, 16, 64)))), np.uint8)
    elif kind == 1:
        buffer.data = np.frombuffer(damaged(random, bytes(buffer.data)), np.uint8)
    elif kind == 2 and len(buffer.data) >= 4:  # sizes, axes, paddings, begins
        words = np.frombuffer(bytes(buffer.data)[: len(buffer.data) // 4 * 4], np.int32).copy()
        words[random.integers(words.size)] = of(random, NUMBERS)
        buffer.data = np.frombuffer(words.tobytes(), np.uint8)
    elif kind == 3:
        buffer.offset = abs(of(random, NUMBERS))
        buffer.size = abs(of(random, NUMBERS))
    else:
        value = np.array(of(random, FLOATS), np.float32).tobytes()
        buffer.data = np.frombuffer(value * (len(buffer.data) // 4), np.uint8)


def small_constants(random, model):
    """A shape, an axis or a padding becomes another: what ops take their sizes from."""
    for graph in model.subgraphs:
        small = [
            t
            for t in graph.tensors or ()
            if t.type in (2, 4) and model.buffers[t.buffer].data is not None
        ]
        if small:
            buffer = model.buffers[of(random, small).buffer]
            words = np.frombuffer(bytes(buffer.data)[: len(buffer.data) // 4 * 4], np.int32).copy()
            if words.size:
                words[random.integers(words.size)] = of(random, (*NUMBERS, *range(-5, 9)))
                buffer.data = np.frombuffer(words.tobytes(), np.uint8)


def _op(random, model):
    graph = _graph(random, model)
    return (graph, of(random, graph.operators)) if graph and graph.operators else (None, None)


def ends(random, model):
    graph, op = _op(random, model)
    if op is None:
        return
    field = of(random, ("inputs", "inputs", "outputs", "intermediates"))
    found = getattr(op, field)
    found = [] if found is None else [int(n) for n in found]
    kind, new = random.integers(5), _index(random, len(graph.tensors))
    if kind == 0 and found:
        found.pop(random.integers(len(found)))
    elif kind == 1:
        found.append(new)
    elif kind == 2 and len(found) > 1:
        found = found[::-1]
    elif kind == 3:
        found = []
    elif found:
        found[random.integers(len(found))] = new
    setattr(op, field, np.array(found, np.int64).astype(np.int32))


def opcode(random, model):
    _, op = _op(random, model)
    if op is not None:
        op.opcodeIndex = abs(_index(random, len(model.operatorCodes)))


def builtin(random, model):
    if model.operatorCodes:
        code = of(random, model.operatorCodes)
        if random.random() < 0.3:
            code.version = of(random, NUMBERS)
        else:
            number = int(random.integers(0, 215))
            code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)


def options(random, model):
    """A field of an op's options: strides, dilations, axes, subgraphs, activations."""
    _, op = _op(random, model)
    if op is None or op.builtinOptions is None or random.random() < 0.1:
        if op is not None:
            op.builtinOptions, op.builtinOptionsType = None, 0
        return
    fields = [*vars(op.builtinOptions)]
    if not fields:
        return
    field = of(random, fields)
    old = getattr(op.builtinOptions, field)
    new = of(random, NUMBERS)
    if isinstance(old, bool):
        new = not old
    elif isinstance(old, float):
        new = of(random, FLOATS)
    elif isinstance(old, np.ndarray):
        new = np.array([*old, new], np.int64).astype(np.int32)
    elif "padding" in field.lower() or "activation" in field.lower() or "type" in field.lower():
        new = int(of(random, (0, 1, 2, 3, 9, 127)))
    setattr(op.builtinOptions, field, new)


def other_options(random, model):
    """The options of another op."""
    _, op = _op(random, model)
    _, other = _op(random, model)
    if op is not None and other is not None:
        op.builtinOptions, op.builtinOptionsType = other.builtinOptions, other.builtinOptionsType


def graphs(random, model):
    kind = random.integers(5)
    if kind == 0:
        model.subgraphs = []
    elif kind == 1 and model.subgraphs:
        model.subgraphs.append(of(random, model.subgraphs))
    elif kind == 2 and len(model.subgraphs) > 1:
        model.subgraphs.pop(random.integers(len(model.subgraphs)))
    elif kind == 3 and model.subgraphs:
        graph = of(random, model.subgraphs)
        field = of(random, ("inputs", "outputs"))
        found = [] if getattr(graph, field) is None else [int(n) for n in getattr(graph, field)]
        found = of(random, ([], found * 2, [*found, _index(random, len(graph.tensors))]))
        setattr(graph, field, np.array(found, np.int64).astype(np.int32))
    elif model.subgraphs:
        graph = of(random, model.subgraphs)
        if graph.operators:
            i, j = random.integers(len(graph.operators), size=2)
            ops = graph.operators
            ops[i], ops[j] = ops[j], ops[i]


def lists(random, model):
    """Something is left out, or listed again and again."""
    graph = _graph(random, model)
    places = [(model, field) for field in ("buffers", "operatorCodes", "metadata", "signatureDefs")]
    places += [(graph, "tensors"), (graph, "operators")] if graph else []
    owner, field = of(random, places)
    found = getattr(owner, field)
    if found:
        i = int(random.integers(len(found)))
        again = found + [found[i]] * int(of(random, (1, 300)))
        other = of(random, ([], found[:i], found[i:], found[:i] + found[i + 1 :], again))
        setattr(owner, field, other)


def names(random, model):
    tensor = _tensor(random, model)
    if tensor is not None:
        tensor.name = of(
            random, (None, b"\xff\xfe", *(t.encode("utf-8", "replace") for t in TEXTS))
        )


def signatures(random, model):
    if model.signatureDefs:
        signature = of(random, model.signatureDefs)
        signature.subgraphIndex = abs(of(random, NUMBERS))
        for each in signature.inputs or ():
            each.tensorIndex = abs(of(random, NUMBERS))


def metadata(random, model):
    """The bytes of a metadata entry, or its buffer."""
    if not model.metadata:
        return
    entry = of(random, model.metadata)
    if random.random() < 0.2:
        entry.buffer = abs(_index(random, len(model.buffers)))
        return
    buffer = model.buffers[entry.buffer]
    if buffer.data is None:
        return
    content = bytes(buffer.data)
    if content[:1] == b"{":
        content = json.dumps(other_json(random, json.loads(content))).encode()
    elif random.random() < 0.5:  # its numbers are floats of 4 bytes
        words = np.frombuffer(content[: len(content) // 4 * 4], np.float32).copy()
        words[random.integers(words.size)] = of(random, FLOATS)
        content = words.tobytes()
    else:
        content = damaged(random, content)
    buffer.data = np.frombuffer(content, np.uint8)


def wire(random, model):
    """An op reads another tensor of the same type that is known before it."""
    graph, op = _op(random, model)
    inputs = [int(n) for n in op.inputs]
    place = random.integers(len(inputs))
    before = graph.operators[: graph.operators.index(op)]
    known = {*graph.inputs} | {n for each in before for n in each.outputs}
    known |= {i for i, t in enumerate(graph.tensors) if model.buffers[t.buffer].data is not None}
    kind = graph.tensors[inputs[place]].type
    inputs[place] = of(random, sorted(int(n) for n in known if graph.tensors[n].type == kind))
    op.inputs = np.array(inputs, np.int32)


def kin(random, model):
    """An op becomes another that takes and gives as many tensors, with that one's options."""
    _, op = _op(random, model)
    count, results = len(op.inputs), len(op.outputs)
    kinds = [
        kind
        for kind, (low, high, outputs) in ARITY.items()
        if low <= count <= high and outputs in (None, results)
    ]
    code, kind = schema.OperatorCodeT(), of(random, kinds)
    code.builtinCode, code.version = getattr(schema.BuiltinOperator, kind), 1
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    op.opcodeIndex = len(model.operatorCodes)
    model.operatorCodes.append(code)
    wanted = f"{kind.replace('_', '')}OPTIONS"
    named = [name for name in vars(schema.BuiltinOptions) if name.upper() == wanted]
    op.builtinOptions, op.builtinOptionsType = None, 0
    if named:
        op.builtinOptions = getattr(schema, f"{named[0]}T")()
        op.builtinOptionsType = getattr(schema.BuiltinOptions, named[0])


def small_options(random, model):
    """A number of an op's options becomes another small one, or an enumeration's."""
    _, op = _op(random, model)
    field = of(random, [*vars(op.builtinOptions)])
    old = getattr(op.builtinOptions, field)
    if isinstance(old, np.ndarray):
        new = random.integers(-1, 5, len(old)).astype(np.int32)
    elif isinstance(old, bool):
        new = not old
    else:
        new = of(random, (0, 0.5, 2.0, 1e3) if isinstance(old, float) else range(-1, 6))
    setattr(op.builtinOptions, field, new)


def sizes(random, model):
    """A tensor has another shape of as many elements; ops' results are sized anew by LiteRT."""
    tensor = _tensor(random, model)
    found = [int(n) for n in tensor.shape]
    kind = random.integers(4)
    if kind == 0:
        random.shuffle(found)
    elif kind == 1:
        found = [*found[:-1], 1, found[-1]] if found else [1]
    elif kind == 2 and len(found) > 1:
        found = [found[0] * found[1], *found[2:]]
    elif model.buffers[tensor.buffer].data is None:
        found[random.integers(len(found))] = int(random.integers(1, 40))
    tensor.shape, tensor.shapeSignature = np.array(found, np.int32), None


def good_scales(random, model):
    """Scales and zero points become others of their range."""
    found = [t.quantization for graph in model.subgraphs for t in graph.tensors]
    chosen = of(random, [q for q in found if q and q.scale is not None])
    factor = of(random, (1e-20, 1e-6, 0.01, 0.5, 2, 100, 1e6, 1e15))
    chosen.scale = np.clip(np.float32(chosen.scale) * np.float32(factor), 1e-30, 1e18)
    chosen.zeroPoint = np.full(len(chosen.scale), of(random, (0, 0, 1, -128, 127)), np.int64)


def weights(random, model):
    """Constants become other numbers, as many."""
    buffer = of(random, [b for b in model.buffers if b.data is not None and len(b.data)])
    kind = random.integers(3)
    if kind == 0:
        buffer.data = np.frombuffer(random.bytes(len(buffer.data)), np.uint8)
    elif kind == 1:
        buffer.data = np.full(len(buffer.data), of(random, (0, 1, 127, 128, 255)), np.uint8)
    elif len(buffer.data) % 4 == 0:
        count = len(buffer.data) // 4
        numbers = random.integers(-3, 9, count).astype(of(random, (np.int32, np.float32)))
        buffer.data = np.frombuffer(numbers.tobytes(), np.uint8)


CHANGES = (
    *(shape, shape, type_, buffer_of, variable, scales, scales, scales, sparsity, data, data),
    *(small_constants, small_constants, ends, ends, ends, opcode, builtin, options, options),
    *(other_options, graphs, lists, names, signatures, metadata),
)
# What leaves the structure as it is, so that LiteRT itself sees most of these files.
GENTLE = (wire, wire, kin, kin, small_options, small_constants, sizes, sizes, good_scales, weights)


def mutate_metadata(random, content):
    """Only what metadata say, and the ZIP of labels."""
    model = schema.ModelT.InitFromPackedBuf(content)
    if random.random() < 0.7:
        metadata(random, model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    file = io.BytesIO(bytes(builder.Output()))
    lines = [of(random, TEXTS) for _ in range(int(of(random, (0, 1, 6, 7, 7, 7, 8))))]
    text = of(random, ("\n", "\r\n", "\r", "")).join(lines) + of(random, ("", "\n", "\n\n"))
    content = text.encode("utf-8", "surrogatepass")
    if random.random() < 0.05:
        content = b"\n" * 30_000_000
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(of(random, ("labels.txt", "labels.txt", "labels.txt", "x")), content)
    found = file.getvalue()
    return damaged(random, found) if random.random() < 0.3 else found
