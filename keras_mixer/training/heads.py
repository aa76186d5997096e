"""The last layer: logits while a model trains, probabilities when it is used."""

from contextlib import contextmanager

import keras
import numpy as np

from keras_mixer._keras import ACTIVATIONS, activation_of, last_operation


def head(model):
    """The classifier head: the layer that computes a model's scores.

    Raises:
        ValueError: The last layer has no activation, as `keras.layers.Dense` has.
    """
    last = [layer for layer in model.layers if layer.output is model.outputs[0]]
    single = len(model.inputs) + len(model.outputs) == 2
    if not single or not last or not hasattr(last[0], "activation"):
        raise ValueError(
            f"Training needs a functional model of one image that ends in a keras.layers.Dense, "
            f"its head; '{model.name}' does not."
        )
    return last[0]


def last_activation(model):
    """The activation of a model's scores: `"softmax"`, `"sigmoid"` or, for logits, `"linear"`.

    Raises:
        ValueError: The last operation is none of these.
    """
    operation = last_operation(model)
    name = activation_of(operation)
    if name not in ACTIVATIONS:
        raise ValueError(
            f"evaluate needs a model that ends in softmax, in sigmoid or in a keras.layers.Dense "
            f"that gives logits; '{model.name}' ends in '{operation.name}', {name}."
        )
    return name


def give_logits(model, bias=0.0):
    """Removes the activation of the head, and sets biases that are all 0 to `bias`."""
    last = head(model)
    last.activation = keras.activations.linear
    if bias and not np.any(keras.ops.convert_to_numpy(last.bias)):
        last.bias.assign(np.full(last.bias.shape, bias))


def for_use(model, activation):
    """The model with an activation at its head, not compiled: as it is saved and used.

    Args:
        model: A model that gives logits. Both models share their layers, so that afterwards it
            gives probabilities, too.
        activation: Such as `"softmax"`.
    """
    head(model).activation = keras.activations.get(activation)
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


@contextmanager
def with_activation(model, activation):
    """A context with the model that `for_use` returns; afterwards the head gives logits again."""
    try:
        yield for_use(model, activation)
    finally:
        head(model).activation = keras.activations.linear
