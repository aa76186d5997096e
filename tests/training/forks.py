"""Processes of their own, for what must be one: to be killed, or to divide its devices."""

import contextlib
import multiprocessing
import os
import sys
import traceback

from keras_mixer import cli


def fork(output, function, *arguments):
    """Starts a function in a process that need not import TensorFlow again.

    What it prints goes into the file `output`, its errors too.
    """
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tests.training.runs"])  # imported once, and not yet used
    process = forks.Process(target=_said_into, args=(output, function, *arguments), daemon=True)
    process.start()
    return process


def _said_into(output, function, *arguments):
    with (
        output.open("w", buffering=1) as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        try:
            function(*arguments)
        except Exception:  # which multiprocessing prints after the streams are put back
            traceback.print_exc()
            raise


def command(folder, *arguments):
    """`keras-mixer` in a folder, in a process that has not computed yet; gives what it prints."""
    said = folder / "said.txt"
    process = fork(said, _command, folder, *map(str, arguments))
    process.join(timeout=600)
    assert process.exitcode == 0, said.read_text()
    return said.read_text()


def _command(folder, *arguments):
    os.chdir(folder)
    sys.argv = ["keras-mixer", *arguments]
    cli.console.width = 120
    cli.main()
