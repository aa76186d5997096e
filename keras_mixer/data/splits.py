"""The splits of a folder of pictures: which folders hold them, and layouts that are mistakes."""

import re
from numbers import Integral

from keras_mixer._text import listed
from keras_mixer.data.files import existing, folders_in, has_picture, nfc

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
# Words of names that seem to be splits, but of which it is not clear which one.
UNCLEAR = "eval", "evaluation", "holdout", "fold"
NO_TEST = "{} has no test or validation split; name the split (--split), or pass its folder."
BEHIND = re.compile(r"[ _-]?(set|data|images|pictures)$")  # of a split's name: train_images


def split_of(name):
    """The split that a folder's name stands for: a key of `SPLITS`, or None."""
    word = BEHIND.sub("", nfc(name).casefold())
    return next((split for split, words in SPLITS.items() if word in words), None)


def split_folders(path, classes=()):
    """The folders of a folder's splits.

    A folder that has the name of a split is one if it holds folders of pictures. If it holds
    pictures, as the folders beside it do, it is a class.

    Args:
        path: The folder.
        classes: Names of classes that are known.

    Returns:
        `(splits, left_out)`: a dict from "train", "validation" and "test" to those that there are,
        in this order, empty for a folder without splits; and the folders beside them that belong
        to no split, path -> reason.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The layout is probably a mistake; the message has the reading that was meant.
    """
    root = existing(path)
    folders = folders_in(root)
    named = {name: split_of(name) for name in folders if split_of(name)}
    divided = [name for name in folders if holds_classes(folders[name])]
    splits = {s: [n for n in divided if named.get(n) == s] for s in SPLITS}
    splits = {split: names for split, names in splits.items() if names}
    others = [
        name
        for name in folders
        if named.get(name) not in splits and (name in divided or has_picture(folders[name]))
    ]
    if not splits:
        _check_classes(root, named, others, divided, [*map(nfc, classes)])
        return {}, {}
    if twice := [names for names in splits.values() if len(names) > 1]:
        raise ValueError(
            f"{root} has two folders for one split, {shown(twice[0])}. Say which: split= and "
            "held_out= (--split, --held-out)."
        )
    [first, *more] = [name for [name] in splits.values()]
    unclear = [name for name in others if not (more or _splits_in(name))]
    if unclear:
        raise ValueError(
            f"{root} has {first}/, which is a split by its name and its folders of classes, "
            f"beside other folders of pictures: {shown(unclear)}. If {first}/ is a split, move the "
            f"others elsewhere or into it, or say which are splits: split={first!r}, held_out= "
            f"(--split {first}, --held-out). If it is a class, move its pictures out of the "
            "folders in it."
        )
    others = [*others, *(name for name in named if name not in (*divided, *others))]
    left_out = dict.fromkeys((folders[n] for n in others), "it is no split with folders of classes")
    return {split: folders[name] for split, [name] in splits.items()}, left_out


def _check_classes(root, named, others, divided, classes):
    """Raises ValueError if the folders in a folder are probably splits, and no classes."""
    flat = [n for n in others if n in named or (n not in divided and _splits_in(n))] or [*named]
    several = len(set().union(*map(_splits_in, flat))) > 1 or set(flat) <= set(named)
    if flat and set(others) <= set(flat) and several and not set(others) <= set(classes):
        raise ValueError(
            f"{root} has {shown(flat)}, splits by their names, without folders of "
            f"classes in them. It needs {root / flat[0]}/CLASS/PICTURE.jpg. A class "
            "may have such a name only beside other classes."
        )
    like = [n for n in others if _splits_in(n, UNCLEAR) and n not in classes]
    if not divided or like != others:  # otherwise a part without classes belongs to them
        like = [name for name in like if name in divided]
    if len(like) > 1:
        raise ValueError(
            f"{root} has {shown(like)}, which seem to be splits. Call them train, validation and "
            f"test, or say which they are: split={like[0]!r}, held_out={like[1]!r} (--split, "
            "--held-out)."
        )


def split_folder(path, split):
    """The folder of one split: the one of that name, or else of one that means the same."""
    root = existing(path)
    if (root / split).is_dir() or not split_of(split):
        return root / split
    same = [
        folder for name, folder in folders_in(root).items() if split_of(name) == split_of(split)
    ]
    return same[0] if len(same) == 1 else root / split


def folder_for_tests(path, split=None, classes=None):
    """The folder to measure a model on: that of the test split, or else of the validation split.

    Args:
        path: A folder. Without splits it is taken as a whole.
        split: Name of the split, where another one is wanted.
        classes: Names of classes that are known, or their number.

    Returns:
        A path; None if there are only pictures to train on.
    """
    if split:
        return split_folder(path, split)
    names = () if classes is None or isinstance(classes, Integral) else classes
    splits, _ = split_folders(path, names)
    return splits.get("test", splits.get("validation")) if splits else existing(path)


def shown(names):
    """Some names of folders for a message: `"cat/, dog/ and 3 more"`."""
    names = [f"{name}/" for name in names]
    return listed(names if len(names) < 9 else [*names[:7], f"{len(names) - 7} more"])


def holds_classes(path):
    """Whether a folder holds folders of pictures."""
    return any(has_picture(folder) for folder in folders_in(path).values())


def _splits_in(name, unclear=()):
    """The splits that words of a name stand for: train2017, seg_test."""
    words = re.split(r"[^a-z]+", nfc(name).casefold())
    return {split_of(word) or word in unclear for word in words} - {False}
