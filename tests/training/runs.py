"""Small runs: one with everything, and a plain one, which is traced in a third of the time.

As a program: `runs.py FOLDER SECONDS_BETWEEN_SAVINGS xla|without [field=value ...]`, a plain one.
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
    epochs=3,
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
PLAIN = RECIPE.but(
    rand_augment_layers=0, mixup=0.0, cutmix=0.0, random_erasing=0.0, drop_path_rate=0.0, ema=0.0
)
# It has an order of images, shifts and momentum to lose.
SIMPLE = PLAIN.but(optimizer="sgd", learning_rate=0.1, epochs=2)
AVERAGED = SIMPLE.but(ema=0.9)
BUILD = functools.partial(
    keras_mixer.MlpMixer, patch_size=4, width=16, depth=2, token_mlp_dim=8, channel_mlp_dim=32
)
SHALLOW = functools.partial(BUILD, depth=1)


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


def train(folder, recipe=RECIPE, build=BUILD, xla=False, **arguments):
    """`training.train`, as on several devices: without XLA, which takes two thirds of the time."""
    chosen = {"jit_compile_for_training": lambda model: xla or "auto"}
    with mock.patch.multiple(import_module("keras_mixer.training.train"), **chosen):
        return training.train(build, *sources(), recipe=recipe, folder=folder, **arguments)


simply = functools.partial(train, recipe=AVERAGED, build=SHALLOW)


def main(folder, save_every, xla, *changes):
    run.SAVE_EVERY = float(save_every)
    simply(folder, recipe=AVERAGED.set(*changes), xla=xla == "xla", resume=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
