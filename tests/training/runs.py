"""A small run.

As a program: `runs.py FOLDER SECONDS_BETWEEN_SAVINGS xla|without [field=value ...]`.
"""

import functools
import sys
from importlib import import_module
from unittest import mock

import keras

import keras_mixer
from keras_mixer import data, training
from keras_mixer.training import run
from tests.pictures import labelled

RECIPE = training.Recipe(
    name="tiny",
    source="tests: everything in it that draws random numbers or keeps a state",
    image_size=8,
    batch_size=16,
    epochs=4,
    crop="shift",
    rand_augment_layers=1,
    rand_augment_magnitude=5.0,
    rand_augment_from=0.25,
    mixup=0.4,
    cutmix=1.0,
    random_erasing=0.3,
    evaluation_crop="resize",
    drop_path_rate=0.2,
    label_smoothing=0.1,
    learning_rate=3e-3,
    warmup=0.1,
    weight_decay=0.05,
    ema=0.9,
)
BUILD = functools.partial(
    keras_mixer.MlpMixer, patch_size=4, width=16, depth=2, token_mlp_dim=8, channel_mlp_dim=32
)


def sources(count=200, held_out=43):
    return data.arrays(*labelled(count)), data.arrays(*labelled(held_out, seed=1))


class Losses(keras.callbacks.Callback):
    """The loss of each step, from the means that Keras gives."""

    def __init__(self):
        super().__init__()
        self.seen, self.sum, self.count = [], 0.0, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.sum, self.count = 0.0, 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        total = float(logs["loss"]) * self.count
        self.seen.append(total - self.sum)
        self.sum = total


def train(folder, xla=False, **arguments):
    """`training.train`, as on several devices: without XLA, which takes two thirds of the time."""
    chosen = {"jit_compile_for_training": lambda model: xla or "auto"}
    images, held_out = sources()
    with mock.patch.multiple(import_module("keras_mixer.training.train"), **chosen):
        return training.train(
            BUILD, images, held_out, folder=folder, **{"recipe": RECIPE} | arguments
        )


def main(folder, save_every, xla, *changes):
    run.SAVE_EVERY = float(save_every)
    train(folder, xla == "xla", recipe=RECIPE.set(*changes), resume=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
