"""From pixels to the input of a model."""

import keras
import numpy as np
from keras import ops

from keras_mixer.images import Preprocessing


@keras.saving.register_keras_serializable("keras_mixer")
class ImagePreprocessing(keras.layers.Layer):
    """The first layer of a model, which stores how images are prepared, [B, H, W, C] -> the same.

    It returns images unchanged, or, with `rescale`, normalises pixels from 0 to 255:

        y = (x / 255 - mean) / std

    Args:
        mean, std, crop, crop_share, interpolation, antialias, library: Of the images for the
            following layers, see `keras_mixer.Preprocessing`.
        rescale: Whether it normalises pixels itself, so that the model takes 0 to 255.
        architecture: Name of the architecture that the model was built by, one of
            `keras_mixer.models.ARCHITECTURES`; None for any other model.

    The layer computes in float32, also under `mixed_bfloat16`.

    Attributes:
        preprocessing: These arguments as a `keras_mixer.Preprocessing`.
    """

    def __init__(
        self,
        mean=0.5,
        std=0.5,
        crop="resize",
        crop_share=224 / 256,
        interpolation=None,
        antialias=False,
        rescale=False,
        architecture=None,
        library="tensorflow",
        **kwargs,
    ):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.preprocessing = Preprocessing(
            mean, std, None, crop, crop_share, interpolation, antialias, library
        )
        self.rescale = rescale
        self.architecture = architecture

    def call(self, images):
        images = ops.cast(images, self.compute_dtype)
        if not self.rescale:
            return images
        takes = self.preprocessing
        return images * ops.cast(takes.scale, images.dtype) + ops.cast(takes.offset, images.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            **self.preprocessing.as_dict(),
            "rescale": self.rescale,
            "architecture": self.architecture,
        }


def pixel_rescaling(mean, std, name=None):
    """A layer for `(pixels / 255 - mean) / std`, [..., C] -> [..., C] in float32.

    Args:
        mean, std: Numbers, or one a channel. 0.5 and 0.5 give [-1, 1]; 0 and 1 give [0, 1].
        name: Name of the layer.

    Returns:
        A `keras.layers.Rescaling`, which also runs inside `tf.data`, with any Keras backend. It
        computes in float32, also under `mixed_bfloat16`.
    """
    takes = Preprocessing(mean, std)
    if not (np.asarray(takes.std) > 0).all():
        raise ValueError(f"pixel_rescaling needs std to be above 0; got {takes.std}.")
    scale, offset = (np.asarray(n).tolist() for n in (takes.scale, takes.offset))
    return keras.layers.Rescaling(scale, offset, dtype="float32", name=name)
