"""How commands print, and how they load models without the chatter of native libraries."""

import os
import sys
import warnings
from contextlib import contextmanager

from rich.console import Console

from keras_mixer._quiet import quiet

console = Console(
    markup=False,  # a path may hold brackets
    # Under a notebook's `!` there seems to be a terminal, but its cursor does not move.
    force_terminal=False if "JPY_PARENT_PID" in os.environ else None,
)


def load(model, weights=None):
    """`keras_mixer.load_model`, quietly but for the progress of a download."""
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
    print(f"Warning: {text}", file=sys.stderr)


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
