"""Where a checkpoint does not fit a model: the error that says all of it, and the cure."""

import re
from collections import defaultdict

from keras_mixer._text import listed
from keras_mixer.layers import Residual
from keras_mixer.weights.layouts import Misfit
from keras_mixer.weights.names import HEAD, named_layers


def inside(prefix):
    """How to get the model that has a prefix, in Python."""
    return "model" + "".join(f".get_layer({name!r})" for name in prefix.split("/")[:-1])


def difference(who, model, checkpoint, prefix, missing, misshapen, extra):
    """The whole message for a checkpoint that does not fit a model: every name, and what to do.

    Args:
        who: Who loads; the message begins with it.
        prefix: The names of the models within `model` that the checkpoint is for.
        missing: Name -> shape, of weights that are only in the model.
        misshapen: Name -> shape in the model, shape in the file or `Misfit`, the file's own names.
        extra: The file's own name -> shape, of arrays that are only in the file.
    """
    of = f" ({checkpoint.layout.name} layout)" if checkpoint.layout else ""
    lines = [f"{who}: {checkpoint}{of} does not fit '{model.name}'; nothing was loaded."]
    for heading, rows in (
        ("Only in the file", {name: (f"{shape}",) for name, shape in extra.items()}),
        ("Only in the model", {name: (f"{shape}",) for name, shape in missing.items()}),
        ("Of another shape", {name: _shapes(*found) for name, found in misshapen.items()}),
    ):
        if rows:
            lines.append(f"{heading}, {len(rows)}:")
            lines += [f"  {name}: {text}" for name, text in _grouped(rows)]
    if not checkpoint.layout and any(array.dtype == "int8" for array in checkpoint.arrays.values()):
        lines.append(
            "The file is of a model that model.quantize has made integers of, and takes no other "
            "place than that: load it as .keras with keras_mixer.load_model."
        )
        return "\n".join(lines)
    outside = any(not name.startswith(prefix) for name in missing)
    differing = {name.removeprefix(prefix) for name in (*misshapen, *missing)}
    if not outside and differing <= HEAD.keys() and extra.keys() <= checkpoint.head:
        lines.append("To load all but the head, give the file to the builder as weights=.")
    elif outside:
        lines.append(f"To load the file into the model inside, pass {inside(prefix)}.")
    elif not missing and not extra:
        lines += _advice(model, misshapen)
    return "\n".join(lines)


def _advice(model, misshapen):
    """What to do where shapes alone differ: a line, or none where the rows say it all."""
    kinds = {
        f"{prefix}{layer.name}/{path}": axes
        for prefix, layer in named_layers(model)
        if isinstance(layer, Residual)
        for path, axes in layer.token_axes.items()
    }
    pairs = defaultdict(set)  # kind of an axis -> its lengths in the model and in the file
    for name, (shape, found, _) in misshapen.items():
        if isinstance(found, Misfit) or len(found) != len(shape):
            return
        axes = kinds.get(name) or ["other"] * len(shape)
        for kind, ours, theirs in zip(axes, shape, found, strict=True):
            if ours != theirs:
                pairs[kind].add((ours, theirs))
    stem = misshapen.get("stem/kernel")
    if {*misshapen} == {"stem/kernel"} and stem[0][2:3] == (1,) and stem[1][2:3] == (3,):
        yield (
            "For images of one channel give the file to the builder as weights=, which sums the "
            "three channels."
        )
        return
    if pairs.keys() == {"tokens"}:
        yield (
            f"For another image size ({_lengths(pairs['tokens'])}) build the model for the size of "
            "the file, load it, then keras_mixer.resize(model, size)."
        )
        return
    factors = {theirs / ours for lengths in pairs.values() for ours, theirs in lengths}
    if pairs.keys() <= {"tokens", "units"} and len(factors) == 1:
        [factor] = factors
        if factor > 1 and factor.is_integer():
            yield (
                f"The file has {factor:.0f} times the hidden units over tokens, as "
                "keras_mixer.resize makes them: build the model for the image size before, "
                "resize it as the file's model was, and load the file into that."
            )
            return
    words = {"tokens": "the number of tokens", "units": "the hidden units over tokens"}
    differing = [f"{words[k]} ({_lengths(pairs[k])})" for k in words if k in pairs]
    if "other" in pairs:
        differing.append("widths that do not depend on the image's size")
    yield f"What differs: {listed(differing)}. Build the model with the sizes of the file."


def _lengths(pairs):
    return listed(f"{theirs} in the file, {ours} in the model" for ours, theirs in sorted(pairs))


def _shapes(shape, found, own):
    """The text of a row, and, if the file's arrays have to be named, their names and more text."""
    if not isinstance(found, Misfit):
        return (f"{shape} in the model, {found} in the file",)
    return f"{shape} in the model, {listed(found.shapes)} in the file: ", own, f" {found.needed}"


def _grouped(rows):
    """Merges rows with the same text whose names differ in one number only: `block_{0..11}/norm`.

    Args:
        rows: Name -> text; or text, names in the file, text.

    Yields:
        Name and text.
    """
    groups = defaultdict(list)
    for name, (text, *more) in rows.items():
        own, after = more or ((), "")
        parts = [_at_number(each) for each in (name, *own)]
        key = text, after, tuple((before, behind) for before, _, behind in parts)
        groups[key].append([number for _, number, _ in parts])
    for (text, after, parts), numbers in groups.items():
        name, *own = [
            f"{before}{_ranges(found)}{behind}"
            for (before, behind), found in zip(parts, zip(*numbers, strict=True), strict=True)
        ]
        yield name, f"{text}{listed(own) if own else ''}{after}"


def _at_number(name):
    """`"block_3/norm"` -> `("block_", "3", "/norm")`: what is before and behind its number."""
    number = re.search(r"\d+", name)
    start, end = number.span() if number else (len(name), len(name))
    return name[:start], name[start:end], name[end:]


def _ranges(numbers):
    """["0", "1", "2", "5"] -> "{0..2, 5}", and one number as it is."""
    if len({*numbers}) == 1:
        return numbers[0]
    runs = []
    for n in sorted({*map(int, numbers)}):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return "{" + ", ".join(f"{a}" if a == b else f"{a}..{b}" for a, b in runs) + "}"
