"""LiteRT loads a file in another process first, which it may end without harm to this one."""

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from keras_mixer._text import one_line
from keras_mixer.tflite._litert import LOAD_ALONE

SECONDS = 60
MEMORY = 2**33  # bytes of address space, of which Python and LiteRT take one or two billion


def tried(name, content, run):
    """Loads a file of an unknown source in a process of its own.

    Args:
        name: The file's name, for messages.
        content: Its bytes.
        run: Whether the file is run as well, once, on zeros.

    Returns:
        The ops of the main subgraph as LiteRT runs them, or None if it does not tell; and LiteRT's
        message if it refuses the file, otherwise None.

    Raises:
        ValueError: LiteRT crashed, or took too long.
    """
    doing = "running" if run else "loading"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        command = [sys.executable, "-c", LOAD_ALONE, str(path), str(int(run)), str(MEMORY)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise ValueError(
                f"LiteRT has not finished {doing} {name} after {SECONDS} s; do not ship it."
            ) from None
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), None
    if done.returncode == 1:  # an exception in Python
        [*_, last] = done.stderr.decode(errors="replace").strip().splitlines()
        return None, one_line(last.partition(": ")[2] or last)
    raise ValueError(f"LiteRT crashed ({_ending(done.returncode)}) {doing} {name}; do not ship it.")


def _ending(code):
    """What ended a process: a signal's name, or the exit code where there are no signals."""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"
