"""Images as people hold them, handed on as checked NumPy batches."""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np
from PIL import Image, ImageOps

UNREADABLE = OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError
PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def batches(data, shape, who):
    """Checked batches of `data`: pairs of images [N, H, W, C] float32 and labels [N], or None.

    Args:
        data: An array of images, a pair `(images, labels)`, a `tf.data.Dataset`, or any other
            iterable of batches, each batch an array or a pair.
        shape: What each image's shape `(H, W, C)` must be.
        who: Who asks; errors begin with it.

    Raises:
        ValueError: No image at all, a wrong shape, values that are not numbers or not finite, an
            endless data set, or labels that do not fit the images.
    """
    if hasattr(data, "as_numpy_iterator"):  # a tf.data.Dataset
        if int(data.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
            raise ValueError(f"{who} was given a data set without end; take(n) batches of it.")
        data = data.as_numpy_iterator()
    elif isinstance(data, tuple) or hasattr(data, "__array__"):
        data = [data]

    found = 0
    for batch in data:
        if isinstance(batch, dict):
            raise ValueError(
                f"{who} needs batches of images or pairs (images, labels); got dicts of "
                f"{', '.join(map(str, batch))}. TensorFlow Datasets gives pairs with "
                "as_supervised=True."
            )
        images, labels = batch if isinstance(batch, tuple) and len(batch) == 2 else (batch, None)
        images = _images(images, shape, who)
        if labels is not None:
            labels = _labels(labels, len(images), who)
        found += len(images)
        if len(images):
            yield images, labels
    if not found:
        raise ValueError(f"{who} needs at least one image; got none.")


def picture(source, shape, input_range=(-1.0, 1.0)):
    """An image file, Pillow image or uint8 array -> what a model takes, float32 [H, W, C].

    A file is turned upright as its EXIF data say. The whole picture is resized (bilinear, with
    antialiasing) to the model's height and width, as MediaPipe's image classifier does, turned to
    grey or RGB for one or three channels, and scaled from 0..255 to `input_range`, black and white
    for all channels or for each.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a picture, or the model takes neither one nor three channels.
    """
    height, width, channels = shape
    modes = {1: "L", 3: "RGB"}
    if channels not in modes:
        raise ValueError(
            f"A picture has 1 or 3 channels; this model takes {channels}. Give an array."
        )
    try:
        if isinstance(source, np.ndarray):
            image = Image.fromarray(source.squeeze(-1) if source.shape[-1] == 1 else source)
        elif isinstance(source, Image.Image):
            image = source
        else:
            with Image.open(source) as file:
                image = ImageOps.exif_transpose(file).convert(modes[channels])
        image = image.convert(modes[channels]).resize((width, height), Image.Resampling.BILINEAR)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no picture at {str(source)!r}.") from None
    except UNREADABLE as error:
        what = f"an array {source.shape}" if isinstance(source, np.ndarray) else repr(str(source))
        raise ValueError(f"{what} is not a picture that can be read: {error}.") from None
    return scaled(np.asarray(image).reshape(shape), input_range)


def scaled(pixels, input_range):
    """Pixels from 0 to 255 -> what a model takes, float32, of any shape [..., C]."""
    low, high = (np.asarray(end, np.float32) for end in input_range)
    return np.asarray(pixels, np.float32) / 255 * (high - low) + low


def image_range(model):
    """What a Keras model takes for black and for white.

    (0, 255) where it begins by making pixels smaller with a `Rescaling`, as a model built with
    `include_preprocessing` does, be it in another model or not; else (-1, 1), Mixer's own.
    """
    first = next((x for x in model.layers if not isinstance(x, keras.layers.InputLayer)), None)
    if isinstance(first, keras.Model):
        return image_range(first)
    takes_pixels = isinstance(first, keras.layers.Rescaling) and np.max(np.abs(first.scale)) < 0.5
    return (0.0, 255.0) if takes_pixels else (-1.0, 1.0)


def read(path, shape, input_range=(-1.0, 1.0)):
    """Images from disk as `(images, labels)`, or images alone where nothing tells the labels.

    Args:
        path: A `.npy` of images; a `.npz` with `images` and perhaps `labels`, both arrays as the
            model takes them; a folder of pictures; or a folder of one folder of pictures a class,
            the classes numbered in the order of their names.
        shape: The model's image shape `(H, W, C)`, to which pictures are resized.
        input_range: The model's image range, to which pictures are scaled.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, shape, input_range)
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


def _read_folder(folder, shape, input_range):
    def pictures(folder):
        return sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)

    classes = sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    found = [(p, i) for i, c in enumerate(classes) for p in pictures(c)]
    labelled = bool(found)
    if not labelled:
        found = [(p, None) for p in pictures(folder)]
    if not found:
        raise ValueError(f"{folder} holds no pictures ({', '.join(PICTURES)}), nor do its folders.")
    images = np.stack([picture(p, shape, input_range) for p, _ in found])
    return (images, np.array([label for _, label in found])) if labelled else images


def _images(images, shape, who):
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != tuple(shape):
        wanted = ", ".join(str(n) for n in shape)
        raise ValueError(f"{who} needs images [N, {wanted}]; got an array of shape {images.shape}.")
    if images.dtype.kind not in "fiub":
        raise ValueError(f"{who} needs images of numbers; got dtype {images.dtype}.")
    images = images.astype(np.float32)
    if not np.isfinite(images).all():
        bad = int((~np.isfinite(images)).any(axis=(1, 2, 3)).sum())
        raise ValueError(f"{who} needs finite images; {bad} of {len(images)} hold NaN or infinity.")
    return images


def _labels(labels, count, who):
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:  # one-hot or probabilities
        labels = labels.argmax(-1)
    if labels.size != count:
        raise ValueError(f"{who} needs one label an image; got {labels.size} for {count} images.")
    return labels.reshape(-1).astype(np.int64)
