"""Reads the content of any `.tflite` file."""

from collections import Counter

from keras_mixer._extras import needs
from keras_mixer._text import one_line
from keras_mixer._types import Tflite
from keras_mixer.tflite._litert import op_details
from keras_mixer.tflite.file.content import associated_files, content_of
from keras_mixer.tflite.file.graphs import graphs_in, numbers, text
from keras_mixer.tflite.file.inspection import Inspection, Op, Tensor, Weights
from keras_mixer.tflite.file.metadata import metadata_in
from keras_mixer.tflite.file.precision import computes_in_float16
from keras_mixer.tflite.file.runtimes import needed_by
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
        graphs = graphs_in(content)
    except UNREADABLE as error:
        raise ValueError(f"{name} cannot be read: {error}.") from None
    sizes, delegated = partitions(nodes)
    main = graphs[0]
    return Inspection(
        bytes=len(content),
        inputs=tuple(_tensor(main, i) for i in main.inputs),
        outputs=tuple(_tensor(main, i) for i in main.outputs),
        subgraphs=len(graphs),
        ops=_ops(graphs, delegated),
        partitions=sizes,
        problem=problem,
        weights=_weights(graphs),
        metadata=metadata,
        files=associated_files(content),
        runtimes=needed_by(graphs),
        float16=computes_in_float16(content),
    )


def _tensor(graph, index):
    tensor = graph.tensors[index]
    signature = numbers(tensor.ShapeSignatureAsNumpy())
    scale, zero_point = None, None
    quantisation = tensor.Quantization()
    if quantisation and quantisation.ScaleLength() == 1:
        scale = float(quantisation.Scale(0))
        zero_point = quantisation.ZeroPoint(0) if quantisation.ZeroPointLength() else 0
    return Tensor(
        name=text(tensor.Name()),
        dtype=graph.dtype(index),
        shape=signature or numbers(tensor.ShapeAsNumpy()),
        scale=scale,
        zero_point=zero_point,
    )


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
        for i, (name, _, inputs) in enumerate(graph.ops):
            kind = (name, *graph.types(inputs))
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
