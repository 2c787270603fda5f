"""Zip archives, opened in place and checked for hostile contents.

A file in an archive has a path like one in a folder: ``radiographs.zip/NORMAL/1.png``.
"""

import os
import posixpath
import re
import zipfile
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import IO

from skcovid.reading._limits import MAX_BYTES
from skcovid.reading._paths import format_path

_SUFFIX = ".zip"
# Bits of a member's flags: encrypted, and strongly encrypted.
_ENCRYPTED = 0x41
# Deflate reaches 1032:1 on one repeated byte; radiographs, even uncompressed ones with
# black margins, stay below 20:1. Small archives may hold blank test images.
_MAX_RATIO = 100
_RATIO_MATTERS_FROM = 2**30
# A drive or root at the beginning, a parent folder on the way, a backslash anywhere.
_UNSAFE_NAME = re.compile(r"[A-Za-z]:|/|(.*/)?\.\.(/|$)|.*\\", re.DOTALL)


def is_archive(path: Path) -> bool:
    """Whether a path is that of a zip archive, by its suffix."""
    return path.suffix.lower() == _SUFFIX and path.is_file()


def find_archive(path: str) -> tuple[Path, str] | None:
    """Split a path that leads into an archive into archive and member."""
    if _SUFFIX not in path.lower():
        return None
    for parent in Path(path).parents:
        if is_archive(parent):
            return parent, Path(path).relative_to(parent).as_posix()
    return None


def identify_member(archive: Path, member: str) -> tuple[int, int, str] | None:
    """Device and inode of an archive and the name in it; None without such a file."""
    if member not in _open_archive(archive).NameToInfo:
        return None
    status = archive.stat()
    return status.st_dev, status.st_ino, member


def open_member(archive: Path, member: str) -> IO[bytes]:
    """Open a file in an archive."""
    members = _open_archive(archive)
    info = members.NameToInfo.get(member)
    if info is not None and info.flag_bits & _ENCRYPTED:
        raise ValueError(
            f"{format_path(archive / member)}: encrypted in the archive; unpack it "
            "with its password and give the folder"
        )
    try:
        return members.open(member)
    except KeyError:
        raise FileNotFoundError(
            f"{format_path(archive / member)}: no such file in the archive"
        ) from None
    except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{format_path(archive / member)}: can't be read from the archive "
            f"({error}); unpack it and give the folder"
        ) from error


def list_members(archive: Path) -> tuple[list[str], list[str]]:
    """List the files and the folders in an archive."""
    files, folders = [], set()
    for info in _open_archive(archive).infolist():
        name = info.filename.rstrip("/")
        parents = name.split("/") if info.is_dir() else name.split("/")[:-1]
        folders |= {"/".join(parents[:depth]) for depth in range(1, len(parents) + 1)}
        if not info.is_dir():
            files.append(name)
    return files, sorted(folders)


def _open_archive(path: Path) -> zipfile.ZipFile:
    status = path.stat()
    # The process, because a fork shares the position in an open file.
    changed = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return _keep_open(path, changed, os.getpid())


# Reading the directory of a large archive takes longer than reading a member.
@lru_cache(maxsize=8)
def _keep_open(path: Path, status: tuple[int, ...], process: int) -> zipfile.ZipFile:
    shown = format_path(path)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"{shown}: not a readable zip archive ({error})") from error
    infos = archive.infolist()
    # "./a/1.png" and "a//1.png" are names of a/1.png.
    normal = [posixpath.normpath(info.filename) for info in infos]
    names = Counter(normal)
    for info, name in zip(infos, normal, strict=True):
        if _UNSAFE_NAME.match(info.filename):
            raise ValueError(
                f"{shown}: names files outside the archive or with backslashes, such "
                f"as {info.filename!r}. It may be hostile; make it again from the "
                "folder"
            )
        if names[name] > 1:
            raise ValueError(
                f"{shown}: holds {names[name]} entries named {name!r}; make it again "
                "from the folder"
            )
        if info.file_size > MAX_BYTES:
            raise ValueError(
                f"{shown}: {info.filename!r} would unpack to {info.file_size:,} bytes, "
                f"more than the limit of {MAX_BYTES:,}"
            )
        info.filename = f"{name}/" if info.is_dir() else name
    total = sum(info.file_size for info in infos)
    if total > max(_RATIO_MATTERS_FROM, _MAX_RATIO * status[0]):
        raise ValueError(
            f"{shown}: may be a zip bomb: it would unpack to {total:,} bytes, more "
            f"than {_MAX_RATIO} times its size. If you trust it, give it unpacked"
        )
    archive.NameToInfo = {info.filename: info for info in infos}
    return archive
