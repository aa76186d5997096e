"""From a Keras model to a phone: convert it, check the file, time it, classify with it."""

from keras_mixer.tflite.benchmark import Timing, benchmark
from keras_mixer.tflite.classifier import Classifier, Prediction
from keras_mixer.tflite.convert import convert
from keras_mixer.tflite.export import export
from keras_mixer.tflite.inspection import Inspection, inspect
from keras_mixer.tflite.metadata import Metadata, read_metadata, with_metadata
from keras_mixer.tflite.recipes import RECIPES, Recipe
from keras_mixer.tflite.sensitivity import LayerLoss, sensitivity
from keras_mixer.tflite.verify import Report, verify

__all__ = [
    "RECIPES",
    "Classifier",
    "Inspection",
    "LayerLoss",
    "Metadata",
    "Prediction",
    "Recipe",
    "Report",
    "Timing",
    "benchmark",
    "convert",
    "export",
    "inspect",
    "read_metadata",
    "sensitivity",
    "verify",
    "with_metadata",
]
