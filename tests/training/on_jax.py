"""Training on Keras's JAX backend, alone and in two processes. As a program: `on_jax.py FOLDER`."""

import json
import multiprocessing
import os
import socket
import sys
from concurrent.futures import ProcessPoolExecutor

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

from keras_mixer import training
from keras_mixer.training import run
from tests.training.runs import AVERAGED, SHALLOW, Losses, sources


def train(folder, several):
    run.AGREE_EVERY = 4  # steps, so that the processes do agree
    losses = Losses()
    _, rows = training.train(
        SHALLOW,
        *sources(),
        recipe=AVERAGED.but(steps=6, drop_path_rate=0.2, rand_augment_layers=1),
        folder=folder,
        strategy=training.strategy("cpu", **several),
        evaluate_every=3,
        callbacks=[losses],
    )
    return {"losses": losses.seen, "last": rows[-1]}


def main(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    several = [{"coordinator": coordinator, "processes": 2, "process": i} for i in (0, 1)]
    # JAX is imported, and has not computed yet.
    with ProcessPoolExecutor(3, multiprocessing.get_context("fork")) as processes:
        folders = [f"{folder}/{name}" for name in ("one", "two", "two")]
        print(json.dumps([*processes.map(train, folders, [{}, *several])]))


if __name__ == "__main__":
    main(*sys.argv[1:])
