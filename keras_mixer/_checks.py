"""Checks of arguments that several rooms take; their messages name the argument."""

from numbers import Integral

import keras


def check_model(model, who):
    """Raises ValueError unless `model` is a Keras model."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"{who} needs a Keras model; got {type(model).__name__}.")


def check_whole(who, least, **values):
    """Raises ValueError unless each value is a whole number of at least `least`."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(
                f"{who} needs {name} to be a whole number of at least {least}; got {value!r}."
            )


def check_shape(who, shape, axes, static):
    """Raises ValueError unless a shape has such axes, `"BhwC"`, and those in `static` are known."""
    known = len(shape) == len(axes) and not any(
        length is None and axis in static for axis, length in zip(axes, shape, strict=True)
    )
    if not known:
        raise ValueError(
            f"{who} needs an input [{', '.join(axes)}] with {', '.join(static)} of a fixed size; "
            f"got shape {tuple(shape)}."
        )


def check_multiples(cuts, sides, multiple):
    """Raises ValueError unless a number divides both sides; `cuts` says what cuts the image so."""
    if any(side % multiple for side in sides):
        height, width = (max(round(side / multiple), 1) * multiple for side in sides)
        raise ValueError(
            f"{cuts}, so height and width must be multiples of {multiple}; got {sides[0]} x "
            f"{sides[1]}. The nearest size that works is {height} x {width}."
        )
