"""Packages that only some rooms need: the extra that brings each, and one line where it is missing.

`import keras_mixer`, its models and their weights need none of them.
"""

from contextlib import contextmanager

# Of each extra its packages: name of the module -> name of the package. pyproject.toml has their
# versions; a test compares the two.
EXTRAS = {
    "train": {
        "PIL": "pillow",
        "importlib_resources": "importlib-resources",
        "tensorboard": "tensorboard",
        "tensorflow_datasets": "tensorflow-datasets",
    },
    "tflite": {
        "PIL": "pillow",
        "ai_edge_litert": "ai-edge-litert",
        "flatbuffers": "flatbuffers",
        "litert_quantizer": "litert-quantizer",
    },
    "plot": {"matplotlib": "matplotlib"},
}
EXTRAS["all"] = {
    **{module: package for extra in EXTRAS.values() for module, package in extra.items()},
    "sklearn": "scikit-learn",
}
ROOMS = {
    "data": "train",
    "training": "train",
    "tflite": "tflite",
    "visualize": "plot",
    "quickstart": "all",
}


def install(extra):
    """How to install an extra, in words that can be copied.

    The package is not on an index yet. A name that nobody has registered there must not be
    installed by it: it could become anybody's.
    """
    return f'pip install -e ".[{extra}]" in a clone of keras_mixer'


@contextmanager
def needs(module):
    """In this context an import that fails for want of an extra says which extra to install.

    Args:
        module: `__name__` of the module that imports; its room decides the extra.

    Raises:
        ImportError: A package of the extra is not installed. `name` is the name of its module.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        room = module.split(".")[1]
        missing = (error.name or "").split(".")[0]
        package = EXTRAS[ROOMS[room]].get(missing)
        if package is None:  # of TensorFlow or of the package itself: not an extra's business
            raise
        raise ImportError(
            f"keras_mixer.{room} needs {package}, which is not installed: {install(ROOMS[room])}",
            name=missing,
        ) from None
