"""Checks of the arguments of model builders."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from inspect import Parameter
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import keras
import numpy as np

from keras_mixer._text import listed

RATES = {"drop_path_rate"}  # numbers from 0 up to, but without, 1
WHOLE = "a whole number from 1 up"


def checked(
    who: str, values: Mapping[str, Any], parameters: Iterable[Parameter], **checks: tuple
) -> dict[str, Any]:
    """Values of the types that the hints of their parameters ask for, NumPy's as Python's.

    Args:
        who: The builder's name.
        values: Name -> value.
        parameters: Parameters with the hints int, float, bool, Literal or tuple[int, ...], or one
            of them or None. An int is a size or a count, and so at least 1; a tuple has one for
            each stage of the model.
        **checks: Name -> `(what is needed, function)` for other values. The function returns the
            value, or raises a ValueError whose text, if any, is the cure.

    Raises:
        ValueError: Some values are wrong; the message names all of them.
    """
    checks = {p.name: _check(p.name, p.annotation) for p in parameters} | checks
    good, wrong = {}, []
    for name, (needs, function) in checks.items():
        try:
            good[name] = function(values[name])
        except ValueError as cure:
            wrong.append(f"{who} needs {name} to be {needs}; got {values[name]!r}.{cure}")
    if wrong:
        raise ValueError(" ".join(wrong))
    return dict(values) | good


def whole(value):
    """`1`, `np.int64(1)` -> `1`; not `True`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError
    return int(value)


def per_stage(value):
    """`[64, np.int64(128)]` -> `(64, 128)`; not `()`."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes):
        raise ValueError
    numbers = tuple(map(whole, value))
    if not numbers:
        raise ValueError
    return numbers


def check_stages(who, sizes):
    """Raises ValueError unless all tuples among a builder's sizes have the same length."""
    tuples = {name: value for name, value in sizes.items() if isinstance(value, tuple)}
    if len({*map(len, tuples.values())}) > 1:
        got = listed(f"{name}={value}" for name, value in tuples.items())
        raise ValueError(
            f"{who} needs {listed(tuples)} of one length, a number for each stage; got {got}."
        )


def switch(value):
    """`True`, `np.True_` -> `True`; not `1`."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError
    return bool(value)


def number(value):
    """A finite number as a float."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError
    return float(value)


def rate(value):
    """A number in [0, 1) as a float."""
    if not 0 <= number(value) < 1:
        raise ValueError
    return float(value)


def one_of(known):
    """The check for one of some names."""

    def check(value):
        if not isinstance(value, str) or value not in known:
            raise ValueError
        return value

    return " or ".join(map(repr, known)), check


def or_none(needs, function):
    """The same check, which lets None pass."""
    return (
        f"None{',' if ' or ' in needs else ' or'} {needs}",
        lambda value: None if value is None else function(value),
    )


def include_top(value):
    """The check of `include_top`, the one argument that may come without its name."""
    if isinstance(value, str | os.PathLike):
        raise ValueError(f" Did you mean weights={str(value)!r}?")
    if isinstance(value, Integral) and not isinstance(value, bool):
        raise ValueError(f" Did you mean classes={int(value)}?")
    return switch(value)


def activation(value):
    """The name of an activation, a function, or what else Keras takes for one."""
    try:
        if not isinstance(value, bool):
            keras.activations.get(value)
            return value
    except (ValueError, TypeError):
        pass
    raise ValueError


def model_name(value):
    """A name that Keras takes for a model."""
    if not isinstance(value, str) or not value or "/" in value:
        raise ValueError
    return str(value)  # NumPy's strings cannot be saved


def image_shape(shape, who):
    """`(height, width, channels)` as whole numbers."""
    try:
        height, width, channels = map(whole, shape)
    except (TypeError, ValueError):
        cure = ""
        if isinstance(shape, Integral) and not isinstance(shape, bool) and shape > 0:
            cure = f" Did you mean ({shape}, {shape}, 3)?"
        raise ValueError(
            f"{who} mixes a fixed number of tokens, so it needs input_shape to be three "
            f"positive whole numbers, (height, width, channels); got {shape!r}.{cure}"
        ) from None
    return height, width, channels


def _check(name, hint):
    """What a type hint needs, in words, and the function that checks it."""
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (kind for kind in get_args(hint) if kind is not type(None))
        return or_none(*_check(name, inner))
    if hint == tuple[int, ...]:
        return "whole numbers from 1 up, one for each stage", per_stage
    if get_origin(hint) is Literal:
        return one_of(get_args(hint))
    if name in RATES:
        return "a rate in [0, 1)", rate
    known = {
        int: (WHOLE, whole),
        float: ("a finite number", number),
        bool: ("True or False", switch),
    }
    if hint not in known:
        raise TypeError(f"{name} needs one of the type hints {listed(k.__name__ for k in known)}.")
    return known[hint]
