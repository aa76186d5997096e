"""Input pipelines in TensorFlow: from a data set, a folder or arrays to batches of images."""

from keras_mixer.data.augmentation import augmented
from keras_mixer.data.batches import Augment, evaluation_batches, training_batches
from keras_mixer.data.decoding import evaluation_image, training_image
from keras_mixer.data.evaluation import resize_crop, resmall_crop
from keras_mixer.data.rand_augment import rand_augment
from keras_mixer.data.sources import (
    Source,
    Splits,
    arrays,
    folder,
    hold_out,
    load,
    load_splits,
    load_test,
    task,
    tfds,
)
from keras_mixer.data.tasks import TASKS, Task

__all__ = [
    "TASKS",
    "Augment",
    "Source",
    "Splits",
    "Task",
    "arrays",
    "augmented",
    "evaluation_batches",
    "evaluation_image",
    "folder",
    "hold_out",
    "load",
    "load_splits",
    "load_test",
    "rand_augment",
    "resize_crop",
    "resmall_crop",
    "task",
    "tfds",
    "training_batches",
    "training_image",
]
