"""Where images come from: TensorFlow Datasets, a folder of class folders, or arrays.

A source identifies its images by cheap items (file numbers, encoded records), so that a run can be
resumed in the middle of an epoch without decoding the images that it has already used.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_mixer._extras import needs
from keras_mixer._text import did_you_mean
from keras_mixer._types import StrPath
from keras_mixer.data import fingerprints
from keras_mixer.data.folders import class_folders, read_folder
from keras_mixer.data.tasks import find_task

SHUFFLE_BYTES = 2**30  # size of the shuffle buffer of a streamed data set
FOR_TESTS = ("test", "validation", "val")
OPEN_FILES = 16  # interleaved while a streamed data set is shuffled


class SecretLabelsError(ValueError):
    """A test split whose labels are withheld for a leaderboard."""


@dataclass(frozen=True)
class Source:
    """Labelled images, in order or shuffled.

    Attributes:
        name: Name for logs and errors.
        count: Number of images.
        classes: Names of the classes; a label is an index into this list.
        order: A function from a seed, an integer tensor [2], to a `tf.data.Dataset` of all items in
            an order that depends on the seed only; from None to the items in their stored order.
        read: A function from an item to `(content, label)`: a file's bytes or pixels [H, W, C], and
            int64.
        channels: Channels of an image: 3, or those of the pixels.
        numbered: Whether items are numbers from 0 to `count - 1`.
        skipped: What was left out of a folder: path -> reason.
        origin: Where the images come from, as plain JSON: `folder` as given and `absolute`, a
            folder's paths; or `dataset` and `split`. After `hold_out` also `but_every` or `every`.
        fingerprint: A function that returns a text which is another one for other images, see
            `keras_mixer.data.fingerprints`; `""` where that is unknown. After `hold_out` it is
            that of all images.
    """

    name: str
    count: int
    classes: tuple[str, ...]
    order: Callable
    read: Callable
    channels: int = 3
    numbered: bool = True
    skipped: dict[Path, str] = field(default_factory=dict)
    origin: dict = field(default_factory=dict)
    fingerprint: Callable[[], str] = str

    def __str__(self):
        return f"{self.name}: {self.count:,} images of {len(self.classes):,} classes"


def arrays(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    name: str = "arrays",
) -> "Source":
    """A source of images and labels in memory.

    Args:
        images: Pixels from 0 to 255, `[N, H, W, C]`, of any dtype.
        labels: Class numbers from 0, `[N]`.
        classes: Names of the classes; by default their numbers.
        name: Name for logs.

    Raises:
        ValueError: There is no image, shapes do not match, or values are not pixels or class
            numbers.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim != 4 or not len(images):
        raise ValueError(f"{name} needs images [N, H, W, C], at least one; got {images.shape}.")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(
            f"{name} needs one class number from 0 for each of {len(images)} images; got labels of "
            f"shape {labels.shape} and type {labels.dtype}."
        )
    if images.dtype != np.uint8:
        low, high = images.min(), images.max()
        if not (low >= 0 and 1 < high <= 255):  # NaN fails too
            raise ValueError(f"{name} needs pixels from 0 to 255; got values from {low} to {high}.")
    classes = _names(classes, int(labels.max()) + 1, name)
    pixels, labels = tf.constant(images), tf.constant(labels, tf.int64)
    count, *_, channels = images.shape
    return Source(
        name,
        count,
        classes,
        _indices(count),
        lambda i: (pixels[i], labels[i]),
        channels,
        fingerprint=lambda: fingerprints.of_arrays(pixels.numpy(), labels.numpy()),
    )


def folder(
    path: StrPath, split: str | None = None, *, classes: Sequence[str] | None = None
) -> "Source":
    """A source of the pictures in a folder that has one folder of pictures for each class.

    First every file is decoded once, JPEGs at an eighth of their size. A file that cannot be read
    is left out and named in `skipped`; see `keras_mixer.data.folders` and
    `keras_mixer.data.pictures` for the rules. Classes are numbered in the order of their names; a
    class without pictures keeps its number.

    Args:
        path: The folder.
        split: Name of a subfolder that holds the classes, such as `"train"` or `"test"`.
        classes: Names of the classes, where they must be those of another folder; by default the
            names of the folders.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There is no readable picture, or a class is not in `classes`.
    """
    found = read_folder(Path(path, *([split] if split else [])), classes)
    root = found.path
    if not found.files:
        raise ValueError(
            f"{root} holds no readable picture in a folder of its class: "
            f"{len(class_folders(root))} folders, {len(found.skipped)} other files. It needs "
            f"{root.name}/CLASS/PICTURE.jpg."
        )
    paths = tf.constant([os.fsencode(p) for p in found.files])  # names need not be UTF-8
    labels = tf.constant(found.labels, tf.int64)

    def read(i):
        return tf.io.read_file(paths[i]), labels[i]

    count = len(found.files)
    return Source(
        str(root),
        count,
        found.classes,
        _indices(count),
        read,
        skipped=found.skipped | dict.fromkeys(found.empty, "a class without pictures"),
        origin={"folder": str(root), "absolute": str(root.resolve())},
        fingerprint=lambda: fingerprints.of_files(root, found.files, found.labels),
    )


def tfds(
    name: str,
    split: str = "train",
    *,
    data_dir: StrPath | None = None,
    label: str = "label",
    classes: Sequence[str] | None = None,
    pixels: tuple[float, float] | None = None,
) -> "Source":
    """A source of a data set of TensorFlow Datasets, which is downloaded if necessary.

    Records are streamed: each epoch shuffles the order of the files, then the records in a buffer
    of 1 GiB, which for data sets up to that size is a perfect shuffle.

    Args:
        name: Its name in TensorFlow Datasets, optionally with config and version: `"cifar10"`,
            `"oxford_flowers102:2.*.*"`.
        split: A split in the notation of TensorFlow Datasets: `"train[:90%]"`.
        data_dir: The folder of data sets; by default `~/tensorflow_datasets`.
        label: Key of the label among the features, or a function from the decoded example to a
            label.
        classes: Number of classes, or their names; by default those of the feature.
        pixels: A function from an encoded image to its pixels from 0 to 255, uint8 [H, W, 3], for
            images with another range of pixels.

    Raises:
        ValueError: There is no such data set or split; or its examples have no image or label, or
            several; or its labels are withheld, as those of some test splits are.
        OSError: It cannot be downloaded or read.
    """
    tensorflow_datasets = _tensorflow_datasets()

    builder = _builder(name, data_dir)
    features = builder.info.features
    kind = tensorflow_datasets.features.Image
    images = [key for key, feature in features.items() if isinstance(feature, kind)]
    if len(images) != 1 and "image" not in images:
        raise ValueError(f"{name} has {len(images)} images an example, none called 'image'.")
    image = "image" if "image" in images else images[0]
    if not callable(label):
        if label not in features:
            there = ", ".join(sorted(features))
            raise ValueError(f"{name} has no feature {label!r}; it has {there}.")
        classes = classes or getattr(features[label], "names", None)
    if not classes:
        raise ValueError(f"{name} does not say how many classes there are: pass classes.")
    try:
        info = builder.info.splits[split]
    except (KeyError, ValueError) as error:
        there = ", ".join(builder.info.splits)
        raise ValueError(f"{name} has no split {split!r}, only {there}: {error}") from None
    if not info.num_examples:
        raise ValueError(f"Split {split!r} of {name} is empty.")
    skip = {image: tensorflow_datasets.decode.SkipDecoding()}

    def read(record):
        example = features.deserialize_example(record, decoders=skip)
        number = label(example) if callable(label) else example[label]
        content = pixels(example[image]) if pixels else example[image]
        return content, tf.cast(number, tf.int64)

    full = f"{builder.info.full_name} {split}"
    names = _names(classes, 0, full)
    origin = {"dataset": builder.info.full_name, "split": split}
    found = Source(
        full,
        info.num_examples,
        names,
        _records(info),
        read,
        numbered=False,
        origin=origin,
        fingerprint=lambda: full,
    )
    [(_, first)] = found.order(None).take(1).map(read).as_numpy_iterator()
    if not 0 <= first < len(names):
        raise SecretLabelsError(
            f"{full} has labels from outside its {len(names):,} classes, such as {first}: a test "
            "split whose labels are kept secret has -1. Choose another split."
        )
    return found


def task(
    name: str, *, tuning: bool = False, data_dir: StrPath | None = None
) -> "tuple[Source, Source]":
    """Two sources of a task of the literature: `(to train on, to evaluate on)`.

    Args:
        name: One of `keras_mixer.data.TASKS`.
        tuning: Whether to use the splits for choosing settings, which leave out test images.
        data_dir: As in `tfds`.
    """
    row = find_task(name)
    return tuple(
        tfds(
            row.dataset,
            split,
            data_dir=data_dir,
            label=row.label,
            classes=row.classes,
            pixels=row.pixels,
        )
        for split in ((row.learn, row.check) if tuning else (row.train, row.test))
    )


def load(
    dataset: StrPath,
    split: str | None = None,
    held_out: str | None = None,
    *,
    data_dir: StrPath | None = None,
) -> "tuple[Source, Source | None]":
    """Two sources, `(to train on, to evaluate on)`, of a data set by name or of a folder.

    Args:
        dataset: A folder, or a name in TensorFlow Datasets.
        split: The split to train on; by default `train`. A folder without a subfolder `train` is
            used as a whole: every tenth image is held out.
        held_out: The split to evaluate on; by default as in `load_test`.
        data_dir: As in `tfds`.

    Raises:
        ValueError, FileNotFoundError, OSError: As `folder` and `tfds` do.
    """
    if Path(dataset).expanduser().is_dir():
        if not (split or held_out or "train" in _splits(dataset)):
            return hold_out(folder(dataset))
        images = folder(dataset, split or "train")
        held_out = held_out or _for_tests(_splits(dataset))
        return images, held_out and folder(dataset, held_out, classes=images.classes)
    images = tfds(dataset, split or "train", data_dir=data_dir)
    return images, load_test(dataset, held_out, data_dir=data_dir)


def load_test(
    dataset: StrPath,
    split: str | None = None,
    *,
    data_dir: StrPath | None = None,
    classes: Sequence[str] | None = None,
) -> "Source | None":
    """The source to evaluate a model on, of a data set by name or of a folder.

    Args:
        dataset: A folder, or a name in TensorFlow Datasets.
        split: By default the first of `test`, `validation` and `val` that exists and has labels.
            A folder without splits is used as a whole.
        data_dir: As in `tfds`.
        classes: For a folder, as in `folder`.

    Returns:
        A `Source`, or None if there are only images to train on.

    Raises:
        ValueError, FileNotFoundError, OSError: As `folder` and `tfds` do.
    """
    there = _splits(dataset, data_dir)
    if Path(dataset).expanduser().is_dir():
        split = split or _for_tests(there)
        none = split is None and "train" in there
        return None if none else folder(dataset, split, classes=classes)
    for name in [split] if split else [name for name in FOR_TESTS if name in there]:
        try:
            return tfds(dataset, name, data_dir=data_dir)
        except SecretLabelsError:
            if split:
                raise
    return None


def _tensorflow_datasets():
    """The package, which is slow to import and not needed by those who bring their own images."""
    with needs(__name__):
        import importlib_resources  # noqa: F401  the package imports it when a data set is found
        import tensorflow_datasets

    return tensorflow_datasets


def _builder(name, data_dir):
    """A data set of TensorFlow Datasets, prepared."""
    tensorflow_datasets = _tensorflow_datasets()

    try:
        builder = tensorflow_datasets.builder(name, data_dir=data_dir)
    except tensorflow_datasets.core.DatasetNotFoundError:
        hint = did_you_mean(name, tensorflow_datasets.list_builders(), count=3)
        said = f"TensorFlow Datasets has no data set called {name!r}. {hint}".rstrip()
        raise ValueError(said) from None
    if not builder.data_path.exists():
        try:
            builder.download_and_prepare()
        except Exception as error:  # errors depend on the site that it is downloaded from
            raise OSError(
                f"{name} is not in {builder.data_path}, and it could not be downloaded: {error}"
            ) from error
    return builder


def _splits(dataset, data_dir=None):
    """The names of a data set's splits, or of the folders in a folder."""
    if Path(dataset).expanduser().is_dir():
        return class_folders(Path(dataset).expanduser())
    return list(_builder(dataset, data_dir).info.splits)


def _for_tests(splits):
    return next((name for name in FOR_TESTS if name in splits), None)


def hold_out(source: "Source", every: int = 10) -> "tuple[Source, Source]":
    """Two sources from one: `(most, held_out)`, where every tenth image is held out.

    Of a folder, where images lie class by class, that is a tenth of each class.

    Raises:
        ValueError: The source is from TensorFlow Datasets, which divides it by `split`; or it has
            fewer than `every` images.
    """
    if not source.numbered:
        raise ValueError(f"{source.name} must be divided by its split, such as 'train[:90%]'.")
    if source.count < every:
        raise ValueError(f"{source.name} has {source.count} images, too few to hold out any.")
    held = np.arange(source.count) % every == every - 1

    def part(chosen, name, key):
        numbers = tf.constant(np.flatnonzero(chosen))
        return replace(
            source,
            name=f"{source.name}{name}",
            count=len(numbers),
            order=_indices(len(numbers)),
            read=lambda i: source.read(numbers[i]),
            origin=source.origin | {key: every},
        )

    most = part(~held, f", but every {every}th", "but_every")
    return most, part(held, f", every {every}th", "every")


def _records(split):
    """The `order` of a split that is stored in TFRecord files."""
    instructions = split.file_instructions
    paths = tf.constant([str(i.filename) for i in instructions])
    skips = tf.constant([i.skip for i in instructions], tf.int64)
    takes = tf.constant([i.take for i in instructions], tf.int64)
    mean_bytes = max(1, split.num_bytes // split.num_examples)
    buffer = min(split.num_examples, max(1, SHUFFLE_BYTES // mean_bytes))

    def records(path, skip, take):
        return tf.data.TFRecordDataset(path).skip(skip).take(take)

    def order(seed=None):
        if seed is None:
            return tf.data.Dataset.from_tensor_slices((paths, skips, takes)).flat_map(records)
        files = tf.random.experimental.stateless_shuffle(tf.range(len(instructions)), seed)
        files = tf.data.Dataset.from_tensor_slices(
            tuple(tf.gather(column, files) for column in (paths, skips, takes))
        )
        return files.interleave(
            records, cycle_length=OPEN_FILES, num_parallel_calls=2, deterministic=True
        ).shuffle(buffer, seed=tf.cast(tf.reduce_sum(seed), tf.int64))

    return order


def _indices(count):
    """The `order` of numbered images: a pseudorandom permutation of their numbers."""

    def order(seed=None):
        numbers = tf.data.Dataset.range(count)
        if seed is None:
            return numbers
        return numbers.map(
            lambda i: tf.random.experimental.index_shuffle(i, seed, max_index=count - 1)
        )

    return order


def _names(classes, least, who):
    """Class names from names, a number or None."""
    if classes is None or isinstance(classes, int):
        classes = [str(i) for i in range(classes or least)]
    if len(classes) < least:
        raise ValueError(f"{who} has labels up to {least - 1} but only {len(classes)} class names.")
    return tuple(map(str, classes))
