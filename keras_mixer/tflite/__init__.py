"""From a Keras model to a phone: convert it, check the file, time it, classify with it."""

from keras_mixer.tflite.convert.convert import convert
from keras_mixer.tflite.convert.recipes import RECIPES, Recipe
from keras_mixer.tflite.export import export
from keras_mixer.tflite.file.inspection import Inspection, inspect
from keras_mixer.tflite.file.metadata import Metadata, read_metadata, with_metadata
from keras_mixer.tflite.run.benchmark import Timing, benchmark
from keras_mixer.tflite.run.classifier import Classifier, Prediction
from keras_mixer.tflite.run.sensitivity import LayerLoss, sensitivity
from keras_mixer.tflite.run.verify import Report, verify

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
