"""A set of radiographs, as found in folders, in an archive or in a table."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skcovid.datasets import _layouts
from skcovid.datasets._cohen import is_cohen_table, read_cohen_table
from skcovid.datasets._layouts import ClassFolder, Layout, find_layout
from skcovid.datasets._listing import IMAGE_SUFFIXES, list_files
from skcovid.datasets._metadata import Metadata, enumerate_some, read_metadata
from skcovid.reading._files import exists
from skcovid.reading._zip_archives import is_archive

__all__ = ["RadiographSet", "from_folders", "from_table"]

_SPLITS_IN_ORDER = ("", "train", "val", "test")


@dataclass
class RadiographSet:
    """Images with their labels."""

    name: str
    layout: str
    paths: list[str]
    files: list[str]
    labels: list[str]
    splits: list[str]
    table: Metadata | None = None
    n_masks: Counter[str] = field(default_factory=Counter)
    ignored: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def from_folders(
    root: Path,
    class_names: Sequence[str] | None,
    metadata: str | os.PathLike | None,
    *,
    split_pneumonia: bool,
) -> RadiographSet:
    """Find the radiographs in a folder or an archive."""
    if root.is_file() and not is_archive(root):
        raise NotADirectoryError(
            f"{root}: a file; give the folder of class folders, a zip archive of it, "
            "or a CSV table"
        )
    listing = list_files(root)
    layout = find_layout(listing)
    if split_pneumonia:
        layout = _layouts.split_pneumonia(layout)
    folders = [
        folder
        for label in _choose(root, [own.label for own in layout.folders], class_names)
        for folder in sorted(layout.folders, key=_split_order)
        if folder.label == label
    ]
    for folder in folders:
        _check_not_empty(layout, folder)
    places = [(folder, file) for folder in folders for file in folder.images]
    files = [file.as_posix() for _, file in places]
    labels = [folder.label for folder, _ in places]
    table = _read_table(layout.root, metadata, files)
    absent = []
    if table is not None:
        table.check(files, labels)
        absent = [file for file in table.rows if not exists(str(layout.root / file))]
    splits = [folder.split for folder, _ in places]
    if table is not None and not any(splits):
        splits = table.column("split", files) or splits
    others = [*layout.stray, *(file for folder in folders for file in folder.others)]
    masks: Counter[str] = Counter()
    for folder in folders:
        masks[folder.label] += folder.n_masks
    return RadiographSet(
        name=str(root),
        layout=layout.name,
        paths=[str(layout.root / file) for file in files],
        files=files,
        labels=labels,
        splits=splits,
        table=table,
        n_masks=masks,
        ignored=[str(layout.root / file) for file in others],
        absent=absent,
    )


def from_table(
    path: Path, class_names: Sequence[str] | None, *, all_must_exist: bool
) -> RadiographSet:
    """Find the radiographs that a table lists."""
    table = read_metadata(path, strict=True)
    unlabelled = [file for file, row in table.rows.items() if not row["label"]]
    if unlabelled:
        raise ValueError(
            f"{path} gives no label for {len(unlabelled)} of {len(table.rows)} images: "
            f"{enumerate_some(unlabelled)}."
        )
    labels = [row["label"] for row in table.rows.values()]
    chosen = _choose(path, labels, class_names)
    files = [file for file, row in table.rows.items() if row["label"] in chosen]
    table.check(files, labels=[table.rows[file]["label"] for file in files])
    absent = [file for file in files if not exists(str(path.parent / file))]
    if absent and all_must_exist:
        raise FileNotFoundError(
            f"{path} names {len(absent)} files that don't exist, of {len(files)}: "
            f"{enumerate_some(absent)}. Relative paths begin at {path.parent}."
        )
    return RadiographSet(
        name=str(path),
        layout="table",
        paths=[str(path.parent / file) for file in files],
        files=files,
        labels=[table.rows[file]["label"] for file in files],
        splits=table.column("split", files) or [""] * len(files),
        table=table,
    )


def _choose(
    root: Path, labels: Sequence[str], class_names: Sequence[str] | None
) -> list[str]:
    available = sorted(set(labels))
    if class_names is None:
        chosen = available
    else:
        unknown = [name for name in class_names if name not in available]
        if unknown:
            raise ValueError(
                f"class_names: {root} has no class "
                f"{', '.join(map(repr, unknown))}; its classes are "
                f"{', '.join(map(repr, available))}."
            )
        chosen = sorted({str(name) for name in class_names})
    if len(chosen) < 2:
        raise ValueError(
            f"Classification needs at least two classes, got {len(chosen)} in {root}: "
            f"{', '.join(map(repr, chosen)) or 'class_names is empty'}."
        )
    return chosen


def _split_order(folder: ClassFolder) -> int:
    return _SPLITS_IN_ORDER.index(folder.split)


def _check_not_empty(layout: Layout, folder: ClassFolder) -> None:
    if folder.images:
        return
    path = layout.root / folder.folder
    depth = len(folder.folder.parts)
    nested = {
        file.parts[depth] for file in folder.others if len(file.parts) > depth + 1
    }
    if nested:
        advice = (
            f"only further down, in {', '.join(sorted(nested))}. If those are the "
            f"classes, give {path} as root"
        )
    else:
        advice = (
            f"that is, no file there ends in {', '.join(sorted(IMAGE_SUFFIXES))} or is "
            "a DICOM file"
        )
    raise ValueError(
        f"Class folder {path} holds no image, {advice}; or name the classes to load "
        "with class_names."
    )


def _read_table(
    root: Path, metadata: str | os.PathLike | None, files: Sequence[str]
) -> Metadata | None:
    if metadata is None:
        return None
    path = root / "metadata.csv" if metadata == "auto" else Path(metadata)
    if metadata == "auto" and not exists(str(path)):
        return None
    return (
        read_cohen_table(path, files) if is_cohen_table(path) else read_metadata(path)
    )
