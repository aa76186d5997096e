"""What the way LayerNorm is written is worth in full int8.

    python -m benchmarks.int8_norm

Mixer-B/16 at 224 x 224, converted with the recipe "int8" twice: with keras_mixer's LayerNorm, and
with keras.layers.LayerNormalization in its place. Same weights, same images, LiteRT on 2 threads,
runs in turn. Weights are random, which changes no time. The package promises a ratio of at most
0.55.
"""

from importlib.metadata import version
from unittest.mock import patch

import keras
import numpy as np

import keras_mixer
from benchmarks.measure import interleaved, machine, write_csv
from keras_mixer.models import mlp_mixer
from keras_mixer.tflite._runner import Runner

RUNS, THREADS = 50, 2


def keras_layer_norm(epsilon, **kwargs):
    return keras.layers.LayerNormalization(epsilon=epsilon, **kwargs)


def main():
    images = np.random.default_rng(0).uniform(-1, 1, (4, 224, 224, 3)).astype(np.float32)
    ours = keras_mixer.MixerB16()
    with patch.object(mlp_mixer, "LayerNorm", keras_layer_norm):
        theirs = keras_mixer.MixerB16()
    theirs.set_weights(ours.get_weights())

    runners = {}
    for name, model in {"keras_mixer LayerNorm": ours, "Keras LayerNormalization": theirs}.items():
        print(f"converting with {name}")
        content = keras_mixer.tflite.convert(model, "int8", calibration=images)
        runners[name] = Runner(content, threads=THREADS)
    seconds = interleaved({name: lambda r=r: r(images[0]) for name, r in runners.items()}, RUNS)

    slowest = max(seconds.values())
    rows = [
        {
            "model": "MixerB16 int8",
            "norm": name,
            "median_ms": round(value * 1e3, 2),
            "ratio": round(value / slowest, 3),
            "threads": THREADS,
            "runs": RUNS,
            "machine": machine(),
            "versions": " ".join(f"{p} {version(p)}" for p in ("keras", "ai-edge-litert")),
        }
        for name, value in seconds.items()
    ]
    for row in rows:
        print(f"{row['norm']}: {row['median_ms']} ms, {row['ratio']} of the slower")
    write_csv("int8_norm", rows)


if __name__ == "__main__":
    main()
