"""The float32 `.tflite` -> the same file with its numbers stored and computed as a recipe says."""

from collections import defaultdict

import numpy as np

from keras_mixer.tflite._litert import EVERY_OP, Quantizer
from keras_mixer.tflite.file.ops import ops_of

# Ops that multiply by weights. Recipes that are not for every op quantise these only.
DENSE = "FULLY_CONNECTED"
MATMULS = DENSE, "CONV_2D", "DEPTHWISE_CONV_2D", "BATCH_MATMUL"
BITS = {"int4": 4, "int8": 8, "int16": 16}


def quantise(content, recipe, ranges=None, *, keep_float=(), integer_io=False):
    """The bytes of a file, quantised with a recipe.

    Args:
        content: The float32 file.
        recipe: A `QuantizationRecipe` other than `float32`.
        ranges: For a calibrated recipe, tensor name -> (minimum, maximum).
        keep_float: Names of tensors; the ops whose outputs they are stay in float32.
        integer_io: Whether the input and output tensors are integers too, in recipes for every
            op.

    Raises:
        ValueError: The quantiser cannot quantise an op of the file.
    """
    quantizer = Quantizer(content)
    for op in [EVERY_OP] if recipe.every_op else MATMULS:
        _select(quantizer, op, recipe)
    if recipe.every_op and not integer_io:
        quantizer.keep_float_inputs_and_outputs()
    for name in keep_float:
        quantizer.keep_float(name)
    found = None
    if ranges is not None:
        limits = _saturating(content, BITS[recipe.activations])
        found = {}
        for name, extremes in ranges.items():
            limit = limits.get(name, np.inf)
            found[name] = np.clip(np.float32(extremes), -limit, limit)
    try:
        return quantizer.quantise(found)
    except ValueError as error:
        raise ValueError(
            f"convert with recipe '{recipe.name}': litert-quantizer cannot quantise an op of "
            f"this model: {error} Keep the layers around it in float32 with keep_float= "
            "(--keep-float), or take recipe 'static_int8' or 'dynamic_int8'."
        ) from error


def odd_widths(content, but=()):
    """Dense layers that XNNPACK cannot run in int4: name of the output -> odd number of inputs.

    Args:
        content: The float32 file.
        but: Names of outputs to leave out.
    """
    widths = {made["name"]: i[1]["shape"][-1] for kind, made, i in ops_of(content) if kind == DENSE}
    return {name: int(n) for name, n in widths.items() if n % 2 and name not in but}


def _saturating(content, bits):
    """Tensors that only a sigmoid takes -> the size from which it is half a step from 0 or 1."""
    limit = np.log(2.0 ** (bits + 1))
    takers = defaultdict(list)
    for kind, _, inputs in ops_of(content):
        for tensor in filter(None, inputs):
            takers[tensor["name"]].append(kind)
    return {name: limit for name, kinds in takers.items() if kinds == ["LOGISTIC"]}


def _select(quantizer, op, recipe):
    """Has the quantiser quantise ops of a kind as the recipe says."""
    if recipe.weights == "float16":
        if op != "BATCH_MATMUL":  # has no float16 form
            quantizer.float16(op)
    elif recipe.calibrated:
        quantizer.static(op, BITS[recipe.activations], BITS[recipe.weights])
    else:
        # XNNPACK has convolutions with int8 kernels only.
        quantizer.dynamic(op, BITS[recipe.weights] if op == DENSE else 8)
