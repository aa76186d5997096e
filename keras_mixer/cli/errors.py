"""What the command line shows of an error: one line for a user's mistake, all of a bug of ours."""

import dis
import errno
import sys
import traceback
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from rich.console import Console
from rich.markup import escape

from keras_mixer import __version__
from keras_mixer._backend import cure, is_of_backend
from keras_mixer._text import printable
from keras_mixer.doctor import DISTRIBUTIONS

PACKAGE = Path(__file__).parents[1]
OURS = (ValueError, RuntimeError)
FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
FULL_DISK = ("No space left on device", "Disk quota exceeded", "StorageFull", "File too large")
# Classes of TensorFlow and PyTorch, which are not imported here; the status in JAX's messages.
EXHAUSTED, OOM = ("ResourceExhaustedError", "OutOfMemoryError"), "RESOURCE_EXHAUSTED"


def report(error, debug=False):
    """Prints an error on standard error.

    Args:
        error: The exception that ended a command.
        debug: Whether to print the traceback of a user's mistake, too.
    """
    stderr = Console(stderr=True, soft_wrap=True, highlight=False)
    short = shortage(error)
    mistake = short is not None or is_mistake(error)
    if not mistake:
        stderr.print("[bold red]Error:[/]", escape(_request()))
    if debug or not mistake:
        sys.stderr.write("".join(traceback.format_exception(error)))
    if mistake:
        importing = isinstance(error, ImportError) or is_of_backend(error)
        message = cure(error) if importing else short or str(error)
        stderr.print("[bold red]Error:[/]", escape(printable(message, "\n")))


def shortage(error):
    """The line for a disk or a memory that was too small; None for any other error.

    Libraries wrap such errors, so that the errors behind this one count, too. An error that this
    package raised has its own words.
    """
    if _raised_here(error):
        return None
    for each in _chain(error):
        text = " ".join(str(each).split())
        if getattr(each, "errno", None) in FULL or any(words in text for words in FULL_DISK):
            file = getattr(each, "filename", None)
            return (
                f"The disk is full{f', at {file}' if file else ''}. Free some space, or raise a "
                "limit of file sizes (ulimit -f), and run the command again, or choose another "
                "disk: --output for results, the environment variable TMPDIR for temporary files."
            )
        if isinstance(each, MemoryError) or type(each).__name__ in EXHAUSTED or OOM in text:
            cause = f" ({text[:200]})" if text else ""
            return (
                f"There is not enough memory{cause}. Use a smaller batch: --batch-size for "
                "evaluate, --set batch_size=N for train, where --model-option remat=true helps, "
                "too. Or use a smaller model, or end other programs."
            )
    return None


def _chain(error):
    """An error and those that it was raised from, or while handling."""
    seen = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def is_mistake(error):
    """Whether an error is a user's mistake, which its message explains; else it is a bug of ours.

    Files, networks and missing packages are the user's, whoever finds out; so is a machine that is
    too small, see `shortage`. A ValueError or RuntimeError is a mistake only if a `raise` statement
    of this package raised it: its message was written for users. Raised by Keras, TensorFlow or
    Python, it means that this package passed on what it should have checked.

    The innermost frame alone does not tell which: functions written in C have no frame, and Keras
    removes its own frames from tracebacks, so that the error seems to come from the line that
    called them. The instruction at which that frame stopped does tell: a `raise`, or a call.
    """
    if isinstance(error, ImportError):
        return not (error.name or "").startswith("keras_mixer") or _raised_here(error)
    if isinstance(error, OSError) or is_of_backend(error):
        return True
    return isinstance(error, OURS) and _raised_here(error)


def _raised_here(error):
    """Whether a `raise` statement of this package raised an error.

    After `raise ... from error` the traceback begins anew, so that errors of others that we explain
    in our words are ours.
    """
    place = error.__traceback__
    if place is None:
        return False
    while place.tb_next:
        place = place.tb_next
    code = place.tb_frame.f_code
    raised = code.co_code[place.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return raised and PACKAGE in Path(code.co_filename).parents


def _request():
    """Where a bug should go, and with what."""
    versions = [f"keras-mixer {__version__}"]
    for name in ("keras", *DISTRIBUTIONS):
        with suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    versions = ", ".join((*versions, f"Python {python_version()}"))
    return (
        f"This looks like a bug of keras-mixer; please report it with this traceback ({versions})."
    )
