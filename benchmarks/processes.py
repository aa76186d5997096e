"""Runs each measured program in its own process, which is stopped between calls."""

import ctypes
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

TIMEOUT = 10  # seconds in which a process may exit by itself
PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>


class Process:
    """A new process that makes a function and then calls it on request.

    It is stopped between calls, so that its spinning threads take no time from other processes.

    Args:
        log: The file for what the process prints.
        start: `start(*arguments)` runs in the process and returns the function, or None.

    Raises:
        RuntimeError: The process could not start, or died; its error in one line.
    """

    def __init__(self, log, start, *arguments):
        self.log = Path(log)
        spawn = multiprocessing.get_context("spawn")  # no memory of this process
        self.connection, child = spawn.Pipe()
        self.process = spawn.Process(
            target=_serve, args=(child, self.log, start, arguments), daemon=True
        )
        self.process.start()
        child.close()
        try:
            self._receive()
        except RuntimeError:
            self.end()
            raise

    def __call__(self, *arguments):
        """The function's result."""
        os.kill(self.process.pid, signal.SIGCONT)
        with suppress(OSError):  # the process is dead: _receive raises its error
            self.connection.send(arguments)
        return self._receive()

    def end(self):
        """Ends the process, after some seconds by force."""
        self.connection.close()
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.join(TIMEOUT)
        self.process.kill()
        self.process.join()

    def _receive(self):
        try:
            result, error = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            output = self.log.read_text(errors="replace").strip() if self.log.exists() else ""
            raise RuntimeError(f"it died ({reason}). {output[-300:]}".strip()) from None
        if error:
            raise RuntimeError(error)
        os.kill(self.process.pid, signal.SIGSTOP)
        return result


def _serve(connection, log, start, arguments):
    if sys.platform == "linux":  # otherwise a stopped process would outlive its parent
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        function = start(*arguments)
        connection.send((None, None))
        while True:
            connection.send((function(*connection.recv()), None))
    except EOFError:
        pass  # the parent closed the connection
    except Exception as error:
        [first, *_] = str(error).strip().splitlines() or [""]
        connection.send((None, f"{type(error).__name__}: {first[:300]}"))
