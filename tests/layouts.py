"""Layouts of a folder of pictures, as people have them.

A picture `b_3.png` is as bright as a model of the tests calls class b, wherever it lies.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = "a", "b", "c"
GREY = dict(zip(CLASSES, (40, 128, 215), strict=True))
CAFE = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"  # NFC, NFD


@dataclass(frozen=True)
class Layout:
    """A folder.

    Attributes:
        files: Paths of its files. A path that ends in a slash is an empty folder; `LINK -> TARGET`
            is a link.
        splits: What is trained on, chosen by and measured, `{split: number of images}`; None where
            training refuses the folder.
        measured: The number of images that `evaluate` and `verify` measure a model of the classes
            a, b and c on; None where they refuse the folder.
        says: A pattern of the message of whoever refuses the folder.
        left_out: Names of what is left out, when training.
        classes: Names of the classes of training.
    """

    files: tuple[str, ...]
    splits: tuple[int, int, int] | None = None
    measured: int | None = None
    says: str = ""
    left_out: tuple[str, ...] = ()
    classes: tuple[str, ...] = CLASSES

    def write(self, root):
        """Writes the files; returns the folder."""
        root.mkdir(parents=True)
        for name in self.files:
            link, _, target = name.partition(" -> ")
            path = root / link
            path.parent.mkdir(parents=True, exist_ok=True)
            if target:
                path.symlink_to(target)
            elif name.endswith("/"):
                path.mkdir(exist_ok=True)
            elif path.suffix in (".png", ".jpg", ".JPG"):
                pixels = np.full((12, 12, 3), GREY.get(path.name[0], 0), np.uint8)
                Image.fromarray(pixels).save(path, "PNG")
            else:
                path.write_text("no picture")
        return root


def pictures(*folders, count=5):
    """`count` pictures in each folder, of the class that it is called, or that `=` gives."""
    names = []
    for folder in folders:
        folder, _, label = folder.partition("=")
        label = label or Path(folder).name
        names += [f"{folder}/{label}_{i}.png" for i in range(count)]
    return tuple(names)


ABC = pictures(*CLASSES)


def split(name, *classes, count=5):
    return pictures(*(f"{name}/{c}" for c in classes or CLASSES), count=count)


TRAIN, VALID, TEST = split("train"), split("valid", count=2), split("test", count=3)

LAYOUTS = {
    "one folder a class": Layout(ABC, (12, 3, 0), 15),
    "nested folders in a class": Layout(
        (*ABC, *pictures("a/more=a", "a/more/still=a")), (21, 4, 0), 25
    ),
    "train and test": Layout((*TRAIN, *TEST), (12, 3, 9), 9),
    "train, valid and test": Layout((*TRAIN, *VALID, *TEST), (15, 6, 9), 9),
    "train and val": Layout((*TRAIN, *split("val", count=2)), (15, 6, 0), 6),
    "Training and Test": Layout((*split("Training"), *split("Test")), (12, 3, 15), 15),
    "TRAIN, Validation, testing": Layout(
        (*split("TRAIN"), *split("Validation"), *split("testing")), (15, 15, 15), 15
    ),
    "training_set and test_set": Layout(
        (*split("training_set"), *split("test_set")), (12, 3, 15), 15
    ),
    "test lacks a class": Layout((*TRAIN, *split("test", "a", "c")), (12, 3, 10), 10),
    "test has another class": Layout(
        (*TRAIN, *split("test", "a", "wolf")), says=r"not among the 3 .*: wolf/"
    ),
    "test has a class in another case": Layout(
        (*TRAIN, *split("test", "a", "B")), says=r"B is there as b"
    ),
    "test without classes": Layout(
        (*TRAIN, *pictures("test=a")),
        (12, 3, 0),
        says="only images to train|no test",
        left_out=("test",),
    ),
    "an empty test": Layout((*TRAIN, "test/"), (12, 3, 0), says="no test", left_out=("test",)),
    "classes called train and test beside others": Layout(
        pictures("train=a", "test=b", "car=c"),
        (12, 3, 0),
        None,
        "not among the 3",
        (),
        ("car", "test", "train"),
    ),
    "only pictures in train and test": Layout(
        pictures("train=a", "test=b"), says=r"splits by their names, without folders of classes"
    ),
    "a split beside classes": Layout(
        (*TRAIN, *ABC), says=r"train/.* is a split.* beside .* a/, b/"
    ),
    "splits beside something else": Layout(
        (*TRAIN, *TEST, *pictures("drafts=a")), (12, 3, 9), 9, left_out=("drafts",)
    ),
    "two folders for one split": Layout(
        (*TRAIN, *split("Training")), says="two folders for one split"
    ),
    "only test": Layout(TEST, None, 9, "nothing to train on"),
    "one level too high": Layout(
        pictures("pets/a", "pets/b", "pets/c"), says=r"Did you mean .*pets\?"
    ),
    "one level too high, with splits": Layout(
        split("pets/train") + split("pets/test"), says=r"Did you mean .*pets\?"
    ),
    "two data sets": Layout(
        split("pets/train") + split("pets/test") + split("birds/train") + split("birds/test"),
        says=r"Did you mean .*birds\?",
    ),
    "splits within classes": Layout(
        pictures("a/train=a", "a/test=a", "b/train=b", "b/test=b"),
        says=r"It needs .*/train/a, splits outside",
    ),
    "splits of names of their own": Layout(
        split("seg_train/seg_train") + split("seg_test/seg_test"), says="seem to be splits"
    ),
    "a single class": Layout(pictures("a"), None, 5, "a single class, a/"),
    "a single class that can be read": Layout(
        (*pictures("a"), "b/b_1.gif", "b/b_2.tiff"), None, 5, "in a single class, a/, and at least"
    ),
    "one folder by two names": Layout(
        (*ABC, "d -> a"), says="has a/ and d/, which are one folder by a link"
    ),
    "pictures without folders": Layout(pictures(".=a"), says=r"holds 5 pictures, but no folders"),
    "two splits without classes, numbered": Layout(
        pictures("train=a", "test1=b"), says=r"has test1/ and train/, splits by their names"
    ),
    "two splits without classes, of years": Layout(
        (*pictures("train2017=a", "val2017=b"), "annotations/a.json"), says="splits by their names"
    ),
    "classes with a split's word": Layout(
        pictures("test_positive=a", "test_negative=b"),
        (8, 2, 0),
        None,
        "not among the 3",
        (),
        ("test_negative", "test_positive"),
    ),
    "train and dev": Layout((*TRAIN, *split("dev", count=2)), (15, 6, 0), 6),
    "train and a split of an unclear kind": Layout(
        (*TRAIN, *split("eval")), says=r"beside other folders of pictures: eval/"
    ),
    "a split with classes and one without": Layout(
        (*split("train_labeled"), *pictures("train_unlabeled=a")), says="seem to be splits"
    ),
    "folds": Layout((*split("fold1"), *split("fold2")), says="seem to be splits"),
    "a split within itself": Layout(split("train/train"), says=r"holds train/ again|no test"),
    "images and masks": Layout(pictures("images=a", "masks=b"), says="for segmentation"),
    "YOLO's": Layout(
        (*pictures("train/images=a", "val/images=a"), "train/labels/a_0.txt", "val/labels/a_0.txt"),
        says="images/ and labels/.* for segmentation or detection",
    ),
    "the classes again": Layout(
        (*pictures("a", "b"), *pictures("all/a", "all/b")),
        says=r"all/ .*in which are a/ and b/ again",
    ),
    "two levels too high": Layout(
        pictures("pets/pets/a", "pets/pets/b"), says=r"Did you mean .*pets/pets\?|not among the 3"
    ),
    "names with joiners and other blanks": Layout(
        pictures("a\N{ZERO WIDTH NON-JOINER}b=a", "b\N{IDEOGRAPHIC SPACE}b=b"),
        (8, 2, 0),
        None,
        "not among the 3",
        (),
        ("a\N{ZERO WIDTH NON-JOINER}b", "b\N{IDEOGRAPHIC SPACE}b"),
    ),
    "a name of blanks": Layout(pictures("a", "  =b"), says=r"folder b'  ', a name of blanks"),
    "nothing": Layout(("a/", "b/notes.txt"), says="holds 2 folders, a/ and b/, without a picture"),
    "a run's folder": Layout(
        (*ABC, "runs/last.keras", "runs/log.csv"), says="runs/.* keras-mixer wrote: runs/last.keras"
    ),
    "an app's folder": Layout(
        (*ABC, "app/golden_input.bin", "app/golden.png"), says="app/.* wrote"
    ),
    "what systems add": Layout(
        (
            *ABC,
            *pictures("__MACOSX/a=b", ".hidden=a", "a/.ipynb_checkpoints=b", "b/@eaDir=a"),
            *pictures("#recycle=a", "@Recycle=b"),
            *("a/._a_0.png", "b/Thumbs.db", "desktop.ini", ".DS_Store", "c/.DS_Store"),
        ),
        (12, 3, 0),
        15,
    ),
    "links": Layout(
        (
            *ABC,
            "b/linked -> ../../others",
            "c/gone.png -> nowhere.png",
            "c/up -> ../..",
            "all -> .",
        ),
        (17, 3, 0),
        20,
        left_out=("all", "gone.png", "up"),
    ),
    "files that are no pictures": Layout(
        (*ABC, "a/notes.txt", "b/b_9.heic", "readme.md"),
        (12, 3, 0),
        15,
        left_out=("b_9.heic", "notes.txt"),
    ),
    "pictures beside the classes": Layout((*ABC, "a_9.png"), (12, 3, 0), 15, left_out=("a_9.png",)),
    "a class without pictures": Layout(
        (*ABC, "empty/"), (12, 3, 0), 15, left_out=("empty",), classes=(*CLASSES, "empty")
    ),
    "names in NFD": Layout(
        pictures(CAFE[1], "bar"), (8, 2, 0), None, "not among the 3", classes=("bar", CAFE[0])
    ),
    "splits in NFC and in NFD": Layout(
        split("train", f"{CAFE[0]}=a", "bar=b") + split("test", f"{CAFE[1]}=a", "bar=b"),
        (8, 2, 10),
        None,
        "not among the 3",
        classes=("bar", CAFE[0]),
    ),
    "a name that is not UTF-8": Layout(
        pictures("a", "caf\udce9=b"), says=r"folder b'caf\\xe9', a name .* Rename it"
    ),
    "a name of two lines": Layout(pictures("a", "b\nc=b"), says=r"folder b'b\\nc', a name"),
    "one name in NFC and NFD": Layout(pictures(CAFE[0], CAFE[1]), says="two folders called 'caf"),
}
