"""Files that several tests read: a tiny model's, and those of a trained one."""

from functools import cache

import numpy as np

import keras_mixer
from keras_mixer.tflite import RECIPES, convert, export
from tests.cases import CASES


def tiny_model(case=CASES[0]):
    """A trained tiny model that gives logits; tests leave it as it is."""
    return _trained(case)


def tiny_file(recipe="float32", case=CASES[0], **arguments):
    """Its file by a recipe, with what `convert` takes besides."""
    return _converted(recipe, case, **arguments)


def export_trained(folder):
    """MixerTi4, trained on CIFAR-10, by every recipe; tests take the fixture `exported`."""
    model = keras_mixer.MixerTi4(weights="cifar10")
    for name, recipe in RECIPES.items():
        calibration = spotted(seed=1) if recipe.calibrated else None
        labels = keras_mixer.MixerTi4.releases["cifar10"].labels
        export(model, folder, name, labels=labels, calibration=calibration)


def spotted(seed):
    """Images with random spots of several sizes, which MixerTi4 puts into several classes."""
    random, spots = np.random.default_rng(seed), (1, 1, 2, 2, 4, 16, 32, 32)
    images = [random.uniform(-1, 1, (32 // n, 32 // n, 3)).repeat(n, 0).repeat(n, 1) for n in spots]
    return np.float32(images)


@cache
def _trained(case):
    return case.trained(classifier_activation=None)


@cache
def _converted(recipe, case, **arguments):
    images = case.images(32) if RECIPES[recipe].calibrated else None
    return convert(tiny_model(case), recipe, calibration=images, **arguments)


def tiny_files():
    """A tiny Mixer's file by each recipe."""
    return {recipe: tiny_file(recipe) for recipe in RECIPES}
