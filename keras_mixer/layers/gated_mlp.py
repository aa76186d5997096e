"""The gated multilayer perceptron of gMixer."""

from functools import partial

import keras
from keras import ops

from keras_mixer._checks import check_whole
from keras_mixer.layers.sublayer import sublayer

NEAR_ZERO = {"class_name": "RandomNormal", "config": {"stddev": 1e-6}}


@keras.saving.register_keras_serializable("keras_mixer")
class GatedMlp(keras.layers.Layer):
    """`project(expand(x) * silu(gate(x)))`, three dense layers over the last axis.

    Args:
        hidden_dim: Width between the layers.

    Input shape: `[..., C]`, any rank from 2 up; `C` static.
    Output shape: the input's.

    Weights: `expand/kernel`, `gate/kernel` [C, hidden_dim], `project/kernel` [hidden_dim, C], and
    their biases. As in timm, the gate's kernel starts near zero (a deviation of 1e-6) and its bias
    at one; other kernels start by Glorot's uniform distribution, in which `expand` and `gate` count
    as one layer of `2 * hidden_dim` units, and other biases near zero.

    Source: Shazeer 2020 (arXiv 2002.05202), SwiGLU; `GluMlp` in timm.
    """

    def __init__(self, hidden_dim, **kwargs):
        super().__init__(**kwargs)
        check_whole(f"GatedMlp '{self.name}'", 1, hidden_dim=hidden_dim)
        self.hidden_dim = hidden_dim

    def build(self, input_shape):
        dense = partial(sublayer, self, keras.layers.Dense)
        width, near_zero = input_shape[-1], {"bias_initializer": NEAR_ZERO}
        near_one = {"kernel_initializer": NEAR_ZERO, "bias_initializer": "ones"}
        bound = (6 / (width + 2 * self.hidden_dim)) ** 0.5
        glorot = keras.initializers.RandomUniform(-bound, bound)
        self.expand = dense(
            "expand", input_shape, self.hidden_dim, kernel_initializer=glorot, **near_zero
        )
        self.gate = dense("gate", input_shape, self.hidden_dim, **near_one)
        hidden = *input_shape[:-1], self.hidden_dim
        self.project = dense("project", hidden, width, **near_zero)

    def call(self, x):
        return self.project(self.expand(x) * ops.silu(self.gate(x)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"hidden_dim": self.hidden_dim}
