"""Accuracy, and the figures of every class, from confusion matrices."""

from collections.abc import Hashable, Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from skcovid._base._compatibility import validate_params
from skcovid.metrics._confusion_matrix import check_labels, read_sample
from skcovid.metrics._estimates import (
    Estimate,
    mean_estimate,
    transform_estimate,
    unknown_estimate,
)
from skcovid.metrics._proportions import find_class_ratios
from skcovid.metrics._tables import ClassMetrics, PerClassTable
from skcovid.metrics._wilson import CONFIDENCE_LEVEL


@validate_params(
    {"confusion_matrix": ["array-like"], "confidence_level": CONFIDENCE_LEVEL}
)
def multiclass_accuracy(
    confusion_matrix: ArrayLike, *, confidence_level: float = 0.95
) -> Estimate:
    """Share of images predicted as their own class, with its Wilson interval.

    Parameters
    ----------
    confusion_matrix : array-like of shape (n_classes, n_classes) or \
            (n_patients, n_classes, n_classes)
        Counts of images, as for :func:`per_class_table`.
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
    labels: Sequence[Hashable] | NDArray[Any],
    *,
    confidence_level: float = 0.95,
) -> PerClassTable:
    """Recall, precision, F1 and one-vs-rest accuracy of every class, with intervals.

    Parameters
    ----------
    confusion_matrix : array-like of shape (n_classes, n_classes) or \
            (n_patients, n_classes, n_classes)
        Counts of images: rows are true classes, columns predicted ones. With a matrix
        for each patient, as :func:`patient_confusion_matrices` makes them, the
        intervals allow for images of one patient being alike.
    labels : sequence of length n_classes
        The classes, in the order of the matrix.
    confidence_level : float, default=0.95
        Confidence level of every interval.

    Returns
    -------
    PerClassTable
        The figures of Table 4 of the paper, specificity and the multi-class accuracy.

    Raises
    ------
    ValueError
        If `confusion_matrix` is not square or holds anything but counts, or `labels`
        are not one distinct label per class.

    Notes
    -----
    Recall, precision, specificity and accuracy are proportions and have Wilson
    intervals. F1 = 2J / (1 + J) grows with the Jaccard index J = TP / (TP + FP + FN),
    so its bounds are those of J's Wilson interval put through that formula.

    With patients, Wilson's interval takes an effective number of images: the number of
    independent images that would leave the figure as uncertain, from the variance
    between patients [1]_. Where few patients have mistakes that variance is poorly
    known, and is averaged with the worst case, in which a patient's images are all
    right or all wrong. With one image a patient nothing changes.

    The means are unweighted, over the exact figures; the paper averages rounded
    percentages. Their intervals come from those of the classes (MOVER, [2]_): the mean
    lies ``sqrt(d @ R @ d) / n_classes`` from its bound, `d` being the distances of the
    classes' figures from theirs and `R` their correlation by the delta method. Mean
    one-vs-rest accuracy is ``1 - 2 (1 - accuracy) / n_classes``, as every mistake
    counts for two classes, and its interval is put through that formula too. Without a
    mistake, these intervals do not shrink to a point as bootstrap percentiles do.

    The recall of a class without images and the precision of a class that is never
    predicted are NaN, and so are their means. All intervals are too narrow if the model
    was chosen on the images that evaluate it.

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
    return find_per_class(confusion_matrix, labels, len(labels), confidence_level)


def find_per_class(
    confusion_matrix: ArrayLike,
    labels: Sequence[Hashable] | NDArray[Any],
    n_classes: int,
    confidence_level: float = 0.95,
) -> PerClassTable:
    """Return the figures of the first classes of a confusion matrix.

    Images of the other labels, which the model can't predict, are of the rest for every
    class, and there is no multi-class accuracy.
    """
    sample, n_labels = read_sample(confusion_matrix)
    names = check_labels(labels, n_labels)
    complete = n_labels == n_classes
    ratios = find_class_ratios(sample, n_labels)
    ratios["f1"] = ratios.pop("jaccard")
    estimates = {
        name: figures.estimate(confidence_level) for name, figures in ratios.items()
    }
    estimates["f1"] = [
        transform_estimate(jaccard, lambda figure: 2 * figure / (1 + figure))
        for jaccard in estimates["f1"]
    ]
    (accuracy,) = estimates.pop("accuracy")
    of_classes = slice(n_classes), slice(n_classes)
    means = {
        name: mean_estimate(figures[:n_classes], ratios[name].correlate()[of_classes])
        for name, figures in estimates.items()
    }
    if complete:
        means["one_vs_rest_accuracy"] = transform_estimate(
            accuracy, lambda figure: 1 - 2 * (1 - figure) / n_classes
        )
    else:
        accuracy = unknown_estimate("images have labels that the classes lack")
    cells = sample.count_images().astype(int).reshape(n_labels, n_labels)
    supports = cells.sum(axis=1).tolist()
    rows = tuple(
        ClassMetrics(
            **{name: figures[index] for name, figures in estimates.items()},
            support=support,
        )
        for index, support in enumerate(supports[:n_classes])
    )
    return PerClassTable(
        labels=names[:n_classes],
        rows=rows,
        means=ClassMetrics(**means, support=sum(supports)),
        accuracy=accuracy,
        confidence_level=float(confidence_level),
    )
