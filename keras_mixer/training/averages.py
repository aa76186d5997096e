"""Moving averages of the weights, which replace the weights during evaluation."""

from contextlib import contextmanager

import keras

from keras_mixer._keras import averages_of


@contextmanager
def averaged(model):
    """A context in which the weights of a model in training are their moving averages, if any.

    `keras.callbacks.SwapEMAWeights` swaps the two by adding and subtracting, which rounds them.
    """
    _swap(model)
    try:
        yield
    finally:
        _swap(model)


class EvaluateAverages(keras.callbacks.Callback):
    """Evaluates the averages, during `fit` and `evaluate`."""

    def on_test_begin(self, logs=None):
        _swap(self.model)

    def on_test_end(self, logs=None):
        _swap(self.model)


def _swap(model):
    optimizer = model.optimizer
    if not optimizer.use_ema:
        return
    for weight, average in zip(model.trainable_variables, averages_of(optimizer), strict=True):
        value = keras.ops.convert_to_numpy(weight)
        weight.assign(keras.ops.convert_to_numpy(average))
        average.assign(value)
