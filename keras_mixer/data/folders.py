"""The one reader of folders: training, evaluation, `verify` and calibration all call it.

A folder holds pictures, or one folder of pictures for each class, or folders of both kinds for its
splits:

    pictures/cat/1.jpg          pictures/train/cat/1.jpg        pictures/1.jpg
    pictures/dog/2.jpg          pictures/test/dog/2.jpg         pictures/2.jpg

- Splits are called train or training, val, valid, validation or dev, and test or testing, in any
  case, also with "set", "data" or "images" behind. A folder of such a name is a class where it
  holds pictures as the folders beside it do. A layout that is probably a mistake is an error.
- Classes are numbered in the order of the code points of their names in Unicode's form NFC, on
  every operating system, or as the caller numbers them. Pictures are read in the order of their
  paths, class by class.
- Links are followed, except to a folder that holds the link.
- Files and folders whose names begin with a dot are ignored, at any depth, and so are those that
  operating systems add (`keras_mixer.data.files.IGNORED`).
- A file is left out where its name has no suffix of `keras_mixer.data.pictures.PICTURES`, where it
  cannot be read, and where it is a picture beside the folders of the classes. Every file that is
  left out is named with the reason.
"""

import os
import re
import warnings
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

from keras_mixer._arrays import DataWarning
from keras_mixer._runs import BEST, LAST, STATE
from keras_mixer._text import check_ordered, printable
from keras_mixer.data.files import (
    existing,
    files_in,
    folders_in,
    has_picture,
    in_order,
    is_picture,
    nfc,
)
from keras_mixer.data.pictures import PICTURES, unreadable
from keras_mixer.data.splits import holds_classes, shown, split_folders, split_of
from keras_mixer.imagenet import CLASSES
from keras_mixer.imagenet import classes as imagenet_classes

SUFFIXES = f"{', '.join(PICTURES[:-1])} or {PICTURES[-1]}"
WORDNET_ID = re.compile(r"n\d{8}")  # ImageNet's folders are called so
# Folders of data sets for other tasks, in lower case: of images, and of what is known of each.
IMAGES = "images", "image", "imgs", "img", "jpegimages"
MASKS = (
    *("masks", "mask", "labels", "label", "annotations", "segmentationclass", "ground_truth"),
    *("groundtruth", "gt"),
)
OUTPUTS = (BEST, LAST, STATE, "golden_input.bin")  # what this package writes, not a class


class LeftOutWarning(DataWarning):
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


def read_folder(path, classes=None):
    """Finds and checks the pictures in a folder that has one folder of pictures for each class.

    Every file is decoded once, JPEGs at an eighth of their size.

    Args:
        path: The folder.
        classes: Names of the classes in the order of their numbers, where a model or other images
            give them; or their number, where no names are known. By default the names of the
            folders, of which at least two hold pictures. A class without pictures keeps its number.
            Folders called by WordNet ids fit the 1,000 or 21,843 classes of ImageNet.

    Returns:
        A `Folder` with at least one picture.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: No picture can be read; a folder has a name that is not in `classes`; or the
            layout is probably a mistake.
    """
    root = existing(path)
    check_ordered(classes, "Classes")
    known = () if classes is None or isinstance(classes, Integral) else tuple(map(str, classes))
    splits, _ = split_folders(root, known)
    if splits:
        some = next(iter(splits.values())).name
        if len(splits) == 1 and split_of(root.name) in splits:
            raise ValueError(
                f"{root} holds {some}/ again, in which are the folders of classes. Move them up, "
                f"into {root}, or pass {root / some}."
            )
        raise ValueError(
            f"{root} has splits, {shown(folder.name for folder in splits.values())}, and one of "
            f"them is needed here: pass split={some!r} (--split {some}), or {root / some}."
        )
    folders = folders_in(root)
    known = _wordnet_ids(folders, classes if isinstance(classes, Integral) else len(known)) or known
    inside = {name: [*files_in(folder)] for name, folder in folders.items()}
    beside, skipped = [], {}
    for file, problem in files_in(root, deep=False):
        if problem:
            skipped[file] = problem
        elif is_picture(file):
            beside.append(file)
    full = [name for name, found in inside.items() if any(is_picture(file) for file, _ in found)]
    if not full:
        raise ValueError(_no_classes(root, folders, beside))
    _check_content(root, folders, inside)
    if known:
        _check_known(root, folders, full, known)
    elif len(full) == 1 and classes is None:
        raise ValueError(_one_class(root, folders[full[0]]))
    elif classes and max(map(len, full)) > 1 and all(map(str.isdecimal, full)):
        raise ValueError(
            f"{root} has classes that are called by numbers, and the model's names are not known: "
            f"{max(full, key=int)} may be its last class, or follow 1 as in the order of texts. "
            "Pass the names in the order of its scores, labels= (--labels)."
        )
    elif classes not in (None, len(full), len(folders)):
        raise ValueError(
            f"{root} has {len(full):,} classes, {shown(full)}, and the model has {classes:,}, "
            "whose names are not known: pass them in the order of its scores, labels= (--labels)."
        )
    skipped |= dict.fromkeys(beside, "it is not in the folder of a class")
    names = known or tuple(full if classes == len(full) else folders)
    labelled, by_name = {}, {nfc(name): label for label, name in enumerate(names)}
    for name, found in inside.items():
        if name in by_name:
            skipped |= {file: problem for file, problem in found if problem}
            good = in_order(file for file, problem in found if not problem)
            labelled |= dict.fromkeys(good, by_name[name])
        else:
            skipped[folders[name]] = "it holds no pictures, and no class has its name"
    files, unread = _readable(sorted(labelled, key=labelled.get))
    if not files:
        raise ValueError(f"{root} holds no picture that can be read: {_reasons(unread)}.")
    labels = tuple(labelled[file] for file in files)
    if classes is None and len(set(labels)) == 1:
        raise ValueError(
            f"{root} has pictures that can be read in a single class, {names[labels[0]]}/, and at "
            f"least two are needed: {_reasons(unread)}."
        )
    if classes is None:
        _warn_of_splits(root, folders, full)
    empty = by_name.keys() & folders.keys() - {nfc(names[label]) for label in set(labels)}
    unread |= dict.fromkeys((folders[n] for n in empty), "a class without pictures")
    return Folder(root, files, labels, names, dict(sorted((unread | skipped).items())))


def read_any_folder(path, classes=None):
    """As `read_folder`; a folder with pictures, and none in its folders, has no classes."""
    root = existing(path)
    if holds_classes(root) or not has_picture(root, deep=False):
        return read_folder(root, classes)
    found = [*files_in(root, deep=False)]
    files, skipped = _readable(in_order(file for file, problem in found if not problem))
    skipped |= {file: problem for file, problem in found if problem}
    if not files:
        raise ValueError(f"{root} holds no picture that can be read: {_reasons(skipped)}.")
    return Folder(root, files, None, (), dict(sorted(skipped.items())))


def read_pictures(path, most=None):
    """A folder's pictures at any depth, whatever the folders in it; of splits those to train on.

    Args:
        path: The folder.
        most: How many to read, at equal distances in their order; None for all.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: No picture can be read.
    """
    root = existing(path)
    with suppress(ValueError):
        root = split_folders(root)[0].get("train", root)
    pictures = in_order(
        file for file, problem in files_in(root) if is_picture(file) and not problem
    )
    if most and len(pictures) > most:
        pictures = [pictures[i * len(pictures) // most] for i in range(most)]
    files, skipped = _readable(pictures)
    if not files:
        raise ValueError(f"{root} holds no picture that can be read: {_reasons(skipped)}.")
    return Folder(root, files, None, (), skipped)


def _wordnet_ids(folders, count):
    """The WordNet ids of ImageNet's classes, if a model has as many and folders have such names."""
    if count not in CLASSES or not all(map(WORDNET_ID.fullmatch, folders)):
        return ()
    return tuple(wordnet_id for wordnet_id, _ in imagenet_classes(count))


def _no_classes(root, folders, beside):
    """What is wrong with a folder that has no folders of pictures."""
    needed = f"It needs {root / 'CLASS'}/PICTURE.jpg, a folder of pictures for each class."
    if beside:
        return f"{root} holds {len(beside):,} pictures, but no folders of them. {needed}"
    if folders:
        return (
            f"{root} holds {len(folders):,} folders, {shown(folders)}, without a picture. {needed}"
        )
    return f"{root} holds no pictures. {needed}"


def _one_class(root, folder):
    """What is wrong with a folder that has one folder of pictures."""
    inner, single = folder, []
    while len(single) < 2 and not has_picture(inner, deep=False):
        inner = single[0] if single else inner
        single = [path for path in folders_in(inner).values() if has_picture(path)]
    if len(single) > 1:
        names = shown(path.name for path in single)
        return (
            f"{root} has one folder of pictures, {inner.relative_to(root)}/, in which are {names}. "
            f"Did you mean {inner}?"
        )
    return (
        f"{root} has a single class, {folder.name}/, and at least two are needed. Put the pictures "
        "of each class into a folder of their own."
    )


def _check_content(root, folders, inside):
    """Raises ValueError for a class whose name is no line of text, or that is two classes.

    Also for one that holds splits, the other classes, masks, or what this package wrote.
    """
    images, masks = _named_as(IMAGES, folders), _named_as(MASKS, folders)
    if images and masks and all(map(split_of, folders_in(folders[images]))):
        raise ValueError(
            f"{root} has {images}/ and {masks}/, which seem to be images and what is known of "
            "each, for segmentation or detection. Classes are needed, a folder of pictures each."
        )
    same = {}
    for name, folder in folders.items():
        other = same.setdefault(folder.resolve(), name)
        if other != name:
            raise ValueError(f"{root} has {other}/ and {name}/, which are one folder by a link.")
    for name, found in inside.items():
        if printable(name) != name or not name.strip():
            raise ValueError(
                f"{root} has a folder {os.fsencode(folders[name].name)}, a name of blanks, or with "
                "characters that are not UTF-8 or not printable, which cannot be a class. Rename "
                "it."
            )
        output = next((file for file, _ in found if file.name in OUTPUTS), None)
        if output:
            raise ValueError(
                f"{root} has {name}/ among the folders of its classes, but that holds what "
                f"keras-mixer wrote: {output.relative_to(root)}. Move it out of {root}, and choose "
                "an --output elsewhere."
            )
        inside_it = folders_in(folders[name])
        again = [inner for inner in inside_it if inner in folders and has_picture(inside_it[inner])]
        if len(again) > 1:
            raise ValueError(
                f"{root} has {name}/ among the folders of its classes, in which are {shown(again)} "
                f"again. It is a copy, or the folder that was meant: move it out of {root}, or "
                f"pass {folders[name]}."
            )
        inner = {split_of(inner): inner for inner in inside_it}
        inner.pop(None, None)
        if len(inner) > 1:
            first = folders[name] / inner.get("train", min(inner.values()))
            meant = (
                f"Did you mean {folders[name]}?"
                if holds_classes(first)
                else f"It needs {root / first.name / name}, splits outside, classes inside."
            )
            raise ValueError(
                f"{root} has {name}/ among the folders of its classes, in which are the splits "
                f"{shown(inner.values())}. {meant}"
            )


def _warn_of_splits(root, folders, full):
    """A warning where the classes hold the same folders, as splits of any name do."""
    first, *others = [[*folders_in(folders[name])] for name in full]
    if len(first) > 1 and all(inner == first for inner in others):
        warnings.warn(
            f"{root}: {shown(full)} are taken as classes, but all of them hold {shown(first)}. If "
            f"they are splits, say which: split={full[0]!r}, held_out={full[1]!r} (--split, "
            "--held-out).",
            DataWarning,
            stacklevel=4,
        )


def _named_as(words, names):
    return next((name for name in names if name.casefold() in words), None)


def _check_known(root, folders, full, known):
    """Raises ValueError if a folder of pictures has the name of no class that is known."""
    by_name = defaultdict(list)
    for name in known:
        by_name[nfc(name)].append(name)
    unknown = [name for name in full if name not in by_name]
    if unknown:
        same = {name.casefold(): name for name in by_name}
        hints = [
            f"{name} is there as {same[n]}" for name in unknown if (n := name.casefold()) in same
        ]
        inner = [name for name in unknown if set(folders_in(folders[name])) & set(by_name)]
        hints += [f"Did you mean {folders[inner[0]]}?"] if len(inner) == 1 else []
        raise ValueError(
            f"{root} has classes that are not among the {len(known):,} of the model or the other "
            f"images: {shown(unknown)}. These are: {shown(known)}. {'. '.join(hints)}".rstrip()
        )
    twice = [name for name in full if len(by_name[name]) > 1]
    if twice:
        raise ValueError(
            f"{root} has {shown(twice)}, a name that several of the {len(known):,} classes have."
        )


def _readable(files):
    """Readable pictures, and the other files with the reason why each is left out."""
    skipped = {
        file: f"its name does not end in {SUFFIXES}" for file in files if not is_picture(file)
    }
    pictures = [file for file in files if file not in skipped]
    skipped |= unreadable(pictures) if pictures else {}
    return tuple(file for file in pictures if file not in skipped), skipped


def _reasons(skipped):
    """Why files were left out, the first three of them."""
    some = "; ".join(f"{path.name}: {reason}" for path, reason in [*skipped.items()][:3])
    return f"left out {len(skipped):,}: {some}" if skipped else "it is empty"
