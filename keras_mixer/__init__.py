"""All-MLP vision models in Keras: built like `keras.applications`, shipped as `.tflite`.

    model = keras_mixer.MixerB16(weights="imagenet21k", classes=10)
    content = keras_mixer.tflite.convert(model, "dynamic_int8")

The public surface is this file. What brings more than Keras with it loads when it is first touched.
"""

import sys
from importlib import import_module
from pathlib import Path

from keras_mixer._backend import cure

__version__ = "0.1.0.dev0"

__all__ = [
    "Preprocessing",
    "count_macs",
    "create_model",
    "data",
    "decode_predictions",
    "features",
    "freeze",
    "imagenet",
    "layers",
    "list_models",
    "load_model",
    "load_weights",
    "models",
    "preprocess_input",
    "preprocessing",
    "resize",
    "resize_by_interpolation",
    "save_weights",
    "show_weights",
    "tflite",
    "tpu",
    "training",
    "unfreeze",
    "weights",
]

# `keras-mixer --help` must not wait for TensorFlow, so the command line imports models when it
# needs them. Everybody else gets them here: layers register themselves with Keras when they are
# imported, and `keras.saving.load_model` counts on `import keras_mixer` having done so.
if Path(*sys.argv[:1]).name not in ("keras-mixer", "keras-mixer.exe"):
    try:
        import keras as _keras  # noqa: F401  it loads its backend
    except ModuleNotFoundError as _error:
        raise ImportError(cure(_error)) from _error

    from keras_mixer import imagenet, layers, models, weights
    from keras_mixer.complexity import count_macs
    from keras_mixer.imagenet import decode_predictions, preprocess_input
    from keras_mixer.images import Preprocessing, preprocessing
    from keras_mixer.loading import load_model
    from keras_mixer.models import BUILDERS as _BUILDERS
    from keras_mixer.models import create_model, list_models
    from keras_mixer.transfer import features, freeze, unfreeze
    from keras_mixer.weights import (
        load_weights,
        resize,
        resize_by_interpolation,
        save_weights,
    )

    globals().update(
        _BUILDERS
    )  # MixerB16 and the like; keras_mixer/__init__.pyi has them for editors
    __all__ += _BUILDERS


def __getattr__(name):
    if name in ("data", "tflite", "tpu", "training"):
        return import_module(f"keras_mixer.{name}")
    if name == "show_weights":
        return import_module("keras_mixer.visualize").show_weights
    raise AttributeError(f"module 'keras_mixer' has no attribute {name!r}")


def __dir__():
    return [*__all__, "__version__"]
