"""Decision curves: the net benefit of acting on a probability."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from skcovid._base._compatibility import validate_params
from skcovid.metrics._estimates import (
    Estimate,
    JsonMixin,
    difference_estimate,
    transform_estimate,
)
from skcovid.metrics._proportions import count_kinds, find_ratios
from skcovid.metrics._scores import check_images, check_probabilities
from skcovid.metrics._wilson import CONFIDENCE_LEVEL


@dataclass(frozen=True)
class DecisionCurve(JsonMixin):
    """What :func:`decision_curve` returns.

    The net benefit of treating none is 0 everywhere.

    Parameters
    ----------
    pos_label : object
        The class.
    thresholds : tuple of float
        Threshold probabilities, rising, in (0, 1).
    net_benefit : tuple of Estimate
        Net benefit of treating the images whose probability is at the threshold or
        above; at most `prevalence`, and below 0 where treating none is better.
    treat_all : tuple of float
        Net benefit of treating all images.
    prevalence : float
        Share of images of the class, in [0, 1].
    """

    pos_label: Hashable
    thresholds: tuple[float, ...]
    net_benefit: tuple[Estimate, ...]
    treat_all: tuple[float, ...]
    prevalence: float


@validate_params(
    {
        "y_true": ["array-like"],
        "probability": ["array-like"],
        "pos_label": "no_validation",
        "thresholds": ["array-like", None],
        "groups": ["array-like", None],
        "confidence_level": CONFIDENCE_LEVEL,
    }
)
def decision_curve(
    y_true: ArrayLike,
    probability: ArrayLike,
    *,
    pos_label: Hashable,
    thresholds: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> DecisionCurve:
    """Net benefit of acting on a probability, at each threshold.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; every label but `pos_label` is of the rest.
    probability : array-like of shape (n_samples,), float in [0, 1]
        Predicted probability of the class.
    pos_label : object
        The class. Without images of it the net benefit is never above 0.
    thresholds : array-like of shape (n_thresholds,), default=None
        Threshold probabilities in (0, 1); by default 0.01, 0.02, …, 0.99.
    groups : array-like of shape (n_samples,), default=None
        Patient of each image, for the intervals. By default images are independent.
    confidence_level : float, default=0.95
        Confidence level of the intervals, each of one threshold.

    Returns
    -------
    DecisionCurve
        Its thresholds are sorted.

    Raises
    ------
    ValueError
        If lengths differ, a probability is outside [0, 1], or a threshold is outside
        (0, 1).

    Notes
    -----
    At the threshold t the net benefit [1]_ is TP / n - FP / n * t / (1 - t): a doctor
    who would treat from a probability of t on holds 1 / t - 1 needless treatments
    against one that is needed. TP / n and FP / n are proportions with Wilson intervals,
    with effective sample size where patients are given; the interval of the difference
    comes from theirs and from their correlation (MOVER, as in :func:`per_class_table`).

    The net benefit holds for the prevalence in the data.

    References
    ----------
    .. [1] Vickers, A. J., and Elkin, E. B. (2006). Decision curve analysis: a novel
       method for evaluating prediction models. Medical Decision Making, 26, 565-574.

    Examples
    --------
    Two of three ill are found, with one false alarm: 2/8 - 1/8 * 0.2/0.8.

    >>> from skcovid.metrics import decision_curve
    >>> curve = decision_curve(
    ...     ["ill"] * 3 + ["well"] * 5,
    ...     [0.9, 0.4, 0.1, 0.3, 0.1, 0.1, 0.0, 0.0],
    ...     pos_label="ill",
    ...     thresholds=[0.2],
    ... )
    >>> curve.net_benefit[0].value, curve.treat_all[0]
    (0.21875, 0.21875)
    """
    true = check_images(y_true, [pos_label], probability, groups=groups)
    positive = true == pos_label
    scores = check_probabilities(probability, "probability", ndim=1)
    at = np.unique(np.linspace(0.01, 0.99, 99) if thresholds is None else thresholds)
    if not (len(at) and (at > 0).all() and (at < 1).all()):
        raise ValueError(
            f"thresholds must be probabilities above 0 and below 1, got {at.tolist()}."
        )
    # A kind: of how many thresholds an image reaches, and whether it is of the class.
    # In the scores' own precision, as 0.95 in 32 bits is below 0.95.
    reached = np.searchsorted(at.astype(scores.dtype), scores, side="right")
    sample = count_kinds(2 * reached + positive, 2 * len(at) + 2, groups)
    called = np.repeat(np.arange(len(at) + 1), 2) > np.arange(len(at))[:, np.newaxis]
    of_class = np.tile([False, True], len(at) + 1)
    shares = find_ratios(
        sample,
        np.concatenate([called & of_class, called & ~of_class]),
        np.ones((2 * len(at), len(of_class))),
    )
    estimates = shares.estimate(confidence_level)
    covariance = sample.sum_outer_products(shares.influence)
    variance = np.diag(covariance)
    # Without true or false alarms in the data their correlation counts as 0.
    deviations = np.sqrt(variance[: len(at)] * variance[len(at) :])
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.nan_to_num(np.diag(covariance, len(at)) / deviations)
    weights = at / (1 - at)
    prevalence = float(positive.mean())
    of_thresholds = zip(
        *(estimates[: len(at)], estimates[len(at) :]),
        *(weights.tolist(), correlation.tolist()),
        strict=True,
    )
    return DecisionCurve(
        pos_label=pos_label,
        thresholds=tuple(at.tolist()),
        net_benefit=tuple(
            difference_estimate(true, transform_estimate(false, weight.__mul__), r)
            for true, false, weight, r in of_thresholds
        ),
        treat_all=tuple((prevalence - weights * (1 - prevalence)).tolist()),
        prevalence=prevalence,
    )
