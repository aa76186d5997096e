"""Model builders: one file per paper, with the paper's table of models at its end."""

from collections.abc import Callable
from fnmatch import fnmatch
from importlib import import_module
from pkgutil import iter_modules

import keras

from keras_mixer._text import did_you_mean
from keras_mixer.models.architecture import (
    ARCHITECTURES,
    Architecture,
    named_release,
    release_name,
)

# MLP-Mixer first, because the others build on it.
for _module in sorted(iter_modules(__path__), key=lambda module: module.name != "mlp_mixer"):
    import_module(f"{__name__}.{_module.name}")  # adds its architecture to ARCHITECTURES
BUILDERS = {
    name: builder
    for architecture in ARCHITECTURES.values()
    for name, builder in architecture.variants.items()
}

__all__ = [
    "ARCHITECTURES",
    "BUILDERS",
    "Architecture",
    "builder",
    "create_model",
    "list_models",
    "named_release",
    "release_name",
]


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models of fixed size, in the order of their papers' tables.

    Args:
        pattern: Shell pattern of the names to list, such as `"mixer*16"`; case is ignored.
    """
    rows = (name for name, builder in BUILDERS.items() if builder.sizes)
    return [name for name in rows if fnmatch(name.lower(), pattern.lower())]


def builder(name: str) -> Callable[..., keras.Model]:
    """The builder of a model by name.

    Raises:
        ValueError: There is no model of that name.
    """
    if name not in BUILDERS:
        hint = did_you_mean(name, BUILDERS) or f"There are {', '.join(BUILDERS)}."
        raise ValueError(f"There is no model called {name!r}. {hint}")
    return BUILDERS[name]


def create_model(name: str, /, **arguments) -> keras.Model:
    """Builds a model from its name: `create_model("MixerB16", classes=10)`.

    Args:
        name: A name from `list_models()`, or that of a builder without fixed sizes, such as
            `"MlpMixer"`.
        **arguments: The builder's arguments; see `help(keras_mixer.MixerB16)`.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: There is no model of that name.
        TypeError: The builder does not have one of the arguments.
    """
    return builder(name)(**arguments)
