"""Checks of labels and groups, made before anything is computed from them."""

import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np

# What missing values become where pandas or NumPy convert a column to text.
_MISSING_AS_TEXT = frozenset({"", "nan", "<NA>", "NaT"})


def check_groups(groups: Any) -> None:
    """Raise if the patient of a row is missing; None is no groups at all."""
    if groups is None:
        return
    if rows := _find_missing(groups, _MISSING_AS_TEXT | {"None"}):
        raise ValueError(
            f"groups: the patient is missing in {rows}. Give each image without a "
            "known patient a group of its own, such as its path."
        )


def check_labels(y: Any) -> None:
    """Raise if a label is missing, or two labels differ only in spelling."""
    if y is None:
        return
    if rows := _find_missing(y, _MISSING_AS_TEXT):
        raise ValueError(f"y: the label is missing in {rows}. Remove those images.")
    check_spelling(_as_list(y), "y: labels")


def check_spelling(names: Iterable[Any], what: str) -> None:
    """Raise if two names differ only by case, spaces or the form of Unicode."""
    spellings: dict[str, str] = {}
    texts = {name for name in names if isinstance(name, str)}
    for name in sorted(texts):
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if (other := spellings.setdefault(plain, name)) != name:
            raise ValueError(
                f"{what} {other!r} and {name!r} differ only by case or spaces; use "
                "one spelling for both."
            )


def _find_missing(values: Any, texts: frozenset[str]) -> str:
    """Name the rows of missing values; an empty str if there are none."""
    rows = [
        row
        for row, value in enumerate(_as_list(values))
        if (value.strip() in texts if isinstance(value, str) else _is_missing(value))
    ]
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return f"rows {', '.join(map(str, rows[:5]))}{more}" if rows else ""


def _is_missing(value: Any) -> bool:
    is_nan = isinstance(value, float | np.floating) and bool(np.isnan(value))
    # pandas' NA and NaT can't be found by comparison without importing pandas.
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _as_list(values: Any) -> list[Any]:
    # Without dtype=object, NumPy turns missing values beside text into text.
    as_list: list[Any] = np.asarray(values, dtype=object).ravel().tolist()
    return as_list
