"""The effect of each rewrite for LiteRT on a model, and of the form of each paper's own operation.

    .ci/tools/arm tools/arm
    KERAS_MIXER_TOOLS=tools python -m benchmarks.rewrites

MixerB16 at 224 x 224 and MixerTi4 at 32 x 32, for pixels from 0 to 255, are converted with all
rewrites and then without one rewrite at a time: the stem stays a convolution, the pixels' rescaling
and the last norm's scale stay separate layers, in int8 GELU stays one op. `norm` is not a rewrite
of `convert`: that row replaces our LayerNorm by Keras's LayerNormalization. LiteRT runs on 2
threads, and runs are interleaved. Weights are the same in all files and random, which does not
change the time. `ratio` is the time with the rewrite divided by the time without it.

`results/ops.csv` has the forms of operations in `benchmarks.ops`, each in a network of four blocks,
on three targets: the time of LiteRT's inference, on 1 thread; millions of instructions of one on an
emulated Cortex-A76; and the TPU compiler's estimate of a train step and a forward pass of 128
images on v5e in bfloat16, in millions of cycles. A field is empty where a form cannot be converted.
`--only models` or `--only ops` writes one of the two tables.
"""

from enum import StrEnum
from importlib.metadata import version
from typing import Annotated

import keras
import numpy as np
import typer
from keras import ops

import keras_mixer
from benchmarks import emulator
from benchmarks.measure import interleaved, machine, write_csv
from benchmarks.ops import OPERATIONS, network
from keras_mixer._backend import settings
from keras_mixer.layers import LayerNorm, Mlp
from keras_mixer.models.mlp_mixer import MixerBlock
from keras_mixer.tflite import RECIPES
from keras_mixer.tflite.run.runner import Runner

RUNS = {"MixerB16": 50, "MixerTi4": 2000}
THREADS = 2


def with_keras_norms(model):
    """The same Mixer and weights with `keras.layers.LayerNormalization` for each LayerNorm."""

    def with_weights(layer, other, x):
        layer.build(x.shape)
        layer.set_weights(other.get_weights())
        return layer(x)

    def normalised(norm, x):
        return with_weights(keras.layers.LayerNormalization(epsilon=norm.epsilon), norm, x)

    def mlp(other, x):  # a new layer, because names must differ between blocks
        return with_weights(Mlp(other.hidden_dim, other.gelu), other, x)

    def call(layer, x, **arguments):
        if isinstance(layer, LayerNorm):
            return normalised(layer, x)
        if isinstance(layer, MixerBlock):
            y = ops.transpose(normalised(layer.token_norm, x), (0, 2, 1))  # [B, S, C] -> [B, C, S]
            x = x + ops.transpose(mlp(layer.token_mlp, y), (0, 2, 1))
            return x + mlp(layer.channel_mlp, normalised(layer.channel_norm, x))
        return layer(x, **arguments)

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


# Row of the table -> `without=` of `convert`.
WITHOUT = {
    "norm": (),
    "stem": ("dense_stem",),
    "folding": ("fold_rescaling", "fold_last_norm", "fold_block_norms"),
    "gelu": ("gelu_in_steps",),
}
Only = StrEnum("Only", ["models", "ops"])
RECIPE_NAMES = "float32", "dynamic_int8", "int8"


def main(only: Annotated[Only | None, typer.Option(help="Write one of the tables.")] = None):
    """Measures, and writes two tables."""
    if only != "ops":
        rows = []
        for name, runs in RUNS.items():
            model = getattr(keras_mixer, name)(include_preprocessing=True)
            for recipe in RECIPE_NAMES:
                rows += compare(name, recipe, model, runs)
        write_csv("rewrites", rows)
    if only != "models":
        write_csv("ops", [row for operation in OPERATIONS for row in forms(operation)])


def compare(name, recipe, model, runs):
    """Yields the rows of the table for one model and one recipe, one per rewrite."""
    print(f"{name} {recipe}")
    rewrites = [key for key in WITHOUT if key != "gelu" or RECIPES[recipe].every_op]
    runners = {left_out: _runner(model, recipe, left_out) for left_out in (None, *rewrites)}
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


def _runner(model, recipe, left_out):
    """A `Runner` of the model, converted without one of the rewrites."""
    if left_out == "norm":
        model = with_keras_norms(model)
    images = None
    if RECIPES[recipe].calibrated:
        images = np.random.default_rng(0).uniform(0, 255, (4, *model.input_shape[1:]))
    without = WITHOUT.get(left_out, ())
    content = keras_mixer.tflite.convert(model, recipe, calibration=images, without=without)
    return Runner(content, threads=THREADS)


CPU, TPU, IMAGES, FORM_RUNS = "cortex-a76", "v5e-1", 128, 200


def forms(operation):
    """The rows of `ops.csv` for one operation, one per form."""
    _, names = OPERATIONS[operation]
    rows, runners = {name: {"operation": operation, "form": name} for name in names}, {}
    for name, row in rows.items():
        model = network(operation, name)
        images = np.random.default_rng(0).uniform(-1, 1, (8, *model.input_shape[1:]))
        for recipe in ("float32", "int8"):
            given = images if RECIPES[recipe].calibrated else None
            try:
                content = keras_mixer.tflite.convert(model, recipe, calibration=given)
            except ValueError as error:
                print(f"{operation} {name} {recipe}: {error}", flush=True)
                continue
            runners[name, recipe] = Runner(content, threads=1)
            if recipe == "float32":
                found = emulator.count(content, np.float32(images[:1]), CPU)
                row["arm_float32_minstructions"] = round(found["all"] / 1e6, 2)
    one = np.zeros(model.input_shape[1:], np.float32)
    calls = {key: lambda r=r: r(one) for key, r in runners.items()}
    for (name, recipe), seconds in interleaved(calls, FORM_RUNS).items():
        rows[name][f"litert_{recipe}_ms"] = round(seconds * 1e3, 3)
    with settings("mixed_bfloat16"):
        for name, row in rows.items():
            for step, train in (("train", True), ("predict", False)):
                found = keras_mixer.tpu.preflight(
                    network(operation, name), TPU, IMAGES, train=train
                )
                row[f"tpu_{step}_mcycles"] = round(found.estimated_cycles / 1e6, 2)
    columns = [
        *("operation", "form", "litert_float32_ms", "litert_int8_ms", "arm_float32_minstructions"),
        *("tpu_train_mcycles", "tpu_predict_mcycles"),
    ]
    about = {
        "machine": machine(),
        "versions": " ".join(
            f"{p} {version(p)}" for p in ("keras", "ai-edge-litert", "jax", "libtpu")
        ),
    }
    for row in rows.values():
        done = {column: row.get(column) for column in columns} | about
        print(*done.values(), flush=True)
        yield done


if __name__ == "__main__":
    typer.run(main)
