"""How commands print, and how they load models without the chatter of native libraries."""

import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from keras_mixer._quiet import quiet
from keras_mixer._runs import STATE, chosen, model_file
from keras_mixer._text import one_line, printable


class Terminal(Console):
    """A console that shows the control characters in a text, which a terminal would obey.

    They come from files: from their names, labels, metadata and tensors.
    """

    def print(self, *objects, **options):
        super().print(*(printable(o, "\n") if _is_text(o) else o for o in objects), **options)


def _is_text(value):
    return isinstance(value, str | os.PathLike)


console = Terminal(
    markup=False,  # a path may hold brackets
    # Under a notebook's `!` there seems to be a terminal, but its cursor does not move.
    force_terminal=False if "JPY_PARENT_PID" in os.environ else None,
)


def file_of(model):
    """`model_file`; of a run's folder it prints which of two models that is."""
    say_which(model)
    return model_file(model)


def beside(model, end):
    """The path MODEL + `end`; of `.`, `..` or a path that ends so, in the current folder."""
    path = Path(model.removesuffix(".keras"))
    return Path(f"{path.resolve().name if path.name in ('', '..') else path}{end}")


def say_which(model):
    """Prints which of two models is used, where `model` is a run's folder with two."""
    choice = chosen(model)
    if choice and choice.reason:
        console.print(f"Of {model} {choice.said(model)}.", soft_wrap=True, highlight=False)


def load(model, weights=None):
    """`keras_mixer.load_model`, quietly but for the progress of a download and `file_of`."""
    model = file_of(model)
    with quiet():
        from keras_mixer import loading
        from keras_mixer.models import BUILDERS
    weights = loading.fetch_release(model, weights)
    with quiet():
        loaded = loading.load_model(model, weights)
    builder = BUILDERS.get(str(model))
    if builder and weights is None:
        cures = [f"--weights {name}" for name in (*builder.releases, "FILE")]
        warn(
            f"{model} has random weights: good for timing, and its scores mean nothing. Trained "
            f"ones come with {' or '.join(cures)}."
        )
    return loaded


def warn(text):
    """Prints a warning in one line on standard error."""
    print(f"Warning: {one_line(text)}", file=sys.stderr)


def known_classes(model, file, weights=None, labels=None):
    """The class names of a model that was loaded from a file or by name, or else their number.

    Args:
        model: The model.
        file, weights: From which it was loaded.
        labels: A file of names that takes precedence, or None.
    """
    from keras_mixer import loading
    from keras_mixer.tflite.file.labels import check_own, read_labels

    count = max(model.outputs[0].shape[-1], 2)  # one score is yes or no
    own = loading.class_names(file, weights, count=count)
    check_own(labels, own, str(file))
    labels = labels or own
    return count if labels is None else read_labels(labels)


def measured_images(path, file, classes):
    """The images at a path to measure a model on: of a folder those that `evaluate` takes.

    Args:
        path: A file, or a folder.
        file: The model's file, perhaps in the folder of its run, or its name.
        classes: From `known_classes`.
    """
    if not (path.is_dir() and (file.parent / STATE).is_file()):
        return path
    with quiet():
        from keras_mixer import training
        from keras_mixer.data.splits import holds_classes

        if not holds_classes(path):
            return path
        return training.evaluation_source(path, run=file, classes=classes)


@contextmanager
def quiet_but_for_left_out():
    """As `quiet`; what is to be known of the images, such as those left out, comes afterwards."""
    from keras_mixer._arrays import DataWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        with quiet():
            yield
    said = [str(w.message) for w in caught if issubclass(w.category, DataWarning)]
    for text in dict.fromkeys(said):  # a folder may be read twice
        console.print(text, soft_wrap=True, highlight=False)
