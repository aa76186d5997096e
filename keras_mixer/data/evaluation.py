"""The paper's two ways to cut an image for evaluation (appendix C).

Both first make it 256 / 224 as large as wanted, without antialiasing, and then cut out the centre.
They leave values as they are; `keras_mixer.preprocess_input` brings them to the model's range.
"""

import tensorflow as tf


def resize_crop(image, size=224, *, method="bilinear"):
    """The whole image squeezed into a square of 256, then its centre of 224.

    The paper's evaluation of the models in its table 2.

    Args:
        image: One image `[H, W, C]` of any type; `H` and `W` need not be static.
        size: Side of the result in pixels; the square is `256 / 224` as large.
        method: How to interpolate, a method of `tf.image.resize`.

    Returns:
        `[size, size, C]` of the same type.

    Source: `resize(256)|central_crop(224)` in big_vision/pp/ops_image.py.
    """
    return _crop(_resize(image, (_enlarged(size), _enlarged(size)), method), size)


def resmall_crop(image, size=224, *, method="area"):
    """The image with its shorter side made 256, then its centre of 224 x 224.

    The paper's evaluation of the models in its table 3, and that of Google's ImageNet checkpoints.
    timm's `mixer_b16_224.miil` weights want `method="bilinear"`.

    Args:
        image: One image `[H, W, C]` of any type; `H` and `W` need not be static.
        size: Side of the result in pixels; the shorter side is made `256 / 224` as long.
        method: How to interpolate, a method of `tf.image.resize`.

    Returns:
        `[size, size, C]` of the same type.

    Source: `resize_small(256)|central_crop(224)` in big_vision/configs/mlp_mixer_i1k.py.
    """
    image = tf.convert_to_tensor(image)
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    sides = tf.round(sides * (_enlarged(size) / tf.reduce_min(sides)))
    return _crop(_resize(image, tf.cast(sides, tf.int32), method), size)


def _enlarged(size):
    return round(size * 256 / 224)


def _resize(image, shape, method):
    image = tf.convert_to_tensor(image)
    if image.shape.rank != 3:
        raise ValueError(f"One image [H, W, C] is needed; got shape {tuple(image.shape)}.")
    resized = tf.image.resize(image, shape, method=method)
    # Bicubic overshoots; whole numbers are cut off, not rounded, as in the official code.
    return tf.cast(tf.clip_by_value(resized, image.dtype.min, image.dtype.max), image.dtype)


def _crop(image, size):
    top, left = [(tf.shape(image)[axis] - size) // 2 for axis in (0, 1)]
    return tf.image.crop_to_bounding_box(image, top, left, size, size)
