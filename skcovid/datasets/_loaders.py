"""Radiographs on disk: paths, labels, patients, sources and views of a set."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skcovid._base._compatibility import Interval, StrOptions, validate_params
from skcovid.datasets._bad_files import leave_out_bad_files
from skcovid.datasets._metadata import enumerate_some
from skcovid.datasets._provenance import NOT_KNOWN, Provenance, find_provenance
from skcovid.datasets._sets import RadiographSet, from_folders, from_table
from skcovid.reading._dicom_headers import FRONTAL_VIEWS
from skcovid.reading._paths import format_path

__all__ = ["load_radiographs"]


@validate_params(
    {
        "root": [str, os.PathLike],
        "class_names": [list, tuple, np.ndarray, None],
        "metadata": [str, os.PathLike, None],
        "views": [StrOptions({"all", "frontal"})],
        "split_pneumonia": ["boolean"],
        "on_error": [StrOptions({"raise", "report"})],
        "n_jobs": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    }
)
def load_radiographs(
    root: str | os.PathLike,
    *,
    class_names: Sequence[str] | None = None,
    metadata: str | os.PathLike | None = "auto",
    views: Literal["all", "frontal"] = "all",
    split_pneumonia: bool = False,
    on_error: Literal["raise", "report"] = "raise",
    n_jobs: int = 2,
    verbose: int = 1,
) -> Bunch:
    """Find the radiographs of a folder, a zip archive or a table.

    Unless `on_error` is "report", no pixels are read, only the headers of DICOM files:
    :class:`skcovid.RadiographReader` reads the paths. Layouts that are understood, on
    disk or in an archive:

    - a folder for each class;
    - the COVID-19 Radiography Database, all releases: images in the class folders or
      in ``images`` therein, lung masks in ``masks`` beside them, which are left alone;
    - the paediatric set of Kermany et al., and any other with class folders in
      ``train``, ``val`` and ``test``.

    Parameters
    ----------
    root : str or path-like
        A folder, a zip archive of one (read in place, nothing is unpacked), a folder
        in an archive, or a CSV table. Hidden files and folders, and those that
        operating systems leave, are as if they weren't there. A table has the columns
        ``path`` (relative to the table's folder, or absolute) and ``label``, and any of
        ``patient``, ``source``, ``view`` and ``split``.
    class_names : list of str, default=None
        Classes to load; the others are left out. All by default.
    metadata : str, path-like or None, default="auto"
        A CSV table beside the folders, with a row per image: its ``path``, relative to
        the folder of class folders, and any of ``label`` (checked against the folder),
        ``patient``, ``source`` and ``view``; or the table of the Cohen collection,
        which names files without their folder (:func:`cohen_patients`). "auto" stands
        for ``metadata.csv`` in that folder, if there is one. None: no table is read.
    views : {"all", "frontal"}, default="all"
        "frontal" keeps the images known to be postero-anterior or antero-posterior;
        `dropped` lists the others, and `DESCR` counts them by view.
    split_pneumonia : bool, default=False
        Whether the Kermany set's ``PNEUMONIA`` becomes ``Bacterial Pneumonia`` and
        ``Viral Pneumonia``, by file name.
    on_error : {"raise", "report"}, default="raise"
        What becomes of files that can't be read. "raise": bad headers of DICOM files
        and files that a table names and that don't exist are errors here, all others
        when :class:`skcovid.RadiographReader` takes the paths; each lists all of them.
        "report": every file is read once, here, and bad ones are left out;
        `bad_files` says which and why.
    n_jobs : int, default=2
        Threads that read files, if `on_error` is "report".
    verbose : int, default=1
        0 hides the bars over files and DICOM headers.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with the attributes

        paths : ndarray of shape (n_images,), object
            Paths of the images, each a str that begins with `root` as given; by class
            name, then by file name with numbers in numeric order. Those of a table
            begin with its folder and are in its order. Those in an archive go through
            it, as in ``radiographs.zip/NORMAL/1.png``.
        target : ndarray of shape (n_images,), str
            Labels: the names of the class folders, or the table's.
        target_names : list of str
            The classes, sorted.
        groups : ndarray of shape (n_images,), str, or None
            Patient of each image: from the table's patient column, or else from the
            patient ID of DICOM files, or else from file names, where all names of a
            class follow one scheme (that of the Kermany set or of NIH ChestX-ray14,
            say). A DICOM file whose patient ID is empty or a placeholder counts by its
            study. An image of which nothing is known is a group of its own. None if
            nothing is known of any.
        source : ndarray of shape (n_images,), str, or None
            Source of each image, empty where not known: the table's source column, or
            else the institution of DICOM files and the set whose scheme file names
            follow. None if none is known.
        view_position : ndarray of shape (n_images,), object, or None
            ``PA``, ``AP``, ``LATERAL`` or another in capitals, None where not known:
            the table's view column, or else that of DICOM files. None if none is known.
        split : ndarray of shape (n_images,), str, or None
            ``train``, ``val`` or ``test``, where the folders or the table say so.
        dropped : list of str
            Images left out by `views`.
        ignored : list of str
            Files in class folders that are no images, and images outside any.
        bad_files : dict of str to str
            Why a file can't be read, by the path of each that was left out for it.
            Empty if `on_error` is "raise".
        DESCR : str
            Layout, counts, how patients were found, what was left out, dropped and
            ignored.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or table, or a file that a table given as `root`
        names.
    NotADirectoryError
        If `root` is another file.
    ImportError
        If there are DICOM files, and pydicom is not installed.
    ValueError
        If there are fewer than two classes, a class has no images, the layout is not
        understood, the table leaves out an image, contradicts its folder or has columns
        that are not understood, the archive is damaged or not safe to read, DICOM
        files are no radiographs (all are listed), or `on_error` is "report" and no
        file of a class can be read.
    OSError
        If a folder may not be read.

    Warns
    -----
    UserWarning
        If files are ignored or left out, rows of the table name files that do not
        exist, or DICOM files name no patient.

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
    if root.suffix.lower() == ".csv" and root.is_file():
        _check_no_folders_meant(metadata, split_pneumonia)
        all_must_exist = on_error == "raise"
        found = from_table(root, class_names, all_must_exist=all_must_exist)
    else:
        found = from_folders(
            root, class_names, metadata, split_pneumonia=split_pneumonia
        )
    bad_files: dict[str, str] = {}
    if on_error == "report":
        found, bad_files = leave_out_bad_files(found, n_jobs=n_jobs, verbose=verbose)
    provenance = find_provenance(
        found.paths, found.files, found.labels, found.table, verbose=verbose
    )
    for message in _remarks(found, provenance, bad_files):
        warnings.warn(message, UserWarning, stacklevel=3)
    kept = np.ones(len(found.paths), dtype=bool)
    if views == "frontal":
        kept[:] = [view in FRONTAL_VIEWS for view in provenance.views]
        _check_classes_left(found, provenance, kept)
    return _bundle(found, provenance, kept, bad_files)


def _check_no_folders_meant(
    metadata: str | os.PathLike | None, split_pneumonia: bool
) -> None:
    if metadata not in ("auto", None):
        raise ValueError(
            "metadata goes with a folder or an archive; root is a table itself."
        )
    if split_pneumonia:
        raise ValueError(
            "split_pneumonia=True is for the folders of the Kermany set; root is a "
            "table, whose labels can say it."
        )


def _remarks(
    found: RadiographSet, provenance: Provenance, bad_files: dict[str, str]
) -> Iterator[str]:
    if bad_files:
        yield (
            f"{len(bad_files)} files in {found.name} can't be read and are left out "
            f"(`bad_files` says why): {enumerate_some(list(bad_files))}"
        )
    if found.ignored:
        yield (
            f"{len(found.ignored)} files in {found.name} are ignored, for they are no "
            "images or not directly in a class folder (`ignored` lists them all): "
            f"{enumerate_some(found.ignored)}"
        )
    if found.table is not None and found.absent:
        yield (
            f"{found.table.path} has rows for {len(found.absent)} files that don't "
            f"exist: {enumerate_some(found.absent)}"
        )
    if provenance.n_nameless:
        yield (
            f"{provenance.n_nameless} DICOM files name no patient: their patient ID is "
            "empty or a placeholder. Their study stands in for the patient, or else "
            "the image, so that images of one patient may get apart; a table with a "
            "column patient keeps them together."
        )


def _check_classes_left(
    found: RadiographSet, provenance: Provenance, kept: NDArray[np.bool_]
) -> None:
    left = {found.labels[row] for row in np.flatnonzero(kept)}
    for label in sorted(set(found.labels) - left):
        own = [
            view
            for view, other in zip(provenance.views, found.labels, strict=True)
            if other == label
        ]
        raise ValueError(
            f"views='frontal' leaves no image of class {label!r} in {found.name}: its "
            f"views are {_count(own)}. Views come from DICOM headers or a table's "
            "column view."
        )


def _bundle(
    found: RadiographSet,
    provenance: Provenance,
    kept: NDArray[np.bool_],
    bad_files: dict[str, str],
) -> Bunch:
    def take(values: Sequence | None, dtype: type = str) -> NDArray | None:
        known = values is not None and any(values)
        return np.array(values, dtype=dtype)[kept] if known else None

    views = [view or None for view in provenance.views]
    return Bunch(
        paths=np.array(found.paths, dtype=object)[kept],
        target=np.array(found.labels)[kept],
        target_names=sorted(set(found.labels)),
        groups=take(provenance.groups),
        source=take(provenance.sources),
        view_position=take(views, object),
        split=take(found.splits),
        dropped=[
            path for path, keep in zip(found.paths, kept, strict=True) if not keep
        ],
        ignored=found.ignored,
        bad_files=bad_files,
        DESCR=_describe(found, provenance, kept, bad_files),
    )


def _describe(
    found: RadiographSet,
    provenance: Provenance,
    kept: NDArray[np.bool_],
    bad_files: dict[str, str],
) -> str:
    rows = np.flatnonzero(kept)
    labels = [found.labels[row] for row in rows]
    lines = [f"Radiographs in {found.name}", f"Layout: {found.layout}", ""]
    for label, n_images in sorted(Counter(labels).items()):
        lines.append(f"{label}: images {n_images}, patients ")
        origin = provenance.patient_origins[label]
        if origin == NOT_KNOWN or provenance.groups is None:
            lines[-1] += NOT_KNOWN
        else:
            own = {provenance.groups[row] for row in rows if found.labels[row] == label}
            lines[-1] += f"{len(own)} ({origin})"
        if found.n_masks[label]:
            lines[-1] += f", masks left alone {found.n_masks[label]}"
    lines += ["", _describe_groups(provenance, rows)]
    if any(found.splits):
        lines.append(f"Split: {_count([found.splits[row] for row in rows])}")
    if any(provenance.views):
        lines.append(f"Views: {_count([provenance.views[row] for row in rows])}")
    if not kept.all():
        views = [provenance.views[row] for row in np.flatnonzero(~kept)]
        lines.append(f"Dropped as not frontal: {len(views)}, {_count(views)}")
    if bad_files:
        lines.append(f"Files left out that can't be read: {len(bad_files)}")
        lines += [
            f"{format_path(path)}: {reason}" for path, reason in bad_files.items()
        ]
    lines += [f"Files ignored: {len(found.ignored)}", *map(format_path, found.ignored)]
    return "\n".join(lines)


def _count(values: Sequence[str]) -> str:
    counts = sorted(Counter(values).items())
    return ", ".join(f"{value or NOT_KNOWN} {count}" for value, count in counts)


def _describe_groups(provenance: Provenance, rows: NDArray[np.intp]) -> str:
    if provenance.groups is None:
        return "Groups: none, as no patient is known."
    count = f"Groups: {len({provenance.groups[row] for row in rows})}"
    if NOT_KNOWN in provenance.patient_origins.values():
        return f"{count}, where an image whose patient is not known is its own."
    return f"{count}, one per patient."
