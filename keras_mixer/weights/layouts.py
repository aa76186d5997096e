"""Other people's names and arrays for the same weights: rules that run both ways."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Rule:
    """Weights of ours, and the arrays in which another code base keeps the same numbers.

    `to_ours(*to_theirs(*arrays))` gives back the arrays.

    Attributes:
        ours: The paths of our weights, in which `{i}` or another word in braces stands for a
            number: `"block_{i}/token_mlp/expand/kernel"`. None for an array that we have no use
            for.
        theirs: Their names, with the same words.
        to_ours: Their arrays -> ours, a tuple.
        to_theirs: Our arrays -> theirs, a tuple.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    to_ours: Callable
    to_theirs: Callable

    def of_ours(self, paths):
        """Yields `(our paths, their names)` wherever one of `paths` is the first of the rule's."""
        yield from self._found(self.ours, self._first_of_ours, paths)

    def of_theirs(self, names):
        """Yields `(our paths, their names)` wherever one of `names` is the first of the rule's."""
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
        """The conversion that does this one first on the way to ours, and `after` last."""
        return Conversion(
            lambda array: after.to_ours(self.to_ours(array)),
            lambda array: self.to_theirs(after.to_theirs(array)),
        )


SAME = Conversion()
TRANSPOSED = Conversion(np.transpose, np.transpose)  # of a dense layer: [out, in] and [in, out]


def axes(theirs_to_ours):
    """Axes in another order: that of `np.transpose` on the way to ours."""
    back = np.argsort(theirs_to_ours)
    return Conversion(lambda a: a.transpose(theirs_to_ours), lambda a: a.transpose(back))


def length_one(*where):
    """Axes of length one that only they have."""
    return Conversion(lambda a: np.squeeze(a, where), lambda a: np.expand_dims(a, where))


def permuted(order, axis=0):
    """Entries along an axis in another order: entry `n` of ours is entry `order[n]` of theirs."""
    back = np.argsort(order)
    return Conversion(lambda a: np.take(a, order, axis), lambda a: np.take(a, back, axis))


def one(ours, theirs, conversion=SAME):
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
        lambda array: tuple(np.split(conversion.to_ours(array), len(ours), axis)),
        lambda *arrays: (conversion.to_theirs(np.concatenate(arrays, axis)),),
    )


def joined(ours, theirs, conversion=SAME, axis=-1):
    """The rule for several arrays of one shape that are one weight, along an axis of ours."""

    def to_ours(*arrays):
        return (np.concatenate([*map(conversion.to_ours, arrays)], axis),)

    def to_theirs(array):
        return tuple(map(conversion.to_theirs, np.split(array, len(theirs), axis)))

    return Rule((ours,), tuple(theirs), to_ours, to_theirs)


def left_out(theirs):
    """The rule for an array that we have no use for, such as a buffer that follows from others."""
    return Rule((), (theirs,), lambda array: (), lambda: ())


@dataclass(frozen=True)
class Layout:
    """How a paper's weights are named and laid out in the files of one code base.

    Attributes:
        name: What to call it in a message.
        rules: A `Rule` for each weight of each layer.
        suffix: Of the files that `save_weights` writes in it.
        settings: The builder's options that make a model compute what that code base does.
        named: A word in the name of a released file, or of its folder in Hugging Face's cache ->
            the `Preprocessing` that it was trained for, where that is not the paper's.
        renamed: A function from the names in a file to a dict of the names that the rules know ->
            those names.
    """

    name: str
    rules: tuple[Rule, ...]
    suffix: str
    settings: dict = field(default_factory=dict)
    named: dict = field(default_factory=dict)
    renamed: Callable = lambda names: {name: name for name in names}

    def read(self, arrays):
        """A file's arrays by our paths.

        Args:
            arrays: Name in the file -> array.

        Returns:
            Our path -> `(names in the file, our array)`. Where an array has not the number of axes
            that its rule wants, it is given as it is: its shape then fits no weight.
        """
        names, found = self.renamed(arrays), {}
        for rule in self.rules:
            for ours, theirs in rule.of_theirs(names):
                if not all(name in names for name in theirs):
                    continue
                own = tuple(names[name] for name in theirs)
                given = [arrays[name] for name in own]
                try:
                    made = rule.to_ours(*given)
                except ValueError:
                    made = [given[0]] * len(ours)
                found |= {path: (own, array) for path, array in zip(ours, made, strict=True)}
        return found

    def left_out(self, arrays):
        """The names of a file's arrays that no weight of ours needs."""
        names = self.renamed(arrays)
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
        """
        made, known = {}, set()
        for rule in self.rules:
            for ours, theirs in rule.of_ours(arrays):
                if all(path in arrays for path in ours):
                    known |= {*ours}
                    given = rule.to_theirs(*(arrays[path] for path in ours))
                    made |= zip(theirs, given, strict=True)
        unknown = [path for path in arrays if path not in known]
        if unknown:
            raise KeyError(*unknown)
        return made


def choose(layouts, arrays):
    """The layout that knows most of the names in a file, or None when none knows any."""
    known = [len(layout.read(arrays)) for layout in layouts]
    return layouts[known.index(max(known))] if any(known) else None


def _pattern(template):
    """`"blocks.{i}.norm"` as a regular expression with a group `i` of digits."""
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(rf"(?P<{p}>\d+)" if n % 2 else re.escape(p) for n, p in enumerate(parts))
    )
