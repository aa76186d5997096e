"""Silence for the chatter of native libraries, unless something goes wrong."""

import atexit
import os
import sys
import tempfile
from contextlib import contextmanager


@contextmanager
def quiet():
    """Holds back what is written to the process's standard error, and shows it after a failure.

    TensorFlow's and LiteRT's C++ code writes there directly, whatever the log level says. A
    ValueError or OSError says by itself what is wrong; any other failure gets the chatter with it.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        try:
            os.dup2(held.fileno(), 2)
            yield
        except BaseException as error:
            if not isinstance(error, ValueError | OSError):
                held.seek(0)
                os.write(stderr, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


def quiet_at_exit():
    """Lets native libraries write nothing as the process ends, as LiteRT does after float16."""
    atexit.unregister(_mute)
    atexit.register(_mute)


def _mute():
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
