"""The table of the Cohen collection, which names files without their folder."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from skcovid.datasets._metadata import Metadata, enumerate_some
from skcovid.reading._files import open_file

__all__ = ["cohen_patients", "is_cohen_table", "read_cohen_table"]

# Each image's name, without a folder, to its patient and its view, empty if not known.
_Rows = dict[str, tuple[str, str]]


def cohen_patients(
    metadata: str | os.PathLike, files: Iterable[str | os.PathLike]
) -> list[str]:
    r"""Patients of images of the Cohen collection (COVID-19 image data collection).

    Its file names are those of the publications the images are from and name no
    patient. Its ``metadata.csv`` does, in the column ``patientid`` (``Patientid`` in
    early versions), beside ``filename``, which is without a folder. So the images may
    lie in any folders, such as one a class.

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
        two patients for one.

    See Also
    --------
    load_radiographs : Finds such a table beside the folders by itself.

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
    return [patient for patient, _ in _look_up(metadata, files)]


def is_cohen_table(path: Path) -> bool:
    """Whether a table is laid out as that of the Cohen collection."""
    try:
        with _open_table(path) as stream:
            table = csv.DictReader(stream)
            columns = _columns(table)
            return {"patientid", "finding", "filename"} <= columns.keys() and not any(
                set("/\\").intersection(row[columns["filename"]] or "") for row in table
            )
    except (UnicodeDecodeError, csv.Error):
        return False


def read_cohen_table(path: Path, files: Sequence[str]) -> Metadata:
    """Read patients and views of the images of the Cohen collection."""
    rows = {
        file: {"patient": patient, "view": view}
        for file, (patient, view) in zip(files, _look_up(path, files), strict=True)
    }
    return Metadata(path, rows, frozenset({"path", "patient", "view"}))


def _look_up(
    metadata: str | os.PathLike, files: Iterable[str | os.PathLike]
) -> list[tuple[str, str]]:
    rows = _read_rows(metadata)
    names = [PurePath(file).name for file in files]
    unknown = [name for name in names if not rows.get(name, ("", ""))[0]]
    if unknown:
        raise ValueError(
            f"{metadata} gives no patient for {len(unknown)} of {len(names)} images: "
            f"{enumerate_some(unknown)}."
        )
    return [rows[name] for name in names]


def _read_rows(metadata: str | os.PathLike) -> _Rows:
    rows: _Rows = {}
    with _open_table(metadata) as stream:
        table = csv.DictReader(stream)
        columns = _columns(table)
        for column in ("patientid", "filename"):
            if column not in columns:
                raise ValueError(
                    f"{metadata} has no column {column!r}; give the metadata.csv of "
                    "the Cohen collection."
                )
        for row in table:
            file, patient, view = (
                (row.get(columns.get(name, "")) or "").strip()
                for name in ("filename", "patientid", "view")
            )
            known, _ = rows.setdefault(file, (patient, view))
            if known != patient:
                raise ValueError(
                    f"{metadata} has two patients for {file}: {known!r} and "
                    f"{patient!r}."
                )
    return rows


def _open_table(path: str | os.PathLike) -> io.TextIOWrapper:
    return io.TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="")


def _columns(table: csv.DictReader) -> dict[str, str]:
    """Names of the columns as they are written, by the name in small letters."""
    return {name.strip().casefold(): name for name in table.fieldnames or []}
