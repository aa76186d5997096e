"""Augmentation layers of Keras and others inside `tf.data`, with reproducible random numbers.

An augmentation is a callable on a whole batch: images float32 [B, H, W, C] with pixels from 0 to
255 -> images. An augmentation that also changes labels, such as MixUp, has a method for them, as
the layers of Keras and of KerasCV do. It is called with images and labels in a dict.
"""

from collections.abc import Callable
from contextlib import ExitStack, contextmanager

import keras
import tensorflow as tf

from keras_mixer._backend import settings
from keras_mixer._keras import generator_in_tf_data

# Names of the method for labels: in Keras, in KerasCV, and in KerasCV's layers for batches.
OF_LABELS = ("transform_labels", "augment_label", "augment_labels")
# The method of this layer returns labels unchanged, but a call with labels fails in Keras 3.15.
IMAGES_ONLY = (keras.layers.RandomGrayscale,)


def augmented(
    images: tf.Tensor, labels: tf.Tensor, augmentation: Callable, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies one augmentation to one batch.

    Random numbers that a Keras layer draws from its seed generators depend on `seed` alone, so that
    a run is reproducible and can be resumed. Layers that draw random numbers in another way, as
    KerasCV's layers and Keras's AugMix do, are not reproducible. Layers compute in float32,
    whatever their dtype policy: in 16 bits several of Keras's layers fail, and others give
    different pixels.

    Args:
        images: Pixels from 0 to 255, float32 [B, H, W, C].
        labels: Class probabilities, float32 [B, classes].
        augmentation: A Keras layer or a callable.
        seed: Integer tensor [2].

    Returns:
        Images and labels of the same shapes.

    Raises:
        ValueError: The augmentation expects images with channels first, or it changed the shape of
            the images.
    """
    check_augmentation(augmentation)
    shape = images.shape
    takes_labels = any(hasattr(augmentation, method) for method in OF_LABELS)
    with settings(), _in_float32(augmentation), _drawing(augmentation, seed):
        if takes_labels and not isinstance(augmentation, IMAGES_ONLY):
            both = augmentation({"images": images, "labels": labels})
            images, labels = both["images"], both["labels"]
        else:
            images = augmentation(images)
    if images.shape.rank != 4 or not shape.is_compatible_with(images.shape):
        raise ValueError(
            f"The augmentation {_name(augmentation)} must keep the shape of images, "
            f"{tuple(shape)}; it gave {tuple(images.shape)}."
        )
    return tf.ensure_shape(tf.cast(images, tf.float32), shape), tf.cast(labels, tf.float32)


def check_augmentation(augmentation):
    """Checks that an augmentation takes images [B, H, W, C].

    Raises:
        ValueError: It cannot be called; or a layer in it expects images with channels first.
    """
    if not callable(augmentation):
        raise ValueError(
            "An augmentation is a Keras layer or a function on batches of images; got "
            f"{augmentation!r}."
        )
    for layer in _inside(augmentation, keras.layers.Layer):
        if getattr(layer, "data_format", None) == "channels_first":
            within = "" if layer is augmentation else f" (its layer {_name(layer)})"
            raise ValueError(
                f"The augmentation {_name(augmentation)}{within} takes images with channels first; "
                "here they are [batch, height, width, channels]. Call "
                "keras.config.set_image_data_format('channels_last') before you make it."
            )


def _name(augmentation):
    return getattr(augmentation, "__name__", type(augmentation).__name__)


@contextmanager
def _in_float32(augmentation):
    """A context in which the layers inside compute in float32."""
    layers = list(_inside(augmentation, keras.layers.Layer))
    before = [layer.dtype_policy for layer in layers]
    for layer in layers:
        layer.dtype_policy = "float32"
    try:
        yield
    finally:
        for layer, policy in zip(layers, before, strict=True):
            layer.dtype_policy = policy


@contextmanager
def _drawing(augmentation, seed):
    """A context in which all seed generators inside derive their seeds from `seed`."""
    drawn = 0

    def draw(ordered=True):
        nonlocal drawn
        drawn += 1
        bits = tf.random.fold_in(tf.cast(seed, tf.int32), drawn)
        return tf.cast(tf.bitcast(bits, tf.uint32), tf.int64)  # the type of Keras's on TensorFlow

    with ExitStack() as restored:
        for generator in _inside(augmentation, keras.random.SeedGenerator):
            generator.next = draw
            restored.callback(delattr, generator, "next")
        yield


def _inside(thing, kind, seen=None):
    """The objects of a kind, Keras layers or seed generators, in a layer and the layers in it."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, kind):
        yield thing
    if isinstance(thing, keras.layers.Layer):
        yield from _inside(generator_in_tf_data(thing), kind, seen)
        parts = list(vars(thing).values())
    elif isinstance(thing, dict):
        parts = list(thing.values())
    else:
        parts = thing if isinstance(thing, list | tuple) else ()
    for part in parts:
        yield from _inside(part, kind, seen)
