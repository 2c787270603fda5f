"""Load a set of radiographs: paths, labels, patients, sources and views."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skcovid._base._compatibility import Interval, StrOptions, validate_params
from skcovid.datasets._bad_files import leave_out_bad_files
from skcovid.datasets._metadata import enumerate_some
from skcovid.datasets._provenance import NOT_KNOWN, fill_provenance
from skcovid.datasets._sets import Radiograph, RadiographSet, from_folders, from_table
from skcovid.reading._dicom_headers import FRONTAL_VIEWS
from skcovid.reading._paths import format_path


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
    root: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
    metadata: str | os.PathLike[str] | None = "auto",
    views: Literal["all", "frontal"] = "all",
    split_pneumonia: bool = False,
    on_error: Literal["raise", "report"] = "raise",
    n_jobs: int = 2,
    verbose: int = 1,
) -> Bunch:
    """Find the radiographs of a folder, a zip archive or a table.

    It returns paths, for :class:`skcovid.RadiographReader`, and reads no pixels unless
    `on_error` is "report". Supported layouts, on disk or in an archive:

    - a folder for each class;
    - all releases of the COVID-19 Radiography Database: images in the class folders, or
      in ``images`` there with lung masks in ``masks``, which are ignored;
    - the paediatric set of Kermany et al., and any other with class folders in
      ``train``, ``val`` and ``test``.

    Parameters
    ----------
    root : str or path-like
        A folder, a zip archive of one (read in place), a folder in an archive, or a CSV
        table. Hidden files, and those that operating systems write, are skipped. A
        table has the columns ``path`` (absolute, or relative to the table's folder) and
        ``label``, and any of ``patient``, ``source``, ``view`` and ``split``.
    class_names : list of str, default=None
        Classes to load; all by default.
    metadata : str, path-like or None, default="auto"
        A CSV table with a row for each image: its ``path``, relative to the folder of
        class folders, and any of ``label`` (checked against the folder), ``patient``,
        ``source``, ``view`` and ``split``; or the table of the Cohen collection
        (:func:`cohen_patients`). "auto" reads ``metadata.csv`` in that folder, if it
        exists; None reads no table.
    views : {"all", "frontal"}, default="all"
        "frontal" keeps the images known to be postero-anterior or antero-posterior;
        `dropped` lists the others, and `DESCR` counts them by view.
    split_pneumonia : bool, default=False
        Whether to split the Kermany set's ``PNEUMONIA`` into ``Bacterial Pneumonia``
        and ``Viral Pneumonia``, by file name.
    on_error : {"raise", "report"}, default="raise"
        What to do with files that can't be read. "raise": missing files of a table and
        bad headers of DICOM files raise one error here that lists them, other files
        when :class:`skcovid.RadiographReader` reads them. "report": every file is read
        here, and `bad_files` has those that are left out.
    n_jobs : int, default=2
        Threads that read files, if `on_error` is "report".
    verbose : int, default=1
        0 hides the progress bars.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with the attributes

        paths : ndarray of shape (n_images,), object
            Paths of the images, each a str that begins with `root` (the table's folder,
            for a table); sorted by class name, then by file name with numbers in
            numeric order, or in the table's order. Paths in an archive look like
            ``radiographs.zip/NORMAL/1.png``.
        target : ndarray of shape (n_images,), str
            Labels: the names of the class folders, or the table's.
        target_names : list of str
            The classes, sorted.
        groups : ndarray of shape (n_images,), str, or None
            Patient of each image: from the table; or else the patient ID of a DICOM
            file, or its study if the ID is empty or a placeholder; or else from file
            names that follow the scheme of the Kermany set or of NIH ChestX-ray14. An
            image without a patient is a separate group. None if no patient is known.
        source : ndarray of shape (n_images,), str, or None
            Source of each image, or empty: from the table, or else the institution of a
            DICOM file, or the collection whose scheme file names follow. None if none
            is known.
        view_position : ndarray of shape (n_images,), object, or None
            ``PA``, ``AP``, ``LATERAL`` or another in capitals, or None: from the table,
            or else from DICOM files. None if none is known.
        split : ndarray of shape (n_images,), str, or None
            ``train``, ``val`` or ``test``, if the folders or the table say so.
        dropped : list of str
            Images left out by `views`.
        ignored : list of str
            Files in class folders that are not images, and images outside of any.
        bad_files : dict of str to str
            Reason why a file can't be read, by path; empty if `on_error` is "raise".
        DESCR : str
            Layout, counts, how patients were found, and what was left out.

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
        If there are fewer than two classes; a class has no images; the layout is not
        supported; one file is found by two paths; labels differ only by case or spaces;
        the table is not in UTF-8, lacks an image, contradicts its folder, or has
        unknown columns or a row of another length than its header; the archive is
        damaged or not safe; DICOM files are not radiographs; or `on_error` is "report"
        and no file of a class can be read.
    OSError
        If a folder cannot be read.

    Warns
    -----
    UserWarning
        If files are ignored or left out, rows of the table name missing files, or DICOM
        files, or some of the file names of a class, name no patient.

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
        if metadata not in ("auto", None) or split_pneumonia:
            raise ValueError(
                "metadata and split_pneumonia are for a folder or an archive, but root "
                "is a table; put their columns and labels into that table."
            )
        found = from_table(root, class_names, all_must_exist=on_error == "raise")
    else:
        found = from_folders(
            root, class_names, metadata, split_pneumonia=split_pneumonia
        )
    if on_error == "report":
        leave_out_bad_files(found, n_jobs=n_jobs, verbose=verbose)
    fill_provenance(found, verbose=verbose)
    for message in _list_warnings(found):
        warnings.warn(message, UserWarning, stacklevel=4)
    kept: list[Radiograph] = []
    dropped: list[Radiograph] = []
    for image in found.images:
        is_kept = views == "all" or image.view in FRONTAL_VIEWS
        (kept if is_kept else dropped).append(image)
    if lost := sorted({one.label for one in dropped} - {one.label for one in kept}):
        own = [image.view for image in dropped if image.label == lost[0]]
        raise ValueError(
            f"views='frontal' leaves no image of class {lost[0]!r} in {found.name}: "
            f"its views are {_count(own)}. Views come from DICOM headers or a table's "
            "column view."
        )
    return _bundle(found, kept, dropped)


def _list_warnings(found: RadiographSet) -> Iterator[str]:
    if found.bad_files:
        yield (
            f"{len(found.bad_files)} files in {found.name} can't be read and are left "
            f"out (`bad_files` says why): {enumerate_some(list(found.bad_files))}"
        )
    if found.ignored:
        yield (
            f"{len(found.ignored)} files in {found.name} are ignored, as they have "
            "neither suffix nor first bytes of an image, can't be opened, or are not "
            "directly in a class folder (`ignored` lists them all): "
            f"{enumerate_some(found.ignored)}"
        )
    if found.table is not None and found.absent:
        yield (
            f"{found.table.path} has rows for {len(found.absent)} files that don't "
            f"exist: {enumerate_some(found.absent)}"
        )
    if found.unnamed:
        yield (
            f"{len(found.unnamed)} images in {found.name} name no patient: a DICOM "
            "patient ID is empty or a placeholder, or a file name has not the form of "
            "others in its class. Each study, or else each image, counts as a patient, "
            "so images of one patient may be in different folds. To prevent that, pass "
            f"a table with a column patient. {enumerate_some(found.unnamed)}"
        )


def _bundle(
    found: RadiographSet, kept: Sequence[Radiograph], dropped: Sequence[Radiograph]
) -> Bunch:
    def column(name: str) -> NDArray[Any] | None:
        if not any(getattr(image, name) for image in found.images):
            return None
        return np.array([getattr(image, name) for image in kept])

    if (views := column("view")) is not None:
        views = views.astype(object)
        views[views == ""] = None
    has_patients = any(one != NOT_KNOWN for one in found.patient_origins.values())
    groups = [image.patient or image.file for image in kept] if has_patients else None
    return Bunch(
        paths=np.array([image.path for image in kept], dtype=object),
        target=np.array([image.label for image in kept]),
        target_names=found.class_names,
        groups=None if groups is None else np.array(groups),
        source=column("source"),
        view_position=views,
        split=column("split"),
        dropped=[image.path for image in dropped],
        ignored=found.ignored,
        bad_files=found.bad_files,
        DESCR=_describe(found, kept, dropped, groups),
    )


def _describe(
    found: RadiographSet,
    kept: Sequence[Radiograph],
    dropped: Sequence[Radiograph],
    groups: Sequence[str] | None,
) -> str:
    lines = [f"Radiographs in {found.name}", f"Layout: {found.layout}", ""]
    for label in found.class_names:
        own = [image.patient or image.file for image in kept if image.label == label]
        origin = found.patient_origins[label]
        patients = origin if origin == NOT_KNOWN else f"{len(set(own))} ({origin})"
        lines.append(f"{label}: images {len(own)}, patients {patients}")
        if found.n_masks[label]:
            lines[-1] += f", masks ignored {found.n_masks[label]}"
    if groups is None:
        lines += ["", "Groups: none, as no patient is known."]
    else:
        unknown = found.unnamed or NOT_KNOWN in found.patient_origins.values()
        of = "patient or unknown image" if unknown else "patient"
        lines += ["", f"Groups: {len(set(groups))}, one per {of}."]
    if any(image.split for image in found.images):
        lines.append(f"Split: {_count([image.split for image in kept])}")
    if any(image.view for image in found.images):
        lines.append(f"Views: {_count([image.view for image in kept])}")
    if dropped:
        views = _count([image.view for image in dropped])
        lines.append(f"Dropped as not frontal: {len(dropped)}, {views}")
    if found.bad_files:
        lines.append(f"Files left out that can't be read: {len(found.bad_files)}")
        for path, reason in found.bad_files.items():
            lines.append(f"{format_path(path)}: {reason}")
    lines += [f"Files ignored: {len(found.ignored)}", *map(format_path, found.ignored)]
    return "\n".join(lines)


def _count(values: Sequence[str]) -> str:
    counts = sorted(Counter(values).items())
    return ", ".join(f"{value or NOT_KNOWN} {count}" for value, count in counts)
