"""Per-class evidence from a confusion matrix, every figure with its interval.

Confusion matrices follow scikit-learn: rows are true classes, columns predicted ones.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import validate_params

from skcovid._estimates import (
    CONFIDENCE_LEVEL,
    Estimate,
    f1_correlation,
    f1_from_jaccard,
    mean_estimate,
    wilson_interval,
)

__all__ = [
    "ClassMetrics",
    "Estimate",
    "PerClassTable",
    "confusion_matrix_to_markdown",
    "multiclass_accuracy",
    "per_class_table",
    "pooled_confusion_matrix",
    "wilson_interval",
]


@dataclass(frozen=True)
class ClassMetrics:
    """One row of :class:`PerClassTable`.

    Parameters
    ----------
    recall : Estimate
        TP / (TP + FN), also called sensitivity.
    precision : Estimate
        TP / (TP + FP), also called positive predictive value.
    f1 : Estimate
        Harmonic mean of recall and precision.
    one_vs_rest_accuracy : Estimate
        (TP + TN) / all, which Table 4 of the paper calls accuracy. Images that have
        nothing to do with the class count as right, so it is close to one for a rare
        class whatever happens to that class.
    support : int
        Number of images whose true class this is; of all images for the means.
    """

    recall: Estimate
    precision: Estimate
    f1: Estimate
    one_vs_rest_accuracy: Estimate
    support: int

    def to_dict(self) -> dict[str, Any]:
        """Return the row as a dict, ready for JSON: NaN becomes None."""
        return {
            name: figure.to_dict() if isinstance(figure, Estimate) else figure
            for name, figure in vars(self).items()
        }


@dataclass(frozen=True)
class PerClassTable(Mapping[Hashable, ClassMetrics]):
    """Recall, precision, F1 and one-vs-rest accuracy of every class, with intervals.

    It is Table 4 of the paper for one model, and a mapping from label to row:
    ``table["COVID-19"].recall``. :func:`per_class_table` makes it.

    Parameters
    ----------
    labels : tuple
        The classes, in the order of the confusion matrix.
    rows : tuple of ClassMetrics
        One row per class.
    means : ClassMetrics
        Unweighted means over the classes, the paper's row MEAN.
    accuracy : Estimate
        Multi-class accuracy: the share of images given their own class.
    confidence_level : float
        Confidence level of every interval in the table.
    """

    labels: tuple[Hashable, ...]
    rows: tuple[ClassMetrics, ...]
    means: ClassMetrics
    accuracy: Estimate
    confidence_level: float

    def __getitem__(self, label: Hashable) -> ClassMetrics:
        try:
            return self.rows[self.labels.index(label)]
        except ValueError:
            raise KeyError(
                f"{label!r} is not a class of this table; its classes are "
                f"{', '.join(map(repr, self.labels))}."
            ) from None

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Return the table as nested dicts, ready for JSON.

        Returns
        -------
        dict
            Keys ``classes`` (a dict from label, as text, to row), ``means``,
            ``accuracy`` and ``confidence_level``. NaN becomes None.
        """
        return {
            "classes": {str(label): row.to_dict() for label, row in self.items()},
            "means": self.means.to_dict(),
            "accuracy": self.accuracy.to_dict(),
            "confidence_level": self.confidence_level,
        }

    def to_markdown(self, decimals: int = 2) -> str:
        """Write the table in Markdown, laid out as Table 4 of the paper.

        Parameters
        ----------
        decimals : int, default=2
            Number of decimals of the percentages.

        Returns
        -------
        str
            The table, then a line with the multi-class accuracy.
        """
        header = ["", "recall", "precision", "F1", "one-vs-rest accuracy", "support"]
        lines = [
            [
                str(label),
                row.recall.format_percent(decimals),
                row.precision.format_percent(decimals),
                row.f1.format_percent(decimals),
                row.one_vs_rest_accuracy.format_percent(decimals),
                str(row.support),
            ]
            for label, row in (*self.items(), ("MEAN", self.means))
        ]
        return (
            f"{_markdown_table(header, lines)}\n\n"
            f"Multi-class accuracy: {self.accuracy.format_percent(decimals)}. "
            f"In brackets: {100 * self.confidence_level:g} % confidence intervals."
        )

    def __str__(self) -> str:
        return self.to_markdown()


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


def _check_labels(labels: Sequence[Hashable], n_classes: int) -> tuple[Hashable, ...]:
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


@validate_params({"matrices": ["array-like"]}, prefer_skip_nested_validation=True)
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
    {"confusion_matrix": ["array-like"], "confidence_level": CONFIDENCE_LEVEL},
    prefer_skip_nested_validation=True,
)
def multiclass_accuracy(
    confusion_matrix: ArrayLike, *, confidence_level: float = 0.95
) -> Estimate:
    """Share of images given their own class, with its Wilson interval.

    Parameters
    ----------
    confusion_matrix : array-like of shape (n_classes, n_classes)
        Counts of images: rows are true classes, columns predicted ones.
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
    counts = check_confusion_matrix(confusion_matrix)
    return Estimate.from_counts(
        int(np.trace(counts)), int(counts.sum()), confidence_level
    )


@validate_params(
    {
        "confusion_matrix": ["array-like"],
        "labels": ["array-like"],
        "confidence_level": CONFIDENCE_LEVEL,
    },
    prefer_skip_nested_validation=True,
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
    confusion_matrix : array-like of shape (n_classes, n_classes)
        Counts of images: rows are true classes, columns predicted ones.
    labels : sequence of length n_classes
        The classes, in the order of the matrix.
    confidence_level : float, default=0.95
        Confidence level of every interval.

    Returns
    -------
    PerClassTable
        The figures of Table 4 of the paper and, beside them, the multi-class accuracy.

    Raises
    ------
    ValueError
        If `confusion_matrix` is not square or holds anything but counts, or `labels`
        are not one distinct label per class.

    Notes
    -----
    Recall, precision and one-vs-rest accuracy are proportions and have Wilson
    intervals. F1 = 2J / (1 + J) grows with J = TP / (TP + FP + FN), the Jaccard
    proportion, so its bounds are those of J's Wilson interval put through that formula.

    The means are unweighted, over the exact figures (the paper averages rounded
    percentages, hence differences of some tenths of a percent). Their intervals are
    recovered from those of the classes (MOVER, [1]_): the mean lies
    ``sqrt(d @ R @ d) / n_classes`` from its bound, `d` being the distances of the
    classes' figures from theirs and `R` the correlation between them. Recalls of
    different classes rest on different images, and so do precisions: `R` is the
    identity. For F1 it comes from the delta method. Mean one-vs-rest accuracy is
    ``1 - 2 (1 - accuracy) / n_classes``, as every mistake is one for two classes, and
    its bounds are those of the multi-class accuracy put through that formula. Unlike
    bootstrap percentiles, these intervals do not shrink to a point where no mistake
    was seen.

    A figure the data cannot give (the recall of a class without images, the precision
    of a class never predicted) is NaN, and so is every mean it enters.

    All intervals take images as independent. Several images of one patient make them
    too narrow, as does choosing a model on the images that then measure it.

    References
    ----------
    .. [1] Zou, G. Y., and Donner, A. (2008). Construction of confidence limits about
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
    counts = check_confusion_matrix(confusion_matrix)
    names = _check_labels(labels, len(counts))
    total = int(counts.sum())
    rows = []
    for index, true_positives in enumerate(np.diag(counts).tolist()):
        support, predicted = int(counts[index].sum()), int(counts[:, index].sum())
        concerned = support + predicted - true_positives
        mistakes = concerned - true_positives
        recall, precision, jaccard, one_vs_rest = (
            Estimate.from_counts(successes, trials, confidence_level)
            for successes, trials in (
                (true_positives, support),
                (true_positives, predicted),
                (true_positives, concerned),
                (total - mistakes, total),
            )
        )
        f1 = f1_from_jaccard(jaccard)
        rows.append(ClassMetrics(recall, precision, f1, one_vs_rest, support))
    accuracy = multiclass_accuracy(counts, confidence_level=confidence_level)
    independent = np.eye(len(counts))
    means = ClassMetrics(
        recall=mean_estimate([row.recall for row in rows], independent),
        precision=mean_estimate([row.precision for row in rows], independent),
        f1=mean_estimate([row.f1 for row in rows], f1_correlation(counts)),
        one_vs_rest_accuracy=Estimate(
            *(1 - 2 * (1 - figure) / len(counts) for figure in vars(accuracy).values())
        ),
        support=total,
    )
    return PerClassTable(names, tuple(rows), means, accuracy, float(confidence_level))


def _markdown_table(header: list[str], lines: list[list[str]]) -> str:
    """Lay cells out in Markdown, columns aligned: the first left, the others right."""
    cells = [[cell.replace("|", r"\|") for cell in line] for line in (header, *lines)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    rule = [":" + "-" * (widths[0] - 1)] + ["-" * (w - 1) + ":" for w in widths[1:]]
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in (cells[0], rule, *cells[1:])
    )


@validate_params(
    {"confusion_matrix": ["array-like"], "labels": ["array-like"]},
    prefer_skip_nested_validation=True,
)
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
    names = [str(label) for label in _check_labels(labels, len(counts))]
    return _markdown_table(
        ["true / predicted", *names],
        [
            [name, *map(str, row)]
            for name, row in zip(names, counts.tolist(), strict=True)
        ],
    )
