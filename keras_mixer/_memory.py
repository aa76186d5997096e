"""The memory of this machine."""

import os
from contextlib import suppress
from pathlib import Path

LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container


def machine_memory():
    """Bytes of memory that this machine or container has; None if it does not say."""
    found = []
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # there is none, or it is "max"
        found.append(int(LIMIT.read_text()))
    return min(found, default=None)
