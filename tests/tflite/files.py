"""Files that several tests read; each worker converts them once."""

from functools import cache

from keras_mixer.tflite import RECIPES, convert
from tests.cases import CASES


@cache
def tiny_files():
    """A tiny Mixer's file by each recipe."""
    model, images = CASES[0].trained(), CASES[0].images(16)
    return {
        name: convert(model, name, calibration=images if recipe.calibrated else None)
        for name, recipe in RECIPES.items()
    }
