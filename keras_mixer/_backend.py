"""What Keras's backend must be told, and what to say when it is not installed."""

from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from os import environ

from keras_mixer._extras import install

# "0" makes tensorflow-tpu a TensorFlow for CPUs. Otherwise it waits when it is imported, without a
# TPU for minutes, and where another process has the TPU it fails.
LOAD = "TPU_LOAD_LIBRARY"
BATCH = 32  # images that a model answers at once, as in Keras


def is_for_tpus():
    """Whether the TensorFlow that is installed is the one for TPUs."""
    try:
        version("tensorflow-tpu")
    except PackageNotFoundError:
        return False
    return True


def jit_compile():
    """What `compile` takes for XLA: Keras's own choice, and none where TensorFlow looks for TPUs.

    There `tf.distribute.TPUStrategy` brings XLA to the TPU by itself; for the CPU tensorflow-tpu
    2.20 has no XLA then, which Keras does not know: "could not find registered transfer manager for
    platform Host".
    """
    import keras  # not above: `cure` must be there when this fails

    looking = is_for_tpus() and environ.get(LOAD) != "0"
    return False if looking and keras.backend.backend() == "tensorflow" else "auto"


@contextmanager
def settings(precision="float32"):
    """Replaces the user's global settings of Keras by its defaults, and restores them afterwards.

    Layers, losses and metrics take their data type, image layout and epsilon from `keras.json` and
    `keras.config` when they are made without these arguments.

    Args:
        precision: The dtype policy meanwhile.
    """
    from keras import config

    floatx, epsilon = config.floatx(), config.epsilon()
    layout, policy = config.image_data_format(), config.dtype_policy()
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_image_data_format("channels_last")
    config.set_dtype_policy(precision)
    try:
        yield
    finally:
        config.set_floatx(floatx)
        config.set_epsilon(epsilon)
        config.set_image_data_format(layout)
        config.set_dtype_policy(policy)


def predict(model, images):
    """`model.predict` of a model of one input and one output, without a word.

    Also where TensorFlow looks for TPUs, and where the input or output is in a dict or a list.
    """
    from keras import Sequential, tree

    if jit_compile() != "auto":
        model.jit_compile = False
    count = len(images)
    if not isinstance(model, Sequential):
        images = tree.map_structure(lambda _: images, model.input)
    if count <= BATCH:  # without a data set around them, which takes longer than a small model
        outputs = model.predict_on_batch(images)
    else:
        outputs = model.predict(images, batch_size=BATCH, verbose=0)
    [scores] = tree.flatten(outputs)
    return scores


def is_of_backend(error):
    """Whether Keras refuses the backend that it is set to."""
    return str(error).startswith("Unable to import backend")


def cure(error):
    """The message of an error of an import, and the cure where Keras has no such backend."""
    if is_of_backend(error):
        return (
            f"{error}. Keras has none of that name: set KERAS_BACKEND, or 'backend' in keras.json, "
            "to tensorflow."
        )
    missing = (getattr(error, "name", None) or "").split(".")[0]
    if missing not in ("tensorflow", "jax", "torch"):
        return str(error)
    return (
        f"Keras is set to run on {missing}, which is not installed. For TensorFlow: "
        f"{install('cpu')}, or [gpu], or [tpu]. For another backend install it and set "
        "KERAS_BACKEND."
    )
