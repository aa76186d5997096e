"""Images on disk, read for a model: pictures and folders of them as in evaluation."""

import os
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from keras_mixer._text import left_out

MAGIC = b"\x93NUMPY", b"PK"  # with which a .npy and a .npz begin
BATCH = 32  # pictures that are in memory at once


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


def read_file(path):
    """Images from a file as `(images, labels)`, or images alone if there are no labels.

    Args:
        path: A `.npy` of images scaled for the model, or of pixels as integers; or a `.npz` of such
            `images` and optional `labels`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file or folder of images at {str(path)!r}.")
    with path.open("rb") as file:
        if not file.read(6).startswith(MAGIC):
            raise ValueError(f"{path} is neither a readable .npy or .npz nor a folder of pictures.")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {"images": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, OSError, EOFError, MemoryError, BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is neither a readable .npy or .npz nor a folder: {error}"
        ) from None
    if "images" not in arrays:
        raise ValueError(f"{path} needs an array 'images'; it has {', '.join(arrays) or 'none'}.")
    return (arrays["images"], arrays["labels"]) if "labels" in arrays else arrays["images"]


def folder_batches(folder, shape, preprocessing, classes):
    """Yields batches of the pictures in a folder to measure a model on, with labels if it has any.

    Args:
        folder: A folder of pictures, of one folder for each class, or of splits.
        shape: The model's image shape `(H, W, C)`.
        preprocessing: The model's `Preprocessing`, by which pictures are cropped and scaled.
        classes: Names of the model's classes in the order of its scores, or their number.
    """
    from keras_mixer.data.folders import read_any_folder
    from keras_mixer.data.splits import NO_TEST, folder_for_tests

    path = folder_for_tests(folder, classes=classes)
    if path is None:
        raise ValueError(NO_TEST.format(folder))
    found, start = read_any_folder(path, classes), 0
    _warn(folder, found.skipped)
    for images in _views(found.files, shape, preprocessing):
        labels = found.labels and np.array(found.labels[start : start + len(images)])
        yield images if labels is None else (images, labels)
        start += len(images)


def picture_batches(folder, shape, preprocessing, most):
    """Yields batches of the pictures at any depth of a folder, `most` of them, without labels."""
    from keras_mixer.data.folders import read_pictures

    found = read_pictures(folder, most)
    _warn(folder, found.skipped)
    yield from _views(found.files, shape, preprocessing)


def source_batches(source, shape, preprocessing):
    """Yields batches of the images and labels of a `keras_mixer.data.Source`."""
    from keras_mixer.data import evaluation_batches

    _warn(source.name, source.skipped)
    source = source.with_channels(shape[-1])
    yield from evaluation_batches(source, BATCH, shape[:2], preprocessing=preprocessing)


def _views(files, shape, preprocessing):
    """Yields batches of pictures as the model takes them."""
    import tensorflow as tf

    from keras_mixer.data import evaluation_image

    _check_channels(shape[-1])
    preprocessing = replace(preprocessing, size=shape[:2])

    def view(path):
        return evaluation_image(tf.io.read_file(path), preprocessing, shape[-1])

    paths = tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in files])
    views = paths.map(view, tf.data.AUTOTUNE, deterministic=True).batch(BATCH)
    yield from map(preprocessing.scaled, views.as_numpy_iterator())


def _warn(folder, skipped):
    """A warning that names the files that were left out, if there are any."""
    from keras_mixer.data.folders import LeftOutWarning

    if skipped:
        warnings.warn(left_out(folder, skipped), LeftOutWarning, stacklevel=5)
