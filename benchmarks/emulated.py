"""The program that `benchmarks.emulator` runs on an emulated CPU: scores of files for images.

    python emulated.py IMAGES.npy FOLDER [--count]

It writes `FOLDER/<name>.npy` for each `FOLDER/<name>.tflite`, and needs only NumPy and LiteRT.
With `--count` the last image lies between two marks, system calls that `instructions.c` waits for;
the folder then holds one file.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

MARK = 1 << 28  # a process group that does not exist


def main(images, folder, *options):
    for file in sorted(Path(folder).glob("*.tflite")):
        np.save(file.with_suffix(".npy"), scores(str(file), np.load(images), "--count" in options))


def scores(file, images, count):
    interpreter = Interpreter(file, num_threads=1)
    interpreter.allocate_tensors()
    [image], [output] = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for i, values in enumerate(images):
        interpreter.set_tensor(image["index"], values[None])
        counted = count and i == len(images) - 1
        if counted:
            mark()
        interpreter.invoke()
        if counted:
            mark()
        found.append(interpreter.get_tensor(output["index"])[0])
    return np.stack(found)


def mark():
    with suppress(ProcessLookupError):
        os.getpgid(MARK)


if __name__ == "__main__":
    main(*sys.argv[1:])
