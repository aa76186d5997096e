"""A dense layer over the channels of maps."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_mixer")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense`, which is right also on maps of one row, [B, 1, w, C].

    Up to TensorFlow 2.21 the product of such a batch and a matrix reads, on a CPU, beyond the
    matrix: its answers are noise, or the process ends (github.com/tensorflow/tensorflow/issues/
    117700). Here the map loses its row for the product.

    Args, shapes and weights: as `keras.layers.Dense`.
    """

    def quantize(self, mode=None, type_check=True, config=None):
        """As `keras.layers.Dense`, which by default refuses subclasses: they might compute more."""
        super().quantize(mode, type_check=False, config=config)

    def call(self, x, training=None):
        if len(x.shape) != 4 or x.shape[1] != 1:
            return super().call(x, training)
        return ops.expand_dims(super().call(ops.squeeze(x, axis=1), training), axis=1)
