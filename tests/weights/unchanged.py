"""Nothing loaded means nothing changed."""

from contextlib import contextmanager

import keras
import numpy as np


@contextmanager
def unchanged(model):
    """A context that must leave every weight of a model as it is, to the bit."""
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in model.weights]
    yield
    for weight, array in zip(model.weights, before, strict=True):
        assert np.array_equal(weight, array), weight.path
