"""The rules of Flax's `.npz` files: names with slashes, arrays as in Keras."""

import re
from collections import defaultdict

from keras_mixer.weights.layouts import Layout, single, squeezed_to


def layout(name, layers, **attributes):
    """The layout of a Flax model.

    Args:
        name: Its name, for `save_weights` and for messages.
        layers: Our layer, `"block_{i}/norm"` -> a kind of layer below.
        **attributes: Other attributes of `Layout`.
    """
    rules = tuple(rule for ours, kind in layers.items() for rule in kind(ours))
    return Layout(name, rules, ".npz", **attributes)


def dense(theirs):
    """`nn.Dense`."""
    return lambda ours: [single(f"{ours}/{w}", f"{theirs}/{w}") for w in ("kernel", "bias")]


conv = dense  # `nn.Conv`: a kernel [height, width, in, out] as in Keras


def norm(theirs):
    """`nn.LayerNorm`."""
    return lambda ours: [
        single(f"{ours}/gamma", f"{theirs}/scale"),
        single(f"{ours}/beta", f"{theirs}/bias"),
    ]


def early_dense(theirs, number):
    """A dense layer before Linen: one of several in a module, by number.

    Its arrays may have more axes, of length one.

    Source: big_vision/models/mlp_mixer.py, `load`, which removes all axes of length one.
    """
    return lambda ours: [
        single(f"{ours}/{weight}", f"{theirs}/{weight}{number}", squeezed_to(axes))
        for weight, axes in (("kernel", 2), ("bias", 1))
    ]


def before_linen(names):
    """Linen's names -> names in the file: siblings called `Kind_n` are numbered by kind, from zero.

    Before Linen, numbers counted on through siblings of different kinds. Siblings of one kind
    only, such as the blocks, keep their numbers: if a block is missing, the error names it, and the
    blocks after it do not move up.

    Source: `convert_pre_linen` in flax/training/checkpoints.py, which does move them up.
    """
    tree = defaultdict(list)
    for name in names:
        first, _, rest = name.partition("/")
        tree[first].append(rest)

    def natural(text):
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]

    numbered = {first: re.fullmatch(r"(.*)_\d+", first) for first in tree}
    kinds = {match[1] for match in numbered.values() if match}
    counts, renamed = defaultdict(int), {}
    for first in sorted(tree, key=natural):
        new = first
        if (match := numbered[first]) and len(kinds) > 1:
            new = f"{match[1]}_{counts[match[1]]}"
            counts[match[1]] += 1
        below = [rest for rest in tree[first] if rest]
        if below != tree[first]:
            renamed[new] = first
        for inner, rest in before_linen(below).items() if below else ():
            renamed[f"{new}/{inner}"] = f"{first}/{rest}"
    return renamed
