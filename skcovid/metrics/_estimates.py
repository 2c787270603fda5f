"""`Estimate`, a figure with its confidence interval, and the simplest of intervals."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from skcovid._base._compatibility import Interval, validate_params

__all__ = [
    "CONFIDENCE_LEVEL",
    "EFFECTIVE_WILSON",
    "MOVER",
    "WILSON",
    "Estimate",
    "mean_estimate",
    "wilson_bounds",
    "wilson_interval",
]

CONFIDENCE_LEVEL = [Interval(Real, 0, 1, closed="neither")]
_COUNT = [Interval(Integral, 0, None, closed="left")]

# What `Estimate.method` says.
WILSON = "Wilson"
EFFECTIVE_WILSON = "Wilson with effective sample size"
MOVER = "MOVER"


def wilson_bounds(
    proportion: ArrayLike, size: ArrayLike, confidence_level: float
) -> NDArray[np.float64]:
    """Wilson's score interval where the size need not be a whole number.

    `scipy.stats.binomtest` has it for counts alone.
    """
    proportion, size = np.asarray(proportion, float), np.asarray(size, float)
    square = norm.ppf((1 + confidence_level) / 2) ** 2
    centre = proportion + square / (2 * size)
    spread = proportion * (1 - proportion) * square / size + (square / (2 * size)) ** 2
    half_width = np.sqrt(spread)
    low, high = np.array([centre - half_width, centre + half_width]) / (
        1 + square / size
    )
    # Rounding must not part a bound from 0 or 1.
    return np.array(
        [np.where(proportion == 0, 0.0, low), np.where(proportion == 1, 1.0, high)]
    )


@validate_params(
    {"successes": _COUNT, "total": _COUNT, "confidence_level": CONFIDENCE_LEVEL}
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
    low, high = wilson_bounds(successes / total, total, confidence_level)
    return float(low), float(high)


@dataclass(frozen=True)
class Estimate:
    """A figure and the confidence interval around it.

    Parameters
    ----------
    value : float
        The figure: in [0, 1], or in [-1, 1] if it is a difference. NaN where the data
        cannot say, as the precision of a class that was never predicted; both bounds
        are then NaN too.
    low, high : float
        Bounds of the interval, in the same range.
    method : str, default=""
        How the interval was made, "Wilson" for instance.

    Examples
    --------
    >>> from skcovid.metrics import Estimate
    >>> estimate = Estimate.from_counts(1410, 1450)
    >>> print(estimate)
    97.24 % [96.27, 97.97]
    >>> round(float(estimate), 3), estimate.method
    (0.972, 'Wilson')
    >>> print(Estimate.from_counts(0, 0))
    n/a
    """

    value: float
    low: float
    high: float
    method: str = ""

    @classmethod
    def from_counts(
        cls, successes: int, total: int, confidence_level: float = 0.95
    ) -> "Estimate":
        """Proportion of successes among independent trials, with its Wilson interval.

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
        value = float(successes / total) if total else math.nan
        return cls(value, low, high, WILSON)

    def transform(self, function: Callable[[float], float]) -> "Estimate":
        """Put figure and bounds through a monotonic function.

        Parameters
        ----------
        function : callable
            From float to float, increasing or decreasing over the interval.

        Returns
        -------
        Estimate
            With the same confidence level and method.
        """
        low, high = sorted((function(self.low), function(self.high)))
        return Estimate(function(self.value), low, high, self.method)

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
        return self._format(decimals, scale=100, unit=" %")

    def format_fraction(self, decimals: int = 3) -> str:
        """Write the figure and its interval as they are, ``"n/a"`` if it is NaN.

        Parameters
        ----------
        decimals : int, default=3
            Number of decimals.

        Returns
        -------
        str
        """
        return self._format(decimals, scale=1, unit="")

    def _format(self, decimals: int, scale: int, unit: str) -> str:
        if math.isnan(self.value):
            return "n/a"
        value, low, high = (
            f"{scale * figure:.{decimals}f}"
            for figure in (self.value, self.low, self.high)
        )
        return f"{value}{unit} [{low}, {high}]"

    def to_dict(self) -> dict[str, Any]:
        """Return value, low, high and method, ready for JSON: NaN becomes None."""
        return {
            name: None if isinstance(entry, float) and math.isnan(entry) else entry
            for name, entry in asdict(self).items()
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
    return Estimate(
        float(mean),
        float(mean - to_low),
        float(mean + to_high),
        f"{MOVER}: {estimates[0].method}",
    )
