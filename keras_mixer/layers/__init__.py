"""Keras layers, one idea a file. Each is usable alone and takes plain arguments."""

from keras_mixer.layers.affine import Affine, LayerScale
from keras_mixer.layers.drop_path import DropPath, drop_path_rates
from keras_mixer.layers.mlp import Mlp
from keras_mixer.layers.norm import LayerNorm
from keras_mixer.layers.patches import PatchEmbed
from keras_mixer.layers.pixels import ImagePreprocessing, pixel_rescaling
from keras_mixer.layers.residual import Residual, tokens_first_by_default

__all__ = [
    "Affine",
    "DropPath",
    "ImagePreprocessing",
    "LayerNorm",
    "LayerScale",
    "Mlp",
    "PatchEmbed",
    "Residual",
    "drop_path_rates",
    "pixel_rescaling",
    "tokens_first_by_default",
]
