"""Keras model -> the float32 `.tflite` that every recipe starts from."""

import logging
import math
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import keras
import numpy as np
from keras import ops

from keras_mixer.layers import LayerNorm, Mlp, PatchEmbed
from keras_mixer.weights.names import all_layers

# What stands between the last norm and the head and leaves channels alone, so that what is done to
# a channel may as well be done after it.
BETWEEN = (
    keras.layers.Dropout,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Identity,
)


def deployed(model, every_op=False):
    """A model of the same function as LiteRT runs it best; `model` itself where nothing changes.

    It computes in float32, and a PatchEmbed is a dense layer. Pixels that the model rescales for a
    stem are rescaled in the stem's weights, and the last norm's gamma and beta are in those of the
    head. What else can go into a neighbour's weights, the converter puts there: a norm's gamma and
    beta in front of a dense layer, a batch norm or a scale behind one.

    With `every_op`, for recipes that compute every op in integers, LayerNorms are in two stages and
    GELUs in steps, which is their tanh form, 5e-4 or less from the erf form.
    """
    form = "two_stage" if every_op else "centred"
    chain = _last_norm(model)
    rescaling = _rescaling(model)
    parts = [*model._flatten_layers(include_self=False)]
    if (
        not chain
        and not rescaling
        and all(layer.compute_dtype == "float32" for layer in all_layers(model))
        and all(part.form == form for part in parts if isinstance(part, LayerNorm))
        and not any(type(part) is PatchEmbed for part in parts)
        and not (every_op and any(_has_gelu(part) for part in parts))
    ):
        return model

    last, head = chain or (None, None)
    first, stem = rescaling or (None, None)

    def copy(layer):
        config = {**layer.get_config(), "dtype": "float32"}
        if layer is last:
            config |= {"affine": False}
        if layer is first:
            config |= {"scale": 1.0, "offset": 0.0}
        kind = DensePatchEmbed if type(layer) is PatchEmbed else type(layer)
        return kind.from_config(config)

    clone = keras.models.clone_model(model, clone_function=copy, recursive=True)
    for layer, original in zip(clone.layers, model.layers, strict=True):
        if original is not last:
            layer.set_weights(original.get_weights())
    for part in clone._flatten_layers(include_self=False):
        if isinstance(part, LayerNorm):
            part.form = form
        if every_op and _has_gelu(part):
            part.activation = gelu_in_steps
    if chain:
        _fold_norm(last, clone.get_layer(head.name))
    if rescaling:
        _fold_rescaling(first, clone.get_layer(stem.name))
    return clone


def gelu_in_steps(x):
    """GELU in its tanh form, of multiplications, an addition and a sigmoid.

    Those every integer runtime has, where LiteRT for microcontrollers, for one, has no GELU.
    """
    # GELU(x) = x * sigmoid(a * x + b * x^3), for which the tanh form is another name. Measured in
    # units of b^(-1/3), x brings b to 1, and the unit goes into the weights of the dense layers on
    # either side.
    a = 2 * math.sqrt(2 / math.pi)
    b = a * 0.044715
    unit = b ** (-1 / 3)
    z = x / unit
    return z * ops.sigmoid(z * (z * z + a * unit)) * unit


class DensePatchEmbed(PatchEmbed):
    """A PatchEmbed that cuts the image up and then multiplies once.

    LiteRT runs a convolution of three channels in int8 at a fraction of its speed in products.
    """

    def call(self, image):
        patch = self.patch_size
        height, width, channels = image.shape[1:]
        # Both sides at once would want five dimensions, which not every delegate has.
        rows = ops.reshape(image, (-1, patch, width // patch, patch * channels))
        tokens = (height // patch) * (width // patch)
        patches = ops.reshape(
            ops.transpose(rows, (0, 2, 1, 3)), (-1, tokens, patch * patch * channels)
        )
        return ops.matmul(patches, ops.reshape(self.kernel, (-1, self.width))) + self.bias


def to_float(model, shape, batch=1):
    """The float32 `.tflite` of a model of images `(H, W, C)`, as bytes; `image` in, `scores` out.

    Raises:
        ConverterError: An op that LiteRT does not have.
    """
    import tensorflow as tf

    # A batch that is known: with a dynamic one the graph fills with shape arithmetic.
    @tf.function(input_signature=[tf.TensorSpec((batch, *shape), tf.float32, name="image")])
    def serve(image):
        return {"scores": model(image, training=False)}

    function = serve.get_concrete_function()
    module = tf.Module()
    module.variables_read = function.variables
    with _quiet_logs(), TemporaryDirectory() as folder:
        # From the function itself the converter would hold many more copies of the weights.
        tf.saved_model.save(module, folder, signatures=function)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        # No Flex: a model that needs TensorFlow's own kernels fails here and not on a phone.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        return converter.convert()


def _has_gelu(layer):
    return isinstance(layer, Mlp) or getattr(layer, "activation", None) is keras.activations.gelu


def _last_norm(model):
    """The LayerNorm whose channels reach a dense head unmixed, and that head, or None."""
    head = model.outputs[0]._keras_history.operation
    if not isinstance(head, keras.layers.Dense) or not head.use_bias:
        return None
    layer = _only_source(head)
    while isinstance(layer, BETWEEN) or _keeps_channels(layer):
        layer = _only_source(layer)
    return (layer, head) if isinstance(layer, LayerNorm) and layer.affine else None


def _only_source(layer):
    """The layer before this one, if nothing else hangs on either."""
    nodes = getattr(layer, "_inbound_nodes", ())
    if len(nodes) != 1 or len(nodes[0].parent_nodes) != 1:
        return None
    source = nodes[0].parent_nodes[0].operation
    return source if len(source._outbound_nodes) == 1 else None


def _keeps_channels(layer):
    return isinstance(layer, keras.layers.Reshape) and (
        layer.output.shape[-1] == layer.input.shape[-1]
    )


def _fold_norm(norm, head):
    gamma, beta = norm.get_weights()
    kernel = keras.ops.convert_to_numpy(head.kernel)  # [C, classes]
    head.kernel.assign(gamma[:, None] * kernel)
    head.bias.assign_add(beta @ kernel)


def _rescaling(model):
    """A Rescaling of the image, and the convolution without padding that alone sees it, or None."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Rescaling) and len(layer._outbound_nodes) == 1:
            stem = layer._outbound_nodes[0].operation
            if isinstance(stem, PatchEmbed) or (
                type(stem) is keras.layers.Conv2D
                and (stem.padding, stem.groups, stem.use_bias) == ("valid", 1, True)
            ):
                return layer, stem
    return None


def _fold_rescaling(rescaling, stem):
    kernel = keras.ops.convert_to_numpy(stem.kernel)  # [height, width, C_in, C]
    scale, offset = (np.reshape(n, (-1, 1)) for n in (rescaling.scale, rescaling.offset))
    stem.kernel.assign(kernel * scale)
    stem.bias.assign_add((kernel * offset).sum((0, 1, 2)))


@contextmanager
def _quiet_logs():
    """While it lasts, TensorFlow does not say where it saves, nor the converter what it skips."""
    loggers = [logging.getLogger(name) for name in ("absl", "tensorflow")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel("ERROR")
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
