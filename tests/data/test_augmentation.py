"""Keras's augmentation layers in tf.data, repeatable."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mixer import data
from keras_mixer._backend import settings
from tests.marks import slow
from tests.pictures import labelled

SEED = tf.constant([5, 6], tf.int64)
# What Keras's augmentation layers need to be told to do something.
ARGUMENTS = {
    "CutMix": {"factor": 1.0},
    "MixUp": {"alpha": 0.5},
    "RandAugment": {},
    "RandomBrightness": {"factor": 0.2},
    "RandomColorDegeneration": {"factor": 0.5},
    "RandomColorJitter": {"brightness_factor": 0.5, "contrast_factor": 0.5},
    "RandomContrast": {"factor": 0.2},
    "RandomElasticTransform": {"factor": 1.0},
    "RandomErasing": {"factor": 1.0},
    "RandomFlip": {},
    "RandomGaussianBlur": {"factor": 1.0, "sigma": 1.0},
    "RandomGrayscale": {},
    "RandomHue": {"factor": 0.2},
    "RandomInvert": {"factor": 0.5},
    "RandomPerspective": {"scale": 0.5},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.3},
    "RandomSaturation": {"factor": 0.5},
    "RandomSharpness": {"factor": 0.5},
    "RandomShear": {"x_factor": 0.2},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
}
LAYERS = {
    name: partial(getattr(keras.layers, name), **arguments)
    for name, arguments in ARGUMENTS.items()
    if hasattr(keras.layers, name)  # Keras 3.13 has fewer
} | {
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


# In the default run, those that mix labels, draw integers, warp, and hold others.
DEFAULT = ("CutMix", "MixUp", "RandomPosterization", "RandomRotation", "Sequential")


@pytest.mark.parametrize("name", [name if name in DEFAULT else slow(name) for name in LAYERS])
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


def told(floatx="float32", policy="float32", layout="channels_last"):
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
    keras.config.set_image_data_format(layout)


@pytest.mark.parametrize("name", [name if name in DEFAULT else slow(name) for name in LAYERS])
def test_a_layer_computes_in_float32_whatever_keras_was_told_before(name):
    [(images, labels)] = through(LAYERS[name]())
    for floatx, policy in (("float32", "mixed_bfloat16"), ("float16", "float16")):
        with settings():  # which are put back afterwards
            told(floatx, policy)
            layer = LAYERS[name]()
            told(floatx, policy, "channels_first")  # after it was made
            [(same, labels_too)] = through(layer)
            assert layer.dtype_policy.name == policy
        np.testing.assert_array_equal(same, images)
        np.testing.assert_array_equal(labels_too, labels)


def test_an_augmentation_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"CenterCrop must keep .*; it gave \(\d, 8"):
        through(keras.layers.CenterCrop(8, 8))


def test_a_layer_for_channels_first_is_refused_with_the_cure():
    with settings():
        told(layout="channels_first")
        layers = [keras.layers.CutMix(), keras.Sequential([keras.layers.RandomFlip()])]
    for layer, who in zip(layers, ("CutMix", r"Sequential \(its layer RandomFlip\)"), strict=True):
        with pytest.raises(
            ValueError, match=rf"{who} takes images with channels first.*Call keras"
        ):
            through(layer)


def test_every_random_layer_of_keras_is_among_these():
    random = {name for name in dir(keras.layers) if name.startswith("Random")}
    # Sizes change with RandomCrop; AugMix draws its operations with Python's random numbers.
    assert random - {"RandomCrop"} <= set(LAYERS)


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
