"""The metadata table of the Cohen collection, which names files without folders."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from skcovid.datasets._metadata import Metadata, enumerate_some, parse_row, read_table
from skcovid.reading._paths import format_path


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
    return [row["patient"] for row in _find_rows(metadata, files)]


def is_cohen_table(path: Path) -> bool:
    """Whether a table has the columns of the Cohen collection, and no folders."""
    header, rows = read_table(path)
    names = [name.strip().casefold() for name in header]
    return set(names) >= {"patientid", "finding", "filename"} and not any(
        set("/\\").intersection(cells[names.index("filename")]) for _, cells in rows
    )


def read_cohen_table(path: Path, files: Sequence[str]) -> Metadata:
    """Read patients, views and attributes of images of the Cohen collection."""
    rows = dict(zip(files, _find_rows(path, files), strict=True))
    return Metadata(path, rows, frozenset({"path", "patient", "view"}))


def _find_rows(
    metadata: str | os.PathLike[str], files: Iterable[str | os.PathLike[str]]
) -> list[dict[str, str]]:
    """Patient, view and further columns of each file."""
    shown = format_path(metadata)
    rows: dict[str, dict[str, str]] = {}
    header, lines = read_table(metadata)
    names = [name.strip().casefold() for name in header]
    for column in ("patientid", "filename"):
        if column not in names:
            raise ValueError(
                f"{shown} has no column {column!r}; give the metadata.csv of the "
                "Cohen collection."
            )
    for line, cells in lines:
        cells_by_name = zip(names, map(str.strip, cells), strict=True)
        own = {"view": "", **{name: cell for name, cell in cells_by_name if name}}
        file, own["patient"] = own.pop("filename"), own.pop("patientid")
        known = rows.setdefault(file, parse_row(metadata, line, own))
        pairs = [(row["patient"], row["view"]) for row in (known, own)]
        if pairs[0] != pairs[1]:
            raise ValueError(
                f"{shown} has two rows for {format_path(file)} with different patients "
                f"or views: {pairs[0]}, {pairs[1]}."
            )
    wanted = [PurePath(file).name for file in files]
    if unknown := [name for name in wanted if not rows.get(name, {}).get("patient")]:
        raise ValueError(
            f"{shown} gives no patient for {len(unknown)} of {len(wanted)} images: "
            f"{enumerate_some(unknown)}."
        )
    return [rows[name] for name in wanted]
