"""Marks of single rows of a parametrised test."""

from functools import partial

import pytest

slow = partial(pytest.param, marks=pytest.mark.slow)
