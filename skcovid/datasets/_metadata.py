"""Labels, patients and sources from a table beside the images."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["Metadata", "enumerate_some", "read_metadata"]

# Column names are compared without regard to case, spaces and underscores.
_COLUMNS = {
    "file": ("file", "filename"),
    "label": ("label",),
    "patient": ("patient", "patientid"),
    "source": ("source", "sourcename"),
}
_NAMED_IN_ERRORS = 5


@dataclass(frozen=True)
class Metadata:
    """The rows of a table of images.

    Parameters
    ----------
    path : Path
        The table.
    rows : dict of str to dict of str to str
        From file, relative to the data set's root and with forward slashes, to what
        the row says: those of label, patient and source whose column exists.
    columns : frozenset of str
        Which of file, label, patient and source have a column.
    """

    path: Path
    rows: dict[str, dict[str, str]]
    columns: frozenset[str]

    def check(self, files: Sequence[str], labels: Sequence[str]) -> None:
        """Raise unless the table covers every file and agrees with its label.

        Parameters
        ----------
        files : sequence of str
            Files relative to the root, with forward slashes.
        labels : sequence of str
            Their labels.

        Raises
        ------
        ValueError
            If files have no row, or no patient where there is such a column, or
            another label in the table.
        """
        unlisted = [file for file in files if file not in self.rows]
        if unlisted:
            raise ValueError(
                f"{self.path} has no row for {len(unlisted)} of {len(files)} images: "
                f"{enumerate_some(unlisted)}. Add them, or pass metadata=None to do "
                "without it."
            )
        if "patient" in self.columns:
            unknown = [file for file in files if not self.rows[file]["patient"]]
            if unknown:
                raise ValueError(
                    f"{self.path} gives no patient for {len(unknown)} of {len(files)} "
                    f"images: {enumerate_some(unknown)}. Give every image one, its own "
                    "where the patient is not known."
                )
        if "label" in self.columns:
            contradictions = [
                f"{file} (label {self.rows[file]['label']!r})"
                for file, label in zip(files, labels, strict=True)
                if self.rows[file]["label"] != label
            ]
            if contradictions:
                raise ValueError(
                    f"{self.path} contradicts the folders of {len(contradictions)} "
                    f"images: {enumerate_some(contradictions)}. A label is the name of "
                    "the image's class folder."
                )

    def column(self, name: str, files: Sequence[str]) -> list[str] | None:
        """Entries of one column, or None if the table has no such column.

        Parameters
        ----------
        name : {"label", "patient", "source"}
            The column.
        files : sequence of str
            Files relative to the root, with forward slashes.

        Returns
        -------
        list of str or None
            One entry a file.
        """
        if name not in self.columns:
            return None
        return [self.rows[file][name] for file in files]


def read_metadata(path: Path) -> Metadata:
    """Read a CSV table of images: a header, commas, UTF-8 with or without a mark.

    Parameters
    ----------
    path : Path
        The table. It has a column ``file`` (or ``filename``), relative to the data
        set's root, and any of ``label``, ``patient`` (or ``patient_id``) and
        ``source`` (or ``source_name``).

    Returns
    -------
    Metadata

    Raises
    ------
    ValueError
        If the table can't be decoded, has no file column, two columns for one thing,
        a row of the wrong length, or two rows for one file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            positions = _find_columns(path, next(reader, []))
            rows: dict[str, dict[str, str]] = {}
            for cells in filter(None, reader):
                if len(cells) <= max(positions.values()):
                    raise ValueError(
                        f"{path}, line {reader.line_num}: {len(cells)} entries, fewer "
                        "than the header has columns."
                    )
                row = {name: cells[at].strip() for name, at in positions.items()}
                file = PurePosixPath(row.pop("file").replace("\\", "/")).as_posix()
                if file in rows:
                    raise ValueError(
                        f"{path}, line {reader.line_num}: a second row for {file}."
                    )
                rows[file] = row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a UTF-8 CSV table: {error}") from error
    return Metadata(path, rows, frozenset(positions))


def _find_columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    plain = ["".join(filter(str.isalnum, cell)).casefold() for cell in header]
    positions = {}
    for name, aliases in _COLUMNS.items():
        found = [at for at, cell in enumerate(plain) if cell in aliases]
        if len(found) > 1:
            columns = ", ".join(repr(header[at]) for at in found)
            raise ValueError(f"{path} has several columns for the {name}: {columns}.")
        if found:
            positions[name] = found[0]
    if "file" not in positions:
        raise ValueError(
            f"{path} has no column 'file' with the images' paths relative to the "
            f"root, but {', '.join(map(repr, header)) or 'no header'}. Rename the "
            "column, or pass metadata=None to do without the table."
        )
    return positions


def enumerate_some(names: Sequence[str]) -> str:
    """List the first five of some names, and say how many more there are.

    Parameters
    ----------
    names : sequence of str
        The names.

    Returns
    -------
    str
    """
    more = len(names) - _NAMED_IN_ERRORS
    shown = ", ".join(names[:_NAMED_IN_ERRORS])
    return f"{shown} and {more} more" if more > 0 else shown
