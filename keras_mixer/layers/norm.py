"""Layer normalisation, in forms that are fast on TPUs, in int8 and in float16."""

import math

import keras
from keras import ops

FORMS = "centred", "two_stage", "float16"
# Added to half the mean magnitude, so that the factor 1 / half is at most 1,000.
SMALLEST_HALF = 1e-3
# In the form "float16" the squares of `d / half` are computed in this unit: they are at most C^2,
# which float16 holds for C up to 2,047.
SQUARES = 64


def one_pass_variance(x, mean):
    """`mean(x * x) - mean * mean` over the last axis, which it keeps; never below 0 by rounding."""
    return ops.maximum(ops.mean(x * x, axis=-1, keepdims=True) - mean * mean, 0)


@keras.saving.register_keras_serializable("keras_mixer")
class LayerNorm(keras.layers.Layer):
    """`d = x - mean(x); d / sqrt(mean(d * d) + epsilon) * gamma + beta`, over the last axis.

    The same function as `keras.layers.LayerNormalization`, computed from the centred `d`. Keras
    expands the formula, and LiteRT then needs the ops NEG and SQUARED_DIFFERENCE: the first has no
    int8 form and the second only a slow one. benchmarks/rewrites.py measures the cost.

    For 16-bit inputs, as under `mixed_bfloat16`, the variance is computed in one pass, as in Flax:
    `mean(x * x) - mean(x)^2` in float32, which is precise enough for them. A TPU then reads the
    input one time fewer.

    Args:
        epsilon: Added to the variance. Google's Mixers were trained with Flax's default, 1e-6; the
            default of `keras.layers.LayerNormalization` is 1e-3.
        form: How it is computed. `"centred"`: as above. `"two_stage"`: the same function for 8-bit
            arithmetic, which cannot represent the variances of tokens with small and with large
            activations on one scale. `d` is first divided by half its mean magnitude, then
            normalised as above. `"float16"`: the same in 16 bits, where `d * d` would overflow from
            256 on; the squares are computed so that XNNPACK does not fuse them with their mean,
            for which it has no float16 kernel. `keras_mixer.tflite.convert` chooses the form; the
            last two have no advantage in training.
        affine: Whether there are `gamma` and `beta`.
        tokens_first: Whether to normalise inputs [B, S, C] in [S, B, C] order, as the block before
            it does, see `Residual`; the result is the same. The TPU compiler fuses the gradient
            with the block's only if both have the same shape.

    Input shape: `[..., C]`; `C` static.
    Output shape: the input's. Statistics are taken in float32 or better, whatever the dtype policy.

    Weights, if affine: `gamma` [C], ones at first; `beta` [C], zeros.

    Source: Ba et al. 2016 (arXiv 1607.06450), eq. 4.
    """

    def __init__(self, epsilon=1e-6, form="centred", affine=True, tokens_first=False, **kwargs):
        super().__init__(**kwargs)
        if form not in FORMS:
            raise ValueError(
                f"LayerNorm '{self.name}' needs form to be one of {', '.join(map(repr, FORMS))}; "
                f"got {form!r}."
            )
        self.epsilon = epsilon
        self.form = form
        self.affine = affine
        self.tokens_first = tokens_first

    def build(self, input_shape):
        if not self.affine:
            return

        def weight(name, initializer):  # in float32, also under mixed_bfloat16
            return self.add_weight(
                shape=input_shape[-1:], initializer=initializer, autocast=False, name=name
            )

        self.gamma = weight("gamma", "ones")
        self.beta = weight("beta", "zeros")

    def call(self, x):
        dtype = keras.backend.result_type(x.dtype, "float32")
        of_16_bits = keras.backend.standardize_dtype(x.dtype) != dtype
        if self.tokens_first:
            x = ops.transpose(x, (1, 0, 2))  # [B, S, C] -> [S, B, C]
        x = ops.cast(x, dtype)
        mean = ops.mean(x, axis=-1, keepdims=True)
        d, epsilon = x - mean, self.epsilon
        if self.form != "centred":
            # The deviations above the mean and below it have the same sum, so this is half of
            # mean(|d|). LiteRT fuses the relu with `mean - x`, but not with `-d`.
            half = ops.mean(ops.relu(mean - x), axis=-1, keepdims=True)
            root = ops.rsqrt(half + SMALLEST_HALF)
            scale = root * root
            deviation = scale * math.sqrt(epsilon)  # epsilon itself is not a normal float16
            d, epsilon = d * scale, deviation * deviation
        if of_16_bits and self.form == "centred":
            variance = one_pass_variance(x, mean)
        elif self.form == "float16":
            variance = ops.mean(d * (d / SQUARES), axis=-1, keepdims=True) * SQUARES
        else:
            # `d * d`, never ops.square(x - mean): the converter would fuse that back together.
            variance = ops.mean(d * d, axis=-1, keepdims=True)
        y = d * ops.rsqrt(variance + epsilon)
        if self.affine:
            y = y * ops.cast(self.gamma, dtype) + ops.cast(self.beta, dtype)
        y = ops.cast(y, self.compute_dtype)
        return ops.transpose(y, (1, 0, 2)) if self.tokens_first else y

    def compute_output_shape(self, input_shape):
        return input_shape
