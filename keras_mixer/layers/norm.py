"""Layer normalisation, written so that it stays fast after quantisation."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_mixer")
class LayerNorm(keras.layers.Layer):
    """`d = x - mean(x); d / sqrt(mean(d * d) + epsilon) * gamma + beta`, over the last axis.

    The function of `keras.layers.LayerNormalization`, computed from the centred `d`. Keras expands
    the product instead, which LiteRT can only run with NEG and SQUARED_DIFFERENCE: the first has no
    int8 form and the second only a slow one. benchmarks/int8_norm.py measures what that costs.

    Args:
        epsilon: Added to the variance. Flax's default 1e-6 is what Google's Mixers were trained
            with; `keras.layers.LayerNormalization` would take 1e-3.

    Input shape: `[..., C]`; `C` static.
    Output shape: the input's. Statistics are taken in float32 or better, whatever the dtype policy.

    Weights: `gamma` [C], ones at first; `beta` [C], zeros.

    Source: Ba et al. 2016 (arXiv 1607.06450), eq. 4.
    """

    def __init__(self, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        def weight(name, initializer):  # in its full precision also under mixed_bfloat16
            return self.add_weight(
                shape=input_shape[-1:], initializer=initializer, autocast=False, name=name
            )

        self.gamma = weight("gamma", "ones")
        self.beta = weight("beta", "zeros")

    def call(self, x):
        dtype = keras.backend.result_type(x.dtype, "float32")
        x = ops.cast(x, dtype)
        d = x - ops.mean(x, axis=-1, keepdims=True)
        # `d * d`, never ops.square(x - mean): the converter would fuse that back together.
        y = d * ops.rsqrt(ops.mean(d * d, axis=-1, keepdims=True) + self.epsilon)
        y = y * ops.cast(self.gamma, dtype) + ops.cast(self.beta, dtype)
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape
