"""Training on one CPU device and on two, in a process that has not computed yet."""

import json
from importlib import import_module

import tensorflow as tf

from keras_mixer import training
from tests.training.runs import PLAIN, SHALLOW, Losses, sources

# Augmentation is done before a batch is divided. Replicas draw the same paths to drop, each for its
# own images, so two drop otherwise than one.
SAME = PLAIN.but(steps=6, ema=0.9, clip_norm=0.1, mixup=0.4, cutmix=1.0)
LEARNING_RATES = {"adamw": 3e-3, "lamb": 3e-3, "sgd": 0.1, "muon": 3e-3}
STRATEGIES = {
    "one": tf.distribute.get_strategy,
    "two": lambda: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]),
}


def main(folder, *optimizers):
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    print(json.dumps({name: both(f"{folder}/{name}", name) for name in optimizers}))


def both(folder, optimizer):
    images, held_out = sources(200, 103)
    # As on a TPU, where several steps at once are tried first.
    tried = optimizer == "adamw"
    module = import_module("keras_mixer.training.train")
    module.on_a_tpu = lambda strategy: tried and strategy.num_replicas_in_sync > 1
    module.jit_compile_for_training = lambda model: "auto"  # one device too without XLA
    result = {}
    for name, strategy in STRATEGIES.items():
        losses = Losses()
        model, rows = training.train(
            SHALLOW,
            images,
            held_out,
            recipe=SAME.but(optimizer=optimizer, learning_rate=LEARNING_RATES[optimizer]),
            folder=f"{folder}/{name}",
            strategy=strategy(),
            evaluate_every=3,
            callbacks=[losses],
        )
        result[name] = {"losses": losses.seen, "last": rows[-1]}
        if name == "two":
            found = training.confusion(model, held_out, crop="resize", batch_size=21)  # has no half
            result["evaluated"], result["confusion"] = found.measured, found.counts.tolist()
            try:
                training.train(SHALLOW, images, recipe=SAME, folder=f"{folder}/refused",
                               strategy=strategy(), steps_per_execution=2)  # fmt: skip
            except ValueError as error:
                result["refused"] = str(error)
    return result
