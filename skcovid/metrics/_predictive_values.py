"""Positive and negative predictive values at a given prevalence."""

import math
from dataclasses import dataclass
from numbers import Real

from skcovid._base._compatibility import Interval, validate_params
from skcovid.metrics._estimates import MOVER, Estimate, JsonMixin, transform_estimate


@dataclass(frozen=True)
class PredictiveValues(JsonMixin):
    """What :func:`predictive_values` returns.

    Parameters
    ----------
    prevalence : float
        Share of images that are of the class, in (0, 1).
    sensitivity, specificity : Estimate
        As given.
    ppv : Estimate
        Positive predictive value: of the images predicted as the class, the share that
        are of it.
    npv : Estimate
        Negative predictive value: of the images predicted as another class, the share
        that are not of it.
    """

    prevalence: float
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate

    def __str__(self) -> str:
        return (
            f"at a prevalence of {100 * self.prevalence:g} %: positive predictive "
            f"value {self.ppv}, negative predictive value {self.npv}"
        )


@validate_params(
    {
        "sensitivity": [Estimate],
        "specificity": [Estimate],
        "prevalence": [Interval(Real, 0, 1, closed="neither")],
    }
)
def predictive_values(
    sensitivity: Estimate, specificity: Estimate, prevalence: float
) -> PredictiveValues:
    """Predictive values of a test at a given prevalence, by Bayes' rule.

    The share of a class in a collection of radiographs depends on how it was collected,
    and so does the precision. Sensitivity and specificity do not.

    Parameters
    ----------
    sensitivity : Estimate
        TP / (TP + FN), ``table[label].recall``.
    specificity : Estimate
        TN / (TN + FP), ``table[label].specificity``. With several classes it holds for
        the mix of other classes in the data.
    prevalence : float
        Share of images of the class where predictions will be made, in (0, 1).

    Returns
    -------
    PredictiveValues
        Intervals have the confidence level of those given. A predictive value is NaN if
        sensitivity or specificity is, or if no image would be predicted so.

    Raises
    ------
    ValueError
        If `prevalence` is not between 0 and 1.

    Notes
    -----
    The odds of the positive predictive value are those of the prevalence times the
    likelihood ratio sensitivity / (1 - specificity); the odds against the negative one
    are those of the prevalence times (1 - sensitivity) / specificity. The interval of a
    ratio of independent proportions comes from their intervals (MOVER-R, [1]_), which
    may allow for patients; the logit interval of [2]_ needs counts above zero.

    References
    ----------
    .. [1] Newcombe, R. G. (2016). MOVER-R confidence intervals for ratios and products
       of two independently estimated quantities. Statistical Methods in Medical
       Research, 25, 1774-1778.
    .. [2] Mercaldo, N. D., Lau, K. F., and Zhou, X. H. (2007). Confidence intervals for
       predictive values with an emphasis to case-control studies. Statistics in
       Medicine, 26, 2170-2183.

    Examples
    --------
    With a sensitivity of 90 % and a specificity of 95 %, about five of six positive
    predictions are false at a prevalence of 1 %.

    >>> from skcovid.metrics import Estimate, predictive_values
    >>> sensitivity = Estimate.from_counts(90, 100)
    >>> specificity = Estimate.from_counts(950, 1000)
    >>> print(predictive_values(sensitivity, specificity, prevalence=0.01).ppv)
    15.38 % [12.06, 19.31]
    """
    odds = prevalence / (1 - prevalence)
    false_negatives, false_positives = (
        transform_estimate(figure, lambda share: 1 - share)
        for figure in (sensitivity, specificity)
    )
    against_ppv = _ratio(false_positives, sensitivity)
    against_npv = _ratio(false_negatives, specificity)
    return PredictiveValues(
        prevalence=float(prevalence),
        sensitivity=sensitivity,
        specificity=specificity,
        ppv=transform_estimate(against_ppv, lambda ratio: 1 / (1 + ratio / odds)),
        npv=transform_estimate(against_npv, lambda ratio: 1 / (1 + ratio * odds)),
    )


def _ratio(top: Estimate, bottom: Estimate) -> Estimate:
    """Return the ratio of independent proportions, which may be infinite (MOVER-R)."""
    method = f"{MOVER}-R: {top.method}"
    if math.isnan(top.value + bottom.value) or top.value == bottom.value == 0:
        return Estimate(math.nan, math.nan, math.nan, method)
    product = top.value * bottom.value

    def solve(top_bound: float, bottom_bound: float) -> tuple[float, float, float]:
        above = top_bound * (2 * top.value - top_bound)
        below = bottom_bound * (2 * bottom.value - bottom_bound)
        return above, below, product + math.sqrt(max(product**2 - above * below, 0))

    low, high = 0.0, math.inf
    if top.low:
        above, _, root = solve(top.low, bottom.high)
        low = above / root
    if bottom.low:
        _, below, root = solve(top.high, bottom.low)
        high = root / below
    value = top.value / bottom.value if bottom.value else math.inf
    return Estimate(value, low, high, method)
