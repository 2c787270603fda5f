"""Per-class evidence, every figure with its interval.

Confusion matrices follow scikit-learn: rows are true classes, columns predicted ones.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skcovid._base._compatibility import validate_params
from skcovid.metrics._confusion_matrix import (
    check_confusion_matrix,
    check_labels,
    read_sample,
)
from skcovid.metrics._estimates import (
    CONFIDENCE_LEVEL,
    Estimate,
    mean_estimate,
    wilson_interval,
)
from skcovid.metrics._predictive_values import PredictiveValues, predictive_values
from skcovid.metrics._proportions import find_class_ratios
from skcovid.metrics._roc_auc import roc_auc_table
from skcovid.metrics._tables import (
    ClassMetrics,
    PerClassTable,
    RocAucTable,
    markdown_table,
)

__all__ = [
    "ClassMetrics",
    "Estimate",
    "PerClassTable",
    "PredictiveValues",
    "RocAucTable",
    "check_confusion_matrix",
    "confusion_matrix_to_markdown",
    "multiclass_accuracy",
    "patient_confusion_matrices",
    "per_class_table",
    "pooled_confusion_matrix",
    "predictive_values",
    "roc_auc_table",
    "wilson_interval",
]


@validate_params({"matrices": ["array-like"]})
def pooled_confusion_matrix(matrices: Sequence[ArrayLike]) -> NDArray[np.int64]:
    """Add the confusion matrices of all folds up, as section 4 of the paper does.

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
        If there is no matrix, or one is not square, holds anything but counts or is of
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
        raise ValueError("matrices is empty; give at least one confusion matrix.")
    for fold, counts in enumerate(folds):
        if counts.shape != folds[0].shape:
            raise ValueError(
                f"matrices[{fold}] has shape {counts.shape}, matrices[0] "
                f"{folds[0].shape}; pass the same labels to confusion_matrix in every "
                "fold."
            )
    return np.sum(folds, axis=0)


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
    labels: Sequence[Hashable] | None = None,
) -> NDArray[np.int64]:
    """Confusion matrix of every patient; added up they are that of all images.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        True labels, and those predicted for the same images.
    groups : array-like of shape (n_samples,)
        Patient of each image.
    labels : sequence of length n_classes, default=None
        The classes and their order; by default all that occur, sorted.

    Returns
    -------
    ndarray of shape (n_patients, n_classes, n_classes), int64
        What :func:`per_class_table` and :func:`multiclass_accuracy` take in place of
        one matrix. Patients are sorted.

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
    y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
    classes = unique_labels(y_true, y_pred) if labels is None else np.asarray(labels)
    unknown = np.setdiff1d(np.concatenate([y_true, y_pred]), classes).tolist()
    if unknown:
        raise ValueError(f"labels lack {', '.join(map(repr, unknown))}, which occur.")
    order = np.argsort(classes)
    rows, columns = (
        order[np.searchsorted(classes, side, sorter=order)] for side in (y_true, y_pred)
    )
    names, patients = np.unique(groups, return_inverse=True)
    matrices = np.zeros((len(names), len(classes), len(classes)), dtype=np.int64)
    np.add.at(matrices, (patients, rows, columns), 1)
    return matrices


@validate_params(
    {"confusion_matrix": ["array-like"], "confidence_level": CONFIDENCE_LEVEL}
)
def multiclass_accuracy(
    confusion_matrix: ArrayLike, *, confidence_level: float = 0.95
) -> Estimate:
    """Share of images given their own class, with its Wilson interval.

    Parameters
    ----------
    confusion_matrix : array-like of shape (n_classes, n_classes) or \
            (n_patients, n_classes, n_classes)
        Counts of images: rows are true classes, columns predicted ones. With a matrix
        for each patient, as :func:`patient_confusion_matrices` makes them, the
        interval allows for images of one patient being alike.
    confidence_level : float, default=0.95
        Confidence level of the interval.

    Returns
    -------
    Estimate
        NaN if the matrix holds no image.

    Raises
    ------
    ValueError
        If `confusion_matrix` is not square or holds anything but counts.

    Examples
    --------
    >>> from skcovid.metrics import multiclass_accuracy
    >>> print(multiclass_accuracy([[90, 10], [5, 95]]))
    92.50 % [88.00, 95.40]
    """
    sample, n_classes = read_sample(confusion_matrix)
    accuracy = find_class_ratios(sample, n_classes)["accuracy"]
    return accuracy.estimate(confidence_level)[0]


@validate_params(
    {
        "confusion_matrix": ["array-like"],
        "labels": ["array-like"],
        "confidence_level": CONFIDENCE_LEVEL,
    }
)
def per_class_table(
    confusion_matrix: ArrayLike,
    labels: Sequence[Hashable],
    *,
    confidence_level: float = 0.95,
) -> PerClassTable:
    """Recall, precision, F1 and one-vs-rest accuracy of every class, with intervals.

    Parameters
    ----------
    confusion_matrix : array-like of shape (n_classes, n_classes) or \
            (n_patients, n_classes, n_classes)
        Counts of images: rows are true classes, columns predicted ones. One matrix
        takes images as independent; with one for each patient, as
        :func:`patient_confusion_matrices` makes them, the intervals allow for images
        of one patient being alike.
    labels : sequence of length n_classes
        The classes, in the order of the matrix.
    confidence_level : float, default=0.95
        Confidence level of every interval.

    Returns
    -------
    PerClassTable
        The figures of Table 4 of the paper and, beside them, specificity and the
        multi-class accuracy.

    Raises
    ------
    ValueError
        If `confusion_matrix` is not square or holds anything but counts, or `labels`
        are not one distinct label per class.

    Notes
    -----
    Recall, precision, specificity and accuracy are proportions and have Wilson
    intervals. F1 = 2J / (1 + J) grows with J = TP / (TP + FP + FN), the Jaccard
    proportion, so its bounds are those of J's Wilson interval put through that formula.

    With patients, Wilson's interval has an effective number of images in place of
    their number: the number of independent images that would leave the figure as
    uncertain, from the variance between patients [1]_. Where few patients have
    mistakes that variance is hardly known, and is averaged with that of the worst case
    in which a patient's images are all right or all wrong. With one image a patient
    the intervals are those without patients.

    The means are unweighted, over the exact figures (the paper averages rounded
    percentages, hence differences of some tenths of a percent). Their intervals are
    recovered from those of the classes (MOVER, [2]_): the mean lies
    ``sqrt(d @ R @ d) / n_classes`` from its bound, `d` being the distances of the
    classes' figures from theirs and `R` the correlation between them, which comes from
    the delta method. Mean one-vs-rest accuracy is
    ``1 - 2 (1 - accuracy) / n_classes``, as every mistake is one for two classes, and
    its bounds are those of the multi-class accuracy put through that formula. Unlike
    bootstrap percentiles, these intervals do not shrink to a point where no mistake
    was seen.

    A figure the data cannot give (the recall of a class without images, the precision
    of a class never predicted) is NaN, and so is every mean it enters.

    Choosing a model on the images that then measure it makes all intervals too narrow.

    References
    ----------
    .. [1] Rao, J. N. K., and Scott, A. J. (1992). A simple method for the analysis of
       clustered binary data. Biometrics, 48, 577-585.
    .. [2] Zou, G. Y., and Donner, A. (2008). Construction of confidence limits about
       effect measures: a general approach. Statistics in Medicine, 27, 1693-1702.

    Examples
    --------
    >>> from skcovid.metrics import per_class_table
    >>> table = per_class_table([[18, 2], [1, 79]], ["COVID-19", "Normal"])
    >>> print(table["COVID-19"].recall)
    90.00 % [69.90, 97.21]
    >>> print(table["COVID-19"].one_vs_rest_accuracy)
    97.00 % [91.55, 98.97]
    >>> print(table.means.f1)
    95.22 % [86.96, 98.36]
    """
    sample, n_classes = read_sample(confusion_matrix)
    names = check_labels(labels, n_classes)
    ratios = find_class_ratios(sample, n_classes)
    ratios["f1"] = ratios.pop("jaccard")
    estimates = {
        name: figures.estimate(confidence_level) for name, figures in ratios.items()
    }
    estimates["f1"] = [
        jaccard.transform(lambda figure: 2 * figure / (1 + figure))
        for jaccard in estimates["f1"]
    ]
    (accuracy,) = estimates.pop("accuracy")
    means = {
        name: mean_estimate(figures, ratios[name].correlate())
        for name, figures in estimates.items()
    }
    means["one_vs_rest_accuracy"] = accuracy.transform(
        lambda figure: 1 - 2 * (1 - figure) / n_classes
    )
    supports = (
        sample.count_images().astype(int).reshape(n_classes, n_classes).sum(axis=1)
    )
    rows = [
        ClassMetrics(
            **{name: figures[index] for name, figures in estimates.items()},
            support=support,
        )
        for index, support in enumerate(supports.tolist())
    ]
    return PerClassTable(
        labels=names,
        rows=tuple(rows),
        means=ClassMetrics(**means, support=int(supports.sum())),
        accuracy=accuracy,
        confidence_level=float(confidence_level),
    )


@validate_params({"confusion_matrix": ["array-like"], "labels": ["array-like"]})
def confusion_matrix_to_markdown(
    confusion_matrix: ArrayLike, labels: Sequence[Hashable]
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
    return markdown_table(
        ["true / predicted", *names],
        [
            [name, *map(str, row)]
            for name, row in zip(names, counts.tolist(), strict=True)
        ],
    )
