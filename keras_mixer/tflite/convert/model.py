"""What conversion needs of a Keras model and of the process."""

import keras

from keras_mixer._checks import check_model


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
    check_model(model, who)
    if not model.built or not getattr(model, "inputs", None):
        raise ValueError(
            f"{who} needs a model whose weights and input are known; '{model.name}' was never "
            "built. Make it a functional model, or give a Sequential one a keras.Input first; a "
            "model of a class of your own becomes functional as keras.Model(image, model(image)) "
            "with image = keras.Input((height, width, channels))."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"{who} needs a model with one input and one output; '{model.name}' has "
            f"{len(model.inputs)} and {len(model.outputs)}. keras.Model(model.inputs[0], "
            "model.outputs[0]) has one of each."
        )
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or None in shape[1:]:
        raise ValueError(
            f"{who} needs images of a fixed size, [B, H, W, C]; '{model.name}' takes {shape}. "
            "Build it for one size."
        )
    return shape[1:]
