"""Trains on Keras's JAX backend and prints the losses: `python on_jax.py FOLDER [PORT PROCESS]`."""

import json
import os
import sys

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

from keras_mixer import training
from tests.training.runs import BUILD, RECIPE, Losses, sources

# MixUp's partners are drawn within the rows of one process, so two mix otherwise than one.
ALONE = RECIPE.but(mixup=0.0, cutmix=0.0, random_erasing=0.0, steps=20)


def main(folder, port=None, number=None):
    several = {}
    if port:
        several = {"coordinator": f"127.0.0.1:{port}", "processes": 2, "process": int(number)}
    found = training.strategy("cpu", **several)
    images, held_out = sources()
    losses = Losses()
    _, rows = training.train(
        BUILD,
        images,
        held_out,
        recipe=ALONE,
        folder=folder,
        strategy=found,
        evaluate_every=10,
        callbacks=[losses],
    )
    print(json.dumps({"losses": losses.seen, "last": rows[-1]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
