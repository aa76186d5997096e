"""Evaluation crops: from a picture to an image of a model's size, see `keras_mixer.Preprocessing`.

`resize_crop` and `resmall_crop` are the paper's for evaluation (appendix C). Both first resize the
picture to 256 / 224 of the final size, without antialiasing, and then crop the centre. They do not
scale values; `keras_mixer.preprocess_input` scales them to the model's range.
"""

import tensorflow as tf

from keras_mixer._types import Size
from keras_mixer.images import MEDIAPIPE

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
    options = {"method": p.interpolation, "antialias": p.antialias}
    if p.crop == "resize":
        if image.shape[:2] != p.size:
            image = _resized(image, p.size, **options)
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
) -> tf.Tensor:
    """Resizes the whole image to a square of 256, then crops the centre of 224.

    The paper's evaluation of the models in its table 2.

    Args:
        image: One image `[H, W, C]` of any type; `H` and `W` need not be static.
        size: Side of the result in pixels, or its height and width.
        method: How to interpolate, a method of `tf.image.resize`.
        share: Side of the crop relative to the side of the resized image.
        antialias: Whether to antialias when the image becomes smaller.

    Returns:
        `[size, size, C]` of the same type.

    Source: `resize(256)|central_crop(224)` in big_vision/pp/ops_image.py.
    """
    size = _both(size)
    return _crop(_resize(image, _enlarged(size, share), method, antialias), size)


def resmall_crop(
    image: tf.Tensor,
    size: Size = 224,
    *,
    method: str = "area",
    share: float = SHARE,
    antialias: bool = False,
) -> tf.Tensor:
    """Resizes the image so that its shorter side is 256, then crops the centre of 224 x 224.

    The paper's evaluation of the models in its table 3, and that of Google's ImageNet checkpoints.
    timm's `mixer_b16_224.miil` weights want `method="bilinear", antialias=True`.

    Args:
        image: One image `[H, W, C]` of any type; `H` and `W` need not be static.
        size: Side of the result in pixels, or its height and width. If it is not square, the
            shorter side is the one that is shorter relative to this size.
        method: How to interpolate, a method of `tf.image.resize`.
        share: Side of the crop relative to the shorter side of the resized image.
        antialias: Whether to antialias when the image becomes smaller.

    Returns:
        `[size, size, C]` of the same type.

    Source: `resize_small(256)|central_crop(224)` in big_vision/configs/mlp_mixer_i1k.py.
    """
    image, size = tf.convert_to_tensor(image), _both(size)
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    sides = tf.round(sides * tf.reduce_max(_enlarged(size, share) / sides))
    return _crop(_resize(image, tf.cast(sides, tf.int32), method, antialias), size)


def _both(size):
    return (size, size) if isinstance(size, int) else tuple(size)


def _enlarged(size, share):
    return [round(side / share) for side in size]


def _resize(image, shape, method, antialias):
    image = tf.convert_to_tensor(image)
    if image.shape.rank != 3:
        raise ValueError(f"One image [H, W, C] is needed; got shape {tuple(image.shape)}.")
    resized = _resized(image, shape, method, antialias)
    # Bicubic overshoots; integers are truncated, not rounded, as in the official code.
    return tf.cast(tf.clip_by_value(resized, image.dtype.min, image.dtype.max), image.dtype)


def _resized(image, shape, method, antialias):
    if method == MEDIAPIPE:
        return tf.raw_ops.ResizeBilinear(images=image[None], size=shape)[0]
    return tf.image.resize(image, shape, method=method, antialias=antialias)


def _crop(image, size):
    top, left = [(tf.shape(image)[axis] - size[axis]) // 2 for axis in (0, 1)]
    return tf.image.crop_to_bounding_box(image, top, left, *size)
