"""A CSV table of images: their labels, patients, sources, views and attributes."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from skcovid._base._label_checks import check_spelling
from skcovid.datasets._attributes import parse_attribute
from skcovid.reading._files import identify, read_bytes
from skcovid.reading._paths import format_path

# Column names are compared without regard to case, spaces and punctuation.
COLUMNS = {
    "path": ("path", "file", "filename", "filepath", "imagepath"),
    "label": ("label",),
    "patient": ("patient", "patientid"),
    "source": ("source", "sourcename"),
    "view": ("view", "viewposition"),
    "split": ("split",),
    "age": ("age", "patientage", "ageyears"),
    "sex": ("sex", "patientsex", "gender"),
    "manufacturer": ("manufacturer",),
    "model": ("model", "modelname", "manufacturermodelname"),
    "acquisition_date": ("acquisitiondate", "studydate"),
}
_NO_ATTRIBUTES = frozenset({"path", "label", "patient", "source", "view", "split"})
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

    def attributes(self, file: str) -> dict[str, str]:
        """Age, sex and all other columns of a file."""
        row = self.rows[file].items()
        return {name: value for name, value in row if name not in _NO_ATTRIBUTES}

    def check(self, labels: Mapping[str, str]) -> None:
        """Raise unless each file has a row with a patient and the given label."""
        n_files = f"of {len(labels)} images"
        if unlisted := [file for file in labels if file not in self.rows]:
            raise ValueError(
                f"{format_path(self.path)} has no row for {len(unlisted)} {n_files}: "
                f"{enumerate_some(unlisted)}. Add them, or pass metadata=None to "
                f"ignore the table.{unicode_hint(unlisted, self.rows)}"
            )
        for column in ("label", "patient"):
            if empty := [file for file in labels if self.rows[file].get(column) == ""]:
                raise ValueError(
                    f"{format_path(self.path)} gives no {column} for {len(empty)} "
                    f"{n_files}: {enumerate_some(empty)}. Fill the column; an image of "
                    "an unknown patient needs one of its own."
                )
        contradictions = [
            f"{file} (label {self.rows[file]['label']!r})"
            for file, label in labels.items()
            if self.rows[file].get("label", label) != label
        ]
        if contradictions:
            raise ValueError(
                f"{format_path(self.path)} contradicts the folders of "
                f"{len(contradictions)} {n_files}: {enumerate_some(contradictions)}. A "
                "label is the name of the image's class folder. If the folders are not "
                "classes, give the table as root."
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
            f"{format_path(path)} is not encoded in UTF-8, perhaps in {encoding}. Save "
            'it again: in Excel as "CSV UTF-8"; or with pandas, '
            f"pd.read_csv(path, encoding={encoding!r}).to_csv(path, index=False)."
        )
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        lines = ((reader.line_num, cells) for cells in reader)
        rows = [(line, cells) for line, cells in lines if any(map(str.strip, cells))]
    except csv.Error as error:
        raise ValueError(
            f"{format_path(path)}, line {reader.line_num}: not a CSV table ({error})."
        ) from error
    for line, cells in rows:
        if len(cells) != len(header):
            raise ValueError(
                f"{format_path(path)}, line {line}: {len(cells)} cells, but the header "
                f"has {len(header)}. A cell with a comma in it needs quotation marks."
            )
    return header, rows


def read_metadata(path: Path, *, strict: bool = False) -> Metadata:
    """Read a CSV table; `strict` demands labels."""
    header, lines = read_table(path)
    positions = find_columns(path, header, strict=strict)
    rows: dict[str, dict[str, str]] = {}
    for line, cells in lines:
        own = {name: cells[at].strip() for name, at in positions.items()}
        row = parse_row(path, line, own)
        file = PurePosixPath(row.pop("path").replace("\\", "/")).as_posix()
        if file in rows:
            place = f"{format_path(path)}, line {line}"
            raise ValueError(f"{place}: a second row for {format_path(file)}.")
        rows[file] = row
    for name in sorted({"source", "split"} & positions.keys()):
        check_spelling(
            (row[name] for row in rows.values()), f"{format_path(path)}: {name}s"
        )
    return Metadata(path, rows, frozenset(positions))


def parse_row(
    path: str | os.PathLike[str], line: int, row: Mapping[str, str]
) -> dict[str, str]:
    """Bring ages, sexes and dates into one form; raise if one is not understood."""
    try:
        return {
            name: value if name in _NO_ATTRIBUTES else parse_attribute(name, value)
            for name, value in row.items()
        }
    except ValueError as error:
        raise ValueError(f"{format_path(path)}, line {line}: {error}.") from None


def identify_files(
    origin: Path, root: Path, files: Iterable[str]
) -> dict[tuple[int, int, str], str]:
    """Find the files that exist, by identity; raise if one has two names."""
    names: dict[tuple[int, int, str], str] = {}
    for file in files:
        identity = identify(str(root / file))
        if identity and names.setdefault(identity, file) != file:
            both = enumerate_some([names[identity], file])
            raise ValueError(
                f"{format_path(origin)}: {both} are the same file; remove one of them."
            )
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


def find_columns(
    path: str | os.PathLike[str],
    header: Sequence[str],
    *,
    strict: bool,
    known: Mapping[str, tuple[str, ...]] = COLUMNS,
) -> dict[str, int]:
    """Find the place of each column; `known` has the names of those with a meaning."""
    names = {alias: name for name, aliases in known.items() for alias in aliases}
    found: dict[str, int] = {}
    for at, cell in enumerate(header):
        plain = plain_name(cell)
        key = names.get(plain, plain)
        if key in found:
            raise ValueError(
                f"{format_path(path)} has several columns for the {key}: "
                f"{header[found[key]]!r}, {cell!r}."
            )
        # A column without a name is the index that pandas writes, or empty.
        if key:
            found[key] = at
    guesses = {
        at: guess
        for key, at in found.items()
        if key not in known and (guess := _guess(key, names)) not in found
    }
    shown = {
        at: f"{header[at]!r}" + (f" (did you mean {guess!r}?)" if guess else "")
        for at, guess in ((at, guesses.get(at)) for at in found.values())
    }
    required = ["path", "label"] if strict else ["path"]
    missing = [repr(name) for name in required if name not in found]
    # Patients or sources of an overlooked column would count as not known. Class
    # folders need no column for labels and splits.
    free = () if strict else ("label", "split")
    puzzling = [
        shown[at]
        for key, at in found.items()
        if guesses.get(at) and not (guesses[at] in free and key in _GUESSES)
    ]
    if not missing and not puzzling:
        return {k if k in known else header[at].strip(): at for k, at in found.items()}
    fault = f"has columns that are not understood: {', '.join(puzzling)}"
    if missing:
        fault = f"has no column {' and no column '.join(missing)}, but "
        fault += ", ".join(shown.values()) or "no header"
    advice = "Rename the column, also if it holds something else"
    if not strict:
        advice += ", or pass metadata=None to ignore the table"
    if len(header) == 1 and set(";	") & set(header[0]):
        advice = "Write the table with commas between them"
    raise ValueError(
        f"{format_path(path)} {fault}. Known columns are {', '.join(known)}. {advice}."
    )


def plain_name(column: str) -> str:
    """Return the name of a column without case, spaces and punctuation."""
    return "".join(filter(str.isalnum, column)).casefold()


def _guess(cell: str, names: Mapping[str, str]) -> str | None:
    if cell in _GUESSES:
        return _GUESSES[cell]
    close = get_close_matches(cell, names, n=1, cutoff=0.8)
    return names[close[0]] if close else None


def enumerate_some(names: Sequence[str]) -> str:
    """List the first five names and the number of further ones."""
    more = len(names) - _NAMED_IN_ERRORS
    first = ", ".join(map(format_path, names[:_NAMED_IN_ERRORS]))
    return f"{first} and {more} more" if more > 0 else first
