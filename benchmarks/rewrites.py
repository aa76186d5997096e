"""What each rewrite of a model for LiteRT is worth.

    python -m benchmarks.rewrites

MixerB16 at 224 x 224 and MixerTi4 at 32 x 32, for pixels from 0 to 255, converted as the package
does it and then without one rewrite at a time: the stem left a convolution, the pixels' rescaling
and the last norm's scale left layers of their own; in int8, GELU left one op. `norm` is no rewrite
of a file but our layer: Keras's LayerNormalization in its place. Same weights, same image, LiteRT
on 2 threads, runs in turn. Weights are random, which changes no time. `ratio` is the time with the
rewrite over the time without it.
"""

from contextlib import nullcontext
from importlib.metadata import version
from unittest.mock import patch

import keras
import numpy as np

import keras_mixer
from benchmarks.measure import interleaved, machine, write_csv
from keras_mixer.models import mlp_mixer
from keras_mixer.tflite import RECIPES
from keras_mixer.tflite.run.runner import Runner

RUNS = {"MixerB16": 50, "MixerTi4": 2000}
THREADS = 2


def keras_layer_norm(epsilon, tokens_first=False, **kwargs):  # which changes nothing in float32
    return keras.layers.LayerNormalization(epsilon=epsilon, **kwargs)


# Row of the table -> what `convert` leaves out.
WITHOUT = {
    "norm": (),
    "stem": ("dense_stem",),
    "folding": ("fold_rescaling", "fold_last_norm"),
    "gelu": ("gelu_in_steps",),
}
RECIPE_NAMES = "float32", "dynamic_int8", "int8"


def main():
    rows = []
    for name, runs in RUNS.items():
        weights = getattr(keras_mixer, name)(include_preprocessing=True).get_weights()
        for recipe in RECIPE_NAMES:
            rows += compare(name, recipe, weights, runs)
    write_csv("rewrites", rows)


def compare(name, recipe, weights, runs):
    """Rows of the table: one model in one recipe, a row a rewrite."""
    print(f"{name} {recipe}")
    rewrites = [key for key in WITHOUT if key != "gelu" or RECIPES[recipe].every_op]
    runners = {left_out: _runner(name, recipe, weights, left_out) for left_out in (None, *rewrites)}
    pixels = np.full(runners[None].shape, 127, np.float32)
    seconds = interleaved({key: lambda r=r: r(pixels) for key, r in runners.items()}, runs)
    for left_out in rewrites:
        row = {
            "model": name,
            "recipe": recipe,
            "rewrite": left_out,
            "with_ms": round(seconds[None] * 1e3, 3),
            "without_ms": round(seconds[left_out] * 1e3, 3),
            "ratio": round(seconds[None] / seconds[left_out], 3),
            "threads": THREADS,
            "runs": runs,
            "machine": machine(),
            "versions": " ".join(f"{p} {version(p)}" for p in ("keras", "ai-edge-litert")),
        }
        print(f"  {left_out}: {row['ratio']} of the time without it", flush=True)
        yield row


def _runner(name, recipe, weights, left_out):
    """The model in LiteRT, without one of the rewrites."""
    norm = patch.object(mlp_mixer, "LayerNorm", keras_layer_norm)
    with norm if left_out == "norm" else nullcontext():
        model = getattr(keras_mixer, name)(include_preprocessing=True)
    model.set_weights(weights)
    images = None
    if RECIPES[recipe].calibrated:
        images = np.random.default_rng(0).uniform(0, 255, (4, *model.input_shape[1:]))
    without = WITHOUT.get(left_out, ())
    content = keras_mixer.tflite.convert(model, recipe, calibration=images, without=without)
    return Runner(content, threads=THREADS)


if __name__ == "__main__":
    main()
