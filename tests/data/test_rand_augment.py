"""RandAugment's operations are PIL's, drawn evenly for each image."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from keras_mixer.data import rand_augment as whole
from keras_mixer.data.rand_augment import _operations
from tests.pictures import noise

SIDE, LEVEL = 56, 0.7
ENHANCED = 1.8 * LEVEL + 0.1
PICTURE = (noise(SIDE, SIDE, 5) * 0.8 + 25).astype(np.uint8)


def affine(*matrix):
    """PIL takes the place of a pixel's centre, half a pixel further."""
    a, b, c, d, e, f = matrix
    c, f = c + (1 - a - b) / -2, f + (1 - d - e) / -2
    return lambda image: image.transform(
        image.size, Image.Transform.AFFINE, (a, b, c, d, e, f), fillcolor=(128,) * 3
    )


def enhanced(kind):
    return lambda image: kind(image).enhance(ENHANCED)


MOVED = LEVEL * 100 / 224 * SIDE
PIL = {
    "auto_contrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "invert": ImageOps.invert,
    "rotate": lambda image: image.rotate(LEVEL * 30, fillcolor=(128,) * 3),
    "posterize": lambda image: ImageOps.posterize(image, int(4 * LEVEL)),
    "solarize": lambda image: ImageOps.solarize(image, int(256 * LEVEL) + 1),
    "color": enhanced(ImageEnhance.Color),
    "contrast": enhanced(ImageEnhance.Contrast),
    "brightness": enhanced(ImageEnhance.Brightness),
    "sharpness": enhanced(ImageEnhance.Sharpness),
    "shear_x": affine(1, 0.3 * LEVEL, 0, 0, 1, 0),
    "shear_y": affine(1, 0, 0, 0.3 * LEVEL, 1, 0),
    "translate_x": affine(1, 0, MOVED, 0, 1, 0),
    "translate_y": affine(1, 0, 0, 0, 1, MOVED),
}


def operations():
    return _operations(tf.constant(PICTURE), LEVEL, tf.constant(1.0), tf.constant([0.5, 0.25]))


@pytest.mark.parametrize("name", PIL)
def test_an_operation_is_pil_s(name):
    ours = operations()[name]().numpy().astype(int)
    theirs = np.asarray(PIL[name](Image.fromarray(PICTURE))).astype(int)
    assert ours.shape == theirs.shape
    assert not np.array_equal(theirs, PICTURE)
    # PIL rounds where the official code cuts off. Half-way between two pixels the two may take
    # different ones, which differ by up to 8 in this smooth picture.
    slanted = name in ("rotate", "shear_x", "shear_y")
    assert np.quantile(np.abs(ours - theirs), 0.95) <= (8 if slanted else 1)
    assert np.median(np.abs(ours - theirs)) == 0


def test_cutout_hides_a_square_and_solarize_add_brightens_the_dark():
    cut = operations()["cutout"]().numpy()
    half = int(LEVEL * 40 / 224 * SIDE)
    hidden = (cut == 128).all(-1)
    assert hidden[28 - half : 28 + half, 14 - half : 14 + half].all()
    assert (cut != PICTURE).any(-1).sum() <= (2 * half) ** 2
    added = operations()["solarize_add"]().numpy().astype(int)
    expected = np.where(PICTURE < 128, PICTURE + int(110 * LEVEL), PICTURE)
    np.testing.assert_array_equal(added, expected)


def test_each_of_the_sixteen_is_drawn_about_as_often():
    image = tf.constant(PICTURE)
    known = {}
    for sign in (-1.0, 1.0):
        for name, operation in _operations(image, LEVEL, tf.constant(sign), tf.zeros(2)).items():
            known.setdefault(operation().numpy().tobytes(), name)
    draw = tf.function(lambda seed: whole(image, 1, LEVEL * 10, seed))
    drawn = Counter(
        known.get(draw(tf.constant([0, i], tf.int64)).numpy().tobytes(), "cutout")
        for i in range(800)
    )
    assert len(drawn) == 16
    assert all(20 < count < 90 for count in drawn.values())  # 50 expected, 7 standard deviations


@pytest.mark.parametrize("magnitude", [0, 9, 15, 30])
def test_images_stay_images_at_every_magnitude(magnitude):
    image = tf.constant(PICTURE, tf.float32)
    for i in range(40):
        view = whole(image, 2, magnitude, tf.constant([1, i], tf.int64)).numpy()
        assert view.dtype == np.float32
        assert view.shape == image.shape
        assert view.min() >= 0
        assert view.max() <= 255


def test_a_grey_picture_and_a_flat_one_pass_through_every_operation():
    for value in (0, 128, 255):
        image = tf.fill((8, 8, 3), tf.constant(value, tf.uint8))
        for operation in _operations(
            image, 1.5, tf.constant(1.0), tf.constant([0.0, 0.0])
        ).values():
            assert operation().shape == (8, 8, 3)


def test_grey_images_are_augmented_too():
    grey = noise(SIDE, SIDE, 5)[..., :1]
    for seed in range(20):
        found = whole(tf.constant(grey), 2, 7.0, (seed, 0))
        assert found.shape == grey.shape
    operations = _operations(tf.constant(grey), LEVEL, 1.0, (0.5, 0.5))
    np.testing.assert_array_equal(operations["color"](), grey)  # it has none
    darker = operations["contrast"]().numpy().astype(float)
    assert np.ptp(darker) > 0
