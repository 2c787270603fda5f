"""Memory that the C library keeps, for it costs more to ask for than to hold."""

import ctypes
import os

__all__ = ["keep_freed_blocks"]

# Numbers of glibc's mallopt(3).
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_THRESHOLD = -3
# Larger than any block a step of training asks for, small enough for arrays of many
# images to go back to the system once freed.
KEPT_BYTES = 2**28
PADDING_BYTES = 2**26


def keep_freed_blocks() -> None:
    """Have glibc keep freed blocks of up to 256 MiB.

    It gives large blocks back to the system at once. The next step of training asks for
    the same again, and the system fills it with zeros, page by page: a third of a
    step's time on a CPU. Where the environment says how memory is allocated, and with
    another C library, nothing is changed.
    """
    if os.name != "posix":
        return
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return
    library.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
    library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    library.mallopt(M_TOP_PAD, PADDING_BYTES)
