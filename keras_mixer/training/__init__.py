"""Training: on what, by which recipe, and how it is taken up where it stopped."""

from keras_mixer.training.devices import strategy
from keras_mixer.training.recipes import RECIPES, Recipe, recipe
from keras_mixer.training.start import starting_from
from keras_mixer.training.train import evaluate, train

__all__ = ["RECIPES", "Recipe", "evaluate", "recipe", "starting_from", "strategy", "train"]
