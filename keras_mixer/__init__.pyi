# Written by `python -m tests.stub`; a test compares it with the package.
import collections.abc
import os
from typing import Literal, Optional

import keras

from keras_mixer import data as data
from keras_mixer import imagenet as imagenet
from keras_mixer import layers as layers
from keras_mixer import models as models
from keras_mixer import tflite as tflite
from keras_mixer import tpu as tpu
from keras_mixer import training as training
from keras_mixer import weights as weights
from keras_mixer.imagenet import decode_predictions as decode_predictions
from keras_mixer.imagenet import preprocess_input as preprocess_input
from keras_mixer.images import Preprocessing as Preprocessing
from keras_mixer.images import preprocessing as preprocessing
from keras_mixer.loading import load_model as load_model
from keras_mixer.models import create_model as create_model
from keras_mixer.models import list_models as list_models
from keras_mixer.transfer import features as features
from keras_mixer.transfer import freeze as freeze
from keras_mixer.transfer import unfreeze as unfreeze
from keras_mixer.visualize import show_weights as show_weights
from keras_mixer.weights.checkpoint import load_weights as load_weights
from keras_mixer.weights.checkpoint import save_weights as save_weights
from keras_mixer.weights.resize import resize as resize
from keras_mixer.weights.resize import resize_by_interpolation as resize_by_interpolation

__version__: str

def MixerS32(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'mixer_s32',
    drop_path_rate: float = 0.0,
    gelu: Optional[Literal['tanh', 'erf']] = None,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def MixerS16(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'mixer_s16',
    drop_path_rate: float = 0.0,
    gelu: Optional[Literal['tanh', 'erf']] = None,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def MixerS8(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'mixer_s8',
    drop_path_rate: float = 0.0,
    gelu: Optional[Literal['tanh', 'erf']] = None,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def MixerB32(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'mixer_b32',
    drop_path_rate: float = 0.0,
    gelu: Optional[Literal['tanh', 'erf']] = None,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def MixerB16(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'mixer_b16',
    drop_path_rate: float = 0.0,
    gelu: Optional[Literal['tanh', 'erf']] = None,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def MixerL32(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'mixer_l32',
    drop_path_rate: float = 0.0,
    gelu: Optional[Literal['tanh', 'erf']] = None,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def MixerL16(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'mixer_l16',
    drop_path_rate: float = 0.0,
    gelu: Optional[Literal['tanh', 'erf']] = None,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def MixerH14(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'mixer_h14',
    drop_path_rate: float = 0.0,
    gelu: Optional[Literal['tanh', 'erf']] = None,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def MixerTi4(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'mixer_ti4',
    drop_path_rate: float = 0.0,
    gelu: Optional[Literal['tanh', 'erf']] = None,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def MlpMixer(
    include_top: bool = True,
    *,
    patch_size: int,
    width: int,
    depth: int,
    token_mlp_dim: int,
    channel_mlp_dim: int,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'mlp_mixer',
    drop_path_rate: float = 0.0,
    gelu: Optional[Literal['tanh', 'erf']] = None,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def ResMlpS12(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'res_mlp_s12',
    drop_path_rate: float = 0.0,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def ResMlpS24(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'res_mlp_s24',
    drop_path_rate: float = 0.0,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def ResMlpS36(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'res_mlp_s36',
    drop_path_rate: float = 0.0,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def ResMlpB24(
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'res_mlp_b24',
    drop_path_rate: float = 0.0,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
def ResMlp(
    include_top: bool = True,
    *,
    patch_size: int,
    width: int,
    depth: int,
    channel_mlp_dim: int,
    layer_scale: float,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: collections.abc.Sequence[int] | None = None,
    pooling: Optional[Literal['avg', 'max']] = None,
    classes: int | None = None,
    classifier_activation: str | collections.abc.Callable | None = 'softmax',
    name: str | None = 'res_mlp',
    drop_path_rate: float = 0.0,
    remat: bool = False,
    tokens_first: bool | None = None,
) -> keras.Model: ...
