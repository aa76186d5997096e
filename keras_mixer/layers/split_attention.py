"""Split attention: a weighted sum of several branches."""

from functools import partial

import keras
from keras import ops

from keras_mixer._checks import check_shape
from keras_mixer.layers.sublayer import sublayer


@keras.saving.register_keras_serializable("keras_mixer")
class SplitAttention(keras.layers.Layer):
    """Weighs branches for each channel and adds them, K x [B, h, w, C] -> [B, h, w, C].

        a = mean over cells of the sum of the branches
        A = softmax over branches of the K x C numbers excite(gelu(squeeze(a)))
        y = sum over branches k of A_k * x_k

    Args:
        use_bias: Whether the two dense layers have biases.
        kernel_initializer: Of both kernels, by name or a Keras initializer; by default LeCun's
            truncated normal of variance 1 / fan_in.

    Input shape: a list of K maps `[B, h, w, C]`; 4 divides `C`.
    Output shape: that of one of them.

    Weights: `squeeze/kernel` [C, C / 4], `excite/kernel` [C / 4, K C], the channels of the first
    branch first, and their biases if any.

    Source: Hou et al. 2021 (Vision Permutator, arXiv 2106.12368), weighted Permute-MLP; S2-MLPv2
    (arXiv 2108.01072), eq. 2 to 4, which writes the sum over cells and says its average.
    """

    def __init__(self, use_bias=True, kernel_initializer="lecun_normal", **kwargs):
        super().__init__(**kwargs)
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        if isinstance(kernel_initializer, keras.initializers.Initializer):
            self.kernel_initializer = keras.initializers.serialize(kernel_initializer)
        self.activation = partial(ops.gelu, approximate=False)

    def build(self, input_shape):
        who, count = f"SplitAttention '{self.name}'", len(input_shape)
        shapes = {tuple(shape) if isinstance(shape, list | tuple) else () for shape in input_shape}
        if count < 2 or len(shapes) > 1 or shapes == {()}:
            raise ValueError(
                f"{who} needs a list of two branches or more of one shape; got {input_shape}."
            )
        check_shape(who, input_shape[0], "BhwC", "C")
        channels = input_shape[0][-1]
        if channels % 4:
            raise ValueError(f"{who} needs channels that 4 divides; got {channels}.")

        def dense(name, width, units):
            options = {
                "use_bias": self.use_bias,
                "kernel_initializer": keras.initializers.get(self.kernel_initializer),
            }
            return sublayer(self, keras.layers.Dense, name, (None, width), units, **options)

        self.squeeze = dense("squeeze", channels, channels // 4)
        self.excite = dense("excite", channels // 4, count * channels)

    def call(self, branches):
        count, channels = len(branches), branches[0].shape[-1]
        total = sum(branches[1:], branches[0])
        mean = ops.mean(total, axis=(1, 2))
        weights = self.excite(self.activation(self.squeeze(mean)))
        weights = ops.softmax(ops.reshape(weights, (-1, count, channels)), axis=1)
        weights = ops.split(ops.reshape(weights, (-1, 1, count, channels)), count, axis=2)
        first, *others = (w * x for w, x in zip(weights, branches, strict=True))
        return sum(others, first)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return super().get_config() | {
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
        }
