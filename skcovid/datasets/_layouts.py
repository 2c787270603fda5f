"""Folder layouts of sets of radiographs: one function for each.

Each takes a listing, and returns None if the set has another layout.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from skcovid.datasets._listing import Listing, kind_of_image, natural_order
from skcovid.datasets._metadata import enumerate_some
from skcovid.reading._paths import format_path
from skcovid.reading._zip_archives import is_archive

# Sub-folders of a class folder in the later releases of the COVID-19 Radiography
# Database.
_IMAGES, _MASKS = "images", "masks"
TABLE = "metadata.csv"
RESERVED_NAMES = frozenset({_IMAGES, _MASKS})
# Its classes in all releases.
_DATABASE_CLASSES = frozenset(
    {"covid", "covid-19", "lung_opacity", "normal", "viral pneumonia"}
)
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_KERMANY_CLASSES = frozenset({"normal", "pneumonia"})
KERMANY = "the paediatric chest X-rays of Kermany et al."
# Named like the classes of the COVID-19 Radiography Database.
_PNEUMONIA = {"bacteria": "Bacterial Pneumonia", "virus": "Viral Pneumonia"}


@dataclass
class ClassFolder:
    """Contents of the folder of a class; paths are relative to the layout's root."""

    folder: PurePosixPath
    label: str
    split: str = ""
    images: list[PurePosixPath] = field(default_factory=list)
    n_masks: int = 0
    others: list[PurePosixPath] = field(default_factory=list)


@dataclass
class Layout:
    """A set of radiographs: its class folders, and images outside of any."""

    name: str
    root: Path
    folders: list[ClassFolder]
    stray: list[PurePosixPath]


def class_folders(listing: Listing) -> Layout | None:
    """Find a folder for each class, with images or ``images/`` and ``masks/`` in it."""
    names = listing.top_folders
    if not names or RESERVED_NAMES.intersection(name.casefold() for name in names):
        return None
    folders = [_scan(listing, name) for name in names]
    return Layout("class folders", listing.root, folders, listing.top_images)


def radiography_database(listing: Listing) -> Layout | None:
    """Find any release of the COVID-19 Radiography Database."""
    # The first releases have COVID-19, NORMAL and Viral Pneumonia; later ones COVID,
    # Lung_Opacity, Normal and Viral Pneumonia, the latest images and masks in each.
    names = {name.casefold() for name in listing.top_folders}
    if not (names <= _DATABASE_CLASSES and names & {"covid", "covid-19"}):
        return None
    layout = class_folders(listing)
    name = "the COVID-19 Radiography Database"
    return None if layout is None else replace(layout, name=name)


def split_folders(listing: Listing) -> Layout | None:
    """Find class folders within folders for training, validation and test."""
    names = _split_names(listing)
    parts = {name: class_folders(listing.enter(name)) for name in names}
    found = {name: part for name, part in parts.items() if part is not None}
    if not names or len(found) < len(names):
        return None
    folders, stray = [], listing.top_images
    for name, part in found.items():
        # Paths begin outside the split's folder.
        folders += [
            replace(
                folder,
                folder=name / folder.folder,
                split=_SPLITS[name.casefold()],
                images=[name / file for file in folder.images],
                others=[name / file for file in folder.others],
            )
            for folder in part.folders
        ]
        stray += [name / file for file in part.stray]
    beside = (name for name in listing.top_folders if name not in names)
    files = (name / file for name in beside for file in listing.enter(name).files)
    stray += [file for file in files if kind_of_image(listing.root / file)]
    return Layout("class folders in train, val and test", listing.root, folders, stray)


def kermany(listing: Listing) -> Layout | None:
    """Find the paediatric chest X-rays of Kermany et al. (doi:10.17632/rscbjbr9sj)."""
    # NORMAL and PNEUMONIA in train, test and, in Kaggle's copy, val, or in one of them.
    parts = [listing.enter(name) for name in _split_names(listing)] or [listing]
    names = {name.casefold() for part in parts for name in part.top_folders}
    if names != _KERMANY_CLASSES:
        return None
    layout = split_folders(listing) or class_folders(listing)
    return None if layout is None else replace(layout, name=KERMANY)


_LAYOUTS = [kermany, split_folders, radiography_database, class_folders]


def find_layout(listing: Listing, *, one_class: bool) -> Layout | None:
    """Find the layout of a set, in the folder given or in a single one inside."""
    inner = _enter_single_folders(listing)[-1]
    archive, name = inner.root.parent, inner.root.name.casefold()
    is_named_like_archive = is_archive(archive) and archive.stem.casefold() == name
    # The folders in any other single folder may be patients of one class.
    may_be_any = inner is listing or is_named_like_archive
    if len(inner.top_folders) > 1:
        for find in _LAYOUTS if may_be_any else _LAYOUTS[:-1]:
            if (layout := find(inner)) is not None:
                return layout
    is_one = one_class and len(listing.top_folders) == 1
    layout = class_folders(listing) if is_one else None
    return layout if layout is not None and layout.folders[0].images else None


def find_table(listing: Listing) -> Listing | None:
    """Find the folder of a table that lists a set, as `find_layout` finds layouts."""
    for level in _enter_single_folders(listing):
        if PurePosixPath(TABLE) in level.files:
            return level
    return None


def split_by_cause(layout: Layout) -> Layout:
    """Split the Kermany set's pneumonia into bacterial and viral, by file name."""
    if layout.name != KERMANY:
        raise ValueError(
            "split_pneumonia=True is for the Kermany set, whose classes are NORMAL and "
            f"PNEUMONIA; {format_path(layout.root)} holds {layout.name} with other "
            "classes."
        )
    folders = []
    for folder in layout.folders:
        if folder.label.casefold() != "pneumonia":
            folders.append(folder)
            continue
        causes = {
            file: [cause for cause in _PNEUMONIA if cause in file.name.casefold()]
            for file in folder.images
        }
        if unclear := [file for file, found in causes.items() if len(found) != 1]:
            raise ValueError(
                f"split_pneumonia=True, but {len(unclear)} names in "
                f"{format_path(folder.folder)} contain neither or both of bacteria and "
                f"virus, such as {format_path(min(unclear).name)}."
            )
        for cause, label in _PNEUMONIA.items():
            if images := [file for file in causes if causes[file] == [cause]]:
                folders.append(ClassFolder(folder.folder, label, folder.split, images))
        folders[-1].n_masks, folders[-1].others = folder.n_masks, folder.others
    return replace(layout, folders=folders)


def _enter_single_folders(listing: Listing) -> list[Listing]:
    """List the folder, and those inside while each holds one folder and no image."""
    levels = [listing]
    while len(levels[-1].top_folders) == 1 and not levels[-1].top_images:
        levels.append(levels[-1].enter(levels[-1].top_folders[0]))
    return levels


def _split_names(listing: Listing) -> list[str]:
    """Folders for training, validation and test, if there are at least two."""
    names = [name for name in listing.top_folders if name.casefold() in _SPLITS]
    return names if len(names) > 1 else []


def _scan(listing: Listing, name: str) -> ClassFolder:
    found = ClassFolder(PurePosixPath(name), name)
    for file in listing.enter(name).files:
        path = name / file
        place = [part.casefold() for part in file.parts[:-1]]
        if is_mask(file):
            found.n_masks += 1
            continue
        kind = kind_of_image(listing.root / path)
        # DICOM exports have folders for patients, studies and series.
        if kind == "dicom" or (kind == "other" and place in ([], [_IMAGES])):
            found.images.append(path)
        else:
            found.others.append(path)
    found.images.sort(key=natural_order)
    found.others.sort(key=natural_order)
    return found


def is_mask(file: PurePosixPath) -> bool:
    """Whether a file is in a folder of masks."""
    place = [part.casefold() for part in file.parts[:-1]]
    return any(part == _MASKS or part.endswith(f" {_MASKS}") for part in place)


def describe_failure(listing: Listing) -> str:
    """Say what a folder of no known layout holds, and what works."""
    root, names = listing.root, listing.top_folders
    if RESERVED_NAMES.intersection(name.casefold() for name in names):
        found = f"images and masks of one class: {enumerate_some(names)}"
    elif len(names) == 1:
        inner = listing.enter(names[0]).top_folders
        found = (
            f"one folder, {names[0]!r}, and classification needs at least two classes"
        )
        if inner:
            found += (
                f". If the folders in it, {enumerate_some(inner)}, are the classes, "
                f"give {format_path(root / names[0])} as root"
            )
    else:
        images = f"but {len(listing.top_images)}" if listing.top_images else "and no"
        found = f"no class folder {images} images"
    return (
        f"{format_path(root)} holds {found}. What works: "
        f"{format_path(root / '<class>' / '<image>')}, a folder for each class; the "
        "same with images/ (and masks/) in each class folder; the same in each of "
        "train/, val/ and test/; a zip archive of these; or a CSV table with the "
        f"columns path and label, also as {TABLE} in a folder of images."
    )
