"""Keras models as `.tflite` files: conversion, verification, benchmark, classification."""

import warnings

from keras_mixer.tflite.convert.convert import convert
from keras_mixer.tflite.convert.recipes import RECIPES, QuantizationRecipe
from keras_mixer.tflite.export import export
from keras_mixer.tflite.file.c_array import c_array
from keras_mixer.tflite.file.inspect import inspect
from keras_mixer.tflite.file.inspection import Inspection
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
    "QuantizationRecipe",
    "Report",
    "Timing",
    "benchmark",
    "c_array",
    "convert",
    "export",
    "inspect",
    "read_metadata",
    "sensitivity",
    "verify",
    "with_metadata",
]


def __getattr__(name):
    if name == "Recipe":
        warnings.warn(
            "keras_mixer.tflite.Recipe is deprecated; use keras_mixer.tflite.QuantizationRecipe.",
            DeprecationWarning,
            stacklevel=2,
        )
        return QuantizationRecipe
    raise AttributeError(f"module 'keras_mixer.tflite' has no attribute {name!r}")
