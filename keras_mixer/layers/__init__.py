"""Keras layers, one idea a file. Each is usable alone and takes plain arguments."""

from keras_mixer.layers.affine import Affine, LayerScale
from keras_mixer.layers.batch_norm import BatchNorm
from keras_mixer.layers.circulant import Circulant
from keras_mixer.layers.dense import Dense
from keras_mixer.layers.drop_path import DropPath, drop_path_rates
from keras_mixer.layers.gated_mlp import GatedMlp
from keras_mixer.layers.level import Level
from keras_mixer.layers.mlp import Mlp
from keras_mixer.layers.norm import LayerNorm
from keras_mixer.layers.patches import PatchEmbed
from keras_mixer.layers.pixels import ImagePreprocessing, pixel_rescaling
from keras_mixer.layers.residual import Residual, tokens_first_by_default
from keras_mixer.layers.spatial_shift import SpatialShift
from keras_mixer.layers.split_attention import SplitAttention

__all__ = [
    "Affine",
    "BatchNorm",
    "Circulant",
    "Dense",
    "DropPath",
    "GatedMlp",
    "ImagePreprocessing",
    "LayerNorm",
    "LayerScale",
    "Level",
    "Mlp",
    "PatchEmbed",
    "Residual",
    "SpatialShift",
    "SplitAttention",
    "drop_path_rates",
    "pixel_rescaling",
    "tokens_first_by_default",
]
