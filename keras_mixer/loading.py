"""Models from disk or by name, and their class names."""

import os

import keras

from keras_mixer._runs import LABELS, model_file, recorded
from keras_mixer.imagenet import CLASSES, classes
from keras_mixer.models import BUILDERS, create_model, named_release, release_name
from keras_mixer.weights import Shipped, fetch, is_file
from keras_mixer.weights.files import KERAS, SUFFIXES


def load_model(model: str | os.PathLike, weights: str | os.PathLike | None = None) -> keras.Model:
    """Loads a model from a `.keras` file or a run's folder, or builds one by name.

    A `.keras` file runs no code of its own: Keras's safe mode is on, unless
    `keras.config.enable_unsafe_deserialization()` was called.

    Args:
        model: A `.keras` file; the folder of a run of `keras_mixer.training.train`, of which
            `last.keras` is loaded, unless `best.keras` is clearly better or the run is not
            finished, see there; or a name from `keras_mixer.list_models()`.
        weights: For a model by name: a release such as `"imagenet1k"`, which is downloaded if it is
            not cached, or a checkpoint file. By default the weights are random.

    Returns:
        A `keras.Model`, not compiled: images `[B, H, W, C]` -> scores `[B, classes]`.

    Raises:
        FileNotFoundError: The file, or the model in the folder, does not exist.
        ValueError: The file is not a Keras model, or its model would run code; there is no model of
            that name; or the weights do not match the model, or were given for a file.
        OSError: Released weights cannot be downloaded or stored.
    """
    if "://" in str(model):
        raise ValueError(
            f"load_model does not download; got {str(model)!r}. Fetch the file first, and give its "
            "path. Released weights are fetched by name: weights='imagenet'."
        )
    path = model_file(model)
    if path.suffix != ".keras":
        if is_file(str(model)):
            raise ValueError(_no_model(str(model)))
        return create_model(str(model), weights=weights)
    if weights is not None:
        raise ValueError(
            f"{path} has weights of its own; pass weights (--weights) only with a model's name."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no Keras model at {str(path)!r}.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # Keras meets a damaged configuration in whatever code reads it
        raise ValueError(f"{path} does not load as a Keras model: {error}") from error


def _no_model(text):
    """Why a path that does not end in `.keras` gives no model, and what to do with it."""
    said = (
        f"There is no model called {text!r}, and no run's folder there; a model's file ends in "
        ".keras."
    )
    if text.endswith((".weights.h5", *(s for s in SUFFIXES if not s.endswith(KERAS)))):
        return (
            f"{said} This holds weights alone: build the model and give it the file, as "
            f"keras_mixer.MixerB16(weights={text!r}), or on the command line as MixerB16 --weights "
            f"{text}."
        )
    if text.endswith((".h5", ".hdf5")):
        return (
            f"{said} For a model in Keras's older format, which may run code, load it with "
            f"keras.models.load_model({text!r}), and save it as .keras. For weights, see "
            "keras_mixer.load_weights: Keras's own end in .weights.h5."
        )
    if text.endswith(".tflite"):
        return f"{said} A .tflite file is run by keras_mixer.tflite.Classifier({text!r})."
    return said


def fetch_release(name, weights):
    """Downloads the weights of a model by name if they are a release that is not in the cache.

    Returns:
        The weights: the name of the release where `"imagenet"` was given, else as they came.
    """
    builder = BUILDERS.get(str(name))
    if builder is None:
        return weights
    weights = named_release(builder, weights)
    if weights in builder.releases:
        fetch(builder.releases[weights])
    return weights


def _check_own_order(file, trained):
    """Raises ValueError if a run's file of labels has its classes in another order."""
    names = file.read_text(encoding="utf-8", errors="replace").splitlines()
    if trained and names != trained and sorted(names) == sorted(trained):
        raise ValueError(
            f"{file} has the classes in another order than the run was trained in, so that scores "
            f"would get wrong names; class 0 is {trained[0]!r}. Remove the file: the run's state "
            "has the names, too."
        )


def class_names(model, weights=None, *, count):
    """The class names of a model.

    Args:
        model, weights: As in `load_model`.
        count: Number of the model's classes.

    Returns:
        The path of a text file with one name a line, or a list of names; None if they are unknown.
    """
    file = model_file(model)
    if file.suffix == ".keras":
        trained = (recorded(file.parent) or {}).get("classes")
        beside = file.with_name(LABELS)
        if beside.is_file():
            _check_own_order(beside, trained)
        return beside if beside.is_file() else trained
    builder = BUILDERS.get(str(file))
    release = builder and builder.releases.get(release_name(builder, weights))
    if isinstance(release, Shipped):
        return release.labels
    if release is None or count not in CLASSES:
        return None
    return [name for _, name in classes(count)]
