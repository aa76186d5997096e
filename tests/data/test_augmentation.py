"""Keras's augmentation layers in tf.data, repeatable."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mixer import data
from tests.pictures import labelled

SEED = tf.constant([5, 6], tf.int64)
LAYERS = {
    "RandomErasing": lambda: keras.layers.RandomErasing(1.0),
    "RandAugment": lambda: keras.layers.RandAugment(),
    "RandomRotation": lambda: keras.layers.RandomRotation(0.3),
    "RandomColorJitter": lambda: keras.layers.RandomColorJitter(
        brightness_factor=0.5, contrast_factor=0.5
    ),
    "MixUp": lambda: keras.layers.MixUp(0.5),
    "CutMix": lambda: keras.layers.CutMix(1.0),
    "Sequential": lambda: keras.Sequential(
        [keras.layers.RandomFlip(), keras.layers.RandomTranslation(0.2, 0.2)]
    ),
}


def batch(count=8):
    images, labels = labelled(count, side=16)
    return images.astype(np.float32), np.eye(3, dtype=np.float32)[labels]


def through(layer, seed=SEED, times=1):
    """What a layer makes of the same batch in `tf.data`, several times over."""
    dataset = tf.data.Dataset.from_tensors(batch()).repeat(times)
    dataset = dataset.map(lambda x, y: data.augmented(x, y, layer, seed))
    return [tuple(part.numpy() for part in pair) for pair in dataset]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_s_random_numbers_follow_the_seed_alone(name):
    layer = LAYERS[name]()
    [(images, labels), (again, labels_again)] = through(layer, times=2)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    [(fresh, _)] = through(LAYERS[name]())  # another layer, whose own seeds are others
    np.testing.assert_array_equal(images, fresh)
    [(other, _)] = through(layer, tf.constant([5, 7], tf.int64))
    assert not np.array_equal(images, other)
    assert not np.array_equal(images, batch()[0])


def test_a_layer_s_own_numbers_are_its_own_again_afterwards():
    layer = keras.layers.RandomFlip()
    through(layer)
    images = batch(64)[0]
    assert not np.array_equal(layer(images), layer(images))


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_labels_are_mixed_as_images_are(name):
    [(images, labels)] = through(LAYERS[name]())
    np.testing.assert_allclose(labels.sum(-1), 1, atol=1e-6)
    assert ((labels > 0).sum(-1) > 1).any()
    original, shares = batch()
    # The class is the mean of a channel, so the mixed one tells the mixed share.
    before = np.array([original[shares.argmax(-1) == k].mean((0, 1, 2)) for k in range(3)])
    np.testing.assert_allclose(images.mean((1, 2)), labels @ before, atol=25)


def test_a_callable_of_ones_own_is_applied():
    [(images, labels)] = through(lambda images: 255 - images)
    np.testing.assert_array_equal(images, 255 - batch()[0])
    np.testing.assert_array_equal(labels, batch()[1])


def test_an_augmentation_that_changes_the_shape_is_refused():
    with pytest.raises(ValueError, match=r"<lambda> must keep .*\(8, 16, 16, 3\)"):
        through(lambda images: images[:, :8])


@pytest.mark.parametrize("name", ["RandomCutout", "RandAugment", "MixUp"])
def test_kerascv_s_layers_take_part(name):
    layers = pytest.importorskip("keras_cv").layers
    layer = {
        "RandomCutout": lambda: layers.RandomCutout(0.5, 0.5),
        "RandAugment": lambda: layers.RandAugment((0, 255), augmentations_per_image=1),
        "MixUp": lambda: layers.MixUp(0.5),
    }[name]()
    [(images, labels), (others, _)] = through(layer, times=2)
    before, shares = batch()
    assert images.shape == before.shape
    assert not np.array_equal(images, before)
    assert not np.array_equal(images, others)
    np.testing.assert_allclose(labels.sum(-1), 1, atol=1e-6)
    assert np.array_equal(labels, shares) == (name != "MixUp")
