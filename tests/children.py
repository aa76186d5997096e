"""What processes of their own do in tests of benchmarks; light to import there."""

import os


def double():
    return lambda number: abort() if number == "abort" else 2 * number


def refuse():
    raise ValueError("no such model")


def abort(*arguments):
    os.abort()
