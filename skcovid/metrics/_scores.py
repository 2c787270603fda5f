"""Checks of scores, and of the labels, patients and sources beside them."""

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from skcovid._base._label_checks import (
    check_groups,
    check_indices,
    check_labels,
    check_source,
)


def check_probabilities(
    probabilities: ArrayLike, name: str, *, ndim: int
) -> NDArray[np.floating]:
    """Return probabilities of a class (one column) or of all, of their own float."""
    found: NDArray[np.floating] = check_array(
        probabilities,
        ensure_2d=ndim == 2,
        dtype=[np.float64, np.float32],
        input_name=name,
    )
    if found.ndim != ndim:
        raise ValueError(
            f"{name} must have shape (n_samples,), got {found.shape}; pass the column "
            "of the class, as in probabilities[:, 0]."
        )
    outside = found[(found < 0) | (found > 1)]
    if outside.size:
        raise ValueError(
            f"{name} must be in [0, 1], got {outside[0]:g}; pass what predict_proba "
            "returns. A decision function has no probabilities."
        )
    return found


def check_images(
    y_true: ArrayLike,
    classes: Iterable[Hashable],
    *paired: ArrayLike | None,
    groups: ArrayLike | None = None,
    source: ArrayLike | None = None,
) -> NDArray[Any]:
    """Return the true labels, after checks of all that is paired with the images."""
    check_consistent_length(y_true, *paired, groups, source)
    check_indices(y_true=y_true, groups=groups, source=source)
    check_groups(groups)
    check_source(source)
    true: NDArray[Any] = column_or_1d(y_true)
    # A class that no image has is allowed, one of another type or spelling is not.
    labels = [*np.asarray(y_true, dtype=object).ravel(), *classes]
    check_labels(
        [int(one) if isinstance(one, bool | np.bool_) else one for one in labels],
        "y_true",
    )
    return true
