"""Checks of scores, and of labels that are read as one class against the rest."""

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from skcovid._base._label_checks import check_groups, check_spelling


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


def is_positive(
    y_true: ArrayLike, score: ArrayLike, pos_label: Hashable, groups: ArrayLike | None
) -> NDArray[np.bool_]:
    """Return whether each image is of the class, after checks of what is paired."""
    check_consistent_length(y_true, score, groups)
    check_groups(groups)
    labels: NDArray[Any] = column_or_1d(y_true)
    # A pos_label that no image has is allowed, one that is misspelt is not.
    check_spelling([*np.unique(labels).tolist(), pos_label], "pos_label or y_true:")
    positive: NDArray[np.bool_] = labels == pos_label
    return positive
