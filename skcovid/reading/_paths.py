"""Paths as users give them, and as messages print them."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skcovid._base._label_checks import check_many


def format_path(path: str | os.PathLike[str]) -> str:
    """Format a path for messages, on one line and in printable characters."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)


def holds_paths(X: Any) -> bool:
    """Whether X holds paths rather than pixels."""
    check_many(X)
    if (columns := getattr(X, "columns", None)) is not None:
        names = [repr(name) for name in columns]
        raise ValueError(
            f"X must be one column of paths, got a table with the columns "
            f"{', '.join(names)}. Select the column, as in "
            f"X[{names[0] if names else repr('path')}]."
        )
    if isinstance(X, np.ndarray):
        if X.dtype.kind not in "OUT":
            return False
        X = _as_one_axis(X)
    if getattr(X, "ndim", 1) != 1:
        return False
    if len(X) == 0:
        raise ValueError("X holds no images: its length is 0.")
    return any(isinstance(value, str | os.PathLike) for value in X)


def as_paths(values: Iterable[Any]) -> list[str]:
    """Convert paths of any kind, such as Path, to a list of str."""
    paths = []
    if isinstance(values, np.ndarray):
        values = _as_one_axis(values)
    for position, value in enumerate(values):
        if not isinstance(value, str | os.PathLike):
            raise ValueError(
                f"X[{position}] must be a path, got {type(value).__name__}: {value!r}."
            )
        paths.append(os.fspath(value))
    return paths


def _as_one_axis(values: NDArray[Any]) -> NDArray[Any]:
    """Return the column of shape (n, 1) that samplers and bagging make of paths."""
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
