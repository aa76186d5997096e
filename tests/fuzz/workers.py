"""Runs inputs in forked processes, so that a crash, a hang or too much memory is found and told."""

import os
import resource
import select
import signal
import struct
import sys
import traceback
from contextlib import suppress
from pathlib import Path

SECONDS = 10  # of computing for one input, on one core; and PATIENCE times that by the clock
PATIENCE = 6
MEMORY = 2 * 10**9  # bytes that one input may add to the process
LIMIT = 6 * 10**9  # that it may ask for, beyond which the machine itself would suffer
OUTCOMES = ("accepted", "refused", "traceback", "crash", "hang", "memory")
FAULTS = OUTCOMES[2:]
BEGUN = 255  # told in the place of an outcome before an input is used
HEAD = struct.Struct("<IBI")  # label, outcome, length of the words


def run(inputs, use, is_mistake, folder, good=None):
    """Yields (label, outcome, words) of each input.

    Args:
        inputs: A function from a start to the pairs (label, content) from there on, each made anew
            in the process that uses it. Labels are numbers from 0.
        use: A function that takes the path of an input: it returns, or raises what a user's mistake
            may raise, or something is wrong.
        is_mistake: Whether an exception is an error of ours, of which users are told in one line.
        folder: Where inputs lie while they are used.
        good: The path of a good input, which each process uses first, without a limit of time:
            it builds models and traces graphs.
    """
    start, ended = 0, False
    while not ended:
        receiver, sender = os.pipe()
        child = os.fork()
        if not child:
            os.close(receiver)
            _child(inputs(start), use, is_mistake, Path(folder), good, sender)
        os.close(sender)
        silent = False
        try:
            for label, outcome, words in _told(receiver):
                start = label
                if outcome != BEGUN:
                    yield label, OUTCOMES[outcome], words
                    start = label + 1
        except TimeoutError:
            silent = True
        finally:  # also when nobody wants the rest
            if silent or sys.exc_info()[0]:
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        if silent or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF):
            yield start, "hang", f"longer than {SECONDS} s"
            start += 1
        elif os.WIFSIGNALED(status):
            yield start, "crash", signal.Signals(os.WTERMSIG(status)).name
            start += 1
        elif os.WEXITSTATUS(status) == 0:
            ended = True
        else:
            yield start, "crash", f"exit code {os.WEXITSTATUS(status)}"
            start += 1


def _told(receiver):
    """Yields what a process tells through a pipe: label, number of the outcome, words.

    Raises:
        TimeoutError: It has told nothing for too long.
    """
    with os.fdopen(receiver, "rb", buffering=0) as pipe:
        while True:
            if not select.select([pipe], [], [], PATIENCE * SECONDS)[0]:
                raise TimeoutError
            head = _read(pipe, HEAD.size)
            if not head:
                return
            label, outcome, length = HEAD.unpack(head)
            yield label, outcome, _read(pipe, length).decode("utf-8", "replace")


def _read(pipe, count):
    found = b""
    while len(found) < count:
        more = pipe.read(count - len(found))
        if not more:
            return b""
        found += more
    return found


def _child(inputs, use, is_mistake, folder, good, pipe):
    """Uses inputs until one of them ends the process; tells of each through a pipe."""
    code = 1
    with suppress(BaseException):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        limit = _memory("VmSize") + LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        if good is not None:
            use(good)
        for label, (name, content) in inputs:
            folder.mkdir(exist_ok=True)
            path = folder / name
            path.write_bytes(content)
            _tell(pipe, label, BEGUN, "")
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            before = _memory("VmRSS")
            signal.setitimer(signal.ITIMER_PROF, SECONDS)  # whose signal ends the process
            try:
                use(path)
                outcome, words = "accepted", ""
            except BaseException as error:
                words = f"{type(error).__name__}: {error}"
                outcome = "refused"
                if not is_mistake(error):
                    outcome, words = "traceback", "".join(traceback.format_exception(error))
            signal.setitimer(signal.ITIMER_PROF, 0)
            peak = _memory("VmHWM") - before
            if peak > MEMORY:
                outcome, words = "memory", f"{peak / 1e9:.1f} GB"
            _tell(pipe, label, OUTCOMES.index(outcome), words)
        code = 0
    os._exit(code)


def _tell(pipe, label, outcome, words):
    words = words.encode("utf-8", "replace")[-20_000:]
    os.write(pipe, HEAD.pack(label, outcome, len(words)) + words)


def _memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(field)]
    return int(line.split()[1]) * 1024
