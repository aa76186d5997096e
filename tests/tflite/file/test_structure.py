"""Files on which LiteRT would crash are refused before it sees them; good ones are not."""

import contextlib
import re

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_mixer.tflite import RECIPES, Classifier, Metadata, inspect, read_metadata, with_metadata
from keras_mixer.tflite.file.structure import check_structure
from keras_mixer.tflite.file.trial import tried
from tests.cases import CASES
from tests.tflite.files import tiny_file

CASE = CASES[0].but(depth=1)


@pytest.fixture(scope="module")
def files():
    return {recipe: tiny_file(recipe) for recipe in RECIPES}


def changed(content, change):
    """A file after `change(model, main subgraph)`."""
    model = schema.ModelT.InitFromPackedBuf(content)
    change(model, model.subgraphs[0])
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def put_at(owner, field, place, value):
    """Changes one number of a vector; those that are read from a file cannot be written."""
    numbers = getattr(owner, field).copy()
    numbers[place] = value
    setattr(owner, field, numbers)


def kind_of(model, op):
    code = model.operatorCodes[op.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def first(model, kind):
    """The first op of a kind."""
    number = getattr(schema.BuiltinOperator, kind)
    return next(op for op in model.subgraphs[0].operators if kind_of(model, op) == number)


def constant(model):
    """The first constant of float32, in a float file."""
    graph = model.subgraphs[0]
    stored = [t for t in graph.tensors if model.buffers[t.buffer].data is not None]
    return next(t for t in stored if t.type == schema.TensorType.FLOAT32 and t.shape is not None)


def scale(value, kind="FULLY_CONNECTED"):
    def change(model, graph):
        output = graph.tensors[int(first(model, kind).outputs[0])]
        put_at(output.quantization, "scale", 0, value)

    return change


def put(field, value):
    """A change of one field of the first constant."""
    return lambda model, graph: setattr(constant(model), field, value)


def input_of(kind, place, value):
    def change(model, graph):
        put_at(first(model, kind), "inputs", place, value)

    return change


def written_twice(model, graph):
    put_at(graph.operators[1], "outputs", 0, graph.operators[0].outputs[0])


def constant_written(model, graph):
    put_at(graph.operators[0], "outputs", 0, graph.tensors.index(constant(model)))


def read_before_it_is_set(model, graph):
    graph.operators[0], graph.operators[-1] = graph.operators[-1], graph.operators[0]


def one_buffer_short(model, graph):
    constant(model).buffer = len(model.buffers)


def sparse(indices, segments=(0, 3)):
    """Weights of three numbers, all of the first output."""

    def change(model, graph):
        weights = graph.tensors[int(first(model, "FULLY_CONNECTED").inputs[1])]
        rows, columns = schema.DimensionMetadataT(), schema.DimensionMetadataT()
        rows.denseSize = int(weights.shape[0])
        columns.format = schema.DimensionType.SPARSE_CSR
        columns.arraySegmentsType = columns.arrayIndicesType = schema.SparseIndexVector.Int32Vector
        columns.arraySegments, columns.arrayIndices = schema.Int32VectorT(), schema.Int32VectorT()
        ends = [*segments, *[segments[-1]] * (rows.denseSize - 1)]
        columns.arraySegments.values = np.array(ends, np.int32)
        columns.arrayIndices.values = np.array(indices, np.int32)
        weights.sparsity = schema.SparsityParametersT()
        weights.sparsity.traversalOrder = np.arange(2, dtype=np.int32)
        weights.sparsity.dimMetadata = [rows, columns]
        model.buffers[weights.buffer].data = np.ones(3, np.float32).view(np.uint8)

    return change


def without_scale(model, graph):
    graph.tensors[int(first(model, "FULLY_CONNECTED").inputs[1])].quantization = None


def more_scales(model, graph):
    found = graph.tensors[int(first(model, "FULLY_CONNECTED").inputs[1])].quantization
    found.scale, found.zeroPoint = np.ones(3, np.float32), np.zeros(3, np.int64)


def points_elsewhere(model, graph):
    found = graph.tensors[int(first(model, "FULLY_CONNECTED").inputs[1])].quantization
    found.quantizedDimension = 7


def other_type(model, graph):
    graph.tensors[int(first(model, "SUB").outputs[0])].type = schema.TensorType.COMPLEX64


def variable_written(model, graph):
    graph.tensors[int(graph.operators[0].outputs[0])].isVariable = True


def no_graph(model, graph):
    model.subgraphs = []


def one_input(model, graph):
    op = first(model, "FULLY_CONNECTED")
    op.inputs = op.inputs[:1]


def no_such_opcode(model, graph):
    graph.operators[0].opcodeIndex = 99


def no_such_output(model, graph):
    put_at(graph, "outputs", 0, 10**6)


def activation(model, graph):
    first(model, "MUL").builtinOptions.fusedActivationFunction = 9


def new_shape(*sizes):
    def change(model, graph):
        tensor = graph.tensors[int(first(model, "RESHAPE").inputs[1])]
        tensor.shape = np.array([len(sizes)], np.int32)
        model.buffers[tensor.buffer].data = np.array(sizes, np.int32).view(np.uint8)

    return change


def become(name, options=None):
    """A change of the first op of two inputs into another kind."""

    def change(model, graph):
        op, code = first(model, "RESHAPE"), schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        op.opcodeIndex, op.builtinOptionsType, op.builtinOptions = len(model.operatorCodes), 0, None
        model.operatorCodes.append(code)
        if options:
            op.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            op.builtinOptions = getattr(schema, f"{options}T")()

    return change


def scale_for_each_channel(model, graph):
    output = graph.tensors[int(first(model, "ADD").outputs[0])]
    found, count = output.quantization, max(output.shape)
    found.scale, found.zeroPoint = np.ones(count, np.float32), np.zeros(count, np.int64)
    found.quantizedDimension = [*output.shape].index(count)


def weights_of_another_shape(model, graph):
    unpacked = graph.tensors[int(first(model, "DEQUANTIZE").inputs[0])]
    unpacked.shape = np.array([np.prod(unpacked.shape)], np.int32)


def metadata_elsewhere(model, graph):
    model.metadata[0].buffer = 10**6


def huge(model, graph):
    graph.tensors[int(graph.operators[0].outputs[0])].shape = np.array([2**20, 2**9], np.int32)


def as_another_op(model, graph):
    code = model.operatorCodes[first(model, "FULLY_CONNECTED").opcodeIndex]
    code.builtinCode = schema.BuiltinOperator.SPLIT
    code.deprecatedBuiltinCode = schema.BuiltinOperator.SPLIT


BROKEN = [  # recipe, change, what is wrong
    ("float32", no_graph, "no subgraph"),
    ("float32", input_of("FULLY_CONNECTED", 0, -1), "leaves out an input"),
    ("float32", input_of("FULLY_CONNECTED", 1, 10**6), "tensor that does not exist"),
    ("float32", one_input, "has 1 inputs and 1 outputs"),
    ("float32", no_such_opcode, "of a kind that the file does not list"),
    ("float32", no_such_output, "input or output that does not exist"),
    ("float32", written_twice, "writes tensor .* which is set"),
    ("float32", constant_written, "writes tensor .* which is set"),
    ("float32", variable_written, "writes tensor .* which is set"),
    ("float32", read_before_it_is_set, "before it is set"),
    ("float32", one_buffer_short, "a buffer that does not exist"),
    ("float32", metadata_elsewhere, "metadata entry 0"),
    ("float32", put("shape", np.array([-1, 2], np.int32)), r"the shape \[-1, 2\]"),
    ("float32", put("shape", np.array([2**16, 2**16], np.int32)), r"the shape \[65536, 65536\]"),
    ("float32", put("shape", np.array([5], np.int32)), "bytes stored and needs 20"),
    ("float32", put("shapeSignature", np.ones(9, np.int32)), "signature of different rank"),
    ("float32", put("type", 99), "unknown type"),
    ("float32", put("name", b"\xff"), "not UTF-8"),
    ("float32", huge, "bytes of memory"),
    ("float32", become("IF", "IfOptions"), "calls itself"),
    ("float32", become("IF"), "does not say which subgraph"),
    ("float32", become("SPLIT", "SplitOptions"), "1 outputs, and another number"),
    ("float16", weights_of_another_shape, "a constant input and an output of different shapes"),
    ("int8", scale_for_each_channel, "a scale for each channel"),
    ("float32", as_another_op, "inputs and 1 outputs|options of another kind"),
    ("float32", activation, "FusedActivationFunction 9"),
    *(("float32", new_shape(*n), "an invalid new shape") for n in ((1, -2), (-1, -1), (1,) * 9)),
    ("float32", sparse([0, 1, 99]), "indices outside their dimension"),
    ("float32", sparse([0, 1]), "indices outside their dimension"),
    ("float32", sparse([0, 1], (0, 2)), "12 bytes stored for 2 numbers"),
    ("float32", sparse([0, 1, 2], (5, 3)), "indices outside their dimension"),
    *(("int8", scale(value), "a scale that") for value in (0, -1, np.nan, np.inf, 1e-40, 1e30)),
    *((recipe, scale(1e-12, "ADD"), "scales whose ratio") for recipe in ("int8", "int16x8")),
    ("int8", scale(1e-12), "scales whose ratio"),
    ("int8", without_scale, "needs a scale"),
    ("int8", more_scales, "3 scales and the shape"),
    ("int8", points_elsewhere, "along axis 7"),
    ("int8", other_type, "different types"),
]


@pytest.mark.parametrize(("recipe", "change", "problem"), BROKEN)
def test_a_file_on_which_litert_could_crash_is_one_line_that_names_it(
    files, recipe, change, problem, tmp_path
):
    path = tmp_path / "broken.tflite"
    path.write_bytes(changed(files[recipe], change))
    refusal = rf"^.*broken\.tflite does not load, its structure is damaged: .*({problem}).*\.$"
    for read in (inspect, read_metadata, Classifier):
        with pytest.raises(ValueError, match=refusal) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_sparse_weights_are_sound(files):
    check_structure("the file", changed(files["float32"], sparse([0, 1, 3])))


def test_the_file_of_every_recipe_is_sound(files):
    for recipe, content in files.items():
        check_structure(recipe, content)


def converted(function, *specs):
    import tensorflow as tf

    module = tf.Module()
    module.total = function.total = tf.Variable(tf.zeros((1, 4)))
    function = tf.function(function, input_signature=[tf.TensorSpec(*spec) for spec in specs])
    concrete = [function.get_concrete_function()]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(concrete, module)
    converter.experimental_enable_resource_variables = True
    return converter.convert()


def loop_with_condition(tf):
    def body(i, y):
        return i + 1, tf.cond(y[0, 0] > 0, lambda: y * 2, lambda: y - 1)

    return lambda x: tf.while_loop(lambda i, y: i < 5, body, (0, x))[1]


def of_many_kinds(tf):
    def function(x):
        parts = [tf.cumsum(x), tf.pad(x, [[1, 1], [0, 0]]), tf.reverse(x, [0]), tf.tile(x, [2, 1])]
        parts += [tf.one_hot(tf.argmax(x, 1), 4), tf.zeros((0, 4)), tf.roll(x, 1, 0)]
        return tf.concat(parts, 0), tf.abs(tf.signal.rfft(tf.pad(x, [[0, 0], [0, 4]])))

    return function


def with_a_variable(tf):
    def function(x):
        return function.total.assign_add(x) * 2

    return function


def recurrent(tf):
    cell = tf.keras.layers.LSTM(3, unroll=False)
    cell.build((1, 1, 4))
    return lambda x: cell(x[:, None])


@pytest.mark.parametrize(
    "function",
    [
        loop_with_condition,
        of_many_kinds,
        with_a_variable,
        recurrent,
        lambda tf: lambda x: tf.gather(tf.constant(["a", "bcd", ""]), tf.argmax(x, -1)),
        lambda tf: lambda x: (x, x),
    ],
)
def test_the_files_of_others_are_sound(function):
    import tensorflow as tf

    check_structure("the file", converted(function(tf), ((1, 4), tf.float32)))


def test_sizes_that_may_change_and_unknown_ranks_are_sound():
    import tensorflow as tf

    check_structure("the file", converted(lambda x: tf.reshape(x, [-1]) * 2, (None, tf.float32)))


class OneLineError(Exception):
    """An error of ours in one line."""


@contextlib.contextmanager
def one_line_of_ours():
    try:
        yield
    except ValueError as error:
        if re.fullmatch("the file does not load(, its structure is damaged|; .*): .+", str(error)):
            raise OneLineError from error
        raise


@pytest.mark.parametrize("seed", range(40))
def test_any_damaged_bytes_are_an_answer_or_an_error_of_one_line(files, seed):
    random = np.random.default_rng(seed)
    content = bytearray(files["int8"])
    for place in random.integers(len(content) // 3, size=20):
        content[place] = random.integers(256)
    with contextlib.suppress(OneLineError), one_line_of_ours():
        check_structure("the file", bytes(content))


def test_names_that_a_file_gives_again_and_again_are_too_many():
    """Tensors that are one table in the file, with a name of 100 KB: 100 MB of names."""
    builder = flatbuffers.Builder()
    name = builder.CreateString("x" * 10**5)
    schema.TensorStart(builder)
    schema.TensorAddName(builder, name)
    tensor = schema.TensorEnd(builder)
    schema.SubGraphStartTensorsVector(builder, 1000)
    for _ in range(1000):
        builder.PrependUOffsetTRelative(tensor)
    tensors = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graph = schema.SubGraphEnd(builder)
    schema.ModelStartSubgraphsVector(builder, 1)
    builder.PrependUOffsetTRelative(graph)
    graphs = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    with pytest.raises(ValueError, match="more names and numbers than fit into it"):
        check_structure("the file", bytes(builder.Output()))


def test_a_crash_in_another_process_is_an_error_here(files):
    """The check of the structure is passed over, to have a file that ends LiteRT."""
    broken = changed(files["float32"], as_another_op)
    with pytest.raises(ValueError, match=r"LiteRT crashed \(SIG\w+\) loading x; do not ship it"):
        tried("x", broken, run=False)


def test_a_file_that_never_ends_is_an_error_here(files, monkeypatch):
    monkeypatch.setattr("keras_mixer.tflite.file.trial.SECONDS", 1e-3)
    with pytest.raises(ValueError, match=r"LiteRT has not finished loading x after 0\.001 s"):
        tried("x", files["float32"], run=False)


def test_an_untrusted_file_gives_what_it_gives_else(files):
    content = with_metadata(files["int8"], Metadata("Letters", input_range=(-1, 1)))
    assert inspect(content, untrusted=True) == inspect(content)
    image = CASE.images(1)[0]
    assert Classifier(content, untrusted=True)(image) == Classifier(content)(image)


def test_a_file_that_litert_refuses_is_told_so_from_another_process(files):
    def change(model, graph):
        code = model.operatorCodes[0]
        code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM, 32
        code.customCode = b"Unheard"

    unheard = changed(files["float32"], change)
    assert "Unheard" in inspect(unheard, untrusted=True).problem
    with pytest.raises(ValueError, match=r"The model does not load: .*Unheard"):
        Classifier(unheard, input_range=(0, 1))
