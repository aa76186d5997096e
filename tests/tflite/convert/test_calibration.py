"""Ranges are those of the images."""

import keras
import numpy as np
import pytest

from keras_mixer.tflite.convert.calibration import ranges
from keras_mixer.tflite.convert.float_file import to_float

IMAGES = np.random.default_rng(0).normal(size=(5, 20, 50, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def content():
    """A file that takes images to their doubles."""
    shape = IMAGES.shape[1:]
    return to_float(keras.Sequential([keras.Input(shape), keras.layers.Rescaling(2.0)]), shape)


def test_without_a_tail_they_are_the_true_minimum_and_maximum(content):
    [given, doubled] = ranges(content, IMAGES, tail=0).values()
    assert given == (IMAGES.min(), IMAGES.max())
    assert doubled == (2 * IMAGES.min(), 2 * IMAGES.max())


def test_the_tail_of_each_image_is_left_out(content):
    [given, _] = ranges(content, IMAGES, tail=0.01).values()
    each = np.sort(IMAGES.reshape(5, -1))  # 3000 values an image, 30 in each tail
    assert given == (each[:, 30].min(), each[:, -31].max())


def test_a_small_tensor_has_no_tail(content):
    assert ranges(content, IMAGES, tail=1e-4) == ranges(content, IMAGES, tail=0)
