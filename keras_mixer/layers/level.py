"""The levels of a pyramid."""

import keras


@keras.saving.register_keras_serializable("keras_mixer")
class Level(keras.layers.Layer):
    """The identity; it marks the last feature map of a stride, for `keras_mixer.features`.

    Args:
        stride: Pixels of the image per cell of the map, along each side.

    Input shape: `[B, h, w, C]`.
    Output shape: the input's.
    """

    def __init__(self, stride, **kwargs):
        super().__init__(**kwargs)
        self.stride = stride

    def call(self, x):
        return x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"stride": self.stride}
