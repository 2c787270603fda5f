"""Bytes of files, on disk or inside a zip archive.

A file in an archive has a path like one in a folder: ``radiographs.zip/NORMAL/1.png``.
Nothing is ever unpacked to disk.
"""

import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, NamedTuple

from skcovid.reading._image_headers import MAX_BYTES

__all__ = [
    "FileStatus",
    "exists",
    "is_archive",
    "list_members",
    "open_file",
    "read_bytes",
    "shown",
]

_SUFFIX = ".zip"
_PIECE = 2**20
# Deflate reaches 1032:1 on one repeated byte; radiographs, even uncompressed ones with
# black margins, stay below 20:1. Small archives may hold blank test images.
_MAX_RATIO = 100
_RATIO_MATTERS_FROM = 2**30
# A drive or root at the beginning, a parent folder on the way, a backslash anywhere.
_UNSAFE_NAME = re.compile(r"[A-Za-z]:|/|(.*/)?\.\.(/|$)|.*\\", re.DOTALL)


class FileStatus(NamedTuple):
    """Size and time of change; the archive's for a file in an archive."""

    size: int
    changed: int

    @classmethod
    def of(cls, path: str) -> "FileStatus":
        """Look up a file."""
        try:
            status = _stat(path)
        except (FileNotFoundError, NotADirectoryError):
            if (place := _find_archive(path)) is None:
                raise
            status = place[0].stat()
        return cls(status.st_size, status.st_mtime_ns)


def shown(path: str | os.PathLike) -> str:
    r"""Path as messages show it, on one line and of characters that can be printed."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)


def is_archive(path: Path) -> bool:
    """Whether a path names a zip archive, by its suffix."""
    return path.suffix.lower() == _SUFFIX and path.is_file()


def exists(path: str) -> bool:
    """Whether there is a file or folder, on disk, or a file in a zip archive."""
    if os.path.exists(path):  # noqa: PTH110 (a Path costs more than the call)
        return True
    place = _find_archive(path)
    return place is not None and place[1] in _open_archive(place[0]).NameToInfo


def open_file(path: str | os.PathLike) -> IO[bytes]:
    """Open a file on disk or in a zip archive for reading."""
    try:
        status = _stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if (place := _find_archive(os.fspath(path))) is None:
            raise
        return _open_member(*place)
    if stat.S_ISDIR(status.st_mode):
        raise ValueError(f"{shown(path)}: is a folder, not an image")
    if not stat.S_ISREG(status.st_mode):
        # Opening a pipe waits for who writes to it; many a device never ends.
        raise ValueError(f"{shown(path)}: is a device or a pipe, not an image")
    if status.st_size > MAX_BYTES:
        raise ValueError(
            f"{shown(path)}: {status.st_size:,} bytes, more than the {MAX_BYTES:,} "
            "that are read; no radiograph is that large"
        )
    return Path(path).open("rb")


def read_bytes(path: str | os.PathLike) -> bytes:
    """Read all of a file on disk or in a zip archive."""
    with open_file(path) as stream:
        try:
            if not isinstance(stream, zipfile.ZipExtFile):
                return stream.read()
            # Piece by piece, as zipfile decompresses what is asked for before it looks
            # at the size the archive states.
            return b"".join(iter(partial(stream.read, _PIECE), b""))
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(
                f"{shown(path)}: damaged in the archive ({error})"
            ) from error
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def list_members(path: Path) -> tuple[list[str], list[str]]:
    """Files and folders in a zip archive."""
    files, folders = [], set()
    for info in _open_archive(path).infolist():
        name = info.filename.rstrip("/")
        parents = name.split("/") if info.is_dir() else name.split("/")[:-1]
        folders |= {"/".join(parents[:depth]) for depth in range(1, len(parents) + 1)}
        if not info.is_dir():
            files.append(name)
    return files, sorted(folders)


def _stat(path: str | os.PathLike) -> os.stat_result:
    try:
        return os.stat(path)  # noqa: PTH116 (a Path costs more than the call)
    except FileNotFoundError:
        raise FileNotFoundError(f"{shown(path)}: no such file") from None
    except ValueError as error:
        raise ValueError(f"{shown(path)}: not a path ({error})") from None


def _find_archive(path: str) -> tuple[Path, str] | None:
    """Archive and member that a path leads to, if it leads into an archive."""
    if _SUFFIX not in path.lower():
        return None
    for parent in Path(path).parents:
        if is_archive(parent):
            return parent, Path(path).relative_to(parent).as_posix()
    return None


def _open_member(archive: Path, member: str) -> IO[bytes]:
    members = _open_archive(archive)
    try:
        return members.open(member)
    except KeyError:
        raise FileNotFoundError(
            f"{shown(archive / member)}: no such file in the archive"
        ) from None
    except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{shown(archive / member)}: can't be read from the archive ({error}); "
            "unpack it and give the folder"
        ) from error


def _open_archive(path: Path) -> zipfile.ZipFile:
    status = path.stat()
    # Processes that share a file handle share its position, too.
    return _keep_open(path, status.st_size, status.st_mtime_ns, os.getpid())


# The table of contents of a large archive takes longer to read than many a member.
@lru_cache(maxsize=8)
def _keep_open(path: Path, size: int, changed: int, process: int) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"{path}: not a readable zip archive ({error})") from error
    try:
        _check_contents(path, size, archive.infolist())
    except ValueError:
        archive.close()
        raise
    return archive


def _check_contents(path: Path, size: int, infos: list[zipfile.ZipInfo]) -> None:
    unsafe = [info.filename for info in infos if _UNSAFE_NAME.match(info.filename)]
    if unsafe:
        raise ValueError(
            f"{path}: names files outside the archive or with backslashes, "
            f"{unsafe[0]!r} for one; it is hostile or was made by a faulty tool. Make "
            "it again from the folder of radiographs"
        )
    counts = Counter(info.filename for info in infos)
    name, count = counts.most_common(1)[0] if counts else ("", 0)
    if count > 1:
        raise ValueError(f"{path}: holds {count} files of the name {name!r}")
    large = [info for info in infos if info.file_size > MAX_BYTES]
    if large:
        raise ValueError(
            f"{path}: {large[0].filename!r} would unpack to {large[0].file_size:,} "
            f"bytes, more than the {MAX_BYTES:,} allowed; no radiograph is that "
            "large"
        )
    total = sum(info.file_size for info in infos)
    if total > max(_RATIO_MATTERS_FROM, _MAX_RATIO * size):
        raise ValueError(
            f"{path}: would unpack to {total:,} bytes, more than {_MAX_RATIO} times "
            "its size; radiographs do not compress like that, so it is taken for a zip "
            "bomb. If it is not, unpack it and give the folder"
        )
