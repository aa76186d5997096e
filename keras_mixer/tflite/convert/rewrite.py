"""A Keras model in the form that LiteRT runs fastest; its function does not change.

`deployed` gives the form of each kind of layer. The passes in `PASSES` rewrite several calls: they
fold the scale and offset beside a convolution or dense layer into its weights. The converter itself
folds the others: a norm's gamma and beta into the dense layer behind it, a batch norm or a scale
into the layer in front of it. `REWRITES` has the names of all, which `convert` takes as `without`.
"""

import math
from contextlib import ExitStack, contextmanager
from functools import partial, singledispatch

import keras
import numpy as np
from keras import layers, ops

from keras_mixer import images
from keras_mixer._keras import Cast, Gelu, inner_layers
from keras_mixer.layers import (
    Affine,
    BatchNorm,
    Circulant,
    DropPath,
    ImagePreprocessing,
    LayerNorm,
    Level,
    PatchEmbed,
    Residual,
)
from keras_mixer.layers.circulant import circulant_matrices
from keras_mixer.layers.gradients import gelu
from keras_mixer.layers.residual import layers_inside
from keras_mixer.tflite.convert.graph import Graph, having

BATCH_NORMS = layers.BatchNormalization, BatchNorm
INACTIVE = images.INACTIVE | {DropPath, Level}  # layers whose output is their input in inference
# Layers that cast pixels to floats first.
ON_PIXELS = {ImagePreprocessing, layers.Rescaling, layers.Normalization, layers.CenterCrop} | {
    kind for kind in INACTIVE if kind.__name__.startswith("Random")
}
POOLING = layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D
# What a file computes in -> the form of its LayerNorms.
NORM_FORMS = {"float32": "centred", "float16": "float16", "integer": "two_stage"}


@contextmanager
def rewritten(model, arithmetic="float32", without=(), pixels=None):
    """A context that gives the graph of a model, in the form that LiteRT runs fastest.

    Args:
        model: A Keras model of one input and one output. It is unchanged afterwards.
        arithmetic: What the file computes in, a key of `NORM_FORMS`. `"integer"` is for recipes of
            every op: GELUs are then in steps, which is their tanh form, 5e-4 or less from the erf
            form.
        without: Names of `REWRITES` to leave out.
        pixels: The model's `Preprocessing`, if the graph shall take pixels from 0 to 255 instead.
    """
    graph = Graph(model)
    if pixels:
        graph.prepend(ImagePreprocessing(**pixels.as_dict(), rescale=True, name="preprocessing"))
    for name, rewrite in PASSES.items():
        if name not in without:
            rewrite(graph, arithmetic)
    with graph.in_float32(), ExitStack() as stack:
        for layer in inner_layers(model):
            for name, attributes in deployed(layer, arithmetic).items():
                if name not in without:
                    stack.enter_context(having(layer, attributes))
        yield graph


# Rewrites of one layer


@singledispatch
def deployed(layer, arithmetic):
    """The form in which LiteRT runs a layer fastest: name of a rewrite -> attributes.

    `arithmetic` is a key of `NORM_FORMS`.
    """
    return gelu_of(layer, arithmetic)


def gelu_of(layer, arithmetic):
    """The form of a layer's activation, if that is GELU."""
    if arithmetic == "integer" and is_gelu(getattr(layer, "activation", None)):
        return {"gelu_in_steps": {"activation": gelu_in_steps}}
    return {}


@deployed.register
def _(layer: LayerNorm, arithmetic):
    return {
        "norm_form": {"form": NORM_FORMS[arithmetic]},
        "batch_first": {"tokens_first": False},
    }


@deployed.register
def _(layer: Residual, arithmetic):
    return gelu_of(layer, arithmetic) | {"batch_first": {"tokens_first": False}}


@deployed.register
def _(layer: Circulant, arithmetic):
    matrices = ops.convert_to_numpy(circulant_matrices(layer.kernel))
    return {"dense_circulant": {"call": partial(dense_circulant, matrices)}}


@deployed.register
def _(layer: PatchEmbed, arithmetic):
    if type(layer).call is not PatchEmbed.call:  # a subclass that computes something else
        return {}
    return {"dense_stem": {"call": partial(dense_patches, layer)}}


def is_gelu(activation):
    """Whether an activation is Keras's GELU or ours, in either form."""
    return getattr(activation, "func", activation) in (keras.activations.gelu, ops.gelu, gelu)


def gelu_in_steps(x, approximate=True):
    """GELU in its tanh form, computed by multiplications, an addition and a sigmoid.

    Every integer runtime has these ops; some, such as LiteRT for microcontrollers, have no GELU.
    """
    # The tanh form is GELU(x) = x * sigmoid(a * x + b * x^3). With z = x / b^(-1/3) the factor b is
    # 1; the converter folds the two multiplications by that unit into the dense layers around.
    a = 2 * math.sqrt(2 / math.pi)
    b = a * 0.044715
    unit = b ** (-1 / 3)
    z = x / unit
    return z * ops.sigmoid(z * (z * z + a * unit)) * unit


def dense_patches(stem, image):
    """A `PatchEmbed` as one matrix multiplication, [B, H, W, C_in] -> [B, S, C], or the map.

    In int8, LiteRT runs a convolution of three channels far slower than a matrix multiplication.
    """
    patch = stem.patch_size
    height, width, channels = image.shape[1:]
    # Splitting both sides at once would need five axes, which some delegates do not support.
    rows = ops.reshape(image, (-1, patch, width // patch, patch * channels))
    tokens = (height // patch) * (width // patch)
    patches = ops.reshape(ops.transpose(rows, (0, 2, 1, 3)), (-1, tokens, patch**2 * channels))
    x = ops.matmul(patches, ops.reshape(stem.kernel, (-1, stem.width))) + stem.bias
    if not stem.as_map:
        return x
    return ops.reshape(x, (-1, height // patch, width // patch, stem.width))


def dense_circulant(matrices, x):
    """A `Circulant` of matrices [G, N, N] as a dense layer a group, [B, C, N] -> [B, C, N].

    LiteRT has no quantised kernel for a product of two tensors of which one holds weights.
    """
    width = x.shape[1] // len(matrices)
    groups = [x[:, i * width : (i + 1) * width] for i in range(len(matrices))]
    parts = [ops.matmul(x, matrix.T) for x, matrix in zip(groups, matrices, strict=True)]
    while len(parts) > 1:  # XNNPACK splits and concatenates a few tensors at a time
        parts = [ops.concatenate(parts[i : i + 4], axis=1) for i in range(0, len(parts), 4)]
    return parts[0]


# Passes: rewrites of several calls


def float_pixels(graph, arithmetic):
    """Leaves images in float32 if a model takes integers and casts them to floats at once.

    Pixels are whole numbers, so a cast to integers and back does not change them.
    """

    def makes_floats(operation):
        if isinstance(operation, Cast):
            return "float" in operation.dtype
        return type(operation) in ON_PIXELS

    if all(makes_floats(call.operation) for call in graph.takers(graph.image)):
        graph.image_dtype = "float32"


def fold_rescaling(graph, arithmetic):
    """Folds a rescaling of pixels into the stem, if that is a convolution without padding."""
    for call in graph.calls:
        stem = _only_taker(graph, call)
        while stem and _is_inactive(stem.operation):
            stem = _only_taker(graph, stem)
        if stem is None or not _is_stem(stem.operation) or not _has_own_weights(stem):
            continue
        layer = stem.operation
        channels = layer.kernel.shape[2]
        rescaling = _rescaling(call.operation, channels)
        if rescaling is None or call.inputs[0].shape[-1] != channels:
            continue
        scale, offset = rescaling
        kernel = _array(layer.kernel)  # [height, width, C_in, C]
        bias = _array(layer.bias) + (kernel * offset[:, None]).sum((0, 1, 2))
        stem.weights += [(layer.kernel, kernel * scale[:, None]), (layer.bias, bias)]
        call.instead = partial(ops.cast, dtype="float32")


def fold_last_norm(graph, arithmetic):
    """Folds the last norm's scale and shift, or an affine or batch norm, into the dense head.

    Between the two only pooling and reshapes may stand, which do not mix channels.
    """
    head = graph.maker(graph.scores)
    if head is None or type(head.operation) is not layers.Dense or not _has_own_weights(head):
        return
    call = _only_source(graph, head)
    while call and (_is_inactive(call.operation) or _keeps_channels(call)):
        call = _only_source(graph, call)
    layer, norm = head.operation, call and call.operation
    if type(norm) is LayerNorm and norm.affine:
        scale, shift = _array(norm.gamma), _array(norm.beta)
        call.attributes["affine"] = False
    elif type(norm) is Affine:
        scale, shift = _array(norm.alpha), _array(norm.beta)
        call.instead = partial(ops.cast, dtype="float32")
    elif type(norm) in BATCH_NORMS and norm.axis in (
        -1,
        len(call.inputs[0].shape) - 1,
    ):
        scale, shift = _scale_and_shift(norm)
        call.instead = lambda x, mask=None: ops.cast(x, "float32")
    else:
        return
    kernel = _array(layer.kernel)  # [C, classes]
    bias = _array(layer.bias) + shift @ kernel
    head.weights += [(layer.kernel, scale[:, None] * kernel), (layer.bias, bias)]


def fold_block_norms(graph, arithmetic):
    """Folds the batch norms in a block into the layers behind them, where these are several."""
    for call in graph.calls:
        if isinstance(call.operation, Residual):
            for name, takers in call.operation.folds.items():
                _fold_block_norm(call, name, takers)


def _fold_block_norm(call, name, takers):
    inner = dict(layers_inside(call.operation))
    folded = []
    scale, shift = _scale_and_shift(inner[name])
    for paths in takers.items():
        [layer, kernel], [beside, offset] = (path.rsplit("/", 1) for path in paths)
        kernel, offset = getattr(inner[layer], kernel), getattr(inner[beside], offset)
        if not _are_float32_variables(kernel, offset):
            return
        array = _array(kernel)  # [..., C, D]
        moved = shift @ array.reshape(-1, *array.shape[-2:]).sum(0)
        sign = -1 if offset.name == "moving_mean" else 1  # which is subtracted
        folded += [(kernel, scale[:, None] * array), (offset, _array(offset) + sign * moved)]
    call.weights += folded
    call.attributes[name] = lambda x: x


def gelu_operations(graph, arithmetic):
    """Replaces GELUs that are operations of the graph, as `deployed` does for GELUs of layers."""
    for call in graph.calls:
        if arithmetic == "integer" and isinstance(call.operation, Gelu):
            call.instead = gelu_in_steps


PASSES = {
    "float_pixels": float_pixels,
    "fold_rescaling": fold_rescaling,
    "fold_last_norm": fold_last_norm,
    "fold_block_norms": fold_block_norms,
    "gelu_in_steps": gelu_operations,
}
REWRITES = *PASSES, "dense_stem", "dense_circulant", "norm_form", "batch_first"


def _rescaling(operation, channels):
    """Scale and offset of each channel, float64 `[channels]`; None if it is not a rescaling."""
    if type(operation) is layers.Rescaling:
        scale, offset = operation.scale, operation.offset
    elif type(operation) is ImagePreprocessing and operation.rescale:
        std = np.asarray(operation.preprocessing.std)
        scale, offset = 1 / (255 * std), -np.asarray(operation.preprocessing.mean) / std
    elif type(operation) is layers.Normalization:
        mean, variance = _array(operation.mean), _array(operation.variance)
        scale = np.maximum(np.sqrt(variance), keras.config.epsilon())
        offset = mean
        if not operation.invert:
            scale, offset = 1 / scale, -mean / scale
    else:
        return None
    by_channel = []
    for values in (scale, offset):
        values = np.asarray(values, np.float64)
        if values.size not in (1, channels) or (values.size > 1 and values.shape[-1] != channels):
            return None
        by_channel.append(np.broadcast_to(values.reshape(-1), channels))
    return by_channel


def _scale_and_shift(norm):
    """What a batch norm multiplies each channel by and adds in inference, float64 `[C]`."""
    scale = 1 / np.sqrt(_array(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale = scale * _array(norm.gamma)
    shift = -_array(norm.moving_mean) * scale
    return scale, shift + _array(norm.beta) if norm.center else shift


def _is_inactive(operation):
    return type(operation) in INACTIVE or (
        type(operation) is ImagePreprocessing and not operation.rescale
    )


def _is_stem(layer):
    if type(layer) is PatchEmbed:
        return True
    needed = "valid", 1, "channels_last"
    return type(layer) is layers.Conv2D and needed == (
        *(layer.padding, layer.groups, layer.data_format),
    )


def _has_own_weights(call):
    """Whether kernel and bias are float32 variables, of which no other pass has the values."""
    weights = (getattr(call.operation, name, None) for name in ("kernel", "bias"))
    return not call.weights and _are_float32_variables(*weights)


def _are_float32_variables(*weights):
    """Whether weights can be replaced. With LoRA a kernel is a sum instead."""
    return all(
        isinstance(weight, keras.Variable) and weight.dtype == "float32" for weight in weights
    )


def _keeps_channels(call):
    if type(call.operation) in POOLING:
        return call.operation.data_format == "channels_last"
    if type(call.operation) is not layers.Reshape:
        return False
    [before], [after] = call.inputs, call.outputs
    return before.shape[-1] == after.shape[-1]


def _array(values):
    return np.asarray(ops.convert_to_numpy(values), np.float64)


def _only_taker(graph, call):
    """The call that takes the one output of another, if no other call does and it takes no more."""
    if len(call.outputs) != 1 or call.outputs[0] is graph.scores:
        return None
    takers = graph.takers(call.outputs[0])
    return takers[0] if len(takers) == 1 and len(takers[0].inputs) == 1 else None


def _only_source(graph, call):
    """The call whose one output a call takes, if no other call does and it takes no more."""
    if len(call.inputs) != 1:
        return None
    source = graph.maker(call.inputs[0])
    return source if source and _only_taker(graph, source) is call else None
