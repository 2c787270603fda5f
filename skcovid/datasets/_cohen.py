"""The metadata table of the Cohen collection, which names files without folders."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from skcovid.datasets._metadata import Metadata, enumerate_some, read_table


def cohen_patients(
    metadata: str | os.PathLike[str], files: Iterable[str | os.PathLike[str]]
) -> list[str]:
    r"""Patients of images of the Cohen collection (COVID-19 image data collection).

    Its file names do not contain the patient, but its ``metadata.csv`` does, in the
    columns ``filename`` and ``patientid`` (``Patientid`` in early versions). File names
    there have no folder, so the images may be in any folders.

    Parameters
    ----------
    metadata : str or path-like
        The collection's ``metadata.csv``, on disk or in a zip archive.
    files : iterable of str or path-like
        Images of the collection; only the last part of a path counts.

    Returns
    -------
    list of str
        Patient of each file.

    Raises
    ------
    FileNotFoundError
        If there is no such table.
    ValueError
        If the table lacks one of the columns, has no row or no patient for a file, or
        two patients or views for one.

    See Also
    --------
    load_radiographs : Finds such a table beside the class folders.

    References
    ----------
    J. P. Cohen, P. Morrison, L. Dao, K. Roth, T. Q. Duong and M. Ghassemi (2020).
    COVID-19 image data collection: prospective predictions are the future. Machine
    Learning for Biomedical Imaging, 1. https://github.com/ieee8023/covid-chestxray-dataset

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skcovid.datasets import cohen_patients
    >>> with TemporaryDirectory() as folder:
    ...     table = Path(folder, "metadata.csv")
    ...     _ = table.write_text("patientid,filename\n6,lancet-case2a.jpg\n")
    ...     cohen_patients(table, ["COVID-19/lancet-case2a.jpg"])
    ['6']
    """
    return [patient for patient, _ in _find_rows(metadata, files)]


def is_cohen_table(path: Path) -> bool:
    """Whether a table has the columns of the Cohen collection, and no folders."""
    columns = _read_columns(path)
    return columns.keys() >= {"patientid", "finding", "filename"} and not any(
        set("/\\").intersection(name) for name in columns["filename"]
    )


def read_cohen_table(path: Path, files: Sequence[str]) -> Metadata:
    """Read patients and views of images of the Cohen collection."""
    rows = {
        file: {"patient": patient, "view": view}
        for file, (patient, view) in zip(files, _find_rows(path, files), strict=True)
    }
    return Metadata(path, rows, frozenset({"path", "patient", "view"}))


def _find_rows(
    metadata: str | os.PathLike[str], files: Iterable[str | os.PathLike[str]]
) -> list[tuple[str, str]]:
    """Patient and view of each file; an empty str is a view that is not known."""
    rows: dict[str, tuple[str, str]] = {}
    columns = _read_columns(metadata)
    for column in ("patientid", "filename"):
        if column not in columns:
            raise ValueError(
                f"{metadata} has no column {column!r}; give the metadata.csv of the "
                "Cohen collection."
            )
    named, patients = columns["filename"], columns["patientid"]
    views = columns.get("view", [""] * len(named))
    for file, patient, view in zip(named, patients, views, strict=True):
        known = rows.setdefault(file, (patient, view))
        if known != (patient, view):
            raise ValueError(
                f"{metadata} has two rows for {file} with different patients or views: "
                f"{known}, {(patient, view)}."
            )
    names = [PurePath(file).name for file in files]
    unknown = [name for name in names if not rows.get(name, ("", ""))[0]]
    if unknown:
        raise ValueError(
            f"{metadata} gives no patient for {len(unknown)} of {len(names)} images: "
            f"{enumerate_some(unknown)}."
        )
    return [rows[name] for name in names]


def _read_columns(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read a table's columns, with their names in small letters."""
    header, rows = read_table(path)
    return {
        name.strip().casefold(): [cells[at].strip() for _, cells in rows]
        for at, name in enumerate(header)
    }
