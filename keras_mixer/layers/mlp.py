"""The multilayer perceptron of the mixing blocks."""

from functools import partial

import keras

from keras_mixer._checks import check_whole
from keras_mixer.layers import gradients
from keras_mixer.layers.dense import Dense
from keras_mixer.layers.sublayer import sublayer

GELUS = {"tanh": True, "erf": False}  # name -> the `approximate` of keras.ops.gelu


@keras.saving.register_keras_serializable("keras_mixer")
class Mlp(keras.layers.Layer):
    """`project(gelu(expand(x)))`: two dense layers over the last axis, [..., C] -> [..., C].

    Args:
        hidden_dim: Width between the two layers.
        gelu: `"tanh"`, the approximation that is Flax's default and that Google's checkpoints were
            trained with, or `"erf"`, the exact form of PyTorch and timm. The two differ by up to
            5e-4, so use the form that the weights were trained with.
        kernel_initializer: Of both kernels, by name or a Keras initializer; by default LeCun's
            truncated normal of variance 1 / fan_in, as in Flax's `nn.Dense`.

    Input shape: `[..., C]`, any rank from 2 up; `C` static.
    Output shape: the input's.

    Weights: `expand/kernel` [C, hidden_dim], `expand/bias`, `project/kernel` [hidden_dim, C],
    `project/bias`. Biases start at zero.

    Source: Tolstikhin et al. 2021, eq. 1; `MlpBlock` in vit_jax/models_mixer.py.
    """

    def __init__(self, hidden_dim, gelu="tanh", kernel_initializer="lecun_normal", **kwargs):
        super().__init__(**kwargs)
        if gelu not in GELUS:
            raise ValueError(f"Mlp '{self.name}' needs gelu to be 'tanh' or 'erf'; got {gelu!r}.")
        check_whole(f"Mlp '{self.name}'", 1, hidden_dim=hidden_dim)
        self.hidden_dim = hidden_dim
        self.gelu = gelu
        self.kernel_initializer = kernel_initializer
        if isinstance(kernel_initializer, keras.initializers.Initializer):
            self.kernel_initializer = keras.initializers.serialize(kernel_initializer)
        self.activation = partial(gradients.gelu, approximate=GELUS[gelu])

    def build(self, input_shape):
        def dense(name, shape, units):
            initializer = keras.initializers.get(self.kernel_initializer)  # each with its own seed
            return sublayer(self, Dense, name, shape, units, kernel_initializer=initializer)

        self.expand = dense("expand", input_shape, self.hidden_dim)
        self.project = dense("project", (*input_shape[:-1], self.hidden_dim), input_shape[-1])

    def call(self, x):
        return self.project(self.activation(self.expand(x)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "hidden_dim": self.hidden_dim,
            "gelu": self.gelu,
            "kernel_initializer": self.kernel_initializer,
        }
