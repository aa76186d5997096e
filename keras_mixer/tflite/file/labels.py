"""Class names: reading, checking and writing them, one per line."""

from pathlib import Path

from keras_mixer._text import printable

BYTES = 2**24  # of a file of labels; the names of ImageNet-21k take less than 2^20


def read_labels(labels):
    """Class names as a tuple, from a sequence or the path of a text file, one name per line."""
    if not isinstance(labels, str | Path):
        return tuple(map(str, labels))
    if not Path(labels).is_file():
        raise FileNotFoundError(f"There is no file of labels at {str(labels)!r}.")
    size = Path(labels).stat().st_size
    if size > BYTES:
        raise ValueError(f"{labels} has {size:,} bytes; a file of labels has at most {BYTES:,}.")
    try:
        return tuple(from_lines(Path(labels).read_text(encoding="utf-8")))
    except UnicodeDecodeError:
        raise ValueError(f"{labels} is not a text file in UTF-8.") from None


def to_lines(labels):
    """Labels -> text with one label per line."""
    return "".join(f"{label}\n" for label in labels)


def from_lines(text):
    """Text with one label per line -> a list of labels.

    A byte order mark, as editors of Windows write it, and blank lines at the end are no labels.
    """
    text = text.removeprefix("\ufeff").rstrip("\r\n")
    return [line.removesuffix("\r") for line in text.split("\n")]


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
