"""One run at a time in a folder."""

from contextlib import contextmanager

from filelock import FileLock, Timeout

from keras_mixer._runs import LOCK
from keras_mixer.training.devices import largest, process


@contextmanager
def alone_in(folder):
    """A context in which no other run can write to a folder, which is made if need be.

    The operating system holds the lock and releases it when the process ends, whatever ends it. Of
    several processes that train together the first one holds it for all.

    Raises:
        RuntimeError: Another run holds it.
    """
    lock, taken = FileLock(folder / LOCK), False
    if process()[0] == 0:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            taken = True
        except NotImplementedError:  # a file system without locks, on which nobody is refused
            pass
    if largest(int(taken))[0]:
        raise RuntimeError(
            f"Another run is writing to {folder} at the moment. Wait for its end, or choose "
            "another folder (--output, folder=)."
        )
    try:
        yield
    finally:
        lock.release()
