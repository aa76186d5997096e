"""Processes of their own, for what must be one: to be killed, or to divide its devices."""

import contextlib
import multiprocessing


def fork(output, function, *arguments):
    """Starts a function in a process that need not import TensorFlow again.

    What it prints goes into the file `output`, its errors too.
    """
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tests.training.runs"])  # imported once, and not yet used
    process = forks.Process(target=_said_into, args=(output, function, *arguments))
    process.start()
    return process


def _said_into(output, function, *arguments):
    with (
        output.open("w", buffering=1) as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        function(*arguments)
