"""Confusion matrices: of all folds, of each patient, checked, and in Markdown.

They follow scikit-learn: rows are true classes, columns predicted ones.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skcovid._base._compatibility import validate_params
from skcovid._base._document import render_table
from skcovid._base._label_checks import check_groups
from skcovid.metrics._estimates import Estimate
from skcovid.metrics._proportions import Sample, find_ratios


def check_confusion_matrix(
    matrix: ArrayLike, name: str = "confusion_matrix"
) -> NDArray[np.int64]:
    """Return `matrix` as integers, or raise a ValueError if it holds no counts."""
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or len(counts) < 2:
        raise ValueError(
            f"{name} must be a square matrix of at least two classes, got an array of "
            f"shape {counts.shape}."
        )
    return _check_counts(counts, name)


def _check_counts(counts: NDArray[Any], name: str) -> NDArray[np.int64]:
    if (
        counts.dtype.kind not in "iuf"
        or not np.isfinite(counts).all()
        or (counts < 0).any()
        or (counts != np.rint(counts)).any()
    ):
        raise ValueError(
            f"{name} must hold counts of images, whole numbers from 0 up, got "
            f"{counts.tolist()}. Intervals need counts: pass the matrix made with "
            "normalize=None."
        )
    return counts.astype(np.int64)


def read_sample(confusion_matrix: ArrayLike) -> tuple[Sample, int]:
    """Return the images of one matrix, or of one a patient, and the class count."""
    counts = np.asarray(confusion_matrix)
    if counts.ndim != 3:
        counts = check_confusion_matrix(counts)
        kinds = np.eye(counts.size)
        return Sample(kinds, counts.ravel(), grouped=False), len(counts)
    n_patients, n_classes, n_columns = counts.shape
    if n_classes != n_columns or n_classes < 2 or not n_patients:
        raise ValueError(
            "confusion_matrix must be one square matrix of at least two classes, or "
            f"one for each patient, got an array of shape {counts.shape}."
        )
    units = _check_counts(counts, "confusion_matrix").reshape(n_patients, -1)
    return Sample(units, np.ones(n_patients), grouped=True), n_classes


def check_labels(
    labels: Sequence[Hashable] | NDArray[Any], n_classes: int
) -> tuple[Hashable, ...]:
    """Return one distinct label a class, as plain Python objects."""
    plain = tuple(
        label.item() if isinstance(label, np.generic) else label for label in labels
    )
    names = ", ".join(map(repr, plain))
    if len(plain) != n_classes:
        raise ValueError(
            f"labels must name the {n_classes} classes, got {len(plain)}: {names}."
        )
    if len(set(map(str, plain))) < n_classes:
        raise ValueError(f"labels must differ, also as text, got {names}.")
    return plain


@validate_params({"matrices": ["array-like"]})
def pooled_confusion_matrix(
    matrices: Sequence[ArrayLike] | NDArray[Any],
) -> NDArray[np.int64]:
    """Add up the confusion matrices of all folds, as in section 4 of the paper.

    Parameters
    ----------
    matrices : sequence of array-like of shape (n_classes, n_classes)
        Counts of images, one matrix per fold, the classes in the same order in all.

    Returns
    -------
    ndarray of shape (n_classes, n_classes), int64
        The sum.

    Raises
    ------
    ValueError
        If there is no matrix, or one is not square, holds anything but counts or has
        another shape than the first.

    Examples
    --------
    >>> from skcovid.metrics import pooled_confusion_matrix
    >>> pooled_confusion_matrix([[[3, 1], [0, 4]], [[4, 0], [1, 3]]])
    array([[7, 1],
           [1, 7]])
    """
    folds = [
        check_confusion_matrix(matrix, f"matrices[{fold}]")
        for fold, matrix in enumerate(matrices)
    ]
    if not folds:
        raise ValueError("matrices is empty; pass at least one confusion matrix.")
    for fold, counts in enumerate(folds):
        if counts.shape != folds[0].shape:
            raise ValueError(
                f"matrices[{fold}] has shape {counts.shape}, matrices[0] "
                f"{folds[0].shape}; pass the same labels to confusion_matrix in every "
                "fold."
            )
    total: NDArray[np.int64] = np.sum(folds, axis=0)
    return total


@validate_params(
    {
        "y_true": ["array-like"],
        "y_pred": ["array-like"],
        "groups": ["array-like"],
        "labels": ["array-like", None],
    }
)
def patient_confusion_matrices(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    *,
    labels: Sequence[Hashable] | NDArray[Any] | None = None,
) -> NDArray[np.int64]:
    """Confusion matrix of each patient; their sum is the one of all images.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        True and predicted labels of the images.
    groups : array-like of shape (n_samples,)
        Patient of each image.
    labels : sequence of length n_classes, default=None
        The classes and their order; by default all that occur, sorted.

    Returns
    -------
    ndarray of shape (n_patients, n_classes, n_classes), int64
        For :func:`per_class_table` and :func:`multiclass_accuracy`. Patients are
        sorted.

    Raises
    ------
    ValueError
        If lengths differ, or `labels` lack one that occurs.

    Examples
    --------
    >>> from skcovid.metrics import patient_confusion_matrices
    >>> patient_confusion_matrices(
    ...     ["ill", "ill", "well"], ["ill", "well", "well"], ["P1", "P1", "P2"]
    ... )
    array([[[1, 1],
            [0, 0]],
    <BLANKLINE>
           [[0, 0],
            [0, 1]]])
    """
    check_consistent_length(y_true, y_pred, groups)
    check_groups(groups)
    y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
    classes = unique_labels(y_true, y_pred) if labels is None else np.asarray(labels)
    unknown = np.setdiff1d(np.concatenate([y_true, y_pred]), classes).tolist()
    if unknown:
        raise ValueError(
            f"labels lack {', '.join(map(repr, unknown))}; add every label that occurs."
        )
    order = np.argsort(classes)
    rows, columns = (
        order[np.searchsorted(classes, side, sorter=order)] for side in (y_true, y_pred)
    )
    names, patients = np.unique(groups, return_inverse=True)
    matrices = np.zeros((len(names), len(classes), len(classes)), dtype=np.int64)
    np.add.at(matrices, (patients, rows, columns), 1)
    return matrices


def estimate_cell_shares(confusion_matrix: ArrayLike) -> list[list[Estimate]]:
    """Return the share of each true class (rows) predicted as each label (columns)."""
    sample, n_classes = read_sample(confusion_matrix)
    cells = np.eye(n_classes**2, dtype=bool)
    # The cells of each cell's true class.
    same_class = np.kron(np.eye(n_classes), np.ones((n_classes, n_classes)))
    estimates = find_ratios(sample, cells, same_class).estimate(0.95)
    return [
        estimates[start : start + n_classes]
        for start in range(0, n_classes**2, n_classes)
    ]


@validate_params({"confusion_matrix": ["array-like"], "labels": ["array-like"]})
def confusion_matrix_to_markdown(
    confusion_matrix: ArrayLike, labels: Sequence[Hashable] | NDArray[Any]
) -> str:
    """Write a confusion matrix in Markdown, as Table 3 of the paper.

    Parameters
    ----------
    confusion_matrix : array-like of shape (n_classes, n_classes)
        Counts of images: rows are true classes, columns predicted ones.
    labels : sequence of length n_classes
        The classes, in the order of the matrix.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If `confusion_matrix` is not square or holds anything but counts, or `labels`
        are not one distinct label per class.

    Examples
    --------
    >>> from skcovid.metrics import confusion_matrix_to_markdown
    >>> print(confusion_matrix_to_markdown([[18, 2], [1, 79]], ["COVID-19", "Normal"]))
    | true / predicted | COVID-19 | Normal |
    | :--------------- | -------: | -----: |
    | COVID-19         |       18 |      2 |
    | Normal           |        1 |     79 |
    """
    counts = check_confusion_matrix(confusion_matrix)
    names = [str(label) for label in check_labels(labels, len(counts))]
    rows = [
        [name, *map(str, row)] for name, row in zip(names, counts.tolist(), strict=True)
    ]
    return render_table(["true / predicted", *names], rows)
