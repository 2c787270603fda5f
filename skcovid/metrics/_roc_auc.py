"""Area under the ROC curve of every class against the rest, with intervals."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.stats import rankdata
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from skcovid._base._compatibility import validate_params
from skcovid._base._label_checks import check_groups
from skcovid.metrics._confusion_matrix import check_labels
from skcovid.metrics._estimates import EFFECTIVE_WILSON, mean_estimate
from skcovid.metrics._proportions import Proportions, Sample
from skcovid.metrics._tables import RocAucTable
from skcovid.metrics._wilson import CONFIDENCE_LEVEL


@validate_params(
    {
        "y_true": ["array-like"],
        "probabilities": ["array-like"],
        "labels": ["array-like"],
        "groups": ["array-like", None],
        "confidence_level": CONFIDENCE_LEVEL,
    }
)
def roc_auc_table(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    labels: Sequence[Hashable] | NDArray[Any],
    *,
    groups: ArrayLike | None = None,
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
        Patient of each image, for intervals that allow for images of one patient being
        alike. By default images count as independent.
    confidence_level : float, default=0.95
        Confidence level of every interval.

    Returns
    -------
    RocAucTable
        NaN for a class without images, or without images of other classes, and then for
        the mean.

    Raises
    ------
    ValueError
        If lengths differ, or `labels` are not one distinct label per column.

    Notes
    -----
    The area is a proportion of pairs of an image of the class and one of the rest. It
    has Wilson's interval [1]_, with the number of independent trials that would have
    its variance. The variance is DeLong's [2]_, between patients where they are given
    [3]_. Where few images contribute to it, as with classes that are almost separated,
    it is poorly known and averaged with the largest one possible: that of as many
    trials as the smaller side has images, or patients. The mean's interval comes from
    those of the classes, as in :func:`skcovid.metrics.per_class_table`.

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
    """
    check_consistent_length(y_true, probabilities, groups)
    check_groups(groups)
    scores = check_array(probabilities, input_name="probabilities")
    names = check_labels(labels, scores.shape[1])
    true = column_or_1d(y_true)[:, np.newaxis] == np.asarray(labels)
    areas = find_areas(true, scores, groups)
    rows = areas.estimate(confidence_level)
    return RocAucTable(
        labels=names,
        rows=tuple(rows),
        mean=mean_estimate(rows, areas.correlate()),
        confidence_level=float(confidence_level),
    )


def find_areas(
    true: NDArray[np.bool_], scores: NDArray[np.floating], groups: ArrayLike | None
) -> Proportions:
    """Return the areas under the ROC curves of the columns of `scores`."""
    images = np.arange(len(true))
    patients = images if groups is None else np.unique(groups, return_inverse=True)[1]
    columns = map(_influences, true.T, scores.T)
    values, influence, max_influence = map(np.array, zip(*columns, strict=True))
    n_positive = true.sum(axis=0)
    units = csr_array((np.ones(len(true)), (patients, images)))
    return Proportions(
        values=values,
        influence=influence.T,
        max_influence=max_influence.T,
        sizes=np.minimum(n_positive, len(true) - n_positive).astype(float),
        sample=Sample(units, np.ones(units.shape[0]), grouped=groups is not None),
        method=EFFECTIVE_WILSON,
    )


def _influences(
    true: NDArray[np.bool_], score: NDArray[np.floating]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return the area, the influence of each image on it, and the largest possible."""
    n_positive, n_negative = np.count_nonzero(true), np.count_nonzero(~true)
    if not n_positive or not n_negative:
        unknown = np.full(len(true), np.nan)
        return np.nan, unknown, unknown
    # Share of the other side's images that an image is on the right side of.
    overall = rankdata(score)
    placement = np.empty(len(true))
    placement[true] = (overall[true] - rankdata(score[true])) / n_negative
    below = (overall[~true] - rankdata(score[~true])) / n_positive
    placement[~true] = 1 - below
    area = placement[true].mean()
    max_influence = np.where(true, 1 / n_positive, 1 / n_negative)
    return float(area), (placement - area) * max_influence, max_influence
