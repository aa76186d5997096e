"""The moving average of the weights, in their place while the model answers."""

from contextlib import contextmanager

import keras


@contextmanager
def averaged(model):
    """While it lasts, the weights of a model in training are their moving averages, if it has any.

    `keras.callbacks.SwapEMAWeights` adds and subtracts to exchange the two, which rounds them.
    """
    _exchange(model)
    try:
        yield
    finally:
        _exchange(model)


class EvaluateAverages(keras.callbacks.Callback):
    """Has `fit` evaluate the averages."""

    def on_test_begin(self, logs=None):
        _exchange(self.model)

    def on_test_end(self, logs=None):
        _exchange(self.model)


def _exchange(model):
    optimizer = model.optimizer
    if not optimizer.use_ema:
        return
    # Keras's own callback knows no other way to them.
    averages = optimizer._model_variables_moving_average
    for weight, average in zip(model.trainable_variables, averages, strict=True):
        value = keras.ops.convert_to_numpy(weight)
        weight.assign(keras.ops.convert_to_numpy(average))
        average.assign(value)
