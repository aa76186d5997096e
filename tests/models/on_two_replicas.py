"""Two training steps of every architecture on two devices, in a process that has not computed yet.

Beside them stand the same steps on one device: each of two replicas trains on half of a batch.
"""

import json

import keras
import numpy as np
import tensorflow as tf

from keras_mixer.layers import BatchNorm
from tests.cases import CASES, PILOTS

RATE, BATCH, COUNT = 0.1, 4, 8


def main():
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    # One strategy for all models: the keys of a second one's collective operations would collide
    # with those of the first.
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = {case.architecture: differences(case, strategy) for case in CASES}
    print(json.dumps(found | {"BatchNorm": of_uneven_parts(strategy)}))


def differences(case, strategy):
    """Of the loss, and of each weight after the steps, relative to the largest of its values.

    Paths are dropped.
    """

    def trained():
        keras.utils.set_random_seed(0)
        # Of one block no path is dropped, and its step is traced in half of the time.
        model = case.trained(drop_path_rate=0.5, **({} if case in PILOTS else case.shallow))
        model.compile(keras.optimizers.SGD(RATE), "sparse_categorical_crossentropy")
        return model

    def after_a_step(model):
        images, labels = case.images(COUNT), np.arange(COUNT) % 7
        fitted = model.fit(images, labels, batch_size=BATCH, shuffle=False, verbose=0)
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


def of_uneven_parts(strategy):
    """Of a batch norm's statistics and outputs, where replicas have 3 and 0 or 2 and 1 samples.

    Keras's mean of losses over such parts is not that over the batch, so a model would differ.
    """
    x = np.random.default_rng(0).normal(2, 3, (3, 4, 5)).astype(np.float32)
    off = {}
    for first in (3, 2):
        with strategy.scope():
            norm = BatchNorm()
            norm.build(x.shape)
        alone = BatchNorm()
        expected = alone(x, training=True)

        def part(context, first=first):
            return (x[:first], x[first:])[context.replica_id_in_sync_group]

        @tf.function
        def step(part, norm=norm):
            return strategy.run(lambda x: norm(x, training=True), (part,))

        parts = step(strategy.experimental_distribute_values_from_function(part))
        got = np.concatenate([y.numpy() for y in strategy.experimental_local_results(parts)])
        off[f"{first} samples"] = float(np.abs(got - expected).max())
        for name in ("moving_mean", "moving_variance"):
            one, other = (np.asarray(getattr(n, name)) for n in (norm, alone))
            off[f"{first} {name}"] = float(np.abs(one - other).max())
    return off
