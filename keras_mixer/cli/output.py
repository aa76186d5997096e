"""How commands print, and how they load models without the chatter of native libraries."""

import os
import warnings
from contextlib import contextmanager

from rich.console import Console

from keras_mixer._quiet import quiet
from keras_mixer._text import printable


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


def load(model, weights=None):
    """`keras_mixer.load_model`, quietly but for the progress of a download."""
    with quiet():
        from keras_mixer import loading
    loading.fetch_release(model, weights)
    with quiet():
        return loading.load_model(model, weights)


@contextmanager
def quiet_but_for_left_out():
    """As `quiet`; pictures that could not be read and were left out are named afterwards."""
    from keras_mixer.data.folders import LeftOutWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LeftOutWarning)
        with quiet():
            yield
    for warning in caught:
        if issubclass(warning.category, LeftOutWarning):
            console.print(str(warning.message), soft_wrap=True, highlight=False)
