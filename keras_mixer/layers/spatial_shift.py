"""Token mixing by shifts."""

import keras
from keras import ops

from keras_mixer._checks import check_shape


@keras.saving.register_keras_serializable("keras_mixer")
class SpatialShift(keras.layers.Layer):
    """Moves each quarter of the channels by one cell in a direction, [B, h, w, C] -> [B, h, w, C].

    The first quarter moves down, the second up, the third right and the fourth left. A border cell
    that no cell moves to keeps its own value.

    Args:
        columns_first: Whether the first two quarters move right and left, the others down and up.

    Input shape: `[B, h, w, C]`; 4 divides `C`.
    Output shape: the input's.

    Source: Yu et al. 2021 (S2-MLP, arXiv 2106.07477), eq. 3; with `columns_first` Yu et al. 2021
    (S2-MLPv2, arXiv 2108.01072), eq. 8. Their text compares the shift to a depthwise convolution,
    which would set border cells to 0, and their listings assign overlapping slices in place; the
    equations are followed here.
    """

    def __init__(self, columns_first=False, **kwargs):
        super().__init__(**kwargs)
        self.columns_first = columns_first

    def build(self, input_shape):
        who = f"SpatialShift '{self.name}'"
        check_shape(who, input_shape, "BhwC", "C")
        if input_shape[-1] % 4:
            raise ValueError(f"{who} needs channels that 4 divides; got {input_shape[-1]}.")

    def call(self, x):
        first, second = (2, 1) if self.columns_first else (1, 2)
        a, b, c, d = ops.split(x, 4, axis=-1)
        return ops.concatenate(
            [forwards(a, first), backwards(b, first), forwards(c, second), backwards(d, second)],
            axis=-1,
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"columns_first": self.columns_first}


def forwards(x, axis):
    """Cell `i` moves to `i + 1`; the first keeps its value."""
    before = (slice(None),) * axis
    return ops.concatenate([x[*before, :1], x[*before, :-1]], axis)


def backwards(x, axis):
    """Cell `i` moves to `i - 1`; the last keeps its value."""
    before = (slice(None),) * axis
    return ops.concatenate([x[*before, 1:], x[*before, -1:]], axis)
