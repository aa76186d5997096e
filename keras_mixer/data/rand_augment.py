"""RandAugment: Practical Automated Data Augmentation with a Reduced Search Space.

Cubuk, Zoph, Shlens, Le. NeurIPS 2020, https://arxiv.org/abs/1909.13719

Official code: tensorflow/tpu, models/official/efficientnet/autoaugment.py, a copy of which trained
the Mixers: google-research/big_vision, big_vision/pp/autoaugment.py.

    layer, x N   one of 16 operations with equal probability, all at the same strength

`keras.layers.RandAugment` is a different augmentation: it draws operations once for a whole batch
and their strengths at random, three of the 16 operations are missing, and the magnitude 15 of the
paper's recipe is out of its range.

Where we differ from the official code: contrast blends with the mean grey, as in PIL, where that
code blends with the number of pixels divided by 256; and lengths, which that code gives in pixels
of an image of 224, scale with the image.
"""

import math

import tensorflow as tf

LEVELS = 10  # Magnitudes are counted in tenths, and may be larger.
GREY = 128  # fill value beyond the border and in a cut-out
TRANSLATION, CUTOUT = 100 / 224, 40 / 224  # of the image's side, at magnitude 10


@tf.autograph.experimental.do_not_convert  # not needed, and slow to trace
def rand_augment(image: tf.Tensor, layers: int, magnitude: float, seed: tf.Tensor) -> tf.Tensor:
    """`layers` random operations in sequence, [S, S, 3] -> [S, S, 3].

    Args:
        image: Pixels from 0 to 255, float32 or uint8; `[S, S, 1]` if grey.
        layers: Number of operations.
        magnitude: Strength of the operations: 10 is the maximum of AutoAugment, the paper goes up
            to 30.
        seed: Integer tensor [2]; the same seed gives the same operations.

    Returns:
        Integer pixels from 0 to 255, of the image's dtype.
    """
    dtype, shape = image.dtype, image.shape
    level = magnitude / LEVELS
    image = tf.cast(image, tf.uint8)
    for layer_seed in tf.unstack(tf.random.split(seed, layers)):
        draw = tf.random.stateless_uniform((4,), layer_seed)
        sign = tf.where(draw[1] < 0.5, -1.0, 1.0)
        branches = _operations(image, level, sign, draw[2:])
        chosen = tf.cast(draw[0] * len(branches), tf.int32)
        image = tf.ensure_shape(tf.switch_case(chosen, list(branches.values())), shape)
    return tf.cast(image, dtype)


def _operations(image, level, sign, place):
    """Name -> operation on `image` uint8 [S, S, 3], in the official order."""
    side = image.shape[0]
    enhanced = 1.8 * level + 0.1  # 1 leaves the image as it is
    moved = sign * level * TRANSLATION * side
    angle = sign * level * math.radians(30)
    slope = sign * level * 0.3
    return {
        "auto_contrast": lambda: _auto_contrast(image),
        "equalize": lambda: _equalize(image),
        "invert": lambda: 255 - image,
        "rotate": lambda: _affine(image, _rotation(angle, side)),
        "posterize": lambda: _posterize(image, bits=int(4 * level)),
        "solarize": lambda: tf.where(_float(image) < 256 * level, image, 255 - image),
        "color": lambda: _blend(_grey(image), image, enhanced),
        "contrast": lambda: _blend(tf.reduce_mean(tf.floor(_grey(image))), image, enhanced),
        "brightness": lambda: _blend(0.0, image, enhanced),
        "sharpness": lambda: _blend(_smooth(image), image, enhanced),
        "shear_x": lambda: _affine(image, (1, slope, 0, 0, 1, 0)),
        "shear_y": lambda: _affine(image, (1, 0, 0, slope, 1, 0)),
        "translate_x": lambda: _affine(image, (1, 0, moved, 0, 1, 0)),
        "translate_y": lambda: _affine(image, (1, 0, 0, 0, 1, moved)),
        "cutout": lambda: _cut_out(image, level * CUTOUT * side, place * side),
        "solarize_add": lambda: tf.where(image < 128, _uint8(_float(image) + 110 * level), image),
    }


def _float(image):
    return tf.cast(image, tf.float32)


def _uint8(image):
    return tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)


def _blend(one, other, share):
    """`one` at share 0, `other` at share 1; a share above 1 extrapolates."""
    return _uint8(one + share * (_float(other) - one))


def _grey(image):
    if image.shape[-1] == 1:
        return _float(image)
    return _float(tf.image.rgb_to_grayscale(image))


def _auto_contrast(image):
    values = _float(image)
    low = tf.reduce_min(values, axis=(0, 1))
    high = tf.reduce_max(values, axis=(0, 1))
    stretched = (values - low) * tf.math.divide_no_nan(255.0, high - low)
    return tf.where(high > low, _uint8(stretched), image)


def _equalize(image):
    def channel(values):
        histogram = tf.math.bincount(tf.cast(values, tf.int32), minlength=256, maxlength=256)
        last = tf.gather(histogram, tf.reduce_max(tf.where(histogram > 0)))
        step = (tf.reduce_sum(histogram) - last) // 255
        table = (tf.cumsum(histogram, exclusive=True) + step // 2) // tf.maximum(step, 1)
        equal = tf.gather(_uint8(table), tf.cast(values, tf.int32))
        return tf.where(step > 0, equal, values)

    return tf.stack([channel(values) for values in tf.unstack(image, axis=-1)], axis=-1)


def _posterize(image, bits):
    shift = tf.constant(max(0, 8 - bits), tf.uint8)
    return tf.bitwise.left_shift(tf.bitwise.right_shift(image, shift), shift)


def _smooth(image):
    """Blurred by a 3 x 3 kernel, except at the border."""
    kernel = tf.constant([[1, 1, 1], [1, 5, 1], [1, 1, 1]], tf.float32)[..., None, None] / 13
    kernel = tf.tile(kernel, (1, 1, image.shape[-1], 1))
    inside = tf.nn.depthwise_conv2d(_float(image)[None], kernel, (1, 1, 1, 1), "VALID")[0]
    inside = tf.floor(tf.clip_by_value(inside, 0, 255))
    margin = ((1, 1), (1, 1), (0, 0))
    return tf.where(tf.pad(tf.ones_like(inside), margin) > 0, tf.pad(inside, margin), _float(image))


def _rotation(angle, side):
    """The matrix of a rotation about the centre."""
    cos, sin = tf.cos(angle), tf.sin(angle)
    middle = (side - 1) / 2
    return cos, -sin, middle * (1 - cos + sin), sin, cos, middle * (1 - sin - cos)


def _affine(image, matrix):
    """The pixel at (x, y) is the nearest one to (a x + b y + c, d x + e y + f)."""
    row = tf.stack([tf.cast(number, tf.float32) for number in (*matrix, 0, 0)])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=row[None],
        output_shape=image.shape[:2],
        fill_value=float(GREY),
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )[0]


def _cut_out(image, half, centre):
    """Draws a grey square of side 2 `half` around `centre`, clipped to the image."""
    places = tf.range(image.shape[0], dtype=tf.float32)
    from_centre = [places - tf.floor(c) for c in tf.unstack(centre)]
    rows, columns = [(-int(half) <= d) & (d < int(half)) for d in from_centre]
    inside = rows[:, None, None] & columns[None, :, None]
    return tf.where(inside, tf.constant(GREY, tf.uint8), image)
