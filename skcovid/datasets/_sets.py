"""Find the radiographs of a set in folders, in an archive or in a table."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from unicodedata import normalize

from skcovid._base._label_checks import check_spelling
from skcovid.datasets._cohen import is_cohen_table, read_cohen_table
from skcovid.datasets._layouts import ClassFolder, Layout, find_layout, split_by_cause
from skcovid.datasets._listing import list_files
from skcovid.datasets._metadata import (
    Metadata,
    enumerate_some,
    identify_files,
    read_metadata,
    unicode_hint,
)
from skcovid.reading._files import exists
from skcovid.reading._zip_archives import is_archive

_SPLITS_IN_ORDER = ("", "train", "val", "test")


@dataclass
class Radiograph:
    """One image of a set; an empty str stands for what is not known."""

    # As in tables, relative to the set's folder.
    file: str
    path: str
    label: str
    split: str = ""
    patient: str = ""
    source: str = ""
    view: str = ""


@dataclass
class RadiographSet:
    """The images of a set, and what its description and warnings state."""

    name: str
    layout: str
    images: list[Radiograph]
    table: Metadata | None = None
    n_masks: Counter[str] = field(default_factory=Counter)
    ignored: list[str] = field(default_factory=list)
    # Files in the table that do not exist.
    absent: list[str] = field(default_factory=list)
    # Why files can't be read, by path.
    bad_files: dict[str, str] = field(default_factory=dict)
    # How the patients of each class were found.
    patient_origins: dict[str, str] = field(default_factory=dict)
    # DICOM files without a patient, and other images where their class has patients.
    unnamed: list[str] = field(default_factory=list)

    @property
    def class_names(self) -> list[str]:
        """Labels of the images, sorted."""
        return sorted({image.label for image in self.images})


def from_folders(
    root: Path,
    class_names: Sequence[str] | None,
    metadata: str | os.PathLike[str] | None,
    *,
    split_pneumonia: bool,
) -> RadiographSet:
    """Find the radiographs in a folder or an archive."""
    if root.is_file() and not is_archive(root):
        raise NotADirectoryError(
            f"{root}: a file; give the folder of class folders, a zip archive of it "
            "(named .zip), or a CSV table (named .csv)"
        )
    layout = find_layout(list_files(root))
    if split_pneumonia:
        layout = split_by_cause(layout)
    chosen = _choose(root, (folder.label for folder in layout.folders), class_names)
    folders = [folder for folder in layout.folders if folder.label in chosen]
    folders.sort(key=lambda own: (own.label, _SPLITS_IN_ORDER.index(own.split)))
    for folder in folders:
        _check_not_empty(layout, folder)
    images = [
        Radiograph(str(file), str(layout.root / file), folder.label, folder.split)
        for folder in folders
        for file in folder.images
    ]
    files = [image.file for image in images]
    own = identify_files(root, layout.root, files)
    table, automatic = None, layout.root / "metadata.csv"
    if metadata == "auto":
        metadata = automatic if exists(str(automatic)) else None
    if metadata is not None:
        path = Path(metadata)
        is_cohen = is_cohen_table(path)
        table = read_cohen_table(path, files) if is_cohen else read_metadata(path)
    found = RadiographSet(str(root), layout.name, images, table)
    if table is not None:
        listed = identify_files(table.path, layout.root, table.rows)
        # Rows may name files by other paths than the listing, such as absolute ones.
        names = {file: own.get(identity, file) for identity, file in listed.items()}
        found.absent = [file for file in table.rows if file not in names]
        rows = {names.get(file, file): row for file, row in table.rows.items()}
        found.table = table = replace(table, rows=rows)
        table.check({image.file: image.label for image in images})
        if "split" in table.columns and not any(image.split for image in images):
            for image in images:
                image.split = table.rows[image.file]["split"]
    others = [*layout.stray, *(file for folder in folders for file in folder.others)]
    found.ignored = [str(layout.root / file) for file in others]
    for folder in folders:
        found.n_masks[folder.label] += folder.n_masks
    return found


def from_table(
    path: Path, class_names: Sequence[str] | None, *, all_must_exist: bool
) -> RadiographSet:
    """Find the radiographs that a table lists."""
    table = read_metadata(path, strict=True)
    labels = {file: row["label"] for file, row in table.rows.items()}
    # Rows without a label are kept for the check.
    chosen = _choose(path, labels.values(), class_names) | {""}
    labels = {file: label for file, label in labels.items() if label in chosen}
    table.check(labels)
    listed = set(identify_files(path, path.parent, table.rows).values())
    absent = [file for file in labels if file not in listed]
    if absent and all_must_exist:
        forms = [normalize(form, file) for form in ("NFC", "NFD") for file in absent]
        known = [file for file in forms if exists(str(path.parent / file))]
        raise FileNotFoundError(
            f"{path} names {len(absent)} files that don't exist, of {len(labels)}: "
            f"{enumerate_some(absent)}. Relative paths begin at {path.parent}."
            f"{unicode_hint(absent, known)}"
        )
    images = [
        Radiograph(
            file, str(path.parent / file), label, table.rows[file].get("split", "")
        )
        for file, label in labels.items()
    ]
    return RadiographSet(str(path), "table", images, table)


def _choose(
    root: Path, labels: Iterable[str], class_names: Sequence[str] | None
) -> set[str]:
    available = sorted(set(labels))
    check_spelling(available, f"{root}: classes")
    chosen = set(available if class_names is None else map(str, class_names))
    if unknown := sorted(chosen.difference(available)):
        raise ValueError(
            f"class_names: {root} has no class {', '.join(map(repr, unknown))}; its "
            f"classes are {', '.join(map(repr, available))}."
        )
    if len(chosen) < 2:
        raise ValueError(
            f"Classification needs at least two classes, got {len(chosen)} in {root}: "
            f"{', '.join(map(repr, chosen)) or 'class_names is empty'}."
        )
    return chosen


def _check_not_empty(layout: Layout, folder: ClassFolder) -> None:
    if folder.images:
        return
    path = layout.root / folder.folder
    inside = [file.parts[len(folder.folder.parts) :] for file in folder.others]
    found = "none that is one by its suffix or its first bytes"
    if nested := sorted({parts[0] for parts in inside if len(parts) > 1}):
        found = (
            f"only files further down, in {', '.join(nested)}. If those are the "
            f"classes, give {path} as root"
        )
    raise ValueError(
        f"Class folder {path} holds no image, {found}; or name the classes to load "
        "with class_names."
    )
