"""The float32 `.tflite` -> what a recipe makes of it, by litert-quantizer."""

import io
import re
import warnings
from collections import defaultdict
from contextlib import redirect_stderr

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from litert_quantizer import qtyping, quantizer

# What multiplies by weights: the only ops that the recipes which are not for every op touch.
DENSE = "FULLY_CONNECTED"
PRODUCTS = DENSE, "CONV_2D", "DEPTHWISE_CONV_2D", "BATCH_MATMUL"
EVERY = "*"
BITS = {"int4": 4, "int8": 8, "int16": 16}
CHANNELWISE = qtyping.QuantGranularity.CHANNELWISE
FLOAT = quantizer.AlgorithmName.NO_QUANTIZE


def quantise(content, recipe, ranges=None, *, keep_float=(), integer_ends=False):
    """The bytes of a file with its numbers as a recipe says.

    Args:
        content: The float32 file.
        recipe: A `Recipe` other than `float32`.
        ranges: For a calibrated recipe, tensor name -> (minimum, maximum).
        keep_float: Names of tensors; the ops that make them stay in float32.
        integer_ends: Whether input and output are integers too, in recipes for every op.
    """
    tool = quantizer.Quantizer(content)
    for op in _ops(recipe):
        _add(tool, op, recipe)
    if recipe.every_op and not integer_ends:
        for end in ("INPUT", "OUTPUT"):
            tool.update_quantization_recipe(".*", end, algorithm_key=FLOAT)
    for name in keep_float:
        # litert-quantizer looks for the pattern anywhere in the names of an op's outputs.
        tool.update_quantization_recipe(f"^{re.escape(name)}(;|$)", EVERY, algorithm_key=FLOAT)
    found = None
    if ranges is not None:
        limits = _saturating(content, BITS[recipe.activations])
        found = {}
        for name, ends in ranges.items():
            limit = limits.get(name, np.inf)
            low, high = np.clip(np.float32(ends), -limit, limit)
            found[name] = {"min": low.reshape(1, 1), "max": high.reshape(1, 1)}
    with redirect_stderr(io.StringIO()), warnings.catch_warnings():
        # It draws a bar, asked for or not, and LiteRT warns it of the memory that it takes.
        warnings.simplefilter("ignore", UserWarning)
        try:
            done = tool.quantize(found, enable_progress_bar=False, enable_progress_report=False)
        except ValueError as error:
            raise ValueError(
                f"convert with recipe '{recipe.name}': litert-quantizer cannot quantise an op of "
                f"this model: {error} Keep the layers around it in float32 with keep_float= "
                "(--keep-float), or take recipe 'static_int8' or 'dynamic_int8'."
            ) from error
    # It puts large weights behind the flatbuffer, where not every reader looks for them.
    whole = flatbuffer_utils.read_model_from_bytearray(done.quantized_model)
    for buffer in whole.buffers:
        if buffer.data is not None:  # other than an array it would be packed byte by byte
            buffer.data = np.frombuffer(buffer.data, np.uint8)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(whole))


def outputs_of(content, kinds=None):
    """Names of the tensors that a file's ops of some kinds make, or all of them."""
    return {made["name"] for kind, made, _ in ops_of(content) if kinds is None or kind in kinds}


def odd_products(content, but=()):
    """Dense layers that XNNPACK cannot run in int4: name of the output -> odd number of inputs."""
    widths = {made["name"]: i[1]["shape"][-1] for kind, made, i in ops_of(content) if kind == DENSE}
    return {name: int(n) for name, n in widths.items() if n % 2 and name not in but}


def ops_of(content):
    """Kind, details of the output and of the inputs of each op of a file."""
    interpreter = Interpreter(model_content=content)
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    for op in interpreter._get_ops_details():
        inputs = [details.get(index) for index in op["inputs"]]
        made = [index for index in op["outputs"] if index >= 0]
        if made:
            yield op["op_name"], details[made[0]], inputs


def constants_of(content, kinds):
    """Yields the constant inputs of ops of some kinds: name of the op's output and the array."""
    interpreter = Interpreter(model_content=content)
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    for op in interpreter._get_ops_details():
        if op["op_name"] in kinds:
            for index in op["inputs"][1:]:
                if index >= 0:
                    try:
                        values = interpreter.get_tensor(index)
                    except ValueError:  # no constant
                        continue
                    yield details[op["outputs"][0]]["name"], values


def _saturating(content, bits):
    """What only a sigmoid takes -> the size beyond which that is within half a step of 0 or 1."""
    limit = np.log(2.0 ** (bits + 1))
    takers = defaultdict(list)
    for kind, _, inputs in ops_of(content):
        for tensor in filter(None, inputs):
            takers[tensor["name"]].append(kind)
    return {name: limit for name, kinds in takers.items() if kinds == ["LOGISTIC"]}


def _ops(recipe):
    return [EVERY] if recipe.every_op else PRODUCTS


def _add(tool, op, recipe):
    if recipe.weights == "float16":
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
        if op != "BATCH_MATMUL":  # which has no such form
            key = quantizer.AlgorithmName.FLOAT_CASTING
            tool.update_quantization_recipe(".*", op, config, algorithm_key=key)
    elif recipe.calibrated:
        tool.add_static_config(".*", op, BITS[recipe.activations], BITS[recipe.weights])
    else:
        # XNNPACK has convolutions with int8 kernels only.
        bits = BITS[recipe.weights] if op == DENSE else 8
        tool.add_dynamic_config(".*", op, bits, CHANNELWISE)
