"""Atomic file writes that survive crashes and full disks."""

import errno
import json
import os
import stat
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)


class Record(NamedTuple):
    """Arrays with a JSON description."""

    description: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]


@contextmanager
def exclusive_lock(path: Path, message: str | None = None) -> Iterator[None]:
    """Hold a lock file; if another process holds it, raise `message` or wait."""
    lock = FileLock(path, timeout=-1 if message is None else 0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(message) from None
    try:
        yield
    finally:
        lock.release()


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check before long work that a file can be written to `path`."""
    name, folder = repr(os.fspath(path)), Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{name} can't be written: its folder does not exist. Make it first."
        )
    if Path(path).is_dir():
        raise IsADirectoryError(f"{name} is a folder. Add the name of a file to it.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"{name} can't be written: this process may not write to its folder. Pass "
            "a path in another folder."
        )


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Write a temporary file, and rename it to `path` once it is complete."""
    check_writable(path)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno not in _DISK_IS_FULL:
            raise
        raise OSError(
            error.errno,
            f"{path}: the disk has no room for it ({error.strerror}). Files written "
            "before are intact; make room and run the same again",
        ) from error
    finally:
        part.unlink(missing_ok=True)


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file to read it, but no pipe or device, which may have no end."""
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise OSError(
            f"{os.fspath(path)!r} is a folder, pipe or device. Pass the path of a file."
        )
    return Path(path).open("rb")


def remove_partial_files(folder: Path) -> None:
    """Remove the temporary files of killed writers."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def write_record(path: Path, record: Record) -> None:
    """Write a record atomically to one ``.npz`` file."""
    objects = [name for name, array in record.arrays.items() if array.dtype.hasobject]
    if objects:
        raise TypeError(f"{path}: {objects[0]!r} is an array of Python objects.")
    # The names are listed because a damaged zip directory may have lost some.
    parts = {"description": record.description, "arrays": sorted(record.arrays)}
    text = np.frombuffer(json.dumps(parts).encode(), np.uint8)
    arrays: dict[str, Any] = {**record.arrays, "description": text}
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def read_record(path: Path) -> Record | None:
    """Read a record without unpickling; None if it is missing or damaged."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            parts = json.loads(arrays.pop("description").tobytes())
            if sorted(arrays) != parts["arrays"]:
                raise ValueError("arrays are missing")
        except Exception as error:
            # A damaged archive raises many kinds of errors.
            warnings.warn(
                f"{path} is damaged ({error}) and is computed again.", stacklevel=2
            )
            return None
    return Record(parts["description"], arrays)
