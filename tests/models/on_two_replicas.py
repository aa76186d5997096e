"""One training step of every architecture on two devices, in a process that has not computed yet.

Beside it stands the same step on one device: each of two replicas trains on half of the batch.
"""

import json

import keras
import numpy as np
import tensorflow as tf

from tests.cases import CASES

RATE = 0.1


def main():
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    # One strategy for all models: the keys of a second one's collective operations would collide
    # with those of the first.
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    print(json.dumps({case.architecture: differences(case, strategy) for case in CASES}))


def differences(case, strategy):
    """Of the loss, and of each weight after the step, relative to the largest of its values."""

    def trained():
        model = case.trained(**case.shallow)
        model.compile(keras.optimizers.SGD(RATE), "sparse_categorical_crossentropy")
        return model

    def after_a_step(model):
        fitted = model.fit(case.images(), np.arange(4), batch_size=4, verbose=0)
        return fitted.history["loss"][0], model.get_weights()

    with strategy.scope():
        model = trained()
    (loss, weights), (expected, others) = after_a_step(model), after_a_step(trained())
    off = {"loss": abs(loss - expected) / expected}
    for weight, got, other in zip(model.weights, weights, others, strict=True):
        off[weight.path] = float(np.abs(got - other).max() / np.abs(other).max())
        off |= {  # each replica has the same
            f"{weight.path} of another replica": float(np.abs(copy.numpy() - got).max())
            for copy in weight.value.values
        }
    return off
