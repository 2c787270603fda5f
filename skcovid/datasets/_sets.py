"""Find the radiographs of a set in folders, in an archive or in a table."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from unicodedata import normalize

from skcovid.datasets._cohen import is_cohen_table, read_cohen_table
from skcovid.datasets._layouts import (
    KERMANY,
    TABLE,
    ClassFolder,
    Layout,
    describe_failure,
    find_layout,
    find_table,
    is_mask,
    split_by_cause,
)
from skcovid.datasets._listing import kind_of_image, list_files, natural_order
from skcovid.datasets._metadata import (
    Metadata,
    enumerate_some,
    identify_files,
    read_metadata,
    unicode_hint,
)
from skcovid.reading._files import exists, identify
from skcovid.reading._paths import format_path
from skcovid.reading._zip_archives import is_archive

TABLE_LAYOUT = "table"
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
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass
class RadiographSet:
    """The images of a set, and what its description and warnings state."""

    name: str
    layout: str
    images: list[Radiograph]
    # Labels in the collection, before some were chosen or renamed.
    labels: set[str]
    table: Metadata | None = None
    n_masks: Counter[str] = field(default_factory=Counter)
    ignored: list[str] = field(default_factory=list)
    # Files in the table that do not exist.
    absent: list[str] = field(default_factory=list)
    # Why files can't be read, by path.
    bad_files: dict[str, str] = field(default_factory=dict)
    # How the patients of each class were found.
    patient_origins: dict[str, str] = field(default_factory=dict)
    # Name as a source, if it is one of several collections.
    collection: str = ""
    # Images of other views than those to load.
    dropped: list[Radiograph] = field(default_factory=list)
    # DICOM files without a patient, and other images where their class has patients.
    unnamed: list[str] = field(default_factory=list)

    @property
    def class_names(self) -> list[str]:
        """Labels of the images, sorted."""
        return sorted({image.label for image in self.images})


@dataclass(frozen=True)
class Choice:
    """Which images of a collection to find, as `load_radiographs` takes it."""

    class_names: Sequence[str] | None
    class_mapping: Mapping[str, str]
    metadata: str | os.PathLike[str] | None
    split_pneumonia: bool
    all_must_exist: bool
    # One of several collections may have one class, or no Kermany set to split.
    is_part: bool

    def rename(self, label: str) -> str:
        """Label to give for a label as found."""
        return self.class_mapping.get(label, label)

    def takes(self, label: str) -> bool:
        """Whether to load a label as found."""
        return self.class_names is None or self.rename(label) in self.class_names


def find_set(root: Path, choice: Choice) -> RadiographSet:
    """Find the radiographs of a table, a folder or an archive."""
    if root.suffix.lower() == ".csv" and root.is_file():
        splits = choice.split_pneumonia and not choice.is_part
        if splits or choice.metadata not in ("auto", None):
            raise ValueError(
                "metadata and split_pneumonia are for a folder or an archive, but root "
                "is a table; put their columns and labels into that table."
            )
        return _from_table(root, root.parent, choice)
    if root.is_file() and not is_archive(root):
        raise NotADirectoryError(
            f"{format_path(root)}: a file; give the folder of class folders, a zip "
            "archive of it (named .zip), or a CSV table (named .csv)"
        )
    listing = list_files(root)
    place = find_table(listing) if choice.metadata == "auto" else listing
    one_class = choice.is_part and (place is None or choice.metadata is None)
    if (layout := find_layout(listing, one_class=one_class)) is not None:
        return _from_folders(root, layout, choice)
    if choice.metadata is None or place is None:
        raise ValueError(describe_failure(listing))
    path = place.root / TABLE if choice.metadata == "auto" else Path(choice.metadata)
    found = _from_table(path, place.root, choice)
    found.name = format_path(root)
    rows = {} if found.table is None else found.table.rows
    listed = identify_files(path, place.root, rows)
    for file in sorted(place.files, key=natural_order):
        full = place.root / file
        is_image = kind_of_image(full) and not is_mask(file)
        if is_image and identify(str(full)) not in listed:
            found.ignored.append(str(full))
    return found


def _from_folders(root: Path, layout: Layout, choice: Choice) -> RadiographSet:
    if choice.split_pneumonia and (layout.name == KERMANY or not choice.is_part):
        layout = split_by_cause(layout)
    labels = {folder.label for folder in layout.folders}
    folders = [folder for folder in layout.folders if choice.takes(folder.label)]
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
    table, metadata, automatic = None, choice.metadata, layout.root / TABLE
    if metadata == "auto":
        metadata = automatic if exists(str(automatic)) else None
    if metadata is not None:
        path = Path(metadata)
        is_cohen = is_cohen_table(path)
        table = read_cohen_table(path, files) if is_cohen else read_metadata(path)
    found = RadiographSet(format_path(root), layout.name, images, labels, table)
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
        found.n_masks[choice.rename(folder.label)] += folder.n_masks
    for image in images:
        image.label = choice.rename(image.label)
    return found


def _from_table(path: Path, folder: Path, choice: Choice) -> RadiographSet:
    """Find the radiographs that a table lists, with paths relative to a folder."""
    table, name = read_metadata(path, strict=True), format_path(path)
    labels = {file: row["label"] for file, row in table.rows.items()}
    found = set(labels.values())
    # Rows without a label are kept for the check.
    labels = {k: text for k, text in labels.items() if not text or choice.takes(text)}
    table.check(labels)
    listed = set(identify_files(path, folder, table.rows).values())
    absent = [file for file in labels if file not in listed]
    if absent and choice.all_must_exist:
        forms = [normalize(form, file) for form in ("NFC", "NFD") for file in absent]
        known = [file for file in forms if exists(str(folder / file))]
        raise FileNotFoundError(
            f"{name} names {len(absent)} files that don't exist, of {len(labels)}: "
            f"{enumerate_some(absent)}. Relative paths begin at {format_path(folder)}."
            f"{unicode_hint(absent, known)}"
        )
    images = []
    for file, label in labels.items():
        full, split = str(folder / file), table.rows[file].get("split", "")
        images.append(Radiograph(file, full, choice.rename(label), split))
    return RadiographSet(name, TABLE_LAYOUT, images, found, table)


def _check_not_empty(layout: Layout, folder: ClassFolder) -> None:
    if folder.images:
        return
    path = format_path(layout.root / folder.folder)
    inside = [file.parts[len(folder.folder.parts) :] for file in folder.others]
    found = "none that is one by its suffix or its first bytes"
    if nested := sorted({parts[0] for parts in inside if len(parts) > 1}):
        found = (
            f"only files further down, in {enumerate_some(nested)}. If those are the "
            f"classes, give {path} as root"
        )
    raise ValueError(
        f"Class folder {path} holds no image, {found}; or name the classes to load "
        "with class_names."
    )
