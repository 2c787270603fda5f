"""Figures of sub-groups of images: by age, sex, view, machine."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Number
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_array, column_or_1d

from skcovid._base._compatibility import Interval, validate_params
from skcovid._base._label_checks import check_indices, is_missing
from skcovid.metrics._confusion_matrix import check_labels
from skcovid.metrics._estimates import Estimate, JsonMixin, unknown_estimate
from skcovid.metrics._proportions import estimate_share
from skcovid.metrics._roc_auc import roc_auc_table
from skcovid.metrics._scores import check_images
from skcovid.metrics._tables import _ByClass
from skcovid.metrics._wilson import CONFIDENCE_LEVEL

# Edges of the bins of ages, in years.
_AGES = (0, 18, 40, 60, 80, math.inf)
# Numbers of more different values are put into quarters.
_MAX_VALUES = 8
NOT_KNOWN = "not known"


@dataclass(frozen=True)
class SubgroupMetrics(JsonMixin):
    """One row of :class:`SubgroupTable`.

    Parameters
    ----------
    n_images : int
        Number of images.
    n_patients : int or None
        Number of patients; None if they are not known.
    accuracy : Estimate
        Share of images predicted as their own class.
    recall : dict of label to Estimate
        Share of each class's images that are predicted as it, also called sensitivity.
    specificity : dict of label to Estimate
        Share of the other classes' images that are not predicted as it.
    roc_auc : dict of label to Estimate, or None
        Area under the ROC curve of each class against the rest; None without
        probabilities.
    """

    n_images: int
    n_patients: int | None
    accuracy: Estimate
    recall: dict[Hashable, Estimate]
    specificity: dict[Hashable, Estimate]
    roc_auc: dict[Hashable, Estimate] | None


@dataclass(frozen=True)
class SubgroupTable(_ByClass[SubgroupMetrics]):
    """Figures of the sub-groups of one attribute, with intervals.

    A mapping from value to row: ``table["F"].accuracy``. :func:`subgroup_table` makes
    it.

    Parameters
    ----------
    labels : tuple of str
        The values of the attribute, or its bins.
    rows : tuple of SubgroupMetrics
        One row per value.
    name : str
        Name of the attribute.
    min_images : int
        Groups of fewer images have no figures.
    confidence_level : float
        Confidence level of every interval in the table.
    """

    name: str
    min_images: int
    confidence_level: float

    _ROW = "group", "groups"


@validate_params(
    {
        "y_true": ["array-like"],
        "predictions": ["array-like"],
        "attribute": ["array-like"],
        "probabilities": ["array-like", None],
        "labels": ["array-like", None],
        "groups": ["array-like", None],
        "name": [str],
        "bins": ["array-like", None],
        "min_images": [Interval(Integral, 1, None, closed="left")],
        "confidence_level": CONFIDENCE_LEVEL,
    }
)
def subgroup_table(
    y_true: ArrayLike,
    predictions: ArrayLike,
    attribute: ArrayLike,
    *,
    probabilities: ArrayLike | None = None,
    labels: Sequence[Hashable] | NDArray[Any] | None = None,
    groups: ArrayLike | None = None,
    name: str = "attribute",
    bins: ArrayLike | None = None,
    min_images: int = 30,
    confidence_level: float = 0.95,
) -> SubgroupTable:
    """Figures of the images of each value of an attribute, with intervals.

    Parameters
    ----------
    y_true, predictions : array-like of shape (n_samples,)
        True and predicted labels of the images.
    attribute : array-like of shape (n_samples,)
        What the images differ by, such as sex, view or age. Missing values (None, NaN,
        empty text) have a row of their own, "not known".
    probabilities : array-like of shape (n_samples, n_classes), default=None
        Predicted probabilities; without them there is no ROC AUC.
    labels : sequence of length n_classes, default=None
        The classes, in the order of the columns of `probabilities`; by default all that
        occur, sorted. Images of a true label that `labels` lack count as rest of every
        class.
    groups : array-like of shape (n_samples,), default=None
        Patient of each image, for the intervals. By default images are independent.
    name : str, default="attribute"
        Name of the attribute, the table's first column. With "age" numbers are years.
    bins : array-like of shape (n_bins + 1,), default=None
        Edges of the bins of numbers, rising; each bin holds its lower edge, and not its
        upper one. By default 0, 18, 40, 60, 80 and up for ages; other numbers have a
        row for each value up to eight values, and are split at their quartiles if
        there are more.
    min_images : int, default=30
        Groups of fewer images have their counts and no figures.
    confidence_level : float, default=0.95
        Confidence level of every interval.

    Returns
    -------
    SubgroupTable
        Sorted by value, "not known" last. The accuracy of a group with labels that
        `labels` lack is NaN.

    Raises
    ------
    ValueError
        If lengths differ, `bins` do not rise, are given for text, or leave a number
        out.

    Notes
    -----
    Each interval is of one group: among twenty groups one is expected to lie outside
    its 95 % interval.

    Examples
    --------
    >>> from skcovid.metrics import subgroup_table
    >>> table = subgroup_table(
    ...     ["ill", "well"] * 40,
    ...     ["ill", "well", "well", "well"] * 20,
    ...     ["F", "F", "M", ""] * 20,
    ...     name="sex",
    ... )
    >>> list(table)
    ['F', 'M', 'not known']
    >>> print(table["F"].accuracy.format_percent(0))
    100 % [91, 100]
    >>> print(table["M"].n_images, table["M"].accuracy)
    20 n/a
    """
    check_indices(y_true=y_true, predictions=predictions, attribute=attribute)
    predicted = column_or_1d(predictions)
    found = unique_labels(y_true, predicted) if labels is None else labels
    classes = check_labels(found, len(found))
    true = check_images(
        y_true,
        [*np.asarray(predictions, dtype=object).ravel(), *classes],
        predictions,
        attribute,
        probabilities,
        groups=groups,
    )
    scores = None
    if probabilities is not None:
        scores = check_array(probabilities, input_name="probabilities")
    names, members = _split(attribute, name, bins)
    few = dict.fromkeys(classes, unknown_estimate(f"fewer than {min_images} images"))
    rows = []
    for number in range(len(names)):
        chosen = members == number
        own, called = true[chosen], predicted[chosen]
        patients = None if groups is None else column_or_1d(groups)[chosen]
        counts = len(own), None if patients is None else len(np.unique(patients))
        if len(own) < min_images:
            areas = None if scores is None else few
            rows.append(SubgroupMetrics(*counts, few[classes[0]], few, few, areas))
            continue
        options: dict[str, Any] = {
            "groups": patients,
            "confidence_level": confidence_level,
        }
        share: Callable[..., Estimate] = partial(estimate_share, **options)
        accuracy = unknown_estimate("images have labels that the classes lack")
        if set(own.tolist()) <= set(classes):
            accuracy = share(own == called)
        areas = None
        if scores is not None:
            areas = dict(roc_auc_table(own, scores[chosen], classes, **options))
        rows.append(
            SubgroupMetrics(
                *counts,
                accuracy,
                {k: share(called == k, among=own == k) for k in classes},
                {k: share(called != k, among=own != k) for k in classes},
                areas,
            )
        )
    return SubgroupTable(
        labels=tuple(names),
        rows=tuple(rows),
        name=name,
        min_images=min_images,
        confidence_level=float(confidence_level),
    )


def _split(
    attribute: ArrayLike, name: str, bins: ArrayLike | None
) -> tuple[list[str], NDArray[np.intp]]:
    """Return the names of the groups, and the group of each image."""
    objects = column_or_1d(np.asarray(attribute, dtype=object))
    known = np.array([not is_missing(value) for value in objects], dtype=bool)
    values = objects[known]
    numeric = all(isinstance(v, Number) and not isinstance(v, bool) for v in values)
    if bins is not None and not numeric:
        raise ValueError(
            f"bins are edges of numbers, but {name} holds {values[0]!r}; leave bins "
            "out, and each value has a row of its own."
        )
    if numeric and known.any():
        names, of_known = _bin(values.astype(float), name, bins)
    else:
        kept, of_known = np.unique(values.astype(str), return_inverse=True)
        names = kept.tolist()
    members = np.full(len(objects), len(names))
    members[known] = of_known
    return names if known.all() else [*names, NOT_KNOWN], members


def _bin(
    values: NDArray[np.float64], name: str, bins: ArrayLike | None
) -> tuple[list[str], NDArray[np.intp]]:
    """Return the names of the bins that hold a number, and the bin of each number."""
    distinct = np.unique(values)
    if bins is not None:
        edges = column_or_1d(bins).astype(float)
    elif name == "age":
        edges = np.array(_AGES)
    elif len(distinct) <= _MAX_VALUES:
        return [f"{value:g}" for value in distinct], np.searchsorted(distinct, values)
    else:
        edges = np.unique([*np.quantile(values, [0, 0.25, 0.5, 0.75]), np.inf])
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(
            f"bins must be two or more rising edges, got {edges.tolist()}."
        )
    outside = distinct[(distinct < edges[0]) | (distinct >= edges[-1])]
    if len(outside):
        raise ValueError(
            f"bins of {name} hold numbers from {edges[0]:g} to below {edges[-1]:g}, "
            f"but it has {outside[0]:g}; add an edge, such as inf, or make such values "
            "NaN."
        )
    used, members = np.unique(
        np.searchsorted(edges, values, side="right") - 1, return_inverse=True
    )
    names = [
        f"{low:g} and above" if high == np.inf else f"{low:g} to below {high:g}"
        for low, high in zip(edges[used], edges[used + 1], strict=True)
    ]
    return names, members
