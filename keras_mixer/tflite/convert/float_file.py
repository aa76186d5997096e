"""Keras model -> the float32 `.tflite` that every recipe starts from."""

import logging
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from keras import ops

from keras_mixer._keras import inner_layers, is_quantised
from keras_mixer._tensorflow import converter_error, reason_of
from keras_mixer._text import listed
from keras_mixer.tflite.convert.checks import check_weights
from keras_mixer.tflite.convert.compare import check_same
from keras_mixer.tflite.convert.rewrite import rewritten


def checked_float_file(
    model, shape, recipe, who, images=None, without=(), pixels=None, arithmetic=None
):
    """The float32 `.tflite` that a recipe starts from, compared with the model.

    Args:
        model, shape, without, pixels: As in `to_float`.
        recipe: The `QuantizationRecipe`.
        who: Who asks; errors begin with it.
        images: Images as the model takes them, if there are any, to compare on.
        arithmetic: What the file computes in, as in `to_float`; by default the recipe's.

    Raises:
        ValueError: Weights that Keras has quantised or that are not finite, an op that LiteRT does
            not have, or a file that gives other scores than the model.
    """
    quantised = [layer.name for layer in inner_layers(model) if is_quantised(layer)]
    if quantised:
        raise ValueError(
            f"{who} needs a float model; in '{model.name}' Keras's quantize() has replaced the "
            f"weights of {listed(quantised[:5])} by integers. Convert the model from before that: "
            "recipes quantise, 'dynamic_int8' for example."
        )
    check_weights(model, recipe, who)
    made = {"arithmetic": arithmetic or recipe.arithmetic, "without": without, "pixels": pixels}
    content = to_float(model, shape, **made)
    check_same(model, content, shape, images or (), **made)
    return content


def to_float(model, shape, batch=1, arithmetic="float32", without=(), pixels=None):
    """The float32 `.tflite` of a model, as bytes. Its input is called `image`, its output `scores`.

    Args:
        model: A Keras model of one input and one output. It is unchanged afterwards.
        shape: Shape of the input, without the batch.
        batch: Size of the batch.
        arithmetic: What the recipe computes in, see `rewritten`.
        without: Names of `REWRITES` to leave out.
        pixels: The model's `Preprocessing`, if the file shall take pixels from 0 to 255 instead.

    Raises:
        ValueError: The model has an op that LiteRT does not have.
    """
    import tensorflow as tf

    with rewritten(model, arithmetic, without, pixels) as graph:
        # A batch that is known: with a dynamic one the graph fills with shape arithmetic.
        image = tf.TensorSpec((batch, *shape), tf.float32, name="image")
        function = tf.function(
            lambda image: {"scores": ops.cast(graph(image), "float32")},
            input_signature=[image],
            autograph=False,  # as Keras traces a model
        ).get_concrete_function()
    module = tf.Module()
    module.variables_read = function.variables
    with _quiet_logs(), TemporaryDirectory() as folder:
        # From the function itself the converter would hold many more copies of the weights.
        tf.saved_model.save(module, folder, signatures=function)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        # No Flex: a model that needs TensorFlow's own kernels fails here and not on a phone.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return converter.convert()
        except converter_error() as error:
            raise ValueError(
                f"convert: LiteRT cannot run '{model.name}' on its built-in ops. The converter "
                f"says: {reason_of(error)}"
            ) from None


@contextmanager
def _quiet_logs():
    """A context without TensorFlow's messages of where it saves and what the converter skips."""
    loggers = [logging.getLogger(name) for name in ("absl", "tensorflow")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel("ERROR")
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
