"""Read and write the zip file around a model; check its members before reading them.

Members are stored without compression, so that none is larger than the file, and are
read into memory: nothing is extracted to a folder.
"""

import io
import json
import math
import re
import struct
from collections import Counter
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np

# The JSON members describe the model and hold no arrays. A value can take fifty times
# the memory of its two bytes of text.
_MAX_JSON_BYTES = 16_000_000
_MAX_JSON_VALUES = 500_000
# Ten estimators inside each other are 80 deep. skops and this package visit a file by
# recursion, five calls for each of its nodes.
_MAX_JSON_DEPTH = 200
# The directory of a zip file, about 70 bytes for each member.
_MAX_DIRECTORY_BYTES = 1_000_000
# A side of an array that holds nothing, as another side is 0.
_MAX_EMPTY_SIDE = 65_536


class ModelFileError(ValueError):
    """A model file that is damaged, hostile or does not fit this installation."""


def write_members(file: BinaryIO, members: dict[str, bytes]) -> None:
    """Write members to a zip file, without compression."""
    with ZipFile(file, "w", ZIP_STORED) as archive:
        for name, content in members.items():
            # A fixed date: the same model makes the same file.
            archive.writestr(ZipInfo(name), content)


def read_members(file: BinaryIO, allowed: re.Pattern[str]) -> dict[str, bytes]:
    """Read all members of a zip file, if all of them pass the checks."""
    n_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    if not n_bytes:
        raise ModelFileError("the file is empty")
    if file.read(4) != b"PK\x03\x04":
        raise ModelFileError(
            "it is not a zip file, as models saved by skcovid are. Use one of those"
        )
    _check_directory(file, n_bytes)
    try:
        with ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(members, allowed, n_bytes)
            return {member.filename: archive.read(member) for member in members}
    except (BadZipFile, EOFError) as error:
        raise ModelFileError(f"it is truncated or damaged ({error})") from error


def _check_directory(file: BinaryIO, n_bytes: int) -> None:
    """Check the size of a zip file's directory, which `ZipFile` reads at once."""
    file.seek(max(0, n_bytes - 98))
    # The end of the directory, and for files above 4 GB what precedes it.
    end = file.read().rjust(98, b"\0")
    if end[76:80] != b"PK\x05\x06":
        raise ModelFileError("it is truncated or damaged (its directory is missing)")
    (size,) = struct.unpack("<I", end[88:92])
    if end[56:60] == b"PK\x06\x07":
        size = max(size, *struct.unpack("<Q", end[40:48]))
    if size > _MAX_DIRECTORY_BYTES:
        raise ModelFileError(
            f"it holds too many members: its directory has {size:,} bytes"
        )
    file.seek(0)


def _check_members(
    members: list[ZipInfo], allowed: re.Pattern[str], n_bytes: int
) -> None:
    if not members or min(member.header_offset for member in members):
        # The directory belongs to a zip file inside this one.
        raise ModelFileError("it is truncated or damaged (its directory is missing)")
    times = Counter(member.filename for member in members)
    for member in members:
        name = member.filename
        if times[name] > 1:
            raise ModelFileError(f"it holds {name!r} twice")
        if not allowed.fullmatch(name):
            raise ModelFileError(f"it holds {name!r}, which models do not")
        stored, size = member.compress_size, member.file_size
        if member.compress_type != ZIP_STORED or stored != size:
            raise ModelFileError(
                f"its member {name!r} is compressed ({stored:,} bytes for {size:,}); "
                "models are saved without compression"
            )
    if sum(member.file_size for member in members) > n_bytes:
        raise ModelFileError("its members claim to be larger than the whole file")


def parse_json(content: bytes, name: str) -> Any:
    """Parse JSON that may be hostile."""
    if len(content) > _MAX_JSON_BYTES:
        raise ModelFileError(
            f"its {name} has {len(content):,} bytes, more than {_MAX_JSON_BYTES:,}"
        )
    n_values = sum(content.count(mark) for mark in (b",", b"[", b"{"))
    if n_values > _MAX_JSON_VALUES:
        raise ModelFileError(
            f"its {name} has {n_values:,} values, more than {_MAX_JSON_VALUES:,}"
        )
    too_deep = ModelFileError(f"its {name} is too deeply nested")
    try:
        value = json.loads(content)
    except RecursionError:
        raise too_deep from None
    except ValueError as error:
        raise ModelFileError(f"its {name} is not JSON ({error})") from error
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        if depth > _MAX_JSON_DEPTH:
            raise too_deep
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return value


def check_npy(
    content: bytes, name: str
) -> tuple[tuple[int, ...], np.dtype[Any], int | None]:
    """Check that an ``.npy`` file has the size it announces and holds plain data.

    Return shape, dtype, and the value of an integer alone.
    """
    stream = io.BytesIO(content)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        shape, _, dtype = readers[np.lib.format.read_magic(stream)](stream)
    except (ValueError, KeyError) as error:
        raise ModelFileError(f"its {name} is not an array ({error})") from error
    if dtype.hasobject:
        raise ModelFileError(f"its {name} is an array of Python objects, a pickle")
    if dtype.kind == "V" or not dtype.itemsize:
        raise ModelFileError(f"its {name} is an array of {dtype}, which is no data")
    announced = math.prod(shape) * dtype.itemsize
    found = len(content) - stream.tell()
    # An array without values may announce sides that take for ever to go through.
    longest = max(shape, default=0) if announced == 0 else 0
    if (
        any(side < 0 for side in shape)
        or announced != found
        or longest > _MAX_EMPTY_SIDE
    ):
        raise ModelFileError(
            f"its {name} announces an array of shape {shape} and {dtype}, "
            f"{announced:,} bytes, and holds {found:,}"
        )
    alone = dtype.kind in "iu" and announced == dtype.itemsize
    value = int(np.frombuffer(content[-found:], dtype)[0]) if alone else None
    return shape, dtype, value
