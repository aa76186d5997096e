"""Which images a run trains on and a model is measured on."""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_mixer import data
from keras_mixer._runs import STATE
from keras_mixer._types import StrPath
from keras_mixer.data.sources import Source
from keras_mixer.data.splits import NO_TEST
from keras_mixer.training.record import held_out_as, record_of


def training_sources(
    dataset: StrPath,
    split: str | None = None,
    held_out: str | None = None,
    *,
    validation: float | None = None,
    data_dir: StrPath | None = None,
    run: Any = None,
) -> data.Splits:
    """Finds the images to train on, to choose the best model by, and to measure it on.

    Args:
        dataset, split, held_out, validation, data_dir: As in `keras_mixer.data.load_splits`.
        run: The folder of a run that is resumed: images are divided as it divided them.

    Raises:
        ValueError, FileNotFoundError, OSError: As `keras_mixer.data.load_splits` does.
    """
    record = record_of(run) if run else None
    if record and not (split or held_out) and validation is None:
        kept = held_out_as(record, dataset)
        if kept and "every" in kept:
            return data.Splits(*data.hold_out(data.folder(dataset), **kept), None)
        held_out = _split_that_chose(record, dataset)
    return data.load_splits(dataset, split, held_out, validation=validation, data_dir=data_dir)


def _split_that_chose(record, dataset):
    """The split of a data set by which a run chooses its best model; None if it has none."""
    held_out = record["origin"]["held_out"] or {}
    if "split" in held_out:
        return held_out["split"]
    folder = Path(held_out.get("absolute", ""))
    inside = folder.parent == Path(dataset).expanduser().resolve()
    return folder.name if inside and "share" not in held_out else None


def evaluation_source(
    dataset: StrPath,
    split: str | None = None,
    *,
    data_dir: StrPath | None = None,
    run: Any = None,
    classes: Sequence[str] | int | None = None,
) -> Source:
    """Finds the images on which to evaluate a model.

    Args:
        dataset: A name in TensorFlow Datasets, or a folder.
        split: By default the test split, or else the validation split. Of a folder without splits
            all pictures are taken, or, if `run` was trained on that folder, those that it held out.
        data_dir: As in `keras_mixer.data.tfds`.
        run: The folder of the run that trained the model, or a model file in it. Classes are
            numbered as in the run.
        classes: Names of the model's classes in the order of its scores, where they are others than
            those of the run; or their number, where there is no run. The classes of a folder, and
            those of a data set with the same names in another order, are numbered so.

    Returns:
        A `keras_mixer.data.Source`.

    Raises:
        ValueError: There is no test or validation split, and none was given.
        ValueError, FileNotFoundError, OSError: As `keras_mixer.data.load_test` does.
    """
    record = record_of(run) if run else None
    if run and not record and split is None:
        _check_state(run)
    known = () if classes is None or isinstance(classes, Integral) else (*map(str, classes),)
    if record and (not known or sorted(known) == sorted(record["classes"])):
        classes = record["classes"]
    kept = held_out_as(record, dataset) if record and split is None else None
    if kept:
        return data.hold_out(data.folder(dataset, classes=classes), **kept)[1]
    images = data.load_test(dataset, split, data_dir=data_dir, classes=classes)
    if images is None:
        raise ValueError(NO_TEST.format(dataset))
    if classes is None or isinstance(classes, Integral):
        return images
    return _numbered(images, classes)


def _check_state(run):
    """Raises ValueError if a run's state is there and cannot be read."""
    state = (Path(run).parent if Path(run).suffix == ".keras" else Path(run)) / STATE
    if state.is_file():
        raise ValueError(
            f"{state} is damaged, so that it is not known which images the run held out. Name the "
            "images by their split (--split), or remove the file to measure on all."
        )


def _numbered(images, classes):
    """Images with their classes numbered otherwise, where the names are the same."""
    names = [*map(str, classes)]
    if [*images.classes] == names or sorted(images.classes) != sorted(names):
        return images
    numbers = tf.constant([names.index(name) for name in images.classes], tf.int64)

    def read(item):
        content, label = images.read(item)
        return content, numbers[label]

    labels = None if images.labels is None else numbers.numpy()[[*images.labels]]
    return replace(images, classes=tuple(names), read=read, labels=labels)
