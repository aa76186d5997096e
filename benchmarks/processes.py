"""Programs measured beside one another, each in a process of its own that sleeps until asked."""

import ctypes
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

PATIENCE = 10  # seconds that an ended process has to leave by itself
PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>


class Process:
    """A new process that makes a function and then answers with it.

    It is stopped while it is not asked, so that no thread of it that waits by spinning takes time
    from others. What it prints goes to a file.

    Args:
        log: Where to write what it prints.
        start: `start(*arguments)` runs in the process and gives the function, or None.

    Raises:
        RuntimeError: It could not start, or died; with its error in a line.
    """

    def __init__(self, log, start, *arguments):
        self.log = Path(log)
        spawn = multiprocessing.get_context("spawn")  # nothing of this process is in the new one
        self.connection, theirs = spawn.Pipe()
        self.process = spawn.Process(
            target=_live, args=(theirs, self.log, start, arguments), daemon=True
        )
        self.process.start()
        theirs.close()
        try:
            self._answer()
        except RuntimeError:
            self.end()
            raise

    def __call__(self, *question):
        """What the function answers."""
        os.kill(self.process.pid, signal.SIGCONT)
        with suppress(OSError):  # it is dead, which reading its answer says
            self.connection.send(question)
        return self._answer()

    def end(self):
        """Ends it: it may tidy up for some seconds, unless it is busy."""
        self.connection.close()
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()

    def _answer(self):
        try:
            answer, error = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            said = self.log.read_text(errors="replace").strip() if self.log.exists() else ""
            raise RuntimeError(f"it died ({why}). {said[-300:]}".strip()) from None
        if error:
            raise RuntimeError(error)
        os.kill(self.process.pid, signal.SIGSTOP)
        return answer


def _live(connection, log, start, arguments):
    if sys.platform == "linux":  # a stopped process would outlive the one that asks
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
        pass  # nobody asks any more
    except Exception as error:
        [first, *_] = str(error).strip().splitlines() or [""]
        connection.send((None, f"{type(error).__name__}: {first[:300]}"))
