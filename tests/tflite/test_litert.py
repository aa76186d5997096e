"""What we use of LiteRT's and its quantiser's undocumented API means what we take it for.

When one of these fails after an upgrade of ai-edge-litert or litert-quantizer, mend
keras_mixer/tflite/_litert.py first.
"""

import ast

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_mixer.tflite import _litert
from keras_mixer.tflite.convert.float_file import to_float
from keras_mixer.tflite.file.interpreter import open_interpreter
from tests.conftest import ROOT

MEND = "LiteRT or its quantiser has moved or changed a name: mend keras_mixer/tflite/_litert.py"


@pytest.fixture(scope="module")
def content():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6, name="first"),
            keras.layers.Reshape((2, 3)),
            keras.layers.Dense(200, name="second"),
        ]
    )
    return to_float(model, (4,))


def names_in(file):
    """Names of modules and attributes that a file uses, not those in its texts."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and node.value == "_get_ops_details":
            yield node.value


def test_undocumented_names_are_in_one_module():
    def is_private(name):
        public = name.startswith("ai_edge_litert.interpreter.")
        litert = name.startswith(("ai_edge_litert.", "litert_quantizer."))
        return (litert and not public) or name == "_get_ops_details"

    files = (ROOT / "keras_mixer").rglob("*.py")
    assert [f.name for f in files if any(map(is_private, names_in(f)))] == ["_litert.py"]


def test_ops_are_told_in_order_with_the_indices_of_their_tensors(content):
    interpreter = Interpreter(model_content=content)
    ops = _litert.op_details(interpreter)
    assert ops is not None, MEND
    assert [op["op_name"] for op in ops] == ["FULLY_CONNECTED", "RESHAPE", "FULLY_CONNECTED"], MEND
    [image], [scores] = interpreter.get_input_details(), interpreter.get_output_details()
    assert ops[0]["inputs"][0] == image["index"], MEND
    assert ops[0]["outputs"][0] == ops[1]["inputs"][0], MEND
    assert [*ops[-1]["outputs"]] == [scores["index"]], MEND


def test_each_xnnpack_partition_is_an_op_behind_the_others(content):
    interpreter = open_interpreter(content)
    kinds = [op["op_name"] for op in _litert.op_details(interpreter)]
    assert kinds == ["FULLY_CONNECTED", "RESHAPE", "FULLY_CONNECTED", "DELEGATE"], MEND
    watched = open_interpreter(content, preserve_tensors=True)
    assert "DELEGATE" not in [op["op_name"] for op in _litert.op_details(watched)], MEND


def test_the_schema_reads_a_file_and_writes_it_again(content):
    schema = _litert.schema()
    names = "Model ModelT BufferT MetadataT BuiltinOperator TensorType"
    for name in (*names.split(), "BlockwiseQuantization", "QuantizationDetails"):
        assert hasattr(schema, name), f"{MEND}; schema_py_generated has no {name}"
    model = schema.ModelT.InitFromPackedBuf(content)
    read = schema.Model.GetRootAs(content, 0)
    assert len(model.subgraphs) == read.SubgraphsLength() == 1, MEND
    assert len(model.buffers) == read.BuffersLength(), MEND
    assert {"offset", "data"} <= {*vars(model.buffers[0])}, MEND


def quantised(content, choose, ranges=None):
    quantizer = _litert.Quantizer(content)
    choose(quantizer)
    return quantizer.quantise(ranges)


def kernels(content):
    """Type of each dense layer's kernel, in order."""
    interpreter = Interpreter(model_content=content)
    kinds = {t["index"]: t["dtype"].__name__ for t in interpreter.get_tensor_details()}
    ops = _litert.op_details(interpreter)
    return [kinds[op["inputs"][1]] for op in ops if op["op_name"] == "FULLY_CONNECTED"]


def test_quantised_weights_are_inside_the_flatbuffer(content):
    file = quantised(content, lambda q: q.dynamic("FULLY_CONNECTED", 8))
    assert kernels(file) == ["int8", "int8"], MEND
    model = _litert.schema().ModelT.InitFromPackedBuf(file)
    assert all(buffer.offset <= 1 for buffer in model.buffers), MEND


def test_an_op_is_kept_in_float_by_the_name_of_its_output(content):
    made = _litert.op_details(interpreter := Interpreter(model_content=content))[0]["outputs"][0]
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}

    def choose(quantizer):
        quantizer.dynamic("FULLY_CONNECTED", 8)
        quantizer.keep_float(names[made])

    assert kernels(quantised(content, choose)) == ["float32", "int8"], MEND


def test_float16_weights_are_dequantised_before_they_are_used(content):
    file = quantised(content, lambda q: q.float16("FULLY_CONNECTED"))
    tensors = Interpreter(model_content=file).get_tensor_details()
    assert "float16" in {tensor["dtype"].__name__ for tensor in tensors}, MEND
    assert kernels(file) == ["float32", "float32"], MEND


@pytest.mark.parametrize("bits", [8, 16])
def test_ranges_by_name_become_scales(content, bits):
    tensors = Interpreter(model_content=content).get_tensor_details()
    ranges = {tensor["name"]: (np.float32(-2), np.float32(2)) for tensor in tensors}
    file = quantised(content, lambda q: q.static(_litert.EVERY_OP, bits, 8), ranges)
    [scores] = Interpreter(model_content=file).get_output_details()
    assert scores["dtype"] == {8: np.int8, 16: np.int16}[bits], MEND
    assert scores["quantization"][0] == pytest.approx(4 / 2**bits, rel=0.01), MEND


def test_inputs_and_outputs_stay_in_float_if_they_are_told_to(content):
    tensors = Interpreter(model_content=content).get_tensor_details()
    ranges = {tensor["name"]: (np.float32(-2), np.float32(2)) for tensor in tensors}

    def choose(quantizer):
        quantizer.static(_litert.EVERY_OP, 8, 8)
        quantizer.keep_float_inputs_and_outputs()

    interpreter = Interpreter(model_content=quantised(content, choose, ranges))
    [image], [scores] = interpreter.get_input_details(), interpreter.get_output_details()
    assert image["dtype"] == scores["dtype"] == np.float32, MEND
