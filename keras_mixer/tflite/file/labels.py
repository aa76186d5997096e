"""Names of classes: read from a text file with one a line, checked and written."""

from pathlib import Path


def read_labels(labels):
    """Names of classes as a tuple, from a sequence or the path of a text file with one a line."""
    if not isinstance(labels, str | Path):
        return tuple(map(str, labels))
    if not Path(labels).is_file():
        raise FileNotFoundError(f"There is no file of labels at {str(labels)!r}.")
    try:
        return tuple(from_lines(Path(labels).read_text(encoding="utf-8")))
    except UnicodeDecodeError:
        raise ValueError(f"{labels} is not a text file in UTF-8.") from None


def to_lines(labels):
    """Labels -> the text of a file with one a line."""
    return "".join(f"{label}\n" for label in labels)


def from_lines(text):
    """The text of a file with one label a line -> the labels, as a list."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def check_labels(labels, classes, who):
    """Raises ValueError unless there is one label a class, or none at all."""
    if labels and len(labels) != classes:
        raise ValueError(f"{who} needs one label a class, {classes:,}; got {len(labels):,} labels.")
    bad = [i for i, label in enumerate(labels) if not label.strip() or len(label.splitlines()) > 1]
    if bad:
        raise ValueError(
            f"{who} needs labels of one line each, with something in it; got {labels[bad[0]]!r} "
            f"for class {bad[0]}."
        )
