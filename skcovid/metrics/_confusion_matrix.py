"""Confusion matrices: checked, told apart by patient, and their cells as shares."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skcovid.metrics._estimates import Estimate
from skcovid.metrics._proportions import Sample, find_ratios

__all__ = [
    "check_confusion_matrix",
    "check_labels",
    "estimate_cell_shares",
    "read_sample",
]


def check_confusion_matrix(
    matrix: ArrayLike, name: str = "confusion_matrix"
) -> NDArray[np.int64]:
    """Return `matrix` as integers, or say what keeps it from being counts."""
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or len(counts) < 2:
        raise ValueError(
            f"{name} must be a square matrix of at least two classes, got an array of "
            f"shape {counts.shape}."
        )
    return _check_counts(counts, name)


def _check_counts(counts: NDArray, name: str) -> NDArray[np.int64]:
    if (
        counts.dtype.kind not in "iuf"
        or not np.isfinite(counts).all()
        or (counts < 0).any()
        or (counts != np.rint(counts)).any()
    ):
        raise ValueError(
            f"{name} must hold counts of images, whole numbers from 0 up, got "
            f"{counts.tolist()}. A normalised matrix has no counts to draw intervals "
            "from: pass the one made with normalize=None."
        )
    return counts.astype(np.int64)


def read_sample(confusion_matrix: ArrayLike) -> tuple[Sample, int]:
    """Images of a confusion matrix, or of one a patient, and the number of classes."""
    counts = np.asarray(confusion_matrix)
    if counts.ndim != 3:
        counts = check_confusion_matrix(counts)
        return Sample.of_independent_images(counts.ravel()), len(counts)
    n_patients, n_classes, n_columns = counts.shape
    if n_classes != n_columns or n_classes < 2 or not n_patients:
        raise ValueError(
            "confusion_matrix must be one square matrix of at least two classes, or "
            f"one for each patient, got an array of shape {counts.shape}."
        )
    units = _check_counts(counts, "confusion_matrix").reshape(n_patients, -1)
    return Sample.of_patients(units), n_classes


def check_labels(labels: Sequence[Hashable], n_classes: int) -> tuple[Hashable, ...]:
    """Return one distinct label a class, as plain Python objects, or say why not."""
    plain = tuple(
        label.item() if isinstance(label, np.generic) else label for label in labels
    )
    if len(plain) != n_classes:
        raise ValueError(
            f"labels must name the {n_classes} classes of confusion_matrix, got "
            f"{len(plain)}: {', '.join(map(repr, plain))}."
        )
    if len(set(map(str, plain))) < n_classes:
        raise ValueError(
            "labels must differ from one another, also as text, got "
            f"{', '.join(map(repr, plain))}."
        )
    return plain


def estimate_cell_shares(
    confusion_matrix: ArrayLike, confidence_level: float = 0.95
) -> list[list[Estimate]]:
    """Share of the images of each true class that was given each label."""
    sample, n_classes = read_sample(confusion_matrix)
    cells = np.eye(n_classes**2, dtype=bool)
    # A row a class: the cells that its images are in.
    of_class = np.kron(np.eye(n_classes), np.ones(n_classes)).astype(bool)
    shares = find_ratios(sample, cells, np.repeat(of_class, n_classes, axis=0))
    estimates = shares.estimate(confidence_level)
    return [
        estimates[start : start + n_classes]
        for start in range(0, n_classes**2, n_classes)
    ]
