"""Dense layers with the scales and shifts around them folded into their weights.

In training a scale of the activations costs a pass over them for its gradient. Folded into a kernel
it costs next to nothing: its gradient is a sum over the kernel's. `Residual` computes so with
tokens first, in training on TPUs; the functions are the same.
"""

import keras
from keras import ops

from keras_mixer._keras import autocast, is_quantised


def affine_dense(x, affine, dense):
    """`dense(affine(x))` as one matrix multiplication, [..., C] -> [..., D]."""
    if is_quantised(dense):
        return dense(affine(x))
    alpha, beta, kernel, bias = _full(x, affine.alpha, affine.beta, dense.kernel, dense.bias)
    return _dense(dense.name, x, alpha[:, None] * kernel, ops.matmul(beta, kernel) + bias)


def dense_scale(x, dense, scale):
    """`scale(dense(x))` as one matrix multiplication, [..., C] -> [..., D]."""
    if is_quantised(dense):
        return scale(dense(x))
    gamma, kernel, bias = _full(x, scale.gamma, dense.kernel, dense.bias)
    return _dense(dense.name, x, kernel * gamma, bias * gamma)


def affine_tokens_scale(x, affine, dense, scale):
    """`scale(y)` of `y`, `dense` over the tokens of `affine(x)`, all [S, B, C].

    The scale of the affine layer and the last one are one, because both are of channels.
    """
    if is_quantised(dense):
        return scale(ops.transpose(dense(ops.transpose(affine(x), (1, 2, 0))), (2, 0, 1)))
    gamma, alpha, beta = _full(x, scale.gamma, affine.alpha, affine.beta)
    kernel, bias = _full(x, dense.kernel, dense.bias)
    shift = gamma * (ops.sum(kernel, 0)[:, None] * beta + bias[:, None])  # [S, C]
    with keras.name_scope(dense.name):
        y = ops.tensordot(ops.cast(kernel, x.dtype), ops.cast(alpha * gamma, x.dtype) * x, (0, 0))
        return y + ops.cast(shift, x.dtype)[:, None]


def _full(x, *weights):
    """The weights in float32, or in the type of `x` if that has more digits."""
    dtype = keras.backend.result_type(x.dtype, "float32")
    with autocast(None):  # not rounded to the compute type first
        return [ops.cast(ops.convert_to_tensor(weight), dtype) for weight in weights]


def _dense(name, x, kernel, bias):
    with keras.name_scope(name):
        return ops.matmul(x, ops.cast(kernel, x.dtype)) + ops.cast(bias, x.dtype)
