"""Throughput of a small Mixer's training step, relative to large matmuls on this machine.

    python -m benchmarks.training_step

One step of MixerTi4 with the recipe "small_images", but with AdamW: complete, then without more and
more of its parts, down to its matmuls alone, and large square matmuls, which measure peak
throughput. Only matmuls are counted as operations, so that the time of everything else lowers the
throughput. Runs are interleaved. A model without norms and activations computes nothing useful, but
its time is right.
"""

from importlib.metadata import version

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from benchmarks.measure import interleaved, machine, write_csv
from keras_mixer import MixerTi4, MlpMixer, training
from keras_mixer.layers import LayerNorm, PatchEmbed, drop_path_rates
from keras_mixer.models.mlp_mixer import MixerBlock
from keras_mixer.training.optimizers import loss, metrics, optimizer, schedule

RUNS, BATCH, CLASSES, SQUARE = 15, 128, 10, 2048
SIZES = MixerTi4.sizes
PARTS = "GELU", "LayerNorm", "transposes"


class Stripped(MixerBlock):
    """A `MixerBlock` without some of the `PARTS`."""

    def __init__(self, without, *arguments, **kwargs):
        super().__init__(*arguments, **kwargs)
        self.without = without

    def build(self, input_shape):
        super().build(input_shape)
        if "GELU" in self.without:
            for mlp in (self.token_mlp, self.channel_mlp):
                mlp.activation = lambda x: x
        if "LayerNorm" in self.without:  # no gradient reaches their weights
            self.token_norm.trainable = self.channel_norm.trainable = False

    def mix_tokens(self, x):
        if "LayerNorm" not in self.without:
            x = self.token_norm(x)
        if "transposes" not in self.without:
            return self.across_tokens(self.token_mlp, x)
        shape = ops.shape(x)  # [B, S, C], read as [B, C, S] without a transpose
        return ops.reshape(self.token_mlp(ops.reshape(x, (-1, x.shape[2], x.shape[1]))), shape)

    def mix_channels(self, x):
        if "LayerNorm" in self.without:
            return self.channel_mlp(x)
        return super().mix_channels(x)


def mixer(without, drop_path_rate):
    """MixerTi4 with logits, without some of the `PARTS`."""
    if not without:
        top = {"classes": CLASSES, "classifier_activation": None}
        return MlpMixer(**SIZES, **top, input_shape=(32, 32, 3), drop_path_rate=drop_path_rate)
    image = keras.Input((32, 32, 3))
    x = PatchEmbed(SIZES["width"], SIZES["patch_size"])(image)
    for rate in drop_path_rates(drop_path_rate, SIZES["depth"]):
        x = Stripped(without, SIZES["token_mlp_dim"], SIZES["channel_mlp_dim"], rate)(x)
    if "LayerNorm" not in without:
        x = LayerNorm()(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(image, keras.layers.Dense(CLASSES, kernel_initializer="zeros")(x))


def matmuls(sizes, image_size):
    """`(rows, from, to)` of each dense layer of a Mixer, in order."""
    tokens, width = (image_size // sizes["patch_size"]) ** 2, sizes["width"]
    token_rows, channel_rows = BATCH * width, BATCH * tokens
    yield channel_rows, 3 * sizes["patch_size"] ** 2, width
    for _ in range(sizes["depth"]):
        for rows, outer, inner in (
            (token_rows, tokens, sizes["token_mlp_dim"]),
            (channel_rows, width, sizes["channel_mlp_dim"]),
        ):
            yield rows, outer, inner
            yield rows, inner, outer


def train_step(without=(), jit_compile=True, precision="float32"):
    """A function that runs one training step, without some of the `PARTS`."""
    recipe = training.recipe("small_images").but(batch_size=BATCH, optimizer="adamw")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    model = mixer(without, recipe.drop_path_rate)
    model.compile(
        optimizer(recipe, schedule(recipe, 1000), model),
        loss(recipe),
        weighted_metrics=metrics(CLASSES),
        jit_compile=jit_compile,
    )
    keras.config.set_dtype_policy(before)
    random = np.random.default_rng(0)
    images = tf.constant(random.uniform(-1, 1, (BATCH, 32, 32, 3)).astype(np.float32))
    labels = tf.one_hot(random.integers(CLASSES, size=BATCH), CLASSES)
    return lambda: model.train_on_batch(images, labels)


def matmuls_only(shapes, jit_compile):
    """A function that runs a step's matmuls alone: each layer's output and two gradients."""
    random = np.random.default_rng(0)

    def normal(*shape):
        return tf.constant(random.normal(size=shape).astype(np.float32))

    layers = [(normal(m, k), normal(k, n), normal(m, n)) for m, k, n in shapes]

    @tf.function(jit_compile=jit_compile)
    def run(layers):
        return [
            (
                tf.matmul(x, kernel),
                tf.matmul(x, gradient, transpose_a=True),
                tf.matmul(gradient, kernel, transpose_b=True),
            )
            for x, kernel, gradient in layers
        ]

    return lambda: run(layers)[-1][0].numpy()


def main():
    shapes = [*matmuls(SIZES, image_size=32)]
    work = sum(6 * m * k * n for m, k, n in shapes)
    square = [(SQUARE, SQUARE, SQUARE)]
    print("compiling")
    tf.get_logger().setLevel("ERROR")  # it warns of retracing, because nine functions have one name
    steps = {
        "whole step, XLA": (work, train_step()),
        "whole step, without XLA": (work, train_step(jit_compile=False)),
        "whole step, XLA, mixed_bfloat16": (work, train_step(precision="mixed_bfloat16")),
        **{
            f"without {', '.join(PARTS[:n])}; XLA": (work, train_step(PARTS[:n]))
            for n in range(1, len(PARTS) + 1)
        },
        "its matmuls alone, XLA": (work, matmuls_only(shapes, True)),
        "its matmuls alone, without XLA": (work, matmuls_only(shapes, False)),
        f"matmuls {SQUARE} x {SQUARE}": (6 * SQUARE**3, matmuls_only(square, False)),
    }
    seconds = interleaved({name: step for name, (_, step) in steps.items()}, RUNS)
    speeds = {name: work / seconds[name] / 1e9 for name, (work, _) in steps.items()}
    rows = [
        {
            "step": name,
            "median_ms": round(seconds[name] * 1e3, 1),
            "gflops": round(speed, 1),
            "ratio": round(speed / max(speeds.values()), 3),
            "batch": BATCH,
            "runs": RUNS,
            "machine": machine(),
            "versions": f"tensorflow {tf.__version__} keras {version('keras')}",
        }
        for name, speed in speeds.items()
    ]
    for row in rows:
        print(f"{row['step']}: {row['median_ms']} ms, {row['gflops']} GFLOP/s, {row['ratio']}")
    write_csv("training_step", rows)


if __name__ == "__main__":
    main()
