"""Keras's augmentation layers, and anyone's, inside `tf.data` with random numbers that repeat.

An augmentation is a callable on a whole batch: images float32 [B, H, W, C] with pixels from 0 to
255 -> images. One that says what becomes of labels, as MixUp's does, has a method for that, as the
layers of Keras and of KerasCV have, and is given both in a dict.
"""

from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import keras
import tensorflow as tf

# What the method for labels is called: in Keras, in KerasCV, and in KerasCV's layers for batches.
OF_LABELS = ("transform_labels", "augment_label", "augment_labels")


def augmented(images, labels, augmentation, seed):
    """One augmentation of one batch.

    Random numbers that a Keras layer draws from its seed generators follow `seed` alone, so a run
    repeats, and goes on where it stopped. What draws its own, as KerasCV's layers do, does not
    repeat.

    Args:
        images: Pixels from 0 to 255, float32 [B, H, W, C].
        labels: Shares of the classes, float32 [B, classes].
        augmentation: A Keras layer or a callable.
        seed: Integer tensor [2].

    Returns:
        Images and labels of the same shapes.

    Raises:
        ValueError: The augmentation changed the images' shape, which a model cannot take.
    """
    shape = images.shape
    with _drawing(augmentation, seed):
        if any(hasattr(augmentation, method) for method in OF_LABELS):
            both = augmentation({"images": images, "labels": labels})
            images, labels = both["images"], both["labels"]
        else:
            images = augmentation(images)
    if images.shape.rank != 4 or not shape.is_compatible_with(images.shape):
        name = getattr(augmentation, "__name__", type(augmentation).__name__)
        raise ValueError(
            f"The augmentation {name} must keep the shape of images, {tuple(shape)}; it gave "
            f"{tuple(images.shape)}."
        )
    return tf.ensure_shape(tf.cast(images, tf.float32), shape), tf.cast(labels, tf.float32)


@contextmanager
def _drawing(layer, seed):
    """While it is traced, all seed generators inside `layer` take what they give from `seed`."""
    drawn = 0

    def draw(ordered=True):
        nonlocal drawn
        drawn += 1
        return tf.bitcast(tf.random.fold_in(tf.cast(seed, tf.int32), drawn), tf.uint32)

    with ExitStack() as patches:
        for generator in _generators(layer, set()):
            patches.enter_context(patch.object(generator, "next", draw))
        yield


def _generators(thing, seen):
    """The seed generators of a Keras layer and of the layers inside it."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, keras.random.SeedGenerator):
        yield thing
    elif isinstance(thing, keras.layers.Layer):
        if hasattr(thing, "generator") and hasattr(thing, "_get_seed_generator"):
            # Under another backend Keras keeps a second generator for tf.data, made when needed.
            thing.backend.set_backend("tensorflow")
            try:
                yield thing._get_seed_generator("tensorflow")
            finally:
                thing.backend.reset()
        for part in list(vars(thing).values()):
            yield from _generators(part, seen)
    elif isinstance(thing, dict):
        for part in list(thing.values()):
            yield from _generators(part, seen)
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from _generators(part, seen)
