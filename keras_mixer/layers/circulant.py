"""Token mixing by circulant matrices."""

import keras
from keras import ops

from keras_mixer._checks import check_shape, check_whole
from keras_mixer._keras import autocast


@keras.saving.register_keras_serializable("keras_mixer")
class Circulant(keras.layers.Layer):
    """Circular correlation along tokens, one filter per group of channels, [B, C, N] -> [B, C, N].

        y[c, i] = sum over j of w_g[j] * x[c, (i + j) mod N]

    Channel `c` is in group `g = c // (C / G)`. The filter of a group is an N x N matrix of which
    each row is the row above moved by one; it has N weights.

    Args:
        groups: Number of groups `G`, which divides the channels.
        fft: Whether to multiply in the frequency domain, in float32, instead of by matrices. The
            result is the same up to rounding. Its cost grows with N log N instead of N^2.

    Input shape: `[B, C, N]`, tokens last; `C` and `N` static.
    Output shape: the input's.

    Weights: `kernel` [G, N].

    Source: Yu et al. 2021 (arXiv 2106.14882), eq. 7 and 8.
    """

    def __init__(self, groups, fft=False, **kwargs):
        super().__init__(**kwargs)
        check_whole(f"Circulant '{self.name}'", 1, groups=groups)
        self.groups = groups
        self.fft = fft

    def build(self, input_shape):
        check_shape(f"Circulant '{self.name}'", input_shape, "BCN", "CN")
        _, channels, tokens = input_shape
        if channels % self.groups:
            raise ValueError(
                f"Circulant '{self.name}' needs groups to divide the {channels} channels; got "
                f"{self.groups}."
            )
        self.kernel = self.add_weight(
            shape=(self.groups, tokens), initializer="glorot_uniform", name="kernel"
        )

    def call(self, x):
        _, channels, tokens = x.shape
        if self.fft:
            return ops.cast(self._by_fft(ops.cast(x, "float32")), self.compute_dtype)
        by_group = ops.reshape(x, (-1, self.groups, channels // self.groups, tokens))
        y = ops.einsum("bgcn,gmn->bgcm", by_group, circulant_matrices(self.kernel))
        return ops.reshape(y, (-1, channels, tokens))

    def _by_fft(self, x):
        _, channels, tokens = x.shape
        real, imaginary = ops.rfft(x)
        # Of each channel; its conjugate makes a correlation of the product.
        a, b = (
            ops.repeat(part, channels // self.groups, axis=0)
            for part in ops.rfft(self._full_kernel())
        )
        product = real * a + imaginary * b, imaginary * a - real * b
        return ops.irfft(product, fft_length=tokens)

    def _full_kernel(self):
        with autocast(None):  # not rounded to the compute type first
            return ops.cast(self.kernel, "float32")

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"groups": self.groups, "fft": self.fft}


def circulant_matrices(kernel):
    """Filters [G, N] -> matrices [G, N, N]: entry (i, n) is `kernel[g, (n - i) mod N]`.

    Without indices, whose gradient TPUs compute one by one: in rows of 2 N - 1, which is -1 modulo
    N, a repeated filter moves by one from row to row.
    """
    groups, tokens = kernel.shape
    row = 2 * tokens - 1
    repeated = ops.tile(kernel, (1, 2 * tokens))[:, : tokens * row]
    return ops.reshape(repeated, (groups, tokens, row))[:, :, :tokens]
