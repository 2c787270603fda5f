"""Area under the ROC curve of every class against the rest, with intervals."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.utils.validation import check_array

from skcovid._base._compatibility import validate_params
from skcovid.metrics._confusion_matrix import check_labels
from skcovid.metrics._estimates import EFFECTIVE_WILSON, mean_estimate
from skcovid.metrics._proportions import Proportions, list_images
from skcovid.metrics._scores import check_images
from skcovid.metrics._tables import RocAucTable
from skcovid.metrics._wilson import CONFIDENCE_LEVEL


@validate_params(
    {
        "y_true": ["array-like"],
        "probabilities": ["array-like"],
        "labels": ["array-like"],
        "groups": ["array-like", None],
        "source": ["array-like", None],
        "confidence_level": CONFIDENCE_LEVEL,
    }
)
def roc_auc_table(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    labels: Sequence[Hashable] | NDArray[Any],
    *,
    groups: ArrayLike | None = None,
    source: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> RocAucTable:
    """Area under the ROC curve of every class against the rest, with intervals.

    The areas are those of :func:`sklearn.metrics.roc_auc_score`. Out-of-fold
    probabilities of all folds are ranked together, so differences in calibration
    between the folds' models lower the area.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels.
    probabilities : array-like of shape (n_samples, n_classes)
        Predicted probability of each class, or any score that grows with it.
    labels : sequence of length n_classes
        The classes, in the order of the columns of `probabilities`.
    groups : array-like of shape (n_samples,), default=None
        Patient of each image, for the intervals. By default images are independent.
    source : array-like of shape (n_samples,), default=None
        Source of each image, such as its hospital. Then only pairs of images of one
        source count, so a score that merely tells sources apart has an area of 0.5.
    confidence_level : float, default=0.95
        Confidence level of every interval.

    Returns
    -------
    RocAucTable
        NaN for a class without images, or without images of other classes (with
        `source`, in every source), and then for the mean.

    Raises
    ------
    ValueError
        If lengths differ, `labels` are not one distinct label per column, or the
        patient or the source of an image is missing.

    Notes
    -----
    The area is a proportion of pairs of an image of the class and one of the rest. It
    has Wilson's interval [1]_, with the number of independent trials that would have
    its variance. The variance is DeLong's [2]_, between patients where they are given
    [3]_. Where few images contribute to it, as with classes that are almost separated,
    it is poorly known and averaged with the largest one possible: that of as many
    trials as the smaller side has images, or patients. The mean's interval comes from
    those of the classes, as in :func:`skcovid.metrics.per_class_table`.

    With `source`, the area is the mean of the sources' areas, weighted by their numbers
    of pairs; a source without images of both sides adds none. An image's influence is
    the distance from its share of pairs in the right order to the area of its source.
    A source with one patient of a side shows no such distances. So the distance is
    measured from a point ``1 / sqrt(n_patients)`` of the way to the area of all, with
    the number of patients of its source and side. The interval is for these sources;
    :func:`heterogeneity` says what to expect of others. :doc:`/evaluation` has the
    coverage in simulations.

    References
    ----------
    .. [1] Kottas, M., Kuss, O., and Zapf, A. (2014). A modified Wald interval for the
       area under the ROC curve (AUC) in diagnostic case-control studies. BMC Medical
       Research Methodology, 14, 26. It treats the area as a proportion.
    .. [2] DeLong, E. R., DeLong, D. M., and Clarke-Pearson, D. L. (1988). Comparing the
       areas under two or more correlated receiver operating characteristic curves.
       Biometrics, 44, 837-845.
    .. [3] Obuchowski, N. A. (1997). Nonparametric analysis of clustered ROC curve data.
       Biometrics, 53, 567-578.

    Examples
    --------
    >>> from skcovid.metrics import roc_auc_table
    >>> y_true = ["COVID-19"] * 3 + ["Normal"] * 5
    >>> covid = [0.9, 0.8, 0.3, 0.4, 0.2, 0.2, 0.1, 0.1]
    >>> areas = roc_auc_table(
    ...     y_true, [[p, 1 - p] for p in covid], ["COVID-19", "Normal"]
    ... )
    >>> print(areas["COVID-19"].format_fraction())
    0.933 [0.547, 0.994]

    Here the score tells two hospitals apart, and nothing within them.

    >>> y_true = ["COVID-19"] * 8 + ["Normal"] * 2 + ["COVID-19"] * 2 + ["Normal"] * 8
    >>> covid, source = [0.8] * 10 + [0.1] * 10, ["A"] * 10 + ["B"] * 10
    >>> scores = [[p, 1 - p] for p in covid]
    >>> print(roc_auc_table(y_true, scores, ["COVID-19", "Normal"])["COVID-19"])
    80.00 % [56.82, 92.40]
    >>> areas = roc_auc_table(y_true, scores, ["COVID-19", "Normal"], source=source)
    >>> print(areas["COVID-19"])
    50.00 % [15.00, 85.00]
    """
    scores = check_array(probabilities, input_name="probabilities")
    names = check_labels(labels, scores.shape[1])
    found = check_images(y_true, names, scores, groups=groups, source=source)
    true = found[:, np.newaxis] == np.asarray(names)
    areas = find_areas(true, scores, groups, source)
    rows = areas.estimate(confidence_level)
    return RocAucTable(
        labels=names,
        rows=tuple(rows),
        mean=mean_estimate(rows, areas.correlate()),
        confidence_level=float(confidence_level),
    )


def find_areas(
    true: NDArray[np.bool_],
    scores: NDArray[np.floating],
    groups: ArrayLike | None,
    source: ArrayLike | None = None,
) -> Proportions:
    """Return the areas under the ROC curves of the columns of `scores`.

    Pairs are those within the sources, if these are given.
    """
    patients = np.arange(len(true))
    if groups is not None:
        patients = np.unique(groups, return_inverse=True)[1]
    places = np.zeros(len(true), dtype=np.intp)
    if source is not None:
        places = np.unique(source, return_inverse=True)[1]
    columns = (
        _find_area(is_class, score, places, patients)
        for is_class, score in zip(true.T, scores.T, strict=True)
    )
    values, sizes, influence, max_influence = map(np.array, zip(*columns, strict=True))
    return Proportions(
        values=values,
        influence=influence.T,
        max_influence=max_influence.T,
        sizes=sizes,
        sample=list_images(len(true), groups),
        method=EFFECTIVE_WILSON,
    )


def _find_area(
    true: NDArray[np.bool_],
    score: NDArray[np.floating],
    places: NDArray[np.intp],
    patients: NDArray[np.intp],
) -> tuple[float, float, NDArray[np.float64], NDArray[np.float64]]:
    """Return the area, its size, and the images' influences and largest possible ones.

    The size is the smallest number of independent trials that the pairs may amount to.
    """
    n_sources = places.max() + 1
    side_of_source = 2 * places + true
    n_images = np.bincount(side_of_source, minlength=2 * n_sources)
    n_negative, n_positive = n_images[::2], n_images[1::2]
    n_pairs = n_positive @ n_negative
    if not n_pairs:
        unknown = np.full(len(true), np.nan)
        return np.nan, np.nan, unknown, unknown
    # Number of images of the other side and the same source, and of those among them
    # that an image is on the right side of; a tie counts half.
    n_others = n_images[side_of_source ^ 1]
    ranks = places * len(true) + np.unique(score, return_inverse=True)[1]
    overall = rankdata(ranks)
    n_right = np.empty(len(true))
    for side, counts in ((true, n_negative), (~true, n_positive)):
        of_earlier_sources = (np.cumsum(counts) - counts)[places[side]]
        n_right[side] = overall[side] - rankdata(ranks[side]) - of_earlier_sources
    n_right[~true] = n_others[~true] - n_right[~true]
    area = n_right[true].sum() / n_pairs
    # What the images of a source and side vary around: see the Notes.
    of_source = np.bincount(places, n_right * true, n_sources) / np.maximum(
        n_positive * n_negative, 1
    )
    n_patients = np.bincount(
        np.unique([side_of_source, patients], axis=1)[0], minlength=2 * n_sources
    )[side_of_source]
    centre = of_source[places] + (area - of_source[places]) / np.sqrt(n_patients)
    size = n_pairs**2 / ((n_positive * n_negative) @ np.maximum(n_positive, n_negative))
    influence = (n_right - centre * n_others) / n_pairs
    return float(area), float(size), influence, n_others / n_pairs
