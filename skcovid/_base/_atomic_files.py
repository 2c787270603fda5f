"""Files that are there whole or not at all, whoever is killed and whatever fills up."""

import errno
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

__all__ = [
    "Record",
    "alone",
    "discard_parts",
    "read_record",
    "replacing",
    "write_record",
]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Record(NamedTuple):
    """Arrays, and what JSON knows beside them."""

    description: dict[str, Any]
    arrays: Mapping[str, NDArray]


@contextmanager
def alone(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock, which ends with the process whatever ends that."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(busy) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file under another name, then give it its own."""
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno not in _NO_ROOM:
            raise
        raise OSError(
            error.errno,
            f"{path}: the disk has no room for it ({error.strerror}). What was written "
            "before is whole; make room and run the same again",
        ) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def discard_parts(folder: Path) -> None:
    """Delete what writers that were killed have left."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def write_record(path: Path, record: Record) -> None:
    """Write a record as one ``.npz`` file, whole or not at all."""
    objects = [name for name, array in record.arrays.items() if array.dtype.hasobject]
    if objects:
        raise TypeError(f"{path}: {objects[0]!r} is an array of objects.")
    # A damaged table of contents may have fewer entries.
    parts = {"description": record.description, "arrays": sorted(record.arrays)}
    text = np.frombuffer(json.dumps(parts).encode(), np.uint8)
    arrays: dict[str, Any] = {**record.arrays, "description": text}
    with replacing(path) as file:
        np.savez(file, **arrays)


def read_record(path: Path) -> Record | None:
    """Read a record; nothing in it is executed."""
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
            # A damaged archive raises whatever its damage leads to.
            warnings.warn(
                f"{path} is damaged ({error}) and is made again.", stacklevel=2
            )
            return None
    return Record(parts["description"], arrays)
