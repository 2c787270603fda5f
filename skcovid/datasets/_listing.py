"""List the files and folders of a set, on disk or in a zip archive."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from skcovid.reading._dicom_headers import DICOM_SUFFIXES, is_dicom
from skcovid.reading._files import open_file
from skcovid.reading._image_formats import IMAGE_SUFFIXES, starts_as_image
from skcovid.reading._paths import format_path
from skcovid.reading._zip_archives import is_archive, list_members

# Written by Windows, by macOS in archives, and by DICOM exports beside the images.
_SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "dicomdir"})


@dataclass(frozen=True)
class Listing:
    """Files and folders at any depth, without hidden ones."""

    root: Path
    files: list[PurePosixPath]
    folders: list[PurePosixPath]

    @property
    def top_folders(self) -> list[str]:
        """Names of the folders in the root itself, sorted."""
        return sorted(folder.name for folder in self.folders if _is_top(folder))

    @property
    def top_images(self) -> list[PurePosixPath]:
        """Images in the root itself, in natural order."""
        files = (file for file in self.files if _is_top(file))
        images = [file for file in files if kind_of_image(self.root / file)]
        return sorted(images, key=natural_order)

    def enter(self, name: str) -> "Listing":
        """List one of the folders in the root."""

        def below(paths: Iterable[PurePosixPath]) -> list[PurePosixPath]:
            inside = (path for path in paths if path.parts[:1] == (name,))
            return [path.relative_to(name) for path in inside if not _is_top(path)]

        return Listing(self.root / name, below(self.files), below(self.folders))


def list_files(root: Path) -> Listing:
    """List a folder on disk, an archive, or a folder in an archive."""
    if root.is_dir():
        return _list_folder(root)
    for archive in (root, *root.parents):
        if is_archive(archive):
            listing = Listing(archive, *map(_visible, list_members(archive)))
            for name in root.relative_to(archive).parts:
                if name not in listing.top_folders:
                    raise FileNotFoundError(
                        f"{format_path(root)}: no such folder in the archive"
                    )
                listing = listing.enter(name)
            return listing
    raise FileNotFoundError(
        f"{format_path(root)}: no such folder or file. Check the path."
    )


def kind_of_image(path: Path) -> Literal["dicom", "other"] | None:
    """Find the kind of an image by its suffix, or else by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "dicom" if suffix in DICOM_SUFFIXES else "other"
    try:
        with open_file(path) as stream:
            start = stream.read(132)
    except (OSError, ValueError):
        return None
    if is_dicom(path, start):
        return "dicom"
    return "other" if starts_as_image(start) else None


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden or written by the operating system."""
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
    # Links to folders are followed, except to a folder that contains them.
    for parent, below, names in os.walk(root, onerror=fail, followlinks=True):
        loops = [name for name in below if _leads_back(Path(parent, name))]
        below[:] = [name for name in below if not is_hidden(name) and name not in loops]
        place = PurePosixPath(Path(parent).relative_to(root).as_posix())
        folders += [place / name for name in below]
        files += [place / name for name in [*names, *loops] if not is_hidden(name)]
    return Listing(root, files, folders)


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to a folder that contains it."""
    if not folder.is_symlink():
        return False
    around = [*folder.absolute().parents, *folder.parent.resolve().parents]
    return any(folder.samefile(parent) for parent in around)


def _visible(names: Iterable[str]) -> list[PurePosixPath]:
    paths = map(PurePosixPath, names)
    return [path for path in paths if not any(map(is_hidden, path.parts))]


def _is_top(path: PurePosixPath) -> bool:
    return len(path.parts) == 1
