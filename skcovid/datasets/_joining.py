"""Join collections: their names, their classes, and whether these coincide."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from skcovid._base._label_checks import check_spelling
from skcovid.datasets._layouts import KERMANY
from skcovid.datasets._metadata import enumerate_some
from skcovid.datasets._sets import Choice, RadiographSet
from skcovid.reading._files import identify
from skcovid.reading._paths import format_path


def name_collections(roots: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Last part of each path, with as many of those before as make all different."""
    parts = [Path(os.path.abspath(root)).parts for root in roots]  # noqa: PTH100 (..)
    names: list[str] = []
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len({name.casefold() for name in names}) == len(names):
            return names
    repeated = next(name for name in names if names.count(name) > 1)
    raise ValueError(
        f"root names {format_path(repeated)} twice; give each collection once."
    )


def check_classes(sets: Sequence[RadiographSet], choice: Choice) -> None:
    """Raise unless the collections have the classes that parameters name, and two."""
    if choice.split_pneumonia and KERMANY not in [one.layout for one in sets]:
        raise ValueError(f"split_pneumonia=True, but no collection is {KERMANY}")
    found = set().union(*(one.labels for one in sets))
    if unknown := choice.class_mapping.keys() - found:
        raise ValueError(
            f"class_mapping names the class {_show(unknown)}, which no collection has; "
            f"they have {_show(found)}."
        )
    for label in choice.class_mapping.values():
        if not isinstance(label, str) or not label.strip():
            raise ValueError(f"class_mapping must give names, got {label!r}.")
    available = set(map(choice.rename, found))
    name = ", ".join(one.name for one in sets)
    # If two collections spell a class in two ways, class_mapping is the cure.
    check_spelling(available, f"{name}: classes (class_mapping renames them)")
    if unknown := set(choice.class_names or ()) - available:
        raise ValueError(
            f"class_names: {name} has no class {_show(unknown)}. Choose from "
            f"{_show(available)}."
        )
    for one in sets:
        if choice.is_part and not one.images:
            raise ValueError(
                f"{one.name} has no image of the classes to load; its classes are "
                f"{_show(map(choice.rename, one.labels))}. Leave it out of root."
            )
    chosen = {image.label for one in sets for image in one.images}
    if len(chosen) < 2:
        raise ValueError(
            f"Classification needs at least two classes, got {len(chosen)} in {name}: "
            f"{_show(chosen) or 'class_names is empty'}."
        )


def _show(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(map(str, names))))


def check_distinct(sets: Sequence[RadiographSet]) -> None:
    """Raise if a file is in two collections."""
    owners: dict[tuple[int, int, str], str] = {}
    for one in sets:
        files = [(identify(image.path), image.path) for image in one.images]
        ids = {key: path for key, path in files if key is not None}
        if both := [key for key in ids if key in owners]:
            raise ValueError(
                f"root: {owners[both[0]]} and {one.name} share {len(both)} files, such "
                f"as {format_path(ids[both[0]])}. Give each collection once, and none "
                "that is inside another."
            )
        owners |= dict.fromkeys(ids, one.name)


def describe_coincidence(target: Iterable[str], source: Iterable[str]) -> list[str]:
    """Say which classes have one source only, and which sources one class only."""
    sources_of, classes_of = defaultdict(set), defaultdict(set)
    for label, origin in zip(target, source, strict=True):
        if origin:
            sources_of[str(label)].add(str(origin))
            classes_of[str(origin)].add(str(label))
    if len(classes_of) < 2:
        return []
    lines = []
    for what, others in (
        ("Classes from one source only", sources_of),
        ("Sources with one class only", classes_of),
    ):
        own = [(name, min(of)) for name, of in sorted(others.items()) if len(of) == 1]
        if own:
            alone = [f"{name!r} ({other!r})" for name, other in own]
            lines.append(f"{what}: {enumerate_some(alone)}.")
    return lines
