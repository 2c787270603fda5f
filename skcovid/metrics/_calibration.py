"""Calibration of the probabilities of every class against the rest."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import root_scalar
from scipy.special import expit, logit
from scipy.stats import t as student_t
from sklearn.linear_model import LogisticRegression

from skcovid._base._compatibility import validate_params
from skcovid.metrics._confusion_matrix import check_labels
from skcovid.metrics._estimates import Estimate, JsonMixin, unknown_estimate
from skcovid.metrics._proportions import estimate_mean, estimate_share, list_images
from skcovid.metrics._scores import check_images, check_probabilities
from skcovid.metrics._tables import _ByClass
from skcovid.metrics._wilson import CONFIDENCE_LEVEL

# Probabilities of exactly 0 and 1 have no logit. R's CalibrationCurves also moves them
# by 1e-8 (valProbggplot, allowPerfectPredictions).
_CLIP = 1e-8

_JACKKNIFE = "Student's t with the jackknife's variance"


@dataclass(frozen=True)
class CalibrationMetrics(JsonMixin):
    """One row of :class:`CalibrationTable`: one class against the rest.

    Parameters
    ----------
    slope : Estimate
        Slope of the logistic regression of the class on the logit of its probability;
        1 is ideal. Below 1, probabilities are too close to 0 and 1, as those of an
        overfitted model; above 1, too close to each other. Any number.
    intercept : Estimate
        Its intercept with the slope fixed at 1, called calibration in the large; 0 is
        ideal. Above 0, the class is more frequent than its probabilities say. Any
        number, in logits.
    brier_score : Estimate
        Mean squared difference between the probability and what was seen, 0 or 1; in
        [0, 1], 0 is best.
    observed : Estimate
        Share of images that are of the class.
    expected : float
        Mean predicted probability of the class, in [0, 1].
    """

    slope: Estimate
    intercept: Estimate
    brier_score: Estimate
    observed: Estimate
    expected: float


@dataclass(frozen=True)
class CalibrationTable(_ByClass[CalibrationMetrics]):
    """Calibration slope and intercept and Brier score of every class, with intervals.

    A mapping from label to row: ``table["COVID-19"].slope``. :func:`calibration_table`
    makes it.

    Parameters
    ----------
    labels : tuple
        The classes, in the order of the columns of the probabilities.
    rows : tuple of CalibrationMetrics
        One row per class.
    confidence_level : float
        Confidence level of every interval in the table.
    """

    confidence_level: float


@validate_params(
    {
        "y_true": ["array-like"],
        "probabilities": ["array-like"],
        "labels": ["array-like"],
        "groups": ["array-like", None],
        "confidence_level": CONFIDENCE_LEVEL,
    }
)
def calibration_table(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    labels: Sequence[Hashable] | NDArray[Any],
    *,
    groups: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> CalibrationTable:
    """Calibration slope and intercept and Brier score of every class, with intervals.

    Each class is taken against the rest. Images of a label that `labels` lack count as
    rest.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels.
    probabilities : array-like of shape (n_samples, n_classes), float in [0, 1]
        Predicted probability of each class.
    labels : sequence of length n_classes
        The classes, in the order of the columns of `probabilities`.
    groups : array-like of shape (n_samples,), default=None
        Patient of each image, for the intervals. By default images are independent.
    confidence_level : float, default=0.95
        Confidence level of every interval.

    Returns
    -------
    CalibrationTable
        Slope and intercept are NaN where the data give none, and their `method` says
        why: if all images are of the class or none is, if a class's probabilities are
        all equal (slope), or if they separate the class from the rest perfectly
        (slope).

    Raises
    ------
    ValueError
        If lengths differ, a probability is outside [0, 1], or `labels` are not one
        distinct label per column.

    Notes
    -----
    Slope and intercept are those of logistic recalibration [1]_ [2]_, by maximum
    likelihood. Probabilities below 1e-8 or above 1 - 1e-8 count as these, as 0 and 1
    have no logit. Their variance is the jackknife's: what leaving one patient out
    changes, in one step of Newton's method (the sandwich CR3, HC3 without patients
    [3]_). The quantile is Student's. Its degrees of freedom come from the kurtosis of
    these changes, as a variance that few patients determine is poorly known; there are
    at most one fewer than patients. The Brier score is a mean of figures in [0, 1] and
    has a Wilson interval with effective sample size, as in
    :func:`skcovid.metrics.per_class_table`.

    References
    ----------
    .. [1] Cox, D. R. (1958). Two further applications of a model for binary regression.
       Biometrika, 45, 562-565.
    .. [2] Van Calster, B., McLernon, D. J., van Smeden, M., Wynants, L., and
       Steyerberg, E. W. (2019). Calibration: the Achilles heel of predictive analytics.
       BMC Medicine, 17, 230.
    .. [3] Cameron, A. C., and Miller, D. L. (2015). A practitioner's guide to
       cluster-robust inference. Journal of Human Resources, 50, 317-372.

    Examples
    --------
    The logits of these probabilities are twice what they should be.

    >>> import numpy as np
    >>> from skcovid.metrics import calibration_table
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=1000)
    >>> y_true = np.where(rng.random(1000) < 1 / (1 + np.exp(-logits)), "ill", "well")
    >>> ill = 1 / (1 + np.exp(-2 * logits))
    >>> table = calibration_table(
    ...     y_true, np.column_stack([ill, 1 - ill]), ["ill", "well"]
    ... )
    >>> print(table["ill"].slope.format_fraction(2))
    0.42 [0.34, 0.50]
    """
    # In 32 bits, 1 - 1e-8 is 1.
    columns = check_probabilities(probabilities, "probabilities", ndim=2).astype(float)
    names = check_labels(labels, columns.shape[1])
    true = check_images(y_true, names, columns, groups=groups)
    return CalibrationTable(
        labels=names,
        rows=tuple(
            _calibrate(true == name, column, groups, confidence_level)
            for name, column in zip(names, columns.T, strict=True)
        ),
        confidence_level=float(confidence_level),
    )


def _calibrate(
    is_class: NDArray[np.bool_],
    probability: NDArray[np.float64],
    groups: ArrayLike | None,
    confidence_level: float,
) -> CalibrationMetrics:
    """Return the figures of one class."""
    logits = logit(np.clip(probability, _CLIP, 1 - _CLIP))
    ones = np.ones_like(logits)
    inside, outside = logits[is_class], logits[~is_class]
    if not len(inside) or not len(outside):
        reason = f"{'every' if len(inside) else 'no'} image is of the class"
        slope = intercept = unknown_estimate(reason)
    else:
        estimate = partial(_estimate_first, is_class, groups, confidence_level)
        # What added to all logits makes the expected share the observed one.
        share = is_class.mean()
        low, high = logit(share) - logits.max() - 1, logit(share) - logits.min() + 1
        shift = root_scalar(
            lambda shift: expit(logits + shift).mean() - share,
            bracket=(low, high),
            xtol=1e-10,
        ).root
        intercept = estimate(np.array([shift]), ones[:, np.newaxis], logits)
        if np.ptp(logits) == 0:
            slope = unknown_estimate("all probabilities are equal")
        elif inside.min() >= outside.max() or inside.max() <= outside.min():
            slope = unknown_estimate("the probabilities separate the class perfectly")
        else:
            model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8)
            model.fit(logits[:, np.newaxis], is_class)
            coefficients = np.array([*model.coef_[0], *model.intercept_])
            slope = estimate(coefficients, np.column_stack([logits, ones]), 0 * ones)
    return CalibrationMetrics(
        slope=slope,
        intercept=intercept,
        brier_score=estimate_mean(
            (is_class - probability) ** 2, groups, confidence_level
        ),
        observed=estimate_share(is_class, groups, confidence_level),
        expected=float(probability.mean()),
    )


def _estimate_first(
    is_class: NDArray[np.bool_],
    groups: ArrayLike | None,
    confidence_level: float,
    coefficients: NDArray[np.float64],
    design: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> Estimate:
    """Return the first coefficient of a logistic regression with its interval."""
    expected = expit(design @ coefficients + offset)
    scores = design * (is_class - expected)[:, np.newaxis]
    products = np.einsum("i,ij,ik->ijk", expected * (1 - expected), design, design)
    if groups is not None:
        units = list_images(len(scores), groups).units
        scores, sums = units @ scores, units @ products.reshape(len(products), -1)
        products = sums.reshape(-1, *products.shape[1:])
    # The change, in one step, of the coefficients without each patient.
    without = products.sum(axis=0) - products
    n_patients = len(scores)
    half_width = math.inf
    if (np.linalg.cond(without) < 1e12).all():
        changes = np.linalg.solve(without, scores[..., np.newaxis])[:, 0, 0]
        variance = (n_patients - 1) / n_patients * (changes @ changes)
        # Few patients or images that matter most make the variance less certain.
        kurtosis = n_patients * np.sum(changes**4) / (changes @ changes) ** 2
        freedom = 2 * n_patients / max(kurtosis - 1, 2 * n_patients / (n_patients - 1))
        quantile = student_t.ppf((1 + confidence_level) / 2, freedom)
        half_width = float(quantile * np.sqrt(variance))
    value = float(coefficients[0])
    return Estimate(value, value - half_width, value + half_width, _JACKKNIFE)
