"""Class names: reading, checking and writing them, one per line."""

import os
from contextlib import suppress
from pathlib import Path

from keras_mixer._text import check_ordered, printable

BYTES = 2**24  # of a file of labels; the names of ImageNet-21k take less than 2^20


def read_labels(labels):
    """Class names as a tuple, from a sequence or the path of a text file, one name per line."""
    check_ordered(labels, "Labels")
    if not isinstance(labels, str | os.PathLike):
        return tuple(map(str, labels))
    path = Path(labels)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of labels at {str(path)!r}.")
    size = path.stat().st_size
    if size > BYTES:
        raise ValueError(f"{path} has {size:,} bytes; a file of labels has at most {BYTES:,}.")
    with suppress(UnicodeDecodeError):
        text = path.read_text(encoding="utf-8")
        if "\0" not in text:  # as in UTF-16 without a byte order mark
            return tuple(from_lines(text))
    raise ValueError(f"{path} is not a text file in UTF-8. Save it in that encoding.")


def check_own(labels, own, who):
    """`check_order` of labels as a user gives them, either of which may be a path or None."""
    if labels is not None and own is not None:
        check_order(read_labels(labels), read_labels(own), who)


def check_order(labels, own, who):
    """Raises ValueError if labels are a model's own names in another order."""
    if labels != own and sorted(labels) == sorted(own):
        first = next(i for i in range(len(own)) if labels[i] != own[i])
        raise ValueError(
            f"{who}: the labels are the model's own names in another order, so that scores would "
            f"get wrong names; class {first} is {own[first]!r}, not {labels[first]!r}. Leave the "
            "labels out."
        )


def to_lines(labels):
    """Labels -> text with one label per line."""
    return "".join(f"{label}\n" for label in labels)


def from_lines(text):
    """Text with one label per line -> a list of labels.

    A byte order mark, as editors of Windows write it, and blank lines at the end are no labels.
    """
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    return lines


def check_labels(labels, classes, who):
    """Raises ValueError unless there is one label for each class, or none at all."""
    if labels and len(labels) != classes:
        raise ValueError(
            f"{who} needs one label for each of {classes:,} classes; got {len(labels):,} labels."
        )
    bad = [
        i
        for i, label in enumerate(labels)
        if not label.strip() or printable(label, keep="\t") != label
    ]
    if bad:
        raise ValueError(
            f"{who} needs labels of one line each, without control characters, that are not empty; "
            f"got {labels[bad[0]]!r:.80} for class {bad[0]}."
        )
