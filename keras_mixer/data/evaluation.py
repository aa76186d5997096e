"""Evaluation crops: from a picture to an image of a model's size, see `keras_mixer.Preprocessing`.

`resize_crop` and `resmall_crop` are the Mixer paper's for evaluation (appendix C). Both first
resize the picture to 256 / 224 of the final size, without antialiasing, and then crop the centre.
They do not scale values; `keras_mixer.preprocess_input` scales them to the model's range.

With `library="pillow"` they give the pixels of torchvision's `Resize` and `CenterCrop` for a Pillow
image, by which papers with code in PyTorch are evaluated. It differs from `"tensorflow"` in this:

- The side of the resized picture, `side / share`, is rounded down, not to the nearest.
- Its longer side is rounded down, not to the nearest, unless the image is not square.
- Top and left of the centre are rounded to the nearest, halves to the even number, not down.
- One axis is resized after the other, with antialiasing, and whole numbers are rounded after each;
  TensorFlow's are truncated at the end.
"""

import tensorflow as tf

from keras_mixer._text import listed
from keras_mixer._types import Size
from keras_mixer.images import LIBRARIES, MEDIAPIPE, enlarged

SHARE = 224 / 256


def fitted(image, preprocessing):
    """Resizes and crops a picture to the model's size; pixels stay from 0 to 255.

    Args:
        image: One picture `[H, W, C]` of any type; `H` and `W` need not be static.
        preprocessing: A `keras_mixer.Preprocessing` with a `size`.

    Returns:
        float32 `[*size, C]`.

    Raises:
        ValueError: The `Preprocessing` has no size.
    """
    p = preprocessing
    if p.size is None:
        raise ValueError(f"A picture is cropped by a Preprocessing with a size; got {p}.")
    options = {"method": p.interpolation, "antialias": p.antialias, "library": p.library}
    if p.crop == "resize":
        if image.shape[:2] != p.size:
            image = _resized(tf.convert_to_tensor(image), p.size, **options)
    else:
        crop = resize_crop if p.crop == "resize_crop" else resmall_crop
        image = crop(image, p.size, share=p.crop_share, **options)
    return tf.ensure_shape(tf.cast(image, tf.float32), (*p.size, image.shape[-1]))


def resize_crop(
    image: tf.Tensor,
    size: Size = 224,
    *,
    method: str = "bilinear",
    share: float = SHARE,
    antialias: bool = False,
    library: str = "tensorflow",
) -> tf.Tensor:
    """Resizes the whole image to a square of 256, then crops the centre of 224.

    The paper's evaluation of the models in its table 2.

    Args:
        image: One image `[H, W, C]` of any type; `H` and `W` need not be static.
        size: Side of the result in pixels, or its height and width.
        method: How to interpolate, a method of `tf.image.resize`.
        share: Side of the crop relative to the side of the resized image.
        antialias: Whether to antialias when the image becomes smaller; Pillow always does.
        library: Whose rules to follow, `"tensorflow"` or `"pillow"`, see the module.

    Returns:
        `[size, size, C]` of the same type.

    Source: `resize(256)|central_crop(224)` in big_vision/pp/ops_image.py.
    """
    size = _both(size)
    sides = enlarged(size, share, library)
    return _crop(_resize(image, sides, method, antialias, library), size, library)


def resmall_crop(
    image: tf.Tensor,
    size: Size = 224,
    *,
    method: str = "area",
    share: float = SHARE,
    antialias: bool = False,
    library: str = "tensorflow",
) -> tf.Tensor:
    """Resizes the image so that its shorter side is 256, then crops the centre of 224 x 224.

    The paper's evaluation of the models in its table 3, and that of Google's ImageNet checkpoints.
    timm's `mixer_b16_224.miil` weights want `method="bilinear", library="pillow"`.

    Args:
        image: One image `[H, W, C]` of any type; `H` and `W` need not be static.
        size: Side of the result in pixels, or its height and width. If it is not square, the
            shorter side is the one that is shorter relative to this size.
        method: How to interpolate, a method of `tf.image.resize`.
        share: Side of the crop relative to the shorter side of the resized image.
        antialias: Whether to antialias when the image becomes smaller; Pillow always does.
        library: Whose rules to follow, `"tensorflow"` or `"pillow"`, see the module.

    Returns:
        `[size, size, C]` of the same type.

    Source: `resize_small(256)|central_crop(224)` in big_vision/configs/mlp_mixer_i1k.py.
    """
    image, size = tf.convert_to_tensor(image), _both(size)
    larger = enlarged(size, share, library)
    if library == "pillow":
        sides = _sides_of_torchvision(tf.shape(image)[:2], larger)
    else:
        sides = tf.cast(tf.shape(image)[:2], tf.float32)
        sides = tf.cast(tf.round(sides * tf.reduce_max(larger / sides)), tf.int32)
    return _crop(_resize(image, sides, method, antialias, library), size, library)


def _sides_of_torchvision(sides, larger):
    """Height and width of a picture that just covers `larger`, proportions kept.

    Source: `_compute_resized_output_size` in torchvision, and for an image that is not square
    `ResizeKeepRatio` in timm.
    """
    if larger[0] == larger[1]:
        return tf.cast(
            larger[0] * tf.cast(sides, tf.int64) // tf.cast(tf.reduce_min(sides), tf.int64),
            tf.int32,
        )
    sides = tf.cast(sides, tf.float64)
    return tf.cast(tf.round(sides / tf.reduce_min(sides / larger)), tf.int32)


def _both(size):
    return (size, size) if isinstance(size, int) else tuple(size)


def _resize(image, shape, method, antialias, library):
    image = tf.convert_to_tensor(image)
    if image.shape.rank != 3:
        raise ValueError(f"One image [H, W, C] is needed; got shape {tuple(image.shape)}.")
    if library not in LIBRARIES:
        known = " or ".join(map(repr, LIBRARIES))
        raise ValueError(f"A crop needs library to be {known}; got {library!r}.")
    if library == "pillow" and method not in LIBRARIES[library]:
        raise ValueError(f"Pillow interpolates by {listed(LIBRARIES[library])}; got {method!r}.")
    resized = _resized(image, shape, method, antialias, library)
    # Bicubic overshoots; integers are truncated, not rounded, as in the official code.
    return tf.cast(tf.clip_by_value(resized, image.dtype.min, image.dtype.max), image.dtype)


def _resized(image, shape, method, antialias, library):
    if method == MEDIAPIPE:
        return tf.raw_ops.ResizeBilinear(images=image[None], size=shape)[0]
    if library == "tensorflow":
        return tf.image.resize(image, shape, method=method, antialias=antialias)
    # Pillow resizes one axis after the other, and each result is an image again.
    low, high, whole = image.dtype.min, image.dtype.max, image.dtype.is_integer
    height, width = tf.unstack(tf.convert_to_tensor(shape))
    for sides in ((tf.shape(image)[0], width), (height, width)):
        image = tf.image.resize(image, sides, method=method, antialias=True)
        if whole:
            image = tf.clip_by_value(tf.floor(tf.cast(image, tf.float32) + 0.5), low, high)
    return image


def _crop(image, size, library):
    spare = [tf.shape(image)[axis] - size[axis] for axis in (0, 1)]
    if library == "pillow":
        top, left = (tf.cast(tf.round(n / 2), tf.int32) for n in spare)  # float64, halves to even
    else:
        top, left = (n // 2 for n in spare)
    return tf.image.crop_to_bounding_box(image, top, left, *size)
