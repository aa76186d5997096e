"""Affine layers per channel, without statistics, and what those behind branches start at."""

import keras


@keras.saving.register_keras_serializable("keras_mixer")
class Affine(keras.layers.Layer):
    """`alpha * x + beta` for each channel, in place of a norm, [..., C] -> [..., C].

    Args:
        initial: The value that `alpha` starts at: 1, or a small one at the end of a residual
            branch, as of `LayerScale`.

    Input shape: `[..., C]`; `C` static.
    Output shape: the input's.

    Weights: `alpha` [C]; `beta` [C], zeros at first.

    Source: Touvron et al. 2021 (ResMLP, arXiv 2105.03404), eq. 1.
    """

    def __init__(self, initial=1.0, **kwargs):
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape):
        shape, start = input_shape[-1:], keras.initializers.Constant(self.initial)
        self.alpha = self.add_weight(shape=shape, initializer=start, name="alpha")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")

    def call(self, x):
        return self.alpha * x + self.beta

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"initial": self.initial}


@keras.saving.register_keras_serializable("keras_mixer")
class LayerScale(keras.layers.Layer):
    """`gamma * x` for each channel of a residual branch, [..., C] -> [..., C].

    Args:
        initial: The value that `gamma` starts at: small, so that a deep network starts close to the
            identity.

    Input shape: `[..., C]`; `C` static.
    Output shape: the input's.

    Weights: `gamma` [C].

    Source: Touvron et al. 2021 (CaiT, arXiv 2103.17239), section 2.
    """

    def __init__(self, initial, **kwargs):
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape):
        start = keras.initializers.Constant(self.initial)
        self.gamma = self.add_weight(shape=input_shape[-1:], initializer=start, name="gamma")

    def call(self, x):
        return self.gamma * x

    def compute_output_shape(self, input_shape):
        return input_shape


def layer_scale(depth):
    """What the scales behind residual branches start at, by the number of blocks.

    Source: CaiT, section 2.1; of ResMLP, S12, S24 and S36 follow it.
    """
    return 0.1 if depth <= 18 else 1e-5 if depth <= 24 else 1e-6
