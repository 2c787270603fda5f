"""Checks of labels, groups and sources, made before anything is computed from them."""

import os
import unicodedata
from collections.abc import Iterable, Mapping
from numbers import Number
from typing import Any

import numpy as np

from skcovid._base._compatibility import num_samples
from skcovid._base._parameters import as_plain

# What a missing value is as text, which pandas and NumPy often convert it to.
_MISSING = frozenset({"", "nan", "<NA>", "NaT"})
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".tif", ".tiff", ".bmp")


def is_missing(value: Any) -> bool:
    """Return whether a value, or its text, stands for nothing known."""
    return value is None or str(value).strip() in _MISSING | {"None"}


def check_groups(groups: Any) -> None:
    """Raise if the patient of a row is missing."""
    cure = "give an image of an unknown patient a group of its own, such as its path"
    check_column("groups", groups, cure)


def check_source(source: Any) -> None:
    """Raise if the source of a row is missing, or one source has two spellings."""
    check_column("source", source, "name it, as 'unknown', or leave those images out")
    if source is not None:
        check_spelling(_as_objects(source), "source: names")


def check_column(name: str, values: Any, cure: str) -> None:
    """Raise if rows have several values, or if one has none."""
    if values is not None:
        if np.ndim(values) != 1:
            raise ValueError(
                f"{name} must hold one value per image, got shape {np.shape(values)}; "
                f"pass one column, as in {name}['column'] or {name}.ravel()."
            )
        _check_complete(name, values, _MISSING | {"None"}, cure)


def check_labels(y: Any, name: str = "y") -> None:
    """Raise if a row has several labels or none, or two have two types or spellings."""
    if y is not None:
        shape = np.asarray(y, dtype=object).shape
        if len(shape) > 1 and shape[1] > 1:
            raise ValueError(
                f"{name} should be a 1d array of one label for each image, got "
                f"{shape[1]} columns. For one-hot columns these are "
                "classes[y.argmax(axis=1)]."
            )
        first = next(iter(_as_objects(y)), None)
        if str(first).lower().endswith(_IMAGE_SUFFIXES):
            raise ValueError(
                f"{name} holds paths of images, such as {str(first)!r}, not labels. "
                "Give the images first, then their labels: fit(paths, labels)."
            )
        _check_complete(name, y, _MISSING, "remove those images")
        check_spelling(_as_objects(y), f"{name}: labels")


def check_samples(X: Any, y: Any, groups: Any, source: Any = None) -> None:
    """Raise if samples and what is paired with them do not fit, or one has no label."""
    check_lengths(X, y=y, groups=groups, source=source)
    check_indices(X=X, y=y, groups=groups, source=source)
    check_labels(y)
    check_groups(groups)
    check_source(source)


def check_many(X: Any) -> None:
    """Raise if X is one path, or all that was loaded."""
    if isinstance(X, str | os.PathLike):
        raise ValueError(
            f"X must be a list of paths, got one path: {X!r}. For a folder pass "
            "load_radiographs(folder).paths."
        )
    # SciPy's sparse arrays of keys are dicts with a shape.
    if isinstance(X, Mapping) and not hasattr(X, "shape"):
        raise ValueError(
            f"X must be a list of paths or images, got a {type(X).__name__}. Pass one "
            "of its values, as data.paths of load_radiographs."
        )


def check_lengths(X: Any, **aligned: Any) -> None:
    """Raise if there is not one value for each image."""
    check_many(X)
    n_images = num_samples(X)
    for name, values in aligned.items():
        if values is not None and (n_values := num_samples(values)) != n_images:
            raise ValueError(
                f"{name} has {n_values} values for {n_images} images; pass one for "
                "each image of X, in the same order."
            )


def as_columns(attributes: Mapping[str, Any], n: int) -> dict[str, Any]:
    """Return the columns as arrays of objects, if each has one value per image."""
    columns = {name: np.asarray(one, dtype=object) for name, one in attributes.items()}
    for name, column in columns.items():
        if column.shape != (n,):
            raise ValueError(
                f"attributes[{name!r}] has the shape {column.shape}, expected ({n},): "
                "one value for each image that was evaluated."
            )
    return columns


def check_target(y: Any) -> None:
    """Check one column as labels; several, for other steps to predict, may pass."""
    if np.asarray(y, dtype=object).ndim == 1:
        check_labels(y)


def check_indices(**aligned: Any) -> None:
    """Raise if pandas objects, or columns, paired by row have different indices."""
    columns = dict(aligned)
    for name in [name for name in aligned if isinstance(aligned[name], Mapping)]:
        table = columns.pop(name).items()
        columns |= {f"{name}[{key!r}]": column for key, column in table}
    indices = {
        name: values.index
        for name, values in columns.items()
        if hasattr(getattr(values, "index", None), "equals")
    }
    for name, index in indices.items():
        first = next(iter(indices))
        if not index.equals(indices[first]):
            raise ValueError(
                f"{first} and {name} have different indices, but rows are paired by "
                f"position. If their order differs, pass {name}.loc[{first}.index]; if "
                f"it is the same, {name}.to_numpy()."
            )


def check_spelling(names: Iterable[Any], what: str) -> None:
    """Raise if two names differ only by case, spaces or the form of Unicode."""
    spellings: dict[str, str] = {}
    for name in sorted({name for name in names if isinstance(name, str)}):
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if (other := spellings.setdefault(plain, name)) != name:
            raise ValueError(
                f"{what} {other!r} and {name!r} differ only by case or spaces; use "
                "one spelling for both."
            )


def _kind(value: Any) -> str:
    """Name the type of a value; all numbers have one."""
    if isinstance(value, Number) and not isinstance(value, bool | np.bool_):
        return "number"
    return type(as_plain(value)).__name__


def _check_complete(name: str, values: Any, missing: frozenset[str], cure: str) -> None:
    objects = _as_objects(values)
    rows = [
        str(row)
        for row, value in enumerate(objects)
        if value is None or str(value).strip() in missing
    ]
    if rows:
        more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
        found = f"{name}: missing in rows {', '.join(rows[:5])}{more}"
        raise ValueError(f"{found}; {cure}.")
    # As an array, 1 and "1" would be one value; True and 1 always are.
    of_kinds = {_kind(value): value for value in objects}
    if len(of_kinds) > 1:
        found = " and ".join(f"{one!r} ({kind})" for kind, one in of_kinds.items())
        raise ValueError(
            f"{name}: values of several types, such as {found}; convert all, as in "
            f"[str(value) for value in {name}]."
        )


def _as_objects(values: Any) -> list[Any]:
    # Without dtype=object, NumPy turns missing values beside text into text.
    as_objects: list[Any] = np.asarray(values, dtype=object).ravel().tolist()
    return as_objects
