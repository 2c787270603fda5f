"""What lies in a folder or a zip archive, but for what is none of the user's."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from skcovid.reading._dicom_headers import DICOM_SUFFIXES, is_dicom
from skcovid.reading._files import open_file
from skcovid.reading._zip_archives import is_archive, list_members

__all__ = [
    "IMAGE_SUFFIXES",
    "Listing",
    "is_hidden",
    "kind_of_image",
    "list_files",
    "natural_order",
]

# What `skcovid.reading._read` reads; DICOM files may have any other suffix, too.
IMAGE_SUFFIXES = DICOM_SUFFIXES | {
    *(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm")
}
# Left by Windows, by macOS in archives, and by DICOM exports beside the images.
_SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "dicomdir"})


@dataclass(frozen=True)
class Listing:
    """Files and folders at any depth, hidden ones left out."""

    root: Path
    files: tuple[PurePosixPath, ...]
    folders: tuple[PurePosixPath, ...]

    @property
    def top_folders(self) -> list[str]:
        """Names of the folders in the root itself, sorted."""
        return sorted(folder.name for folder in self.folders if _depth(folder) == 1)

    @property
    def top_images(self) -> list[PurePosixPath]:
        """Images in the root itself, in natural order."""
        files = (file for file in self.files if _depth(file) == 1)
        images = [file for file in files if kind_of_image(self.root / file)]
        return sorted(images, key=natural_order)

    def enter(self, name: str) -> "Listing":
        """List one of the folders in the root."""
        return Listing(
            self.root / name, _below(name, self.files), _below(name, self.folders)
        )


def list_files(root: Path) -> Listing:
    """List a folder on disk or in a zip archive, or all of an archive."""
    if root.is_dir():
        return _list_folder(root)
    for archive in (root, *root.parents):
        if is_archive(archive):
            listing = _list_archive(archive)
            for name in root.relative_to(archive).parts:
                if name not in listing.top_folders:
                    raise FileNotFoundError(f"{root}: no such folder in the archive")
                listing = listing.enter(name)
            return listing
    raise FileNotFoundError(f"{root}: no such folder or file")


def kind_of_image(path: Path) -> Literal["dicom", "other"] | None:
    """Which kind of image a file is, by its suffix or else its first bytes."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "dicom" if suffix in DICOM_SUFFIXES else "other"
    try:
        with open_file(path) as stream:
            start = stream.read(132)
    except (OSError, ValueError):
        return None
    return "dicom" if is_dicom(path, start) else None


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's."""
    return name.startswith(".") or name.casefold() in _SYSTEM_NAMES


def natural_order(path: PurePosixPath) -> tuple[list[str | int], PurePosixPath]:
    """Key that sorts by file name, with numbers in numeric order."""
    # Splitting by a group alternates text and numbers, so equal positions compare.
    parts = re.split(r"(\d+)", path.name.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], path


def _list_folder(root: Path) -> Listing:
    def fail(error: OSError) -> None:
        raise error

    files, folders = [], []
    # Links to folders are followed, unless to one that they lie in.
    for parent, below, names in os.walk(root, onerror=fail, followlinks=True):
        loops = [name for name in below if _leads_back(Path(parent, name))]
        below[:] = [name for name in below if not is_hidden(name) and name not in loops]
        place = PurePosixPath(Path(parent).relative_to(root).as_posix())
        folders += [place / name for name in below]
        files += [place / name for name in [*names, *loops] if not is_hidden(name)]
    return Listing(root, tuple(files), tuple(folders))


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in, through other links or not."""
    if not folder.is_symlink():
        return False
    around = [*folder.absolute().parents, *folder.parent.resolve().parents]
    return any(folder.samefile(parent) for parent in around)


def _list_archive(path: Path) -> Listing:
    files, folders = (
        tuple(
            place
            for place in map(PurePosixPath, names)
            if not any(map(is_hidden, place.parts))
        )
        for names in list_members(path)
    )
    return Listing(path, files, folders)


def _depth(path: PurePosixPath) -> int:
    return len(path.parts)


def _below(name: str, paths: Iterable[PurePosixPath]) -> tuple[PurePosixPath, ...]:
    return tuple(
        path.relative_to(name)
        for path in paths
        if len(path.parts) > 1 and path.parts[0] == name
    )
