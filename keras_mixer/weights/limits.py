"""What a checkpoint file may ask for: a small file must not take all memory or minutes."""

import numpy as np

ARRAYS = 10_000  # in a file; the largest models have a thousand
NAME = 1_000  # characters
BYTES = 2**30  # that a file may unpack to, however small it is
FACTOR = 8  # for a large file so many times its size: its weights in several versions, compressed


class Budget:
    """Counts what is read from a file, before it is read.

    Args:
        path: The file.
    """

    def __init__(self, path):
        self.bytes = max(BYTES, FACTOR * path.stat().st_size)
        self.left, self.names = self.bytes, set()

    def take(self, count):
        """Raises ValueError if `count` bytes more are too many."""
        self.left -= count
        if self.left < 0:
            raise ValueError(f"it would unpack to more than {self.bytes:,} bytes")

    def array(self, name, shape, dtype):
        """Raises ValueError if an array's name is not new, or the array is too large."""
        if name in self.names:
            raise ValueError(f"it holds {name!r} twice")
        self.names.add(name)
        if len(self.names) > ARRAYS or len(name) > NAME:
            raise ValueError(
                f"it holds more than {ARRAYS:,} arrays, or a name of more than {NAME:,} characters"
            )
        self.take(int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize)


def members(archive, budget):
    """The names in a ZIP, each of which must be there once, and all of which must be small enough.

    The ZIP reader gives at most as many bytes of a member as the ZIP lists.
    """
    names = [info.filename for info in archive.infolist()]
    if len(names) > 2 * ARRAYS:
        raise ValueError(f"it holds {len(names):,} files")
    twice = {name for name in names if names.count(name) > 1} if len({*names}) < len(names) else ()
    if twice:
        raise ValueError(f"it holds {min(twice)!r} twice")
    budget.take(sum(info.file_size for info in archive.infolist()))
    return names
