"""From a stored image to pixels of one size, for training and for evaluation.

Functions take `content`, a file's bytes or pixels `[H, W, C]`, and return float32 pixels from 0 to
255 of static shape `[size, size, channels]`.
"""

from collections.abc import Callable

import tensorflow as tf

from keras_mixer._types import Size
from keras_mixer.data.evaluation import fitted
from keras_mixer.data.pictures import decode
from keras_mixer.images import Preprocessing

TRAINING = ("inception", "shift", "resize")
# Inception's training crops: share of the image's area, and aspect ratio (width / height).
AREA, ASPECT = (0.05, 1.0), (3 / 4, 4 / 3)


def evaluation_image(
    content: tf.Tensor,
    preprocessing: Preprocessing,
    channels: int = 3,
    *,
    decode: Callable = decode,
) -> tf.Tensor:
    """An image as it is evaluated, and as `predict` and `verify` classify it.

    Args:
        content: A file's bytes, or pixels.
        preprocessing: A `keras_mixer.Preprocessing` with a `size`, which gives the crop.
        channels: 3 or 1.
        decode: The reader, with the arguments of `keras_mixer.data.pictures.decode`.
    """
    return fitted(decode(content, channels), preprocessing)


@tf.autograph.experimental.do_not_convert  # not needed, and slow to trace
def training_image(
    content: tf.Tensor,
    size: Size,
    crop: str,
    seed: tf.Tensor,
    channels: int = 3,
    flip: bool = False,
    *,
    decode: Callable = decode,
) -> tf.Tensor:
    """A random view of an image; the same seed gives the same view.

    Args:
        content: A file's bytes, or pixels.
        size: Side of the result in pixels.
        crop: `"inception"`, a part of random area and aspect ratio (of a JPEG only this part is
            decoded); `"shift"`, the whole image moved by up to an eighth of its side and padded
            with grey, for small images; or `"resize"`, the whole image.
        seed: Integer tensor [2].
        channels: 3 or 1.
        flip: Whether half of the views are mirrored.
        decode: The reader, with the arguments of `keras_mixer.data.pictures.decode`.

    Source: `inception_crop` in big_vision/pp/ops_image.py; the shift is that of residual networks
    on CIFAR (He et al. 2015, section 4.2).
    """
    place, side = tf.unstack(tf.random.split(seed))
    if crop == "inception":
        image = _random_part(content, place, channels, decode)
    else:
        image = decode(content, channels)
    if flip:  # before resizing: the image is uint8 and no larger than the crop
        mirrored = tf.random.stateless_uniform((), side) < 0.5
        image = tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)
    image = _resized(image, size, channels)
    if crop == "shift":
        margin = size // 8
        image = tf.pad(image, ((margin, margin), (margin, margin), (0, 0)), constant_values=127.5)
        image = tf.image.stateless_random_crop(image, (size, size, channels), place)
    return image


def _random_part(content, seed, channels, decode):
    def window(shape):
        top_left, sides, _ = tf.image.stateless_sample_distorted_bounding_box(
            shape,
            tf.zeros((1, 0, 4)),
            seed,
            min_object_covered=0.0,
            aspect_ratio_range=ASPECT,
            area_range=AREA,
            use_image_if_no_bounding_boxes=True,
        )
        return top_left, sides

    return decode(content, channels, window)


def _resized(image, size, channels):
    if image.shape[:2] != (size, size):
        image = tf.image.resize(image, (size, size))  # bilinear, no antialiasing, as official code
    return tf.ensure_shape(tf.cast(image, tf.float32), (size, size, channels))
