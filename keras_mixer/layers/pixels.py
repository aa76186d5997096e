"""From stored pixels to what weights were trained on."""

import keras
import numpy as np


def pixel_rescaling(mean, std, name=None):
    """A layer for `(pixels / 255 - mean) / std`, [..., C] -> [..., C] in float32.

    Args:
        mean, std: Numbers, or one a channel. 0.5 and 0.5 give [-1, 1]; 0 and 1 give [0, 1].
        name: Name of the layer.

    Returns:
        A `keras.layers.Rescaling`, which also runs inside `tf.data`, whatever Keras's backend. It
        computes in float32 under `mixed_bfloat16` too.
    """
    mean, std = np.asarray(mean, float), np.asarray(std, float)
    if not (std > 0).all():
        raise ValueError(f"pixel_rescaling needs std to be above 0; got {std.tolist()}.")
    scale, offset = (1 / (255 * std)).tolist(), (-mean / std).tolist()
    return keras.layers.Rescaling(scale, offset, dtype="float32", name=name)
