"""Layouts: how other code names and stores the same weights, as rules that convert both ways."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from keras_mixer._text import listed


class MisfitError(ValueError):
    """A rule cannot convert an array; the message says what the array must be: `must have ...`."""


@dataclass(frozen=True)
class Misfit:
    """In place of a weight: arrays of a file that the weight's rule cannot convert.

    Attributes:
        shapes: Their shapes, in the order of their names.
        needed: What they must be: `must have 4 axes`.
    """

    shapes: tuple[tuple[int, ...], ...]
    needed: str


def _check(fits, needed):
    if not fits:
        raise MisfitError(needed)


@dataclass(frozen=True)
class Rule:
    """Weights of ours, the arrays of another code base with the same numbers, and the conversion.

    `to_ours(*to_theirs(*weights))` returns the weights unchanged.

    Attributes:
        ours: The paths of our weights, in which `{i}` or another word in braces stands for a
            number: `"block_{i}/token_mlp/expand/kernel"`. The same word stands for the same number.
            `()` for an array that no weight of ours needs.
        theirs: Their names, with the same words; at least one.
        to_ours: Their arrays -> ours, a tuple. A `MisfitError` says why arrays do not fit.
        to_theirs: Our arrays -> theirs, a tuple.

    Raises:
        ValueError: The paths and names do not all have the same words in braces.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    to_ours: Callable
    to_theirs: Callable

    def __post_init__(self):
        templates = (*self.ours, *self.theirs)
        if not self.theirs or len({frozenset(_words(template)) for template in templates}) > 1:
            raise ValueError(
                "A Rule needs at least one name of theirs, and the same words in braces in all of "
                f"its paths and names; got {listed(templates)}."
            )

    def of_ours(self, paths):
        """Yields `(our paths, their names)` for every path that matches the rule's first path."""
        yield from self._found(self.ours, self._first_of_ours, paths)

    def of_theirs(self, names):
        """Yields `(our paths, their names)` for every name that matches the rule's first name."""
        yield from self._found(self.theirs, self._first_of_theirs, names)

    @cached_property
    def _first_of_ours(self):
        return _pattern(self.ours[0]) if self.ours else None

    @cached_property
    def _first_of_theirs(self):
        return _pattern(self.theirs[0])

    def _found(self, templates, pattern, names):
        for match in filter(None, map(pattern.fullmatch, names)) if templates else ():
            numbers = match.groupdict()
            yield tuple(
                tuple(template.format(**numbers) for template in side)
                for side in (self.ours, self.theirs)
            )


@dataclass(frozen=True)
class Conversion:
    """How one array of theirs becomes ours, and back."""

    to_ours: Callable = lambda array: array
    to_theirs: Callable = lambda array: array

    def then(self, after):
        """This conversion to ours followed by `after`; in the other direction the reverse."""
        return Conversion(
            lambda array: after.to_ours(self.to_ours(array)),
            lambda array: self.to_theirs(after.to_theirs(array)),
        )


SAME = Conversion()


def axes(theirs_to_ours):
    """Axes in another order: `np.transpose(theirs, theirs_to_ours)` is ours."""

    def transposed(order):
        def transpose(array):
            _check(array.ndim == len(order), f"must have {len(order)} axes")
            return array.transpose(order)

        return transpose

    return Conversion(transposed(theirs_to_ours), transposed(np.argsort(theirs_to_ours)))


TRANSPOSED = axes((1, 0))  # of a dense layer: [out, in] and [in, out]


def length_one(*where):
    """Axes of length one that only their array has, given by their indices in it."""

    def squeeze(array):
        _check(
            array.ndim > max(where) and all(array.shape[axis] == 1 for axis in where),
            f"must have length 1 along axis {listed(where)}",
        )
        return np.squeeze(array, where)

    return Conversion(squeeze, lambda array: np.expand_dims(array, where))


def squeezed_to(count):
    """Axes of length one that only their array has, anywhere: the weight has `count` axes.

    If more axes than those have length one, the first are removed. To theirs, one axis is added in
    front.
    """

    def squeeze(array):
        ones = [axis for axis, length in enumerate(array.shape) if length == 1]
        more = array.ndim - count
        _check(0 <= more <= len(ones), f"must have {count} axes besides those of length 1")
        return np.squeeze(array, tuple(ones[:more]))

    return Conversion(squeeze, lambda array: array[None])


def permuted(order, axis=0):
    """Entries along an axis in another order: entry `n` of ours is entry `order[n]` of theirs.

    Args:
        order: Each index from 0 once; or a function from the axis's length to such indices, for
            layers of any width.
        axis: The axis, in their array as in ours.

    Raises:
        ValueError: `order` is no permutation.
    """

    def indices(length):
        found = np.asarray(order(length) if callable(order) else order)
        if not np.array_equal(np.sort(found), np.arange(found.size)):
            raise ValueError(f"permuted needs each index from 0 once; got {found.tolist()}.")
        _check(found.size == length, f"must have {found.size} entries along axis {axis}")
        return found

    def permute(array, inverse):
        _check(-array.ndim <= axis < array.ndim, f"must have an axis {axis}")
        found = indices(array.shape[axis])
        return np.take(array, np.argsort(found) if inverse else found, axis)

    if not callable(order):
        indices(len(order))
    return Conversion(lambda array: permute(array, False), lambda array: permute(array, True))


def single(ours, theirs, conversion=SAME):
    """The rule for one array that is one weight."""
    return Rule(
        (ours,),
        (theirs,),
        lambda array: (conversion.to_ours(array),),
        lambda array: (conversion.to_theirs(array),),
    )


def split(ours, theirs, conversion=SAME, axis=-1):
    """The rule for one array that holds several weights of one shape, along an axis of ours."""
    return Rule(
        tuple(ours),
        (theirs,),
        lambda array: tuple(_parts(conversion.to_ours(array), len(ours), axis)),
        lambda *arrays: (conversion.to_theirs(_whole(arrays, axis)),),
    )


def joined(ours, theirs, conversion=SAME, axis=-1):
    """The rule for several arrays of one shape that are one weight, along an axis of ours."""
    return Rule(
        (ours,),
        tuple(theirs),
        lambda *arrays: (_whole([*map(conversion.to_ours, arrays)], axis),),
        lambda array: tuple(map(conversion.to_theirs, _parts(array, len(theirs), axis))),
    )


def _parts(array, count, axis):
    even = -array.ndim <= axis < array.ndim and array.shape[axis] % count == 0
    _check(even, f"must divide into {count} equal parts")
    return np.split(array, count, axis)


def _whole(arrays, axis):
    _check(len({array.shape for array in arrays}) == 1, "must have the same shape")
    return np.concatenate(arrays, axis)


def ignored(theirs):
    """The rule for an array that no weight of ours needs, such as a buffer computed from others."""
    return Rule((), (theirs,), lambda array: (), lambda: ())


@dataclass(frozen=True)
class Layout:
    """How a paper's weights are named and laid out in the files of one code base.

    Attributes:
        name: Its name, for `save_weights` and for messages.
        rules: A `Rule` for each weight of each layer.
        suffix: The suffix of the files that `save_weights` writes.
        settings: What layers have to be set to, to compute what that code base does: attribute of a
            layer -> value. Those that are options of the builder follow the weights.
        named: A word in the name of a released file, or of its folder in Hugging Face's cache ->
            the `Preprocessing` that it was trained for, where that is not the paper's.
        rename: A function from the names in a file to a dict: name that the rules know -> name in
            the file.
    """

    name: str
    rules: tuple[Rule, ...]
    suffix: str
    settings: dict = field(default_factory=dict)
    named: dict = field(default_factory=dict)
    rename: Callable = lambda names: {name: name for name in names}

    def read(self, arrays):
        """A file's arrays by our paths.

        Args:
            arrays: Name in the file -> array.

        Returns:
            Our path -> `(names in the file, our array)`, with a `Misfit` as the array where the
            rule cannot convert the file's.
        """
        names, found = self.rename(arrays), {}
        for rule in self.rules:
            for ours, theirs in rule.of_theirs(names):
                if not all(name in names for name in theirs):
                    continue
                own = tuple(names[name] for name in theirs)
                given = [arrays[name] for name in own]
                try:
                    made = rule.to_ours(*given)
                except MisfitError as error:
                    made = [Misfit(tuple(a.shape for a in given), str(error))] * len(ours)
                except (ValueError, IndexError) as error:  # of NumPy, in a rule of a paper's own
                    needed = f"must be as its rule needs it: {str(error).rstrip('.')}"
                    made = [Misfit(tuple(a.shape for a in given), needed)] * len(ours)
                found |= {path: (own, array) for path, array in zip(ours, made, strict=True)}
        return found

    def ignored(self, arrays):
        """The names of the arrays in a file that the layout knows and no weight of ours needs."""
        names = self.rename(arrays)
        return {
            names[name]
            for rule in self.rules
            if not rule.ours
            for _, theirs in rule.of_theirs(names)
            for name in theirs
        }

    def write(self, arrays):
        """Arrays by our paths -> by their names; the inverse of `read`.

        Raises:
            KeyError: The layout has no name for some of the paths, which are the error's arguments.
            MisfitError: An array does not have the shape that its rule converts.
        """
        made, known = {}, set()
        for rule in self.rules:
            for ours, theirs in rule.of_ours(arrays):
                if all(path in arrays for path in ours):
                    known |= {*ours}
                    given = [arrays[path] for path in ours]
                    try:
                        made |= zip(theirs, rule.to_theirs(*given), strict=True)
                    except MisfitError as error:
                        shapes = listed(array.shape for array in given)
                        raise MisfitError(f"{listed(ours)} {error}; got {shapes}") from None
        unknown = [path for path in arrays if path not in known]
        if unknown:
            raise KeyError(*unknown)
        return made


def choose(layouts, arrays):
    """The layout that recognises most names in a file; None if none recognises any."""
    known = [len(layout.read(arrays)) for layout in layouts]
    return layouts[known.index(max(known))] if any(known) else None


WORD = r"\{(\w+)\}"


def _words(template):
    return re.findall(WORD, template)


def _pattern(template):
    """`"blocks.{i}.norm"` as a regular expression with a group `i` of digits."""
    pattern, known = "", set()
    for n, part in enumerate(re.split(WORD, template)):
        if n % 2 == 0:
            pattern += re.escape(part)
        else:
            pattern += f"(?P={part})" if part in known else rf"(?P<{part}>\d+)"
            known.add(part)
    return re.compile(pattern)
