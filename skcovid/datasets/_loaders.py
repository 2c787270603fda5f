"""Radiographs on disk: paths, labels and patients of a folder of class folders."""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import validate_params

from skcovid.datasets._metadata import Metadata, enumerate_some, read_metadata
from skcovid.datasets._patients import find_patients

__all__ = ["IMAGE_SUFFIXES", "RESERVED_NAMES", "is_hidden", "load_radiographs"]

# What `skcovid.reading` reads.
IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm"}
    | {".dcm", ".dicom"}
)

# Sub-folders of a class folder in the later releases of the COVID-19 Radiography
# Database.
_IMAGES, _MASKS = "images", "masks"
RESERVED_NAMES = frozenset({_IMAGES, _MASKS})
# Left by Windows, and by macOS in archives.
_SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


@dataclass
class _ClassFolder:
    """What lies in one class folder, paths below the root."""

    path: Path
    images: list[Path] = field(default_factory=list)
    n_masks: int = 0
    others: list[Path] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.name


class _Patients(NamedTuple):
    """Patients of all images, if known, and per class how they were found."""

    groups: list[str] | None
    origins: list[str]


@validate_params(
    {
        "root": [str, os.PathLike],
        "class_names": [list, tuple, np.ndarray, None],
        "metadata": [str, os.PathLike, None],
    },
    prefer_skip_nested_validation=True,
)
def load_radiographs(
    root: str | os.PathLike,
    *,
    class_names: Sequence[str] | None = None,
    metadata: str | os.PathLike | None = "auto",
) -> Bunch:
    """Find the radiographs in a folder that holds one folder per class.

    No image is opened: :class:`skcovid.RadiographReader` reads the paths. A class's
    images lie in its folder, or in a folder ``images`` therein, with lung masks in a
    folder ``masks`` beside it that are left alone: both layouts of the COVID-19
    Radiography Database.

    Parameters
    ----------
    root : str or path-like
        The folder of class folders. Hidden files and folders, and those that operating
        systems leave, are as if they weren't there.
    class_names : list of str, default=None
        Class folders to load; the others are not looked at. All by default.
    metadata : str, path-like or None, default="auto"
        A CSV table with a row per image: its ``file``, relative to `root`, and any of
        ``label`` (checked against the folder), ``patient`` and ``source_name``. "auto"
        stands for ``metadata.csv`` in `root`, if there is one. None: no table is read.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with the attributes

        paths : ndarray of shape (n_images,), object
            Paths of the images, each a str that begins with `root` as given; by class
            name, then by file name with numbers in numeric order.
        target : ndarray of shape (n_images,), str
            Labels: the names of the class folders.
        target_names : list of str
            The classes, sorted.
        groups : ndarray of shape (n_images,), str, or None
            Patient of each image, from the table's patient column or else from file
            names: where all names of a class folder follow the scheme of the Kermany
            paediatric set or of NIH ChestX-ray14. An image of a class whose patients
            are not known is a group of its own. None if no class's are.
        source : ndarray of shape (n_images,), str, or None
            The table's source column, if it has one.
        ignored : list of str
            Files in class folders that are no images, and images outside any.
        DESCR : str
            Counts, how patients were found, what was ignored.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no such table.
    NotADirectoryError
        If `root` is a file.
    ValueError
        If there are fewer than two classes, a class has no images, or the table leaves
        out an image or contradicts its folder.

    Warns
    -----
    UserWarning
        If files are ignored, or rows of the table name files that do not exist.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from skcovid.datasets import (
    ...     load_radiographs, make_radiographs, save_radiographs
    ... )
    >>> X, y = make_radiographs(6, image_size=32, random_state=0, return_X_y=True)
    >>> with TemporaryDirectory() as folder:
    ...     save_radiographs(X, y, folder)
    ...     data = load_radiographs(folder)
    >>> data.target_names
    ['COVID-19', 'NORMAL', 'Viral Pneumonia']
    >>> data.paths.shape, data.target.shape, data.groups
    ((6,), (6,), None)
    """
    root = Path(root)
    available, stray = _list_root(root)
    folders = [_scan(root / name) for name in _choose(root, available, class_names)]
    for folder in folders:
        _check_not_empty(folder)
    paths = [path for folder in folders for path in folder.images]
    target = [folder.name for folder in folders for _ in folder.images]
    files = [path.relative_to(root).as_posix() for path in paths]
    table = _read_table(root, metadata)
    if table is not None:
        table.check(files, target)
    patients = _find_patients(root, folders, table, files)
    ignored = stray + [path for folder in folders for path in folder.others]
    for message in _remarks(root, table, [str(path) for path in ignored]):
        warnings.warn(message, UserWarning, stacklevel=3)
    source = None if table is None else table.column("source", files)
    return Bunch(
        paths=np.array([str(path) for path in paths], dtype=object),
        target=np.array(target),
        target_names=[folder.name for folder in folders],
        groups=None if patients.groups is None else np.array(patients.groups),
        source=None if source is None else np.array(source),
        ignored=[str(path) for path in ignored],
        DESCR=_describe(root, folders, target, patients, ignored),
    )


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's.

    Parameters
    ----------
    name : str
        Its name.

    Returns
    -------
    bool
    """
    return name.startswith(".") or name.casefold() in _SYSTEM_NAMES


def _list_root(root: Path) -> tuple[list[str], list[Path]]:
    """Names of the folders in the root, and the images beside them."""
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder")
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: a file; give the folder of class folders")
    entries = [entry for entry in root.iterdir() if not is_hidden(entry.name)]
    names = sorted(entry.name for entry in entries if entry.is_dir())
    stray = [entry for entry in entries if _is_image(entry) and not entry.is_dir()]
    layout = f"Expected {root / '<class>' / '<image>'}, a folder for each class."
    if RESERVED_NAMES.intersection(name.casefold() for name in names):
        raise ValueError(
            f"{root} holds images and masks of one class: {', '.join(names)}. {layout}"
        )
    if not names:
        found = f"but {len(stray)} images" if stray else "and no image"
        raise ValueError(f"{root} holds no class folder {found}. {layout}")
    return names, sorted(stray, key=_natural_order)


def _choose(
    root: Path, available: Sequence[str], class_names: Sequence[str] | None
) -> list[str]:
    if class_names is None:
        chosen = list(available)
    else:
        unknown = [name for name in class_names if name not in available]
        if unknown:
            raise ValueError(
                f"class_names: {root} has no folder "
                f"{', '.join(map(repr, unknown))}; its folders are "
                f"{', '.join(map(repr, available))}."
            )
        chosen = sorted({str(name) for name in class_names})
    if len(chosen) < 2:
        raise ValueError(
            f"Classification needs at least two classes, got {len(chosen)} in {root}: "
            f"{', '.join(map(repr, chosen)) or 'class_names is empty'}."
        )
    return chosen


def _scan(path: Path) -> _ClassFolder:
    folder = _ClassFolder(path)
    for file in _walk(path):
        place = [part.casefold() for part in file.relative_to(path).parts[:-1]]
        if place[:1] == [_MASKS]:
            folder.n_masks += 1
        elif _is_image(file) and place in ([], [_IMAGES]):
            folder.images.append(file)
        else:
            folder.others.append(file)
    folder.images.sort(key=_natural_order)
    folder.others.sort(key=_natural_order)
    return folder


def _walk(path: Path) -> Iterator[Path]:
    """Files at any depth; links to folders are followed."""

    def fail(error: OSError) -> None:
        raise error

    for parent, subfolders, names in os.walk(path, onerror=fail, followlinks=True):
        subfolders[:] = [name for name in subfolders if not is_hidden(name)]
        yield from (Path(parent, name) for name in names if not is_hidden(name))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _natural_order(path: Path) -> tuple[list[str | int], Path]:
    # Splitting by a group alternates text and numbers, so equal positions compare.
    parts = re.split(r"(\d+)", path.name.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], path


def _check_not_empty(folder: _ClassFolder) -> None:
    if folder.images:
        return
    nested = {path.relative_to(folder.path).parts[0] for path in folder.others}
    nested &= {path.name for path in folder.path.iterdir() if path.is_dir()}
    if nested:
        advice = (
            f"only further down, in {', '.join(sorted(nested))}. If those are the "
            f"classes, give {folder.path} as root"
        )
    else:
        advice = f"that is, no file there ends in {', '.join(sorted(IMAGE_SUFFIXES))}"
    raise ValueError(
        f"Class folder {folder.path} holds no image, {advice}; or name the folders to "
        "load with class_names."
    )


def _read_table(root: Path, metadata: str | os.PathLike | None) -> Metadata | None:
    if metadata is None:
        return None
    if metadata != "auto":
        return read_metadata(Path(metadata))
    path = root / "metadata.csv"
    return read_metadata(path) if path.is_file() else None


def _find_patients(
    root: Path,
    folders: Sequence[_ClassFolder],
    table: Metadata | None,
    files: Sequence[str],
) -> _Patients:
    if table is not None and (groups := table.column("patient", files)) is not None:
        return _Patients(groups, [f"from {table.path}"] * len(folders))
    groups, origins = [], []
    for folder in folders:
        found = find_patients([path.stem for path in folder.images])
        if found is None:
            origins.append("not known")
            groups += [path.relative_to(root).as_posix() for path in folder.images]
        else:
            scheme, patients = found
            origins.append(f"from file names ({scheme})")
            groups += patients
    known = any(origin != "not known" for origin in origins)
    return _Patients(groups if known else None, origins)


def _remarks(
    root: Path, table: Metadata | None, ignored: Sequence[str]
) -> Iterator[str]:
    if ignored:
        yield (
            f"{len(ignored)} files in {root} are ignored, for they are no images or "
            "not directly in a class folder (`ignored` lists them all): "
            f"{enumerate_some(ignored)}"
        )
    if table is None:
        return
    missing = [file for file in table.rows if not (root / file).exists()]
    if missing:
        yield (
            f"{table.path} has rows for {len(missing)} files that don't exist: "
            f"{enumerate_some(missing)}"
        )


def _describe(
    root: Path,
    folders: Sequence[_ClassFolder],
    target: Sequence[str],
    patients: _Patients,
    ignored: Sequence[Path],
) -> str:
    lines = [f"Radiographs in {root}", ""]
    for folder, origin in zip(folders, patients.origins, strict=True):
        count = f"{folder.name}: images {len(folder.images)}"
        if origin == "not known":
            lines.append(f"{count}, patients not known")
        else:
            assert patients.groups is not None
            pairs = zip(patients.groups, target, strict=True)
            n_patients = len({group for group, name in pairs if name == folder.name})
            lines.append(f"{count}, patients {n_patients} ({origin})")
        if folder.n_masks:
            lines[-1] += f", masks left alone {folder.n_masks}"
    lines += ["", _describe_groups(patients), f"Files ignored: {len(ignored)}"]
    return "\n".join([*lines, *(str(path) for path in ignored)])


def _describe_groups(patients: _Patients) -> str:
    if patients.groups is None:
        return "Groups: none, as no patient is known."
    count = f"Groups: {len(set(patients.groups))}"
    if "not known" in patients.origins:
        return f"{count}, where an image whose patient is not known is its own."
    return f"{count}, one per patient."
