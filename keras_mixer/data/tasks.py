"""The tasks on which papers evaluate transfer learning, with the splits of the literature.

Splits, labels and bins of VTAB-1k: google-research/task_adaptation, task_adaptation/data/*.py,
train800, val200 and test. Those of the other five: big_vision/configs/transfer.py for tuning; for
the final number ViT (Dosovitskiy et al. 2021, appendix B.1.1) trains on all training images, and
Mixer counts 2,000 of Flowers, so its validation images are among them. Steps: table 4 of ViT;
warm-up: vit_jax/configs/common.py, and big_vision's for the short ones; VTAB's is that of the paper
on ViT's training (Steiner et al. 2021, table 4). Flips and crops that would change the label are
left out, as in BiT (Kolesnikov et al. 2020, appendix F).
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_mixer._text import did_you_mean


@dataclass(frozen=True)
class Task:
    """One task of the literature, in the notation of TensorFlow Datasets.

    Attributes:
        dataset: Its name in TensorFlow Datasets.
        learn, check: Splits for choosing settings: train on the first, evaluate on the second.
        train, test: Splits for the result to report.
        steps, warmup: Steps of fine-tuning in the literature, with batches of 512.
        label: Key of the label, or a function from the decoded example to the label.
        classes: Number of classes, where the label is computed.
        pixels: A function from an encoded image to its pixels from 0 to 255, where they are stored
            in another range.
        flip: Whether an image and its mirror image have the same label.
        crop: Whether a part of an image has the same label as the whole image.
    """

    dataset: str
    learn: str
    check: str
    train: str
    test: str
    steps: int = 2500
    warmup: int = 200
    label: str | Callable = "label"
    classes: int | None = None
    pixels: Callable | None = None
    flip: bool = True
    crop: bool = True

    def __post_init__(self):
        if not self.train:  # VTAB's thousand images
            object.__setattr__(self, "train", f"{self.learn}+{self.check}")


def _vtab(dataset, check, test="test", **others):
    return Task(dataset, "train[:800]", check, "", test, **others)


def _bin(value, edges):
    """Index of the last edge that is below the value."""
    return tf.reduce_sum(tf.cast(tf.constant(edges[1:]) < tf.cast(value, tf.float32), tf.int64))


def _count(example):
    """CLEVR: number of objects, from 3 to 10."""
    return tf.size(example["objects"]["size"]) - 3


def _closest_object(example):
    """CLEVR: distance of the closest object, in six bins."""
    distance = tf.reduce_min(example["objects"]["pixel_coords"][:, 2])
    return _bin(distance, (0.0, 8.0, 8.5, 9.0, 9.5, 10.0))


def _closest_vehicle(example):
    """KITTI: distance of the closest car, van or truck, in three bins; the fourth for none."""
    vehicle = example["objects"]["type"] < 3
    depth = tf.boolean_mask(example["objects"]["location"][:, 2], vehicle)
    return _bin(tf.reduce_min(tf.concat((depth, [1000.0]), 0)), (-100.0, 8.0, 20.0, 999.0))


def _sixteenth(key, values):
    """dSprites: index of the feature's value among `values`, in 16 bins."""
    return lambda example: tf.cast(tf.cast(example[key], tf.float32) / (values / 16), tf.int64)


def _black_and_white(content):
    """dSprites has pixels of 0 and 1."""
    return tf.io.decode_image(content, channels=3, expand_animations=False) * 255


CLEVR = {"dataset": "clevr", "check": "train[63000:63200]", "test": "validation", "crop": False}
DSPRITES = {
    "dataset": "dsprites",
    "check": "train[589824:590024]",
    "test": "train[663552:]",
    "classes": 16,
    "pixels": _black_and_white,
    "flip": False,
}
NORB = {"dataset": "smallnorb", "check": "test[:200]", "test": "test[50%:]"}
KITTI = {"dataset": "kitti", "check": "validation[:200]", "crop": False}
RETINA = "diabetic_retinopathy_detection/btgraham-300"

# fmt: off
TASKS = {
    "imagenet": Task(
        "imagenet2012", "train[:99%]", "train[99%:]", "train", "validation", 20_000, 500
    ),
    "cifar10": Task("cifar10", "train[:98%]", "train[98%:]", "train", "test", 10_000, 500),
    "cifar100": Task("cifar100", "train[:98%]", "train[98%:]", "train", "test", 10_000, 500),
    "pets": Task("oxford_iiit_pet", "train[:90%]", "train[90%:]", "train", "test", 500, 100),
    "flowers": Task(
        "oxford_flowers102", "train[:90%]", "train[90%:]", "train+validation", "test", 500, 100
    ),
    # VTAB-1k: natural
    "vtab/caltech101": _vtab("caltech101", "train[2754:2954]"),
    "vtab/cifar100": _vtab("cifar100", "train[45000:45200]"),
    "vtab/dtd": _vtab("dtd", "validation[:200]"),
    "vtab/flowers": _vtab("oxford_flowers102", "validation[:200]"),
    "vtab/pets": _vtab("oxford_iiit_pet", "train[2944:3144]"),
    "vtab/sun397": _vtab("sun397/tfds", "validation[:200]"),
    "vtab/svhn": _vtab("svhn_cropped", "train[65931:66131]"),
    # specialised
    "vtab/camelyon": _vtab("patch_camelyon", "validation[:200]"),
    "vtab/eurosat": _vtab("eurosat/rgb", "train[16200:16400]", "train[21600:]"),
    "vtab/resisc45": _vtab("resisc45", "train[18900:19100]", "train[25200:]"),
    "vtab/retinopathy": _vtab(RETINA, "validation[:200]"),
    # structured
    "vtab/clevr_count": _vtab(**CLEVR, label=_count, classes=8),
    "vtab/clevr_distance": _vtab(**CLEVR, label=_closest_object, classes=6),
    "vtab/dmlab": _vtab("dmlab", "validation[:200]", crop=False),
    "vtab/dsprites_location": _vtab(
        **DSPRITES, label=_sixteenth("label_x_position", 32), crop=False
    ),
    "vtab/dsprites_orientation": _vtab(**DSPRITES, label=_sixteenth("label_orientation", 40)),
    "vtab/norb_azimuth": _vtab(**NORB, label="label_azimuth", flip=False),
    "vtab/norb_elevation": _vtab(**NORB, label="label_elevation"),
    "vtab/kitti": _vtab(**KITTI, label=_closest_vehicle, classes=4),
}
# fmt: on


def find_task(name):
    """A row of `TASKS`.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in TASKS:
        hint = did_you_mean(name, TASKS) or f"There are {', '.join(TASKS)}."
        raise ValueError(f"There is no task {name!r}. {hint}")
    return TASKS[name]
