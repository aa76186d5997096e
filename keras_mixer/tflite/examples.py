"""Images from files, folders, arrays or data sets -> checked NumPy batches."""

import os
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from keras_mixer._text import left_out

BATCH = 32  # pictures of a folder that are in memory at once
TOLERANCE = 0.25  # of the range from black to white; interpolation overshoots by less


def batches(data, shape, who, preprocessing=None, classes=None):
    """Checked batches of `data`: pairs of images [N, H, W, C] float32 and labels [N], or None.

    Args:
        data: A path; a `keras_mixer.data.Source`; an array of images, a pair `(images, labels)`, a
            `tf.data.Dataset`, or any other iterable of batches, each batch an array or a pair.
        shape: The required shape of an image, `(H, W, C)`.
        who: The caller's name, with which errors begin.
        preprocessing: The model's `Preprocessing`, to check the scale of images; None for any.
        classes: For a folder, names of the model's classes in the order of its scores, or their
            number.

    Raises:
        ValueError: There are no images; they have a wrong shape or scale, or values that are not
            finite numbers; the data set is infinite; or labels do not match the images.
    """
    source = hasattr(data, "order")
    if source or isinstance(data, str | Path):
        if preprocessing is None:
            raise ValueError(
                f"{who} needs the scale of pixels to read {data}, and the model does not state it; "
                "pass input_range= (--input-range), such as (0, 255), (0, 1) or (-1, 1)."
            )
        if source:
            data = _source_batches(data, shape, preprocessing)
        elif Path(data).is_dir():
            data = _folder_batches(data, shape, preprocessing, classes)
        else:
            data = read(data)
    if hasattr(data, "as_numpy_iterator"):  # a tf.data.Dataset
        if int(data.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
            raise ValueError(
                f"{who} needs a finite data set; this one is without end. Use dataset.take(n)."
            )
        data = data.as_numpy_iterator()
    elif isinstance(data, tuple) or hasattr(data, "__array__"):
        data = [data]

    found, low, high = 0, np.inf, -np.inf
    for batch in data:
        if isinstance(batch, dict):
            raise ValueError(
                f"{who} needs batches of images or pairs (images, labels); got dicts of "
                f"{', '.join(map(str, batch))}. TensorFlow Datasets gives pairs with "
                "as_supervised=True."
            )
        images, labels = batch if isinstance(batch, tuple) and len(batch) == 2 else (batch, None)
        dtype, images = np.asarray(images).dtype, _images(images, shape, who)
        if labels is not None:
            labels = _labels(labels, len(images), who)
        found += len(images)
        if len(images):
            low, high = min(low, images.min()), max(high, images.max())
            check_scale(low, high, preprocessing, who, of_pixels=dtype.kind in "iu")
            yield images, labels
    if not found:
        raise ValueError(f"{who} needs at least one image; got none.")
    if preprocessing and low < high <= 2 and np.ptp(preprocessing.input_range) > 100:
        raise _other_scale(low, high, preprocessing, who)


def check_scale(low, high, preprocessing, who, of_pixels=False):
    """Raises ValueError if values from `low` to `high` cannot have the model's scale.

    Args:
        of_pixels: Whether their type is an integer, so that they are pixels from 0 to 255.
    """
    if preprocessing is None:
        return
    limits = np.asarray(preprocessing.input_range)
    tolerance = TOLERANCE * (limits.max() - limits.min())
    outside = low < limits.min() - tolerance or high > limits.max() + tolerance
    if outside or (of_pixels and np.ptp(limits) < 100):
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


def picture(source, preprocessing, channels):
    """A picture -> the model's input, float32 [*preprocessing.size, channels].

    Args:
        source: A path, a file's bytes, a Pillow image or a uint8 array.
        preprocessing: The model's `Preprocessing`, by which the picture is cropped and scaled.
        channels: 1 or 3.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a picture, or the model takes neither one nor three channels.
    """
    import tensorflow as tf

    from keras_mixer.data.evaluation import fitted
    from keras_mixer.data.pictures import read_picture

    _check_channels(channels)
    return preprocessing.scaled(
        fitted(tf.constant(read_picture(source, channels)), preprocessing).numpy()
    )


def _check_channels(channels):
    if channels not in (1, 3):
        raise ValueError(
            f"A picture has 1 or 3 channels; this model takes {channels}. Give an array of floats, "
            "as the model takes them."
        )


def read(path):
    """Images from a file as `(images, labels)`, or images alone if there are no labels.

    Args:
        path: A `.npy` of images scaled for the model, or a `.npz` of such `images` and optional
            `labels`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file or folder of images at {str(path)!r}.")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {"images": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, OSError, EOFError, BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is neither a readable .npy or .npz nor a folder: {error}"
        ) from None
    if "images" not in arrays:
        raise ValueError(f"{path} needs an array 'images'; it has {', '.join(arrays) or 'none'}.")
    return (arrays["images"], arrays["labels"]) if "labels" in arrays else arrays["images"]


def _folder_batches(folder, shape, preprocessing, classes):
    """Yields batches of a folder's pictures; a warning names those that are left out."""
    import tensorflow as tf

    from keras_mixer.data import evaluation_image
    from keras_mixer.data.folders import LeftOutWarning, read_any_folder
    from keras_mixer.data.splits import NO_TEST, folder_for_tests

    _check_channels(shape[-1])
    path = folder_for_tests(folder, classes=classes)
    if path is None:
        raise ValueError(NO_TEST.format(folder))
    found = read_any_folder(path, classes)
    if found.skipped:
        warnings.warn(left_out(folder, found.skipped), LeftOutWarning, stacklevel=4)
    preprocessing = replace(preprocessing, size=shape[:2])

    def view(path):
        return evaluation_image(tf.io.read_file(path), preprocessing, shape[-1])

    paths = tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in found.files])
    views = paths.map(view, tf.data.AUTOTUNE, deterministic=True).batch(BATCH)
    for i, pixels in enumerate(views.as_numpy_iterator()):
        images = preprocessing.scaled(pixels)
        labels = found.labels and np.array(found.labels[i * BATCH :][:BATCH])
        yield images if labels is None else (images, labels)


def _source_batches(source, shape, preprocessing):
    """Yields batches of a `Source`'s images and labels, read as in evaluation."""
    from keras_mixer.data import evaluation_batches
    from keras_mixer.data.folders import LeftOutWarning

    if source.skipped:
        warnings.warn(left_out(source.name, source.skipped), LeftOutWarning, stacklevel=4)
    source = source.with_channels(shape[-1])
    batches = evaluation_batches(source, BATCH, shape[:2], preprocessing=preprocessing)
    for images, labels, weights in batches.as_numpy_iterator():
        yield images[weights > 0], labels[weights > 0]  # the others are padding


def _images(images, shape, who):
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != tuple(shape):
        expected = ", ".join(str(n) for n in shape)
        raise ValueError(
            f"{who} needs images [N, {expected}]; got an array of shape {images.shape}."
        )
    if images.dtype.kind not in "fiub":
        raise ValueError(f"{who} needs images of numbers; got dtype {images.dtype}.")
    images = images.astype(np.float32)
    if not np.isfinite(images).all():
        bad = int((~np.isfinite(images)).any(axis=(1, 2, 3)).sum())
        raise ValueError(
            f"{who} needs finite images; {bad} of {len(images)} contain NaN or infinity."
        )
    return images


def _labels(labels, count, who):
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:  # one-hot or probabilities
        labels = labels.argmax(-1)
    if labels.size != count:
        raise ValueError(
            f"{who} needs one label for each image; got {labels.size} for {count} images."
        )
    return labels.reshape(-1).astype(np.int64)
