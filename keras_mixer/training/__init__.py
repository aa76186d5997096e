"""Training: on what, by which recipe, and how it is resumed where it stopped."""

from keras_mixer.training.confusion_matrix import Confusion
from keras_mixer.training.devices import strategy
from keras_mixer.training.evaluation import confusion, evaluate
from keras_mixer.training.images import evaluation_source, training_sources
from keras_mixer.training.recipes import RECIPES, Recipe, recipe
from keras_mixer.training.start import starting_from
from keras_mixer.training.train import train

__all__ = [
    "RECIPES",
    "Confusion",
    "Recipe",
    "confusion",
    "evaluate",
    "evaluation_source",
    "recipe",
    "starting_from",
    "strategy",
    "train",
    "training_sources",
]
