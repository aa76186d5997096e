"""Affine layers per channel, without statistics."""

import keras


@keras.saving.register_keras_serializable("keras_mixer")
class Affine(keras.layers.Layer):
    """`alpha * x + beta` for each channel, in place of a norm, [..., C] -> [..., C].

    Input shape: `[..., C]`; `C` static.
    Output shape: the input's.

    Weights: `alpha` [C], ones at first; `beta` [C], zeros.

    Source: Touvron et al. 2021 (ResMLP, arXiv 2105.03404), eq. 1.
    """

    def build(self, input_shape):
        shape = input_shape[-1:]
        self.alpha = self.add_weight(shape=shape, initializer="ones", name="alpha")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")

    def call(self, x):
        return self.alpha * x + self.beta

    def compute_output_shape(self, input_shape):
        return input_shape


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
