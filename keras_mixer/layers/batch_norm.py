"""Batch normalisation."""

import keras

from keras_mixer._keras import AveragesMoments


@keras.saving.register_keras_serializable("keras_mixer")
class BatchNorm(AveragesMoments, keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` by the whole batch, [..., C] -> [..., C].

    Under `tf.distribute` Keras's takes mean and variance of the part of the batch that a replica
    has, and keeps different statistics on each replica, of which a file gets one. Here all have
    those of the whole batch, so that several replicas train as one does, and Keras on JAX does.

    Args, shapes and weights: as `keras.layers.BatchNormalization`.

    Source: Ioffe and Szegedy 2015 (arXiv 1502.03167).
    """
