"""`Estimate`, a figure with its confidence interval, and how intervals are made."""

import math
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.utils._param_validation import Interval, validate_params

__all__ = [
    "CONFIDENCE_LEVEL",
    "Estimate",
    "f1_correlation",
    "f1_from_jaccard",
    "mean_estimate",
    "wilson_interval",
]

CONFIDENCE_LEVEL = [Interval(Real, 0, 1, closed="neither")]
_COUNT = [Interval(Integral, 0, None, closed="left")]


@validate_params(
    {"successes": _COUNT, "total": _COUNT, "confidence_level": CONFIDENCE_LEVEL},
    prefer_skip_nested_validation=True,
)
def wilson_interval(
    successes: int, total: int, confidence_level: float = 0.95
) -> tuple[float, float]:
    """Wilson's score interval of a proportion.

    Parameters
    ----------
    successes : int
        Number of successes, at most `total`.
    total : int
        Number of trials. With none there is nothing to estimate and both bounds are
        NaN.
    confidence_level : float, default=0.95
        Probability with which such intervals hold the true proportion.

    Returns
    -------
    low, high : float
        Bounds in [0, 1].

    Raises
    ------
    ValueError
        If `successes` exceeds `total`, or a parameter is out of its range.

    Examples
    --------
    >>> from skcovid.metrics import wilson_interval
    >>> low, high = wilson_interval(95, 95)
    >>> round(low, 3), high
    (0.961, 1.0)
    """
    if successes > total:
        raise ValueError(
            f"successes={successes} exceeds total={total}; of {total} trials at most "
            f"{total} can succeed."
        )
    if total == 0:
        return math.nan, math.nan
    interval = binomtest(int(successes), int(total)).proportion_ci(
        confidence_level, method="wilson"
    )
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Estimate:
    """A figure and the confidence interval around it.

    Parameters
    ----------
    value : float
        The figure, in [0, 1]. NaN where the data cannot say, as the precision of a
        class that was never predicted; both bounds are then NaN too.
    low, high : float
        Bounds of the interval, in [0, 1].

    Examples
    --------
    >>> from skcovid.metrics import Estimate
    >>> estimate = Estimate.from_counts(1410, 1450)
    >>> print(estimate)
    97.24 % [96.27, 97.97]
    >>> round(float(estimate), 3)
    0.972
    >>> print(Estimate.from_counts(0, 0))
    n/a
    """

    value: float
    low: float
    high: float

    @classmethod
    def from_counts(
        cls, successes: int, total: int, confidence_level: float = 0.95
    ) -> "Estimate":
        """Proportion of successes with its Wilson interval.

        Parameters
        ----------
        successes, total : int
            Numbers of successes and of trials. With no trials the figure is NaN.
        confidence_level : float, default=0.95
            Confidence level of the interval.

        Returns
        -------
        Estimate

        Raises
        ------
        ValueError
            As :func:`wilson_interval` does.
        """
        low, high = wilson_interval(successes, total, confidence_level)
        return cls(float(successes / total) if total else math.nan, low, high)

    def format_percent(self, decimals: int = 2) -> str:
        """Write the figure and its interval in percent, ``"n/a"`` if it is NaN.

        Parameters
        ----------
        decimals : int, default=2
            Number of decimals. Table 4 of the paper has two for accuracy, none else.

        Returns
        -------
        str
        """
        if math.isnan(self.value):
            return "n/a"
        value, low, high = (
            f"{100 * figure:.{decimals}f}"
            for figure in (self.value, self.low, self.high)
        )
        return f"{value} % [{low}, {high}]"

    def to_dict(self) -> dict[str, float | None]:
        """Return value, low and high, ready for JSON: NaN becomes None."""
        return {
            name: None if math.isnan(figure) else figure
            for name, figure in vars(self).items()
        }

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return self.format_percent()


def mean_estimate(
    estimates: list[Estimate], correlation: NDArray[np.float64]
) -> Estimate:
    """Mean of estimates, its interval recovered from theirs (MOVER).

    The mean lies ``sqrt(d @ correlation @ d) / n`` from its bound, `d` being the
    distances of the `n` estimates from theirs (Zou and Donner, 2008, Statistics in
    Medicine 27, 1693-1702). NaN if any of them is.
    """
    value = np.array([estimate.value for estimate in estimates])
    below = value - [estimate.low for estimate in estimates]
    above = [estimate.high for estimate in estimates] - value
    to_low, to_high = (
        np.sqrt(np.maximum(side @ correlation @ side, 0)) / len(estimates)
        for side in (below, above)
    )
    mean = value.mean()
    return Estimate(float(mean), float(mean - to_low), float(mean + to_high))


def f1_from_jaccard(jaccard: Estimate) -> Estimate:
    """F1 and its bounds, 2J / (1 + J), from the Jaccard proportion J and its own."""
    return Estimate(*(2 * figure / (1 + figure) for figure in vars(jaccard).values()))


def f1_correlation(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Correlation between the F1 scores of the classes, by the delta method.

    F1 of class k is 2 p_kk / d_k, d_k being the sum of row and of column k of the cell
    proportions p. Where it has no variance (no mistake was seen) the correlation is
    unknown and taken as 1, which makes the interval of the mean widest.
    """
    n_classes = len(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        proportions = counts / counts.sum()
        row_and_column = proportions.sum(axis=0) + proportions.sum(axis=1)
        slope = 2 * np.diag(proportions) / row_and_column**2
        gradients = np.zeros((n_classes, n_classes, n_classes))
        for k in range(n_classes):
            gradients[k, k, :] -= slope[k]
            gradients[k, :, k] -= slope[k]
            gradients[k, k, k] += 2 / row_and_column[k]
        flat = gradients.reshape(n_classes, -1)
        # F1 does not change when all proportions grow alike, so flat @ proportions is
        # zero and the multinomial covariance has no second term.
        covariance = (flat * proportions.ravel()) @ flat.T
        deviation = np.sqrt(np.diag(covariance))
        correlation = covariance / np.outer(deviation, deviation)
    correlation[~np.isfinite(correlation)] = 1.0
    return correlation
