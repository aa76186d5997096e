"""Keras model -> the bytes of a `.tflite` file."""

import tempfile
from contextlib import contextmanager

import keras

from keras_mixer.tflite import recipes
from keras_mixer.tflite._data import batches
from keras_mixer.weights.names import all_layers


def convert(model, recipe="float32", *, calibration=None):
    """Converts an image model for LiteRT, on CPUs and phones.

    The file takes one image at a time, float32 `[1, H, W, C]`, and gives what the model gives, in
    float32 whatever the recipe. It uses LiteRT's built-in ops only. A model built under
    `mixed_bfloat16` is converted in float32. With `"int8"`, an op that has no int8 form stays in
    float between conversions; the models of this package have none.

    Args:
        model: A built functional or Sequential Keras model with one image input of fixed size,
            `[B, H, W, C]`, and one output.
        recipe: `"float32"`, `"float16"`, `"dynamic_int8"` or `"int8"`; `RECIPES` says what each is
            for.
        calibration: For `"int8"`, images as the model takes them, from which the ranges of its
            activations are read (true minimum and maximum): an array `[N, H, W, C]`, a
            `tf.data.Dataset` or an iterable of batches; labels in it are passed over. A hundred or
            so that look like what the file will see are enough.

    Returns:
        The file's content, as `bytes`. Nothing is written.

    Raises:
        ValueError: An unknown recipe; a model that is not built, has no fixed size or more than one
            input or output; `"int8"` without calibration, or with images that are none, of the
            wrong shape or not finite; calibration for a recipe that has no use for it; a model with
            an op that LiteRT does not have.
        RuntimeError: Keras runs on another backend than TensorFlow.
    """
    recipe = recipes.find(recipe)
    shape = image_shape(model, "convert")
    images = _calibration(recipe, calibration, shape)
    check_backend("convert")
    return _convert(_in_float32(model), recipe, shape, images)


def check_backend(who):
    """Raises RuntimeError unless Keras runs on TensorFlow, whose converter makes the file."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"{who} needs Keras on the TensorFlow backend; this process runs on "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=tensorflow in a new process; a model "
            "saved as .keras can be loaded there."
        )


def image_shape(model, who):
    """The shape (H, W, C) of the one image that `model` takes, or a ValueError that says why."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"{who} needs a Keras model; got {type(model).__name__}.")
    if not model.built or not getattr(model, "inputs", None):
        raise ValueError(
            f"{who} needs a model whose weights and input are known; '{model.name}' was never "
            "built. Make it a functional model, or give a Sequential one a keras.Input first."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"{who} needs a model with one input and one output; '{model.name}' has "
            f"{len(model.inputs)} and {len(model.outputs)}."
        )
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or None in shape[1:]:
        raise ValueError(
            f"{who} needs images of a fixed size, [B, H, W, C]; '{model.name}' takes {shape}. "
            "Build it for one size."
        )
    return shape[1:]


def _calibration(recipe, calibration, shape):
    who = f"convert with recipe '{recipe.name}'"
    if not recipe.calibrated:
        if calibration is not None:
            raise ValueError(f"{who} takes no calibration; only quantised activations need ranges.")
        return None
    if calibration is None:
        raise ValueError(
            f"{who} needs calibration= (--calibration), about a hundred images as the model takes "
            "them, to read the ranges of its activations from; got none."
        )
    return [image for images, _ in batches(calibration, shape, who) for image in images]


def _in_float32(model):
    """The same model computing in float32, which is what LiteRT's kernels take."""
    if all(layer.compute_dtype == "float32" for layer in all_layers(model)):
        return model

    def in_float32(layer):
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    clone = keras.models.clone_model(model, clone_function=in_float32, recursive=True)
    clone.set_weights(model.get_weights())
    return clone


@contextmanager
def _without_greetings(logger):
    """While it lasts, TensorFlow does not say where it writes what nobody will see."""
    before = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(before)


def _convert(model, recipe, shape, images):
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    # A batch of exactly one: with a dynamic batch the graph fills with shape arithmetic. Traced
    # before Keras sees it, whose older versions would make the batch dynamic again.
    @tf.function(input_signature=[tf.TensorSpec((1, *shape), tf.float32, name="image")])
    def serve(image):
        return model(image, training=False)

    serve.get_concrete_function()
    with tempfile.TemporaryDirectory() as folder, _without_greetings(tf.get_logger()):
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serve", serve)
        archive.write_out(folder, verbose=False)

        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        # No Flex: a model that needs TensorFlow's own kernels fails here and not on a phone.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if recipe.quantise:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if recipe.weights:
            converter.target_spec.supported_types = [getattr(tf, recipe.weights)]
        if recipe.calibrated:
            converter.representative_dataset = lambda: ([image[None]] for image in images)
        try:
            return converter.convert()
        except ConverterError as error:
            raise ValueError(
                f"convert: LiteRT cannot run '{model.name}' with recipe '{recipe.name}' on its "
                f"built-in ops. The converter says: {str(error).strip()}"
            ) from None
