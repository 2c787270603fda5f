"""A CSV table of images: their labels, patients, sources, views and splits."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from skcovid._base._label_checks import check_spelling
from skcovid.reading._files import identify, read_bytes
from skcovid.reading._paths import format_path

# Column names are compared without regard to case, spaces and punctuation.
_COLUMNS = {
    "path": ("path", "file", "filename", "filepath", "imagepath"),
    "label": ("label",),
    "patient": ("patient", "patientid"),
    "source": ("source", "sourcename"),
    "view": ("view", "viewposition"),
    "split": ("split",),
}
# Names in other sets, which an error suggests to rename.
_GUESSES = {
    **dict.fromkeys(("image", "img", "imageid", "imageindex", "imagename"), "path"),
    **dict.fromkeys(("class", "diagnosis", "finding", "findinglabels"), "label"),
    **dict.fromkeys(("findings", "target", "y"), "label"),
    **dict.fromkeys(("case", "caseid", "person", "subject", "subjectid"), "patient"),
    **dict.fromkeys(("dataset", "hospital", "institution", "origin", "site"), "source"),
    **dict.fromkeys(("position", "projection"), "view"),
    **dict.fromkeys(("fold", "partition", "set", "subset"), "split"),
}
_NAMED_IN_ERRORS = 5


@dataclass(frozen=True)
class Metadata:
    """The rows of a table of images, by file; each has an entry for every column."""

    path: Path
    rows: dict[str, dict[str, str]]
    columns: frozenset[str]

    def check(self, labels: Mapping[str, str]) -> None:
        """Raise unless each file has a row with a patient and the given label."""
        n_files = f"of {len(labels)} images"
        if unlisted := [file for file in labels if file not in self.rows]:
            raise ValueError(
                f"{self.path} has no row for {len(unlisted)} {n_files}: "
                f"{enumerate_some(unlisted)}. Add them, or pass metadata=None to "
                f"ignore the table.{unicode_hint(unlisted, self.rows)}"
            )
        for column in ("label", "patient"):
            if empty := [file for file in labels if self.rows[file].get(column) == ""]:
                raise ValueError(
                    f"{self.path} gives no {column} for {len(empty)} {n_files}: "
                    f"{enumerate_some(empty)}. Fill the column; an image of an unknown "
                    "patient needs one of its own."
                )
        contradictions = [
            f"{file} (label {self.rows[file]['label']!r})"
            for file, label in labels.items()
            if self.rows[file].get("label", label) != label
        ]
        if contradictions:
            raise ValueError(
                f"{self.path} contradicts the folders of {len(contradictions)} "
                f"{n_files}: {enumerate_some(contradictions)}. A label is the name of "
                "the image's class folder."
            )


def read_table(
    path: str | os.PathLike[str],
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read the header of a CSV table, and the rows with their line numbers."""
    content = read_bytes(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = None
    if text is None or "\0" in text:
        encoding = "utf-16" if b"\0" in content else "cp1252"
        raise ValueError(
            f"{path} is not encoded in UTF-8, perhaps in {encoding}. Save it again: "
            'in Excel as "CSV UTF-8"; or with pandas, '
            f"pd.read_csv(path, encoding={encoding!r}).to_csv(path, index=False)."
        )
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        rows = [
            (reader.line_num, cells) for cells in reader if any(map(str.strip, cells))
        ]
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num}: not a CSV table ({error})."
        ) from error
    for line, cells in rows:
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {line}: {len(cells)} cells, but the header has "
                f"{len(header)}. A cell that contains a comma needs quotation marks."
            )
    return header, rows


def read_metadata(path: Path, *, strict: bool = False) -> Metadata:
    """Read a CSV table; `strict` demands labels and known columns only."""
    header, lines = read_table(path)
    positions = _find_columns(path, header, strict=strict)
    rows: dict[str, dict[str, str]] = {}
    for line, cells in lines:
        row = {name: cells[at].strip() for name, at in positions.items()}
        file = PurePosixPath(row.pop("path").replace("\\", "/")).as_posix()
        if file in rows:
            raise ValueError(f"{path}, line {line}: a second row for {file}.")
        rows[file] = row
    for name in sorted({"source", "split"} & positions.keys()):
        check_spelling((row[name] for row in rows.values()), f"{path}: {name}s")
    return Metadata(path, rows, frozenset(positions))


def identify_files(
    origin: Path, root: Path, files: Iterable[str]
) -> dict[tuple[int, int, str], str]:
    """Find the files that exist, by identity; raise if one has two names."""
    names: dict[tuple[int, int, str], str] = {}
    for file in files:
        identity = identify(str(root / file))
        if identity and names.setdefault(identity, file) != file:
            both = enumerate_some([names[identity], file])
            raise ValueError(f"{origin}: {both} are the same file; remove one of them.")
    return names


def unicode_hint(missing: Iterable[str], known: Iterable[str]) -> str:
    """Say that missing names are among known ones in another form of Unicode."""
    plain = {normalize("NFC", name) for name in known}
    if not any(normalize("NFC", name) in plain for name in missing):
        return ""
    return (
        " Some names in the table look the same but have another form of Unicode (NFC "
        "or NFD); copy the names from the file system."
    )


def _find_columns(path: Path, header: Sequence[str], *, strict: bool) -> dict[str, int]:
    plain = ["".join(filter(str.isalnum, cell)).casefold() for cell in header]
    positions = {}
    for name, aliases in _COLUMNS.items():
        found = [at for at, cell in enumerate(plain) if cell in aliases]
        if len(found) > 1:
            columns = ", ".join(repr(header[at]) for at in found)
            raise ValueError(f"{path} has several columns for the {name}: {columns}.")
        if found:
            positions[name] = found[0]
    unknown = set(range(len(header))) - set(positions.values())
    guesses = {at: _guess(plain[at]) for at in sorted(unknown)}
    shown = [
        f"{cell!r} (did you mean {guesses[at]!r}?)" if guesses.get(at) else repr(cell)
        for at, cell in enumerate(header)
    ]
    required = ["path", "label"] if strict else ["path"]
    missing = [repr(name) for name in required if name not in positions]
    # If a patient column is overlooked, patients are in training and test data.
    puzzling = [
        shown[at]
        for at, guess in guesses.items()
        if strict or (guess == "patient" and "patient" not in positions)
    ]
    if not missing and not puzzling:
        return positions
    fault = f"has columns that are not understood: {', '.join(puzzling)}"
    if missing:
        fault = f"has no column {' and no column '.join(missing)}, but "
        fault += ", ".join(shown) or "no header"
    advice = "Rename the column, or pass metadata=None to ignore the table"
    if len(header) == 1 and set(";\t") & set(header[0]):
        advice = "Write the table with commas between them"
    elif strict:
        advice = "Rename or remove the others"
    raise ValueError(f"{path} {fault}. Columns are {', '.join(_COLUMNS)}. {advice}.")


def _guess(cell: str) -> str | None:
    if cell in _GUESSES:
        return _GUESSES[cell]
    names = {alias: name for name, aliases in _COLUMNS.items() for alias in aliases}
    close = get_close_matches(cell, names, n=1, cutoff=0.8)
    return names[close[0]] if close else None


def enumerate_some(names: Sequence[str]) -> str:
    """List the first five names and the number of further ones."""
    more = len(names) - _NAMED_IN_ERRORS
    first = ", ".join(map(format_path, names[:_NAMED_IN_ERRORS]))
    return f"{first} and {more} more" if more > 0 else first
