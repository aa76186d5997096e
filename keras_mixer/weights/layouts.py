"""Other people's names for the same weights."""

import re
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Layout:
    """How a paper's weights are named and laid out in the files of one code base.

    Attributes:
        name: What to call it in a message.
        layers: Our name of each layer -> theirs, in which `{i}` stands for the number of a block,
            and `{leaf}`, if it is not simply the last part, for the name of a weight.
        leaves: Our name of a weight within its layer -> theirs.
        separator: What stands between the parts of their names.
        transposed: Whether kernels have their axes in the opposite order (PyTorch).
        squeezed: Whether arrays may carry axes of length one that mean nothing.
        renumbered: Whether numbers in names count on through layers of different kinds, as they did
            before Flax's Linen.
        settings: The builder's options that make a model compute what that code base does.
        named: Part of the name of a released file, or of its folder -> the `Preprocessing` that
            it was trained for, where that is not the paper's.
    """

    name: str
    layers: dict
    leaves: dict
    separator: str
    transposed: bool = False
    squeezed: bool = False
    renumbered: bool = False
    settings: dict = field(default_factory=dict)
    named: dict = field(default_factory=dict)

    def name_of(self, path):
        """Their name of the weight that we call `path`, or None where they have none."""
        layer, _, leaf = path.rpartition("/")
        for ours, theirs in self.layers.items():
            match = re.fullmatch(ours.format(i=r"(?P<i>\d+)"), layer)
            if match and leaf in self.leaves:
                return self._template(theirs).format(leaf=self.leaves[leaf], **match.groupdict())
        return None

    def knows(self, name):
        """Whether `name` is one that their files give to a weight."""
        leaf = "|".join(sorted(set(self.leaves.values())))
        return any(
            re.fullmatch(
                self._template(theirs).replace(".", r"\.").format(i=r"\d+", leaf=f"({leaf})"), name
            )
            for theirs in self.layers.values()
        )

    def names(self, file):
        """The names that `name_of` gives -> the names in `file`."""
        return _renumbered(file) if self.renumbered else {name: name for name in file}

    def ours(self, array):
        """Their array as we keep it."""
        if self.squeezed:
            array = array.squeeze()
        if not self.transposed:
            return array
        return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T

    def _template(self, theirs):
        return theirs if "{leaf}" in theirs else theirs + self.separator + "{leaf}"


def flax(name, layers, **attributes):
    """The layout of a Flax model's `.npz` file: names with slashes, kernels as in Keras."""
    leaves = {"kernel": "kernel", "bias": "bias", "gamma": "scale", "beta": "bias"}
    return Layout(name, layers, leaves, "/", **attributes)


def pytorch(name, layers, **attributes):
    """The layout of a PyTorch state dict: names with dots, kernels with their axes reversed."""
    leaves = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
    return Layout(name, layers, leaves, ".", transposed=True, **attributes)


def choose(layouts, file):
    """The layout that knows most of the names in `file`, or None when none knows any."""
    known = [sum(map(layout.knows, layout.names(file))) for layout in layouts]
    return layouts[known.index(max(known))] if any(known) else None


def _renumbered(names):
    """New name -> name, where siblings called `Kind_n` are numbered by kind, each from zero.

    Source: `convert_pre_linen` in flax/training/checkpoints.py.
    """
    tree = defaultdict(list)
    for name in names:
        first, _, rest = name.partition("/")
        tree[first].append(rest)

    def natural(text):
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]

    counts, renamed = defaultdict(int), {}
    for first in sorted(tree, key=natural):
        new = first
        if match := re.fullmatch(r"(.*)_\d+", first):
            new = f"{match[1]}_{counts[match[1]]}"
            counts[match[1]] += 1
        below = [rest for rest in tree[first] if rest]
        if below != tree[first]:
            renamed[new] = first
        for inner, rest in _renumbered(below).items() if below else ():
            renamed[f"{new}/{inner}"] = f"{first}/{rest}"
    return renamed
