"""Files that are either whole or not there."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path


def check_new(path, overwrite=False):
    """Raises an OSError when no file can be at `path`, or one that may not be replaced is there."""
    path = Path(path)
    check_folder(path.parent)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the path of a file to write.")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists already; pass --overwrite (overwrite=True) to replace it."
        )


def check_folder(path):
    """Raises NotADirectoryError when no folder can be at `path`, because a file is in the way."""
    path = Path(path)
    there = next((p for p in (path, *path.parents) if os.path.lexists(p)), None)
    if there and not there.is_dir():
        what = "a file" if there.exists() else "a link to nothing"
        raise NotADirectoryError(
            f"The results are written to a folder; {there} is {what}. Choose another folder."
        )


@contextmanager
def whole_file(path, overwrite=False):
    """A context in which to write a file under a temporary name; it gets its own name at the end.

    Args:
        path: The file's final name. Its folder is made if need be.
        overwrite: Whether a file of that name may be replaced.

    Yields:
        The temporary path, beside the final one and with the same suffix. When the block raises,
        nothing stays there and whatever was at `path` is untouched.
    """
    path = Path(path)
    check_new(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        yield temporary
        check_new(path, overwrite)
        _flush(temporary)  # a name must not outlive a power cut that its content does not
        temporary.replace(path)
    if os.name == "posix":
        _flush(path.parent)


def _flush(path):
    """Has the disk keep what was written to a file or folder."""
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
