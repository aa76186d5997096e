"""Where images come from: TensorFlow Datasets, a folder of class folders, or arrays.

A source identifies its images by cheap items (file numbers, encoded records), so that a run can be
resumed in the middle of an epoch without decoding the images that it has already used.
"""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_mixer._arrays import as_array, as_pixels
from keras_mixer._checks import check_whole
from keras_mixer._extras import needs
from keras_mixer._text import check_ordered, did_you_mean, listed
from keras_mixer._types import StrPath
from keras_mixer.data import fingerprints
from keras_mixer.data.folders import read_folder
from keras_mixer.data.splits import folder_for_tests, split_folder, split_folders
from keras_mixer.data.tasks import find_task
from keras_mixer.tasks import class_numbers, label_array

SHUFFLE_BYTES = 2**30  # size of the shuffle buffer of a streamed data set
SHARE = 0.1  # of the images, held out where a data set has no split to choose the best model by
NAME = re.compile(r"([\w-]+:)?[A-Za-z]\w*(/[\w.+=,-]+)?(:[\d.*]+)?")  # in TensorFlow Datasets
MOST_CLASSES = 1_000_000  # that arrays have without names; each gets a name
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
        labels: The class number of each image, `[count]`, where they are known beforehand.
        skipped: What was left out of a folder: path -> reason.
        origin: Where the images come from, as plain JSON: `folder` as given and `absolute`, a
            folder's paths; or `dataset` and `split`. After `hold_out` also `share` and
            `held_out`, or `but_every` or `every`.
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
    labels: Sequence[int] | None = field(default=None, compare=False, repr=False)
    skipped: dict[Path, str] = field(default_factory=dict)
    origin: dict = field(default_factory=dict)
    fingerprint: Callable[[], str] = str

    def __str__(self):
        return f"{self.name}: {self.count:,} images of {len(self.classes):,} classes"

    @property
    def place(self) -> str:
        """Where the images are, in short: `"train/"`, `"cifar10/3.0.2 test"`."""
        if "folder" not in self.origin:
            return self.name
        return f"{Path(self.origin['folder']).name}/{self.name.removeprefix(self.origin['folder'])}"

    def with_channels(self, channels: int) -> "Source":
        """The same images, grey or in colour, where they are files; others as they are."""
        content, _ = self.order(None).take(1).map(self.read).element_spec
        files = content.dtype == tf.string and channels in (1, 3)
        return replace(self, channels=channels) if files else self


def check_source(images, who):
    """Raises ValueError unless `images` is a `Source`."""
    if not isinstance(images, Source):
        raise ValueError(
            f"{who} needs a Source of keras_mixer.data, such as data.arrays(images, labels) or "
            f"data.folder(path); got {type(images).__name__}."
        )


def arrays(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    name: str = "arrays",
) -> "Source":
    """A source of images and labels in memory.

    Args:
        images: Pixels from 0 to 255, `[N, H, W, C]`, of any type: an array, a tensor of TensorFlow,
            PyTorch or JAX, or a list. Booleans are black and white.
        labels: Class numbers from 0 of any type, `[N]` or `[N, 1]`; or one-hot, `[N, classes]`.
        classes: Names of the classes; by default their numbers.
        name: Name for logs.

    Raises:
        ValueError: There is no image, shapes do not match, or values are not pixels or class
            numbers.
    """
    images = as_array(images)
    if images.ndim != 4 or not len(images):
        raise ValueError(f"{name} needs images [N, H, W, C], at least one; got {images.shape}.")
    if images.dtype.kind not in "fiub":
        raise ValueError(f"{name} needs images of numbers; got dtype {images.dtype}.")
    if images.shape[1] in (1, 3) and images.shape[3] > 4:
        raise ValueError(
            f"{name} needs images [N, H, W, C]; got {images.shape}. Channels come last: "
            "numpy.moveaxis(images, 1, -1)."
        )
    if images.dtype.kind != "b":
        low, high = images.min(), images.max()
        black = images.dtype == np.uint8 and high == 0
        if not ((low >= 0 and 1 < high <= 255) or black):  # NaN fails too
            raise ValueError(f"{name} needs pixels from 0 to 255; got values from {low} to {high}.")
    if images.dtype.kind != "f":
        images = as_pixels(images, name)
    labels = label_array(labels, len(images), name)
    if labels.ndim == 2 and ((labels != 0) & (labels != 1)).any():
        raise ValueError(
            f"{name} needs one class for each image, a number or one-hot; got labels of shape "
            f"{labels.shape} that are neither 0 nor 1."
        )
    least = labels.shape[1] if labels.ndim == 2 else None
    labels = class_numbers(labels, least, name)
    least = least or int(labels.max()) + 1
    if least > MOST_CLASSES and classes is None:
        raise ValueError(
            f"{name} has labels up to {least - 1:,}, which look like no class numbers. Number the "
            "classes from 0: classes, labels = numpy.unique(labels, return_inverse=True)."
        )
    classes = _names(classes, least, name)
    pixels, numbers = tf.constant(images), tf.constant(labels, tf.int64)
    count, *_, channels = images.shape

    def read(i):
        return pixels[i], numbers[i]

    return Source(
        *(name, count, classes, _indices(count), read, channels),
        labels=labels,
        fingerprint=lambda: fingerprints.of_arrays(pixels.numpy(), labels),
    )


def folder(
    path: StrPath, split: str | None = None, *, classes: Sequence[str] | None = None
) -> "Source":
    """A source of the pictures in a folder that has one folder of pictures for each class.

    First every file is decoded once, JPEGs at an eighth of their size. A file that cannot be read
    is left out and named in `skipped`; see `keras_mixer.data.folders` and
    `keras_mixer.data.pictures` for the rules.

    Args:
        path: The folder.
        split: Name of a subfolder that holds the classes, such as `"train"` or `"test"`, in any
            case and by any of its usual names.
        classes: Names of the classes in the order of their numbers, where they must be those of a
            model or of other images; or only their number, where no names are known. By default
            the names of the folders. A class without pictures keeps its number.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There is no picture that can be read, a class is not in `classes`, there is
            only one class, or the layout is probably a mistake.
    """
    found = read_folder(split_folder(path, split) if split else path, classes)
    root = found.path
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
        labels=found.labels,
        skipped=found.skipped,
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


class Splits(NamedTuple):
    """Images to train on, to choose the best model by, and to measure that one on at the end."""

    train: Source
    validation: Source | None
    test: Source | None

    def __str__(self):
        learns = self.train
        text = f"learns from {learns.count:,} images in {len(learns.classes):,} classes"
        text += f" in {learns.place}"
        if self.validation:
            text += f", chooses by {self.validation.count:,} in {self.validation.place}"
        if self.test:
            text += f", measures {self.test.count:,} in {self.test.place}"
        return text


def load_splits(
    dataset: StrPath,
    split: str | None = None,
    held_out: str | None = None,
    *,
    validation: float | None = None,
    data_dir: StrPath | None = None,
) -> Splits:
    """The sources for training, of a data set by name or of a folder.

    Where a folder has no validation split, a tenth of the pictures of each class is held out to
    choose the best model by. Where a data set of TensorFlow Datasets has none, its test split is
    used for that, as in the literature, and nothing is measured at the end.

    Args:
        dataset: A folder, or a name in TensorFlow Datasets.
        split: The split to train on; by default `train`, or a folder without splits as a whole.
        held_out: The split to choose the best model by; by default the validation split.
        validation: The share of the images to train on, above 0 and below 1, that is held out
            instead, or 0 for none: of each class of a folder, or the last ones of a split of
            TensorFlow Datasets.
        data_dir: As in `tfds`.

    Raises:
        ValueError, FileNotFoundError, OSError: As `folder` and `tfds` do; also where `held_out` and
            `validation` are both given.
    """
    if validation is not None:
        if held_out:
            raise ValueError("Give held_out (--held-out) or validation (--validation), not both.")
        if not (isinstance(validation, Real) and 0 <= validation < 1):
            raise ValueError(
                f"validation (--validation) is a share from 0 to 1; got {validation!r}."
            )
    if _is_folder(dataset):
        return _folder_splits(dataset, split, held_out, validation)
    train = split or "train"
    if validation:
        train, held_out = _divided(dataset, train, validation, data_dir)
    images = tfds(dataset, train, data_dir=data_dir)
    test = _for_tests(dataset, data_dir)
    if held_out:
        chosen = tfds(dataset, held_out, data_dir=data_dir)
    elif validation == 0:
        chosen = None
    elif "validation" in _builder(dataset, data_dir).info.splits:
        chosen = tfds(dataset, "validation", data_dir=data_dir)
    else:
        chosen = test
    same = test and chosen and test.origin == chosen.origin
    return Splits(images, chosen, None if same else test)


def _folder_splits(root, split, held_out, validation):
    splits, left_out = {}, {}
    with suppress(ValueError) if split else nullcontext():  # who names a split knows the layout
        splits, left_out = split_folders(root)
    if not (splits or split or held_out):
        share = SHARE if validation is None else validation
        return Splits(*hold_out(folder(root), share=share), None)
    if not (splits or split):
        raise FileNotFoundError(
            f"There is no folder of images at {str(Path(root, 'train'))!r}: {root} has no splits, "
            f"and held_out={held_out!r} (--held-out) is one. Leave it out, or say which split to "
            "train on, too: split= (--split)."
        )
    if splits and not split and "train" not in splits:
        raise ValueError(
            f"{root} has {listed(f'{p.name}/' for p in splits.values())}, but nothing to train on: "
            f"it needs {Path(root, 'train')}/CLASS/PICTURE.jpg."
        )
    images = folder(root, split or splits.get("train", Path(root, "train")).name)
    images = replace(images, skipped=images.skipped | left_out)
    chosen = held_out or (splits["validation"].name if "validation" in splits else None)
    if validation is not None or not chosen:
        share = SHARE if validation is None else validation
        images, held = hold_out(images, share=share)
    else:
        held = folder(root, chosen, classes=images.classes)
    used = {Path(s.origin["folder"]) for s in (images, held) if s}
    test = splits.get("test")
    test = folder(test, classes=images.classes) if test and test not in used else None
    return Splits(images, held, test)


def load(
    dataset: StrPath,
    split: str | None = None,
    held_out: str | None = None,
    *,
    validation: float | None = None,
    data_dir: StrPath | None = None,
) -> "tuple[Source, Source | None]":
    """Two sources, `(to train on, to evaluate on meanwhile)`: the first two of `load_splits`."""
    return load_splits(dataset, split, held_out, validation=validation, data_dir=data_dir)[:2]


def load_test(
    dataset: StrPath,
    split: str | None = None,
    *,
    data_dir: StrPath | None = None,
    classes: Sequence[str] | int | None = None,
) -> "Source | None":
    """The source to evaluate a model on, of a data set by name or of a folder.

    Args:
        dataset: A folder, or a name in TensorFlow Datasets.
        split: By default the test split, or else the validation split, if it has labels. A folder
            without splits is used as a whole.
        data_dir: As in `tfds`.
        classes: For a folder, as in `folder`.

    Returns:
        A `Source`, or None if there are only images to train on.

    Raises:
        ValueError, FileNotFoundError, OSError: As `folder` and `tfds` do.
    """
    if not _is_folder(dataset):
        return tfds(dataset, split, data_dir=data_dir) if split else _for_tests(dataset, data_dir)
    path = folder_for_tests(dataset, split, classes)
    return path and folder(path, classes=classes)


def _for_tests(dataset, data_dir):
    """The first split of TensorFlow Datasets to test on whose labels are known, or None."""
    there = _builder(dataset, data_dir).info.splits
    for name in ("test", "validation"):
        if name in there:
            with suppress(SecretLabelsError):
                return tfds(dataset, name, data_dir=data_dir)
    return None


def _divided(dataset, split, share, data_dir):
    """Two splits of TensorFlow Datasets instead of one: `(to train on, to hold out)`."""
    if not split.isidentifier():
        raise ValueError(
            f"A share of split {split!r} cannot be held out (--validation); say it in TensorFlow "
            "Datasets' words: split='train[:90%]', held_out='train[90%:]'."
        )
    there = _builder(dataset, data_dir).info.splits
    if split not in there:
        raise ValueError(f"{dataset} has no split {split!r}, only {', '.join(there)}.")
    count = there[split].num_examples
    first = count - max(1, round(count * share))
    return f"{split}[:{first}]", f"{split}[{first}:]"


def _is_folder(dataset):
    """Whether a data set is a folder; otherwise it is a name in TensorFlow Datasets.

    Raises:
        ValueError, FileNotFoundError: It is a file, or cannot be a name.
    """
    if not str(dataset).strip():
        raise ValueError("A data set has a name or is a folder; got an empty text (--dataset).")
    path = Path(dataset).expanduser()
    if path.is_dir():
        return True
    if path.is_file():
        raise ValueError(
            f"{dataset} is a file, and a folder of images is needed. Unpack an archive first."
        )
    if not NAME.fullmatch(str(dataset)):
        raise FileNotFoundError(
            f"There is no folder of images at {str(dataset)!r}. (A data set of TensorFlow Datasets "
            "has a name such as 'cifar10' or 'sun397/tfds:4.*.*'.)"
        )
    return False


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
        raise ValueError(
            f"TensorFlow Datasets has no data set called {name!r}, and there is no folder of that "
            f"name. {hint}".rstrip()
        ) from None
    except (ValueError, AssertionError, RuntimeError) as error:  # no such config or version
        [said, *_] = (str(error).partition('}": ')[2] or str(error)).splitlines()
        said = said.partition(" Here are ")[0]
        raise ValueError(f"TensorFlow Datasets does not take {name!r}: {said}") from None
    if not builder.data_path.exists():
        try:
            builder.download_and_prepare()
        except Exception as error:  # errors depend on the site that it is downloaded from
            raise OSError(
                f"{name} is not in {builder.data_path}, and it could not be downloaded: {error}"
            ) from error
    return builder


def hold_out(
    source: "Source", every: int | None = None, *, share: float = SHARE
) -> "tuple[Source, Source | None]":
    """Two sources from one: `(most, held_out)`, with a share of each class held out.

    Of a class of two images or more at least one is held out, and one is not. They are taken at
    equal distances, in the order of the images.

    Args:
        source: A source that is not from TensorFlow Datasets.
        every: Holds out every Nth image instead, whatever its class.
        share: The share that is held out, from 0 (none: the second source is None) to 1.

    Raises:
        ValueError: It is not a source, or one from TensorFlow Datasets, which divides it by
            `split`; `every` is below 2; or there are too few images.
    """
    check_source(source, "hold_out")
    if every is not None:
        check_whole("hold_out", 2, every=every)
    if not source.numbered:
        raise ValueError(f"{source.name} must be divided by its split, such as 'train[:90%]'.")
    if share == 0 and not every:
        return source, None
    if every:
        held = np.arange(source.count) % every == every - 1
        names = f", but every {every}th", f", every {every}th"
        origins = {"but_every": every}, {"every": every}
    else:
        held = _stratified(np.asarray(source.labels), share)
        names = f", {1 - share:.4g} of each class", f", {share:.4g} of each class"
        origins = {"share": share, "held_out": False}, {"share": share, "held_out": True}
    if not held.any() or held.all():
        raise ValueError(
            f"{source.name} has {source.count} images, too few to hold out any to choose the best "
            "model by. Add images of each class, or hold out none: validation=0 (--validation 0)."
        )

    def part(chosen, name, origin):
        numbers = np.flatnonzero(chosen)
        items = tf.constant(numbers)
        return replace(
            source,
            name=f"{source.name}{name}",
            count=len(numbers),
            order=_indices(len(numbers)),
            read=lambda i: source.read(items[i]),
            labels=None if source.labels is None else np.asarray(source.labels)[numbers],
            origin=source.origin | origin,
        )

    return tuple(map(part, (~held, held), names, origins))


def _stratified(labels, share):
    """A mask of the images to hold out: the share of each class, rounded, but one at least."""
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        count = min(max(1, round(len(mine) * share)), len(mine) - 1)
        # Number k of `count` is the last one of the k-th of as many equal parts.
        held[mine[np.arange(1, count + 1) * len(mine) // max(count, 1) - 1]] = True
    return held


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
    check_ordered(classes, f"{who}: classes")
    if classes is None or isinstance(classes, Integral):
        classes = [str(i) for i in range(classes or least)]
    if len(classes) < least:
        raise ValueError(f"{who} has labels up to {least - 1} but only {len(classes)} class names.")
    return tuple(map(str, classes))
