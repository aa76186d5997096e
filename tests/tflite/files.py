"""Tiny models' files that several tests read; each worker converts them once."""

from functools import cache

from keras_mixer.tflite import RECIPES, convert
from tests.cases import CASES


def tiny_model(case=CASES[0]):
    """A trained tiny model that gives logits; tests leave it as it is."""
    return _trained(case)


def tiny_file(recipe="float32", case=CASES[0], **arguments):
    """Its file by a recipe, with what `convert` takes besides."""
    return _converted(recipe, case, **arguments)


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
