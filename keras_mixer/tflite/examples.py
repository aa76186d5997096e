"""Images from files, folders, arrays or data sets as checked NumPy batches."""

import os
import warnings
from collections.abc import Mapping
from itertools import count
from math import inf
from operator import length_hint
from pathlib import Path

import keras
import numpy as np

from keras_mixer._arrays import DataWarning, as_array, as_pixels
from keras_mixer._text import listed
from keras_mixer.tasks import label_array
from keras_mixer.tflite.reading import folder_batches, picture_batches, read_file, source_batches

TOLERANCE = 0.25  # of the range from black to white; interpolation overshoots by less
# Images after which batches of unknown number are taken to be without end: twice the validation
# images of ImageNet.
LIMIT = 100_000
UNKNOWN_SCALE = (
    "{who} needs the scale of pixels to {what}, and the model does not state it; pass input_range= "
    "(--input-range), such as (0, 255), (0, 1) or (-1, 1)."
)
IMAGES, LABELS = ("image", "images"), ("label", "labels")  # keys of a batch that is a dict


def batches(data, shape, who, preprocessing=None, *, labelled=False, classes=None, most=None):
    """Checked batches of `data`: pairs of images [N, H, W, C] float32 and labels, or None.

    A batch is an array, a tensor or a list of images; a tuple or list of images, labels and sample
    weights, of which the last and the last two may be missing; or a dict of `image` and `label`.
    Images of weight 0 are padding and are left out. Integers and booleans are pictures: pixels from
    0 to 255, True is white, which are scaled for the model.

    Args:
        data: The path of a `.npy`, a `.npz` or a folder; a `keras_mixer.data.Source`; a batch; a
            `tf.data.Dataset`, a `keras.utils.PyDataset`, or any other iterable of batches.
        shape: The required shape of an image, `(H, W, C)`.
        who: The caller's name, with which errors begin.
        preprocessing: The model's `Preprocessing`, to scale pixels and to check the scale of other
            images; None for any.
        labelled: Whether to read the labels, as in `keras_mixer.tasks.label_array`.
        classes: For the labels of a folder: names of the model's classes in the order of its
            scores, or their number.
        most: The number of images after which to stop, so that the data may be without end; None
            for all images.

    Raises:
        ValueError: There are no images; they have a wrong shape or scale, or values that are not
            finite numbers, or are integers without `preprocessing`; labels or weights do not match
            the images; or, without `most`, the data have no end.
    """
    source = hasattr(data, "order")
    data = Path(data).expanduser() if isinstance(data, str | os.PathLike) else data
    if source or isinstance(data, str | os.PathLike):
        if preprocessing is None:
            raise ValueError(UNKNOWN_SCALE.format(who=who, what=f"read {data}"))
        if source:
            data = source_batches(data, shape, preprocessing)
        elif not Path(data).is_dir():
            data = read_file(data)
        elif labelled:
            data = folder_batches(data, shape, preprocessing, classes)
        else:
            data = picture_batches(data, shape, preprocessing, most)
    stream, length = _stream(data, who)
    if most is None and length == inf:
        raise ValueError(
            f"{who} needs a finite data set; this one is without end. Use dataset.take(n), or "
            "itertools.islice(batches, n)."
        )
    found, floats, pixels = 0, (inf, -inf), (inf, -inf)
    for number, batch in enumerate(stream):
        if most is None and length is None and max(found, number) > LIMIT:
            raise ValueError(
                f"{who} takes up to {LIMIT:,} images from batches of unknown number, which may be "
                "without end. Use dataset.take(n) or itertools.islice(batches, n) for fewer, and "
                "list(...) of them for more."
            )
        images, labels, weights = _parts(batch, who)
        images = _images(images, shape, who)
        labels = label_array(labels, len(images), who) if labelled and labels is not None else None
        if weights is not None:
            kept = _kept(weights, len(images), who)
            images, labels = images[kept], None if labels is None else labels[kept]
        if most is not None:
            images = images[: most - found]
            labels = None if labels is None else labels[: len(images)]
        if not len(images):
            continue
        found += len(images)
        if images.dtype.kind == "f":
            floats = min(floats[0], images.min()), max(floats[1], images.max())
            _check_scale(*floats, preprocessing, who)
        else:
            images = as_pixels(images, who)
            pixels = min(pixels[0], images.min()), max(pixels[1], images.max())
            if preprocessing is None:
                raise ValueError(UNKNOWN_SCALE.format(who=who, what="take integers as pixels"))
            images = preprocessing.scaled(images)
        yield images, labels
        if found == most:
            break
    if not found:
        raise ValueError(f"{who} needs at least one image; got none.")
    low, high = floats
    black = preprocessing.input_range[0] if preprocessing else 0.0
    if preprocessing and low < high <= 2 and np.ptp(preprocessing.input_range) > 100:
        raise _other_scale(low, high, preprocessing, who)
    if preprocessing and found > 1 and 0 <= low < high <= 1 and np.min(black) < 0:
        warnings.warn(
            f"{who}: all of {found:,} images have values from {low:g} to {high:g}, and the model "
            f"takes black as {_words(black)}. If they are scaled from 0 to 1, scale them with "
            "keras_mixer.preprocess_input(pixels, model).",
            DataWarning,
            stacklevel=3,
        )
    if preprocessing and pixels == (0, 1):
        raise ValueError(
            f"{who} takes integers as pixels from 0 to 255; all are 0 or 1. Pass black and white "
            "as booleans, and images that are already scaled for the model as floats."
        )


def are_pictures(data):
    """Whether `data` are pictures of any size, which are cropped: a folder or a `Source`."""
    folder = isinstance(data, str | os.PathLike) and Path(data).expanduser().is_dir()
    return folder or hasattr(data, "order")


def in_memory(data):
    """Whether all images of `data` are there at once: a file, arrays, or a list of batches."""
    file = isinstance(data, str | os.PathLike) and not Path(data).expanduser().is_dir()
    return file or isinstance(data, list | tuple | Mapping) or _is_array(data)


def _stream(data, who):
    """An iterable of batches and their number: infinity without end, None if it is unknown."""
    several = isinstance(data, list | tuple) and len(data)
    images = several and not isinstance(data[0], Mapping) and _rank(data[0]) == 3
    if images or _is_array(data) or isinstance(data, Mapping) or _has_parts(data):
        return [data], 1
    if hasattr(data, "as_numpy_iterator"):  # a tf.data.Dataset
        length = int(data.cardinality())
        return data.as_numpy_iterator(), {-1: inf, -2: None}.get(length, length)
    if isinstance(data, keras.utils.PyDataset):
        length = _number_of_batches(data)
        numbers = count() if length in (inf, None) else range(length)
        return (data[i] for i in numbers), length
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return (data[i] for i in range(len(data))), len(data)
    try:
        stream = iter(data)
    except TypeError:
        raise ValueError(
            f"{who} needs images: a path, an array, a pair (images, labels), a data set or "
            f"batches; got {type(data).__name__}."
        ) from None
    try:
        length = length_hint(data, -1)
    except NotImplementedError:
        length = -1
    return stream, None if length < 0 else length


def _number_of_batches(data):
    """Of a `keras.utils.PyDataset`: infinity without end, None if it does not say."""
    try:
        return inf if data.num_batches is None else data.num_batches
    except NotImplementedError:
        return None


def _is_array(data):
    return hasattr(data, "__array__") or hasattr(data, "detach")  # the latter in PyTorch


def _rank(data):
    """Number of axes of an array, a tensor or nested lists; 0 of anything else."""
    if not isinstance(data, list | tuple) and not _is_array(data):
        return 0
    return data.ndim if hasattr(data, "ndim") else as_array(data).ndim


def _has_parts(batch):
    """Whether a tuple or list is one batch of images, labels and weights, not several batches."""
    if not isinstance(batch, list | tuple) or not 1 <= len(batch) <= 3:
        return False
    first, *rest = (0 if part is None else _rank(part) for part in batch)
    if isinstance(batch, tuple):
        return first > 0  # otherwise it holds batches
    return first in (3, 4) and max(rest) < 3 if rest else first == 4


def _parts(batch, who):
    """Images, labels and sample weights of a batch; None for what it does not have."""
    if isinstance(batch, Mapping):
        images = [batch[key] for key in IMAGES if key in batch]
        if len(images) != 1:
            raise ValueError(
                f"{who} needs batches of images, pairs (images, labels), or dicts of 'image' and "
                f"'label'; got dicts of {', '.join(map(str, batch))}. TensorFlow Datasets gives "
                "pairs with as_supervised=True."
            )
        labels = [batch[key] for key in LABELS if key in batch]
        return as_array(images[0]), labels[0] if labels else None, None
    if not _has_parts(batch):
        images = as_array(batch)
        if images.dtype == object and isinstance(batch, list | tuple):
            raise ValueError(
                f"{who} needs batches of images, of images, labels and weights in this order, or "
                f"dicts of 'image' and 'label'; got a {type(batch).__name__} of "
                f"{listed(type(part).__name__ for part in batch)}."
            )
        return images, None, None
    images, labels, weights = (*batch, None, None)[:3]
    if labels is not None and _rank(labels) > 2:
        raise ValueError(
            f"{who} needs images, labels and weights of a batch in this order; got arrays of "
            f"{', '.join(str(_rank(part)) for part in batch)} axes. Several batches are a list."
        )
    return as_array(images), labels, weights


def _kept(weights, count, who):
    """Which images of a batch are no padding, by their sample weights."""
    weights = as_array(weights)
    weights = weights.reshape(-1) if weights.shape == (count, 1) else weights
    numbers = weights.dtype.kind in "biuf" and np.isfinite(weights).all()
    if weights.shape != (count,) or not numbers:
        raise ValueError(
            f"{who} takes the third part of a batch as sample weights, one number for each of "
            f"{count} images; got {weights.dtype} of shape {weights.shape}."
        )
    return weights != 0


def _check_scale(low, high, preprocessing, who):
    """Raises ValueError if values from `low` to `high` cannot have the model's scale."""
    if preprocessing is None:
        return
    limits = np.asarray(preprocessing.input_range)
    tolerance = TOLERANCE * (limits.max() - limits.min())
    if low < limits.min() - tolerance or high > limits.max() + tolerance:
        raise _other_scale(low, high, preprocessing, who)


def _other_scale(low, high, preprocessing, who):
    black, white = preprocessing.input_range
    return ValueError(
        f"{who} needs images as the model takes them, black as {_words(black)} and white as "
        f"{_words(white)}; got values from {low:g} to {high:g}. Scale pixels from 0 to 255 with "
        "keras_mixer.preprocess_input(pixels, model). If the model states a wrong scale, pass "
        "input_range=."
    )


def _words(value):
    return f"{value:g}" if isinstance(value, float) else f"({', '.join(f'{n:g}' for n in value)})"


def _images(images, shape, who):
    """Checked images: floats as float32, integers and booleans as they are."""
    if images.ndim != 4 or images.shape[1:] != tuple(shape):
        expected = ", ".join(str(n) for n in shape)
        hint = ""
        if images.shape == tuple(shape):
            hint = " A batch of one is image[None]; a tf.data.Dataset is divided by batch(32)."
        elif images.ndim == 4 and (*images.shape[2:], images.shape[1]) == tuple(shape):
            hint = " Channels come last: numpy.moveaxis(images, 1, -1)."
        raise ValueError(
            f"{who} needs images [N, {expected}]; got an array of shape {images.shape} and type "
            f"{images.dtype}.{hint}"
        )
    if images.dtype.kind not in "fiub":
        raise ValueError(f"{who} needs images of numbers; got dtype {images.dtype}.")
    if images.dtype.kind != "f":
        return images
    with np.errstate(over="ignore"):  # becomes infinite, see below
        images = images.astype(np.float32)
    if not np.isfinite(images).all():
        bad = int((~np.isfinite(images)).any(axis=(1, 2, 3)).sum())
        raise ValueError(
            f"{who} needs finite images; {bad} of {len(images)} contain NaN or infinity."
        )
    return images
