"""Read and write the zip file around a model; check its members before reading them.

Members are stored without compression, so that none is larger than the file, and are
read into memory: nothing is extracted to a folder.
"""

import io
import json
import math
import re
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np

# The JSON members describe the model and hold no arrays.
_MAX_JSON_BYTES = 16_000_000


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
        raise ModelFileError("it is not a zip file, as models saved by skcovid are")
    try:
        with ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(members, allowed, n_bytes)
            return {member.filename: archive.read(member) for member in members}
    except (BadZipFile, EOFError) as error:
        raise ModelFileError(f"it is truncated or damaged ({error})") from error


def _check_members(
    members: list[ZipInfo], allowed: re.Pattern[str], n_bytes: int
) -> None:
    if not members or min(member.header_offset for member in members):
        # The directory belongs to a zip file inside this one.
        raise ModelFileError("it is truncated or damaged (its directory is missing)")
    names = [member.filename for member in members]
    for member in members:
        name = member.filename
        if names.count(name) > 1:
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
    try:
        return json.loads(content)
    except RecursionError:
        raise ModelFileError(f"its {name} is too deeply nested") from None
    except ValueError as error:
        raise ModelFileError(f"its {name} is not JSON ({error})") from error


def check_npy(content: bytes, name: str) -> None:
    """Check that an ``.npy`` file has the size it announces and holds no objects."""
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
    announced = math.prod(shape) * dtype.itemsize
    found = len(content) - stream.tell()
    if any(side < 0 for side in shape) or announced != found:
        raise ModelFileError(
            f"its {name} announces an array of shape {shape} and {dtype}, "
            f"{announced:,} bytes, and holds {found:,}"
        )
