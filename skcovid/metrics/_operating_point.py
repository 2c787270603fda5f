"""A threshold for a class, and the sensitivity and specificity that it gives."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_array, column_or_1d

from skcovid._base._compatibility import Interval, validate_params
from skcovid.metrics._estimates import Estimate, JsonMixin
from skcovid.metrics._proportions import estimate_share
from skcovid.metrics._scores import check_images
from skcovid.metrics._wilson import CONFIDENCE_LEVEL

_SHARE = [Interval(Real, 0, 1, closed="right"), None]


@dataclass(frozen=True)
class OperatingPoint(JsonMixin):
    """What :func:`operating_point` returns.

    Parameters
    ----------
    pos_label : object
        The class.
    threshold : float
        Images with this score or a higher one are called positive.
    sensitivity : Estimate
        Share of the class's images that are called positive; NaN if there are none.
    specificity : Estimate
        Share of the other images that are not; NaN if there are none.
    n_positive, n_negative : int
        Numbers of images of the class and of the rest.
    """

    pos_label: Hashable
    threshold: float
    sensitivity: Estimate
    specificity: Estimate
    n_positive: int
    n_negative: int

    def __str__(self) -> str:
        return (
            f"{self.pos_label}: at a threshold of {self.threshold:.3g}, sensitivity "
            f"{self.sensitivity}, specificity {self.specificity}"
        )


@validate_params(
    {
        "y_true": ["array-like"],
        "score": ["array-like"],
        "pos_label": "no_validation",
        "threshold": [Interval(Real, None, None, closed="neither"), None],
        "sensitivity": _SHARE,
        "specificity": _SHARE,
        "groups": ["array-like", None],
        "confidence_level": CONFIDENCE_LEVEL,
    }
)
def operating_point(
    y_true: ArrayLike,
    score: ArrayLike,
    *,
    pos_label: Hashable,
    threshold: float | None = None,
    sensitivity: float | None = None,
    specificity: float | None = None,
    groups: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> OperatingPoint:
    """Sensitivity and specificity at a threshold, given or chosen.

    Give exactly one of `threshold`, `sensitivity` and `specificity`. An image with
    ``score >= threshold`` is called positive.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; every label but `pos_label` is of the rest.
    score : array-like of shape (n_samples,)
        Probability of the class, or any score that grows with it.
    pos_label : object
        The class.
    threshold : float, default=None
        Smallest score that is called positive.
    sensitivity : float, default=None
        Choose the largest threshold with at least this sensitivity, in (0, 1].
    specificity : float, default=None
        Choose the smallest threshold with at least this specificity, in (0, 1].
    groups : array-like of shape (n_samples,), default=None
        Patient of each image, for the intervals. By default images are independent.
    confidence_level : float, default=0.95
        Confidence level of both intervals.

    Returns
    -------
    OperatingPoint

    Raises
    ------
    ValueError
        If not exactly one of the three is given, lengths differ, or a threshold is to
        be chosen for a sensitivity without images of the class, or for a specificity
        without others.

    Notes
    -----
    The intervals are Wilson's, with effective sample size where patients are given (see
    :func:`skcovid.metrics.per_class_table`), and hold for a threshold that was chosen
    on other images. Choose it on out-of-fold predictions of the training data, and pass
    it as `threshold` for other data. On the images it was chosen on, the wanted figure
    is reached by choice, and its interval says nothing.

    Examples
    --------
    >>> from skcovid.metrics import operating_point
    >>> inside = operating_point(
    ...     ["ill", "ill", "well", "well", "well"],
    ...     [0.9, 0.6, 0.7, 0.3, 0.1],
    ...     pos_label="ill",
    ...     sensitivity=0.95,
    ... )
    >>> inside.threshold
    0.6
    >>> outside = operating_point(
    ...     ["ill"] * 4 + ["well"] * 6,
    ...     [0.8, 0.7, 0.5, 0.4, 0.9, 0.6, 0.5, 0.4, 0.2, 0.1],
    ...     pos_label="ill",
    ...     threshold=inside.threshold,
    ... )
    >>> print(outside.sensitivity.format_percent(0))
    50 % [15, 85]
    """
    given = {
        "threshold": threshold,
        "sensitivity": sensitivity,
        "specificity": specificity,
    }
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(
            "operating_point takes one of threshold, sensitivity and specificity, got "
            f"{' and '.join(names) or 'none'}; to choose by one figure and report at "
            "that threshold, call it twice."
        )
    positive = check_images(y_true, [pos_label], score, groups=groups) == pos_label
    scores = check_array(
        score, ensure_2d=False, dtype=[np.float64, np.float32], input_name="score"
    )
    scores = column_or_1d(scores)
    if threshold is None:
        wanted = sensitivity or specificity or math.nan
        side = np.sort(scores[positive if sensitivity else ~positive])
        if not len(side):
            raise ValueError(
                f"No image is {'' if sensitivity else 'other than '}{pos_label!r}, so "
                f"no threshold gives a {names[0]}; choose it on images of both."
            )
        # Rounding must not ask for one image more: 0.95 * 20 may exceed 19.
        n_right = math.ceil(wanted * len(side) * (1 - 1e-12))
        if sensitivity:
            threshold = side[-n_right].item()
        else:
            threshold = np.nextafter(side[n_right - 1], np.inf, dtype=side.dtype).item()
    # In the scores' own precision, as 0.95 in 32 bits is below 0.95.
    called = scores >= scores.dtype.type(threshold)
    return OperatingPoint(
        pos_label=pos_label,
        threshold=float(threshold),
        sensitivity=estimate_share(called, groups, confidence_level, among=positive),
        specificity=estimate_share(~called, groups, confidence_level, among=~positive),
        n_positive=int(positive.sum()),
        n_negative=int((~positive).sum()),
    )
