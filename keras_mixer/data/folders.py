"""The one reader of folders: training, evaluation, `verify` and calibration all call it.

A folder holds pictures, or one folder of pictures for each class:

- Files and folders whose names begin with a dot are ignored, at any depth. Notebooks and macOS keep
  copies of pictures there.
- Pictures are read in the order of their paths, class by class. Classes are numbered in the order
  of their names.
- A file is left out where its name has no suffix of `keras_mixer.data.pictures.PICTURES`, where it
  cannot be read, and where it is a picture beside the folders of the classes. Every file that is
  left out is named with the reason.
"""

from dataclasses import dataclass
from pathlib import Path

from keras_mixer.data.pictures import PICTURES, unreadable

SUFFIXES = f"{', '.join(PICTURES[:-1])} or {PICTURES[-1]}"


class LeftOutWarning(UserWarning):
    """Some pictures of a folder cannot be read and were left out."""


@dataclass(frozen=True)
class Folder:
    """The readable pictures of a folder.

    Attributes:
        path: The folder.
        files: Paths of the pictures.
        labels: The class number of each picture; None in a folder without classes.
        classes: Names of the classes; empty in a folder without classes.
        skipped: The files that were left out: path -> reason.
    """

    path: Path
    files: tuple[Path, ...]
    labels: tuple[int, ...] | None
    classes: tuple[str, ...]
    skipped: dict[Path, str]

    @property
    def empty(self):
        """The folders of the classes that have no picture."""
        full = set(self.labels or ())
        return [self.path / name for i, name in enumerate(self.classes) if i not in full]

    @property
    def skipped_pictures(self):
        """Those among `skipped` that have the name of a picture."""
        return {path: why for path, why in self.skipped.items() if _is_picture(path)}


def read_folder(path, classes=None):
    """Finds and checks the pictures in a folder that has one folder of pictures for each class.

    Every file is decoded once, JPEGs at an eighth of their size.

    Args:
        path: The folder.
        classes: Names of the classes, where they must be those of another folder; by default the
            names of the folders. A class without pictures keeps its number.

    Returns:
        A `Folder`, perhaps without any picture.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: A folder in it has a name that is not in `classes`.
    """
    root = _existing(path)
    found = class_folders(root)
    unknown = sorted(set(found) - set(classes or found))
    if unknown:
        raise ValueError(
            f"{root} has classes that are not among the {len(classes)} of the other images: "
            f"{', '.join(unknown)}."
        )
    classes = tuple(classes or found)
    labelled = {
        file: label
        for label, name in enumerate(classes)
        for file in sorted((root / name).rglob("*"))
        if _is_visible_file(file, root)
    }
    files, skipped = _readable(labelled)
    beside = [p for p in sorted(root.iterdir()) if _is_picture(p) and _is_visible_file(p, root)]
    skipped |= dict.fromkeys(beside, "it is not in the folder of a class")
    return Folder(root, files, tuple(labelled[file] for file in files), classes, skipped)


def read_any_folder(path):
    """As `read_folder`; a folder without pictures in its folders is a folder without classes."""
    root = _existing(path)
    inside = (file for name in class_folders(root) for file in (root / name).rglob("*"))
    if any(_is_picture(file) and _is_visible_file(file, root) for file in inside):
        return read_folder(root)
    files, skipped = _readable([p for p in sorted(root.iterdir()) if _is_visible_file(p, root)])
    return Folder(root, files, None, (), skipped)


def class_folders(path):
    """The names of the folders in a folder, in their order."""
    return sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _existing(path):
    root = Path(path).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder of images at {str(root)!r}.")
    return root


def _readable(files):
    """Readable pictures, and the other files with the reason why each is left out."""
    others = [p for p in files if not _is_picture(p)]
    skipped = dict.fromkeys(others, f"its name does not end in {SUFFIXES}")
    pictures = [p for p in files if p not in skipped]
    skipped |= unreadable(pictures) if pictures else {}
    return tuple(p for p in pictures if p not in skipped), skipped


def _is_picture(path):
    return path.suffix.lower() in PICTURES


def _is_visible_file(path, root):
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return not hidden and path.is_file()
