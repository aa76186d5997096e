"""Batches for `model.fit` and `model.evaluate`: static shapes, reproducible content."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import tensorflow as tf

from keras_mixer._checks import check_whole
from keras_mixer._types import Size
from keras_mixer.data.augmentation import augmented
from keras_mixer.data.decoding import TRAINING, evaluation_image, training_image
from keras_mixer.data.pictures import decode
from keras_mixer.data.rand_augment import rand_augment
from keras_mixer.data.sources import Source, check_source
from keras_mixer.images import Preprocessing

FOREVER = 2**62  # epochs
BATCH = 1  # makes a batch's random numbers independent of those of its first image


@dataclass(frozen=True)
class Augment:
    """The augmentation of training images, in this order.

    Attributes:
        crop: `"inception"`, `"shift"` or `"resize"`, see `keras_mixer.data.training_image`.
        flip: Whether half of the images are mirrored.
        rand_augment: `(layers, magnitude)`, see `keras_mixer.data.rand_augment`; None for none.
        rand_augment_from: Number of the first batch to which RandAugment is applied.
        layers: Keras layers or callables on the batch, applied in sequence, see
            `keras_mixer.data.augmented`.
        one_of: Layers or callables of which one is applied to each batch, with equal probability:
            MixUp or CutMix.
    """

    crop: str = "inception"
    flip: bool = True
    rand_augment: tuple[int, float] | None = None
    rand_augment_from: int = 0
    layers: tuple = ()
    one_of: tuple = ()


def training_batches(
    source: Source,
    batch_size: int,
    size: Size,
    *,
    augment: "Augment | None" = None,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
    start: int = 0,
    process: int = 0,
    processes: int = 1,
    decode: Callable = decode,
) -> tf.data.Dataset:
    """Endless batches of randomly augmented images, in another order each epoch.

    An epoch has full batches only; the images that remain are left out until the next epoch. The
    content of a batch depends on `seed` and the number of the batch only, so that training can stop
    and resume.

    Args:
        source: A `Source`.
        batch_size: Images in a batch, over all processes.
        size: Side of an image in pixels.
        augment: An `Augment`; by default Inception's crops and flips.
        preprocessing: From `keras_mixer.preprocessing(model)`, for the scale of the pixels; by
            default [-1, 1].
        seed: Seed of the order and the augmentation.
        start: Number of the first batch, counted from the beginning of training.
        process, processes: Number of this process, and number of processes. Each process gets its
            own rows of every batch.
        decode: The reader, with the arguments of `keras_mixer.data.pictures.decode`.

    Returns:
        A `tf.data.Dataset` of images float32 `[B, size, size, C]` and labels float32 `[B,
        classes]`, where `B` is `batch_size / processes`.

    Raises:
        ValueError: There are fewer images than a batch needs, or an argument is out of range.
    """
    who = "training_batches"
    check_source(source, who)
    check_whole(who, 1, size=size)
    check_whole(who, 0, seed=seed, start=start)
    augment, preprocessing = augment or Augment(), preprocessing or Preprocessing()
    if augment.crop not in TRAINING:
        raise ValueError(f"Training images are cropped by {TRAINING}; got {augment.crop!r}.")
    rows = _rows(batch_size, process, processes, who)
    if batch_size > source.count:
        raise ValueError(
            f"A batch of {batch_size:,} needs as many images; {source.name} has {source.count:,}."
        )
    steps = source.count // batch_size
    together = augment.layers + augment.one_of
    epoch, skipped = divmod(start, steps)

    def shuffled(epoch):
        # Of this function's graph only, so that the order does not depend on a global seed.
        tf.compat.v1.set_random_seed(1)
        return source.order(tf.stack([seed, epoch])).take(steps * batch_size)

    def view(number, item):
        content, label = source.read(item)
        where, operations = tf.unstack(tf.random.split(tf.stack([seed, number])))
        image = training_image(
            content, size, augment.crop, where, source.channels, augment.flip, decode=decode
        )
        if augment.rand_augment:
            image = tf.cond(
                number < augment.rand_augment_from * batch_size,
                lambda: image,
                lambda: rand_augment(image, *augment.rand_augment, operations),
            )
        if not together:
            image = _scaled(image, preprocessing)  # while the image is in the CPU's cache
        return number, image, tf.one_hot(label, len(source.classes))

    def finish(numbers, images, labels):
        of_batch = tf.random.fold_in(tf.stack([seed, numbers[0]]), BATCH)
        seeds = tf.unstack(tf.random.split(of_batch, 2 + len(augment.layers)))
        for layer, layer_seed in zip(augment.layers, seeds[2:], strict=True):
            images, labels = augmented(images, labels, layer, layer_seed)
        if augment.one_of:
            chosen = tf.random.stateless_uniform(
                (), seeds[0], maxval=len(augment.one_of), dtype=tf.int32
            )
            images, labels = tf.switch_case(
                chosen,
                [
                    lambda layer=layer: augmented(images, labels, layer, seeds[1])
                    for layer in augment.one_of
                ],
            )
        return _scaled(images, preprocessing), labels

    items = tf.data.Dataset.range(epoch, FOREVER).flat_map(shuffled).skip(skipped * batch_size)
    items = _share(items.enumerate(start * batch_size), batch_size, rows, process)
    batches = items.map(view, tf.data.AUTOTUNE, deterministic=True)
    batches = batches.batch(rows, drop_remainder=True)
    # So that it says itself that it has no end.
    batches = batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    if together:
        return _options(batches.map(finish, tf.data.AUTOTUNE, deterministic=True))
    return _options(batches.map(lambda _, images, labels: (images, labels)))


def evaluation_batches(
    source: Source,
    batch_size: int,
    size: Size,
    *,
    crop: str | None = None,
    preprocessing: Preprocessing | None = None,
    process: int = 0,
    processes: int = 1,
    decode: Callable = decode,
) -> tf.data.Dataset:
    """Batches of each image once, in order. The last batch is padded with images of weight 0.

    The other images have equal weights, such that the mean of all weights is 1. So Keras's mean
    over batches is the mean over images, on any number of replicas.

    Args:
        source: A `Source`.
        batch_size: Images in a batch, over all processes.
        size: Side of an image in pixels, or its height and width.
        crop: `"resize"`, `"resize_crop"` or `"resmall_crop"`; by default that of `preprocessing`.
        preprocessing: From `keras_mixer.preprocessing(model)`: the crop of the images, and the
            scale of their pixels. By default images are resized without a crop, with pixels in
            [-1, 1].
        process, processes, decode: As in `training_batches`.

    Returns:
        A `tf.data.Dataset` of images float32 `[B, H, W, C]`, labels float32 `[B, classes]` and
        weights float32 `[B]`.
    """
    preprocessing = replace(preprocessing or Preprocessing(), size=size)
    preprocessing = preprocessing.cut(crop) if crop else preprocessing
    check_source(source, "evaluation_batches")
    rows = _rows(batch_size, process, processes, "evaluation_batches")
    steps = -(-source.count // batch_size)
    filled = steps * batch_size
    weight = filled / source.count

    def view(_, item):
        content, label = source.read(item)
        image = evaluation_image(content, preprocessing, source.channels, decode=decode)
        return image, tf.one_hot(label, len(source.classes)), tf.constant(weight, tf.float32)

    def nothing(_):
        image = tf.zeros((*preprocessing.size, source.channels))
        return image, tf.zeros(len(source.classes)), tf.constant(0.0)

    items = _share(source.order().enumerate(), batch_size, rows, process)
    images = items.map(view, tf.data.AUTOTUNE, deterministic=True)
    empty = tf.data.Dataset.range(source.count, filled).enumerate(source.count)
    empty = _share(empty, batch_size, rows, process).map(lambda number, _: nothing(number))
    batches = images.concatenate(empty).batch(rows, drop_remainder=True)
    batches = batches.map(
        lambda images, labels, weights: (_scaled(images, preprocessing), labels, weights)
    )
    return _options(batches.apply(tf.data.experimental.assert_cardinality(steps)))


def _rows(batch_size, process, processes, who):
    check_whole(who, 1, batch_size=batch_size, processes=processes)
    check_whole(who, 0, process=process)
    if process >= processes:
        raise ValueError(f"{who} needs process to be below processes, {processes}; got {process}.")
    if batch_size % processes:
        raise ValueError(
            f"A batch is divided among {processes} processes, so its size must be a multiple of "
            f"{processes}; got {batch_size}."
        )
    return batch_size // processes


def _share(numbered, batch_size, rows, process):
    """The items of one process: its rows of every batch."""
    if rows == batch_size:
        return numbered
    return numbered.filter(lambda number, _: number % batch_size // rows == process)


def _scaled(images, preprocessing):
    return images * preprocessing.scale + preprocessing.offset


def _options(dataset):
    options = tf.data.Options()
    options.deterministic = True
    # tf.distribute splits each batch by rows; it must not shard the files as well.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)
