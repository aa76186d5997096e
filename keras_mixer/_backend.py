"""What Keras's backend must be told, and what to say when it is not installed."""

from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from os import environ

# "0" makes tensorflow-tpu a TensorFlow for CPUs. Otherwise it waits when it is imported, without a
# TPU for minutes, and where another process has the TPU it fails.
LOAD = "TPU_LOAD_LIBRARY"


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
    """While it lasts, Keras's own defaults of what a user may have set otherwise.

    `keras.json` and `keras.config` decide the type of numbers (`floatx`), the layout of images and
    the policy of layers for whatever is made without being told: layers, losses, metrics.

    Args:
        precision: The policy of layers.
    """
    from keras import config

    before = config.floatx(), config.image_data_format(), config.dtype_policy()
    config.set_floatx("float32")
    config.set_image_data_format("channels_last")
    config.set_dtype_policy(precision)
    try:
        yield
    finally:
        config.set_floatx(before[0])
        config.set_image_data_format(before[1])
        config.set_dtype_policy(before[2])


def predict(model, images):
    """`model.predict` without a word, also where TensorFlow looks for TPUs."""
    if jit_compile() != "auto":
        model.jit_compile = False
    return model.predict(images, verbose=0)


def cure(error):
    """The message of an ImportError, with what to install where Keras misses its backend."""
    missing = (error.name or "").split(".")[0]
    if missing not in ("tensorflow", "jax", "torch"):
        return str(error)
    return (
        f"Keras is set to run on {missing}, which is not installed. For TensorFlow: "
        'pip install "keras-mixer[cpu]", or [gpu], or [tpu]. For another backend install it and '
        "set KERAS_BACKEND."
    )
