"""What `workers` says of inputs of every outcome, in a process that has imported nothing heavy."""

import os
import sys
import tempfile
import time

import numpy as np

from tests.fuzz import workers

WORDS = ("fine", "refused", "bug", "abort", "exit", "loop", "sleep", "much", "after all")


def use(path):
    word = path.read_text()
    if word == "refused":
        raise ValueError("of ours")
    if word == "bug":
        raise IndexError("of Python's")
    if word == "abort":
        os.abort()
    if word == "exit":
        os._exit(7)
    while word == "loop":
        pass
    if word == "sleep":
        time.sleep(100)
    if word == "much":
        np.ones(3 * 10**6)


if __name__ == "__main__":
    workers.SECONDS, workers.PATIENCE, workers.MEMORY = 0.5, 4, 10**7

    def inputs(start):
        return ((i, ("x", WORDS[i].encode())) for i in range(start, len(WORDS)))

    def is_mistake(error):
        return isinstance(error, ValueError)

    with tempfile.TemporaryDirectory() as folder:
        for label, outcome, words in workers.run(inputs, use, is_mistake, folder):
            print(WORDS[label], outcome, words.splitlines()[-1:], sep=": ")
    sys.stdout.flush()
