"""Functions with gradients of their own, written for training in 16 bits.

They save time and memory on a TPU, because XLA compiles a gradient as it is written.
`python -m benchmarks.tpu_estimates` compares the programs with those of the official code.
"""

import math

import keras
from keras import ops

from keras_mixer._keras import is_quantised
from keras_mixer.layers.norm import one_pass_variance

ROOT = math.sqrt(2 / math.pi)
CUBIC = 0.044715


def gelu(x, approximate):
    """`keras.ops.gelu`, [...] -> [...]; in bfloat16 with a gradient that is faster on TPUs."""
    if keras.backend.standardize_dtype(x.dtype) != "bfloat16":
        return ops.gelu(x, approximate)
    return gelu_tanh(x) if approximate else gelu_erf(x)


def gelu_tanh(x):
    """GELU in its tanh form, [...] -> [...], computed in float32 for any input type.

    `x * p` with `p = (1 + tanh(u)) / 2` and `u = sqrt(2 / pi) * (x + 0.044715 x^3)`, the derivative
    `p * (1 + x * (1 - tanh(u)) * u')`.

    Source: Hendrycks and Gimpel 2016 (arXiv 1606.08415), section 2.
    """

    def parts(z):
        square = z * z
        tanh = ops.tanh(z * (ROOT + ROOT * CUBIC * square))
        return square, tanh, 0.5 + 0.5 * tanh

    def value(z):
        *_, share = parts(z)
        return z * share

    def slope(z):
        square, tanh, share = parts(z)
        return share * (1 + z * (ROOT + 3 * ROOT * CUBIC * square) * (1 - tanh))

    return _elementwise(value, slope, x)


def gelu_erf(x):
    """GELU in its exact form, [...] -> [...], computed in float32 for any input type.

    `x * p` with `p = (1 + erf(x / sqrt(2))) / 2`, the derivative `p + x * p'` with the density `p'`
    of the normal distribution. JAX's own has `erfc`, which takes a TPU twice the time of `erf`.

    Source: Hendrycks and Gimpel 2016 (arXiv 1606.08415), section 2.
    """

    def share(z):
        return 0.5 + 0.5 * ops.erf(z * math.sqrt(0.5))

    def value(z):
        return z * share(z)

    def slope(z):
        return share(z) + z * ops.exp(-0.5 * z * z) * math.sqrt(0.5 / math.pi)

    return _elementwise(value, slope, x)


def _elementwise(value, slope, x):
    """`value(x)` with the derivative `slope(x)`, both computed in float32, in the type of `x`."""

    @ops.custom_gradient
    def function(x):
        def gradient(*arguments, upstream=None):
            upstream = arguments[0] if upstream is None else upstream  # a keyword on PyTorch
            return ops.cast(ops.cast(upstream, "float32") * slope(ops.cast(x, "float32")), x.dtype)

        return ops.cast(value(ops.cast(x, "float32")), x.dtype), gradient

    return function(x)


def norm_dense(x, norm, dense):
    """`dense(norm(x))` as one matrix multiplication, [..., C] -> [..., D].

    It computes `x W / deviation + beta kernel + bias`, where `W` is `gamma * kernel` minus its mean
    over the channels. `x W` does not depend on the mean of `x`; a correction removes the rounding
    error of `W`. Statistics are computed in float32 or better. The gradient recomputes the
    normalised `x`, so that it need not be stored.

    For 16-bit inputs the variance is computed in one pass, as by `LayerNorm`. Other inputs are
    centred first, because a large mean would take digits from both the variance and `x W`.

    Args:
        x: A tensor of floating-point numbers.
        norm: A `LayerNorm` with gamma and beta, built.
        dense: A `keras.layers.Dense` without activation, built. One that `Model.quantize` has
            quantised is called behind the norm, because its kernel holds integers.
    """
    if is_quantised(dense):
        return dense(norm(x))
    axes = tuple(range(len(x.shape) - 1))
    dtype = keras.backend.standardize_dtype(x.dtype)
    wide = keras.backend.result_type(dtype, "float32")
    of_16_bits = dtype != wide

    def full(x):
        return ops.cast(x, wide)

    def half(x):
        return ops.cast(x, dtype)

    @ops.custom_gradient
    def function(x, gamma, beta, kernel, bias):
        z = full(x)
        mean = ops.mean(z, axis=-1, keepdims=True)
        if of_16_bits:
            variance = one_pass_variance(z, mean)
        else:
            x = z - mean
            mean = ops.mean(x, axis=-1, keepdims=True)  # what rounding left of it
            variance = ops.mean(x * x, axis=-1, keepdims=True)
        scale = ops.rsqrt(variance + norm.epsilon)

        def gradient(*arguments, upstream=None):
            upstream = arguments[0] if upstream is None else upstream  # a keyword on PyTorch
            z = full(x)
            normalised = half(z * (scale * gamma) + (beta - mean * scale * gamma))
            d_kernel = full(ops.tensordot(normalised, upstream, (axes, axes)))
            d_bias = ops.sum(full(upstream), axes)
            d = full(ops.matmul(upstream, ops.transpose(half(kernel))))
            unit = (z - mean) * scale
            g = d * gamma
            d_x = scale * (
                g
                - ops.mean(g, axis=-1, keepdims=True)
                - unit * ops.mean(g * unit, axis=-1, keepdims=True)
            )
            return half(d_x), ops.sum(d * unit, axes), ops.sum(d, axes), d_kernel, d_bias

        folded = gamma[:, None] * kernel
        folded = half(folded - ops.mean(folded, axis=0))
        y = full(ops.matmul(x, folded)) - mean * ops.sum(full(folded), axis=0)
        return half(y * scale + (ops.matmul(beta, kernel) + bias)), gradient

    weights = (norm.gamma, norm.beta, dense.kernel, dense.bias)
    return function(x, *(full(ops.convert_to_tensor(weight)) for weight in weights))
