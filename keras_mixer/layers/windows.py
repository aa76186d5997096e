"""Convolutions whose windows lie side by side: the stride is the size of the kernel."""

import keras
from keras import ops


def convolve_windows(x, kernel):
    """[B, h * p, w * q, C] and a kernel [p, q, C, D] -> [B, h, w, D], channels last.

    On CPUs with bfloat16 instructions TensorFlow's oneDNN, up to TensorFlow 2.21 at least, answers
    with noise for windows of few channels and four columns or more, unless XLA compiles. Such a
    convolution is here a matrix product.
    """
    rows, columns, channels, width = kernel.shape
    types = keras.backend.backend(), keras.backend.standardize_dtype(x.dtype)
    if types != ("tensorflow", "bfloat16") or columns < 4 or not 4 < channels < 32:
        return ops.conv(x, kernel, (rows, columns), "valid", data_format="channels_last")
    height, length = x.shape[1] // rows, x.shape[2] // columns
    x = x[:, : height * rows, : length * columns]
    windows = ops.reshape(x, (-1, rows, length, columns * channels))
    windows = ops.reshape(ops.transpose(windows, (0, 2, 1, 3)), (-1, rows * columns * channels))
    product = ops.matmul(windows, ops.reshape(kernel, (-1, width)))
    return ops.reshape(product, (-1, height, length, width))
