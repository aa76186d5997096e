"""Compile for a TPU that you do not have: what fits, how fast it would be, where the time goes."""

from keras_mixer.tpu.preflight import Operation, Preflight, preflight
from keras_mixer.tpu.slices import CHIPS, SLICES, Chip, Slice, find_slice

__all__ = ["CHIPS", "SLICES", "Chip", "Operation", "Preflight", "Slice", "find_slice", "preflight"]
