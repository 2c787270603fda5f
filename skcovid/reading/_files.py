"""Bytes of files, on disk or inside a zip archive."""

import errno
import os
import stat
import time
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from skcovid.reading._limits import MAX_BYTES
from skcovid.reading._paths import format_path
from skcovid.reading._zip_archives import find_archive, identify_member, open_member

T = TypeVar("T")

_CHUNK = 2**20
# Errors of a disk or a network that may pass; Windows does not have all of them.
PASSING_ERRORS = {
    getattr(errno, name)
    for name in (
        *("EAGAIN", "EBUSY", "ECONNABORTED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH"),
        *("EINTR", "EIO", "ENETDOWN", "ENETRESET", "ENETUNREACH", "ENOTCONN"),
        *("EREMOTEIO", "ESTALE", "ETIMEDOUT"),
    )
    if hasattr(errno, name)
}
# Seconds before the second and the third attempt.
_WAITS = (0.1, 0.5)


def exists(path: str) -> bool:
    """Whether there is a file or folder on disk, or a file in a zip archive."""
    return identify(path) is not None


def identify(path: str) -> tuple[int, int, str] | None:
    """Return what all paths and links to one file share; None if there is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116 (a Path costs more than the call)
    except (OSError, ValueError):
        place = find_archive(path)
        return None if place is None else identify_member(*place)
    # Some file systems have no inode numbers.
    return status.st_dev, status.st_ino, "" if status.st_ino else os.path.realpath(path)


def size_and_time(path: str) -> tuple[int, ...]:
    """Size, times of change and inode of a file, or of the archive that it is in."""
    try:
        status = _retry(lambda: _stat(path))
    except (FileNotFoundError, NotADirectoryError):
        if (place := find_archive(path)) is None:
            raise
        status = place[0].stat()
    # Copying and unpacking may set the time of modification; nobody sets the other.
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def open_file(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file on disk or in a zip archive for reading."""
    try:
        status = _stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if (place := find_archive(os.fspath(path))) is None:
            raise
        return open_member(*place)
    if stat.S_ISDIR(status.st_mode):
        raise ValueError(f"{format_path(path)}: is a folder, not an image")
    if not stat.S_ISREG(status.st_mode):
        # Opening a pipe waits for its writer, and many devices never end.
        raise ValueError(f"{format_path(path)}: is a device or a pipe, not an image")
    if status.st_size > MAX_BYTES:
        raise ValueError(
            f"{format_path(path)}: has {status.st_size:,} bytes, more than the limit "
            f"of {MAX_BYTES:,}"
        )
    return Path(path).open("rb")


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read all of a file on disk or in a zip archive."""
    return _retry(lambda: _read_bytes(path))


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    with open_file(path) as stream:
        try:
            if not isinstance(stream, zipfile.ZipExtFile):
                return stream.read()
            # In chunks, as zipfile decompresses as much as is asked for before it
            # compares the size with that of the archive's directory.
            return b"".join(iter(partial(stream.read, _CHUNK), b""))
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(
                f"{format_path(path)}: damaged in the archive ({error})"
            ) from error
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _retry(read: Callable[[], T]) -> T:
    """Read, again if the disk or the network fails."""
    for wait in _WAITS:
        try:
            return read()
        except OSError as error:
            if error.errno not in PASSING_ERRORS:
                raise
        time.sleep(wait)
    return read()


def _stat(path: str | os.PathLike[str]) -> os.stat_result:
    try:
        return os.stat(path)  # noqa: PTH116 (a Path costs more than the call)
    except FileNotFoundError:
        raise FileNotFoundError(f"{format_path(path)}: no such file") from None
    except ValueError as error:
        raise ValueError(f"{format_path(path)}: not a path ({error})") from None
