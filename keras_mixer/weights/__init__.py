"""Weights: from files and released checkpoints into models and back, and for other image sizes."""

from keras_mixer.weights import flax, pytorch
from keras_mixer.weights.checkpoint import (
    Checkpoint,
    assign,
    load_weights,
    register_layouts,
    save_weights,
)
from keras_mixer.weights.files import is_file
from keras_mixer.weights.releases import Release, Shipped, fetch
from keras_mixer.weights.resize import resize, resize_by_interpolation

__all__ = [
    "Checkpoint",
    "Release",
    "Shipped",
    "assign",
    "fetch",
    "flax",
    "is_file",
    "load_weights",
    "pytorch",
    "register_layouts",
    "resize",
    "resize_by_interpolation",
    "save_weights",
]
