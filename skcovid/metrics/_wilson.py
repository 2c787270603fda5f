"""Wilson's score interval of a proportion."""

import math
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from skcovid._base._compatibility import Interval, validate_params

# What `validate_params` checks a confidence level by.
CONFIDENCE_LEVEL = [Interval(Real, 0, 1, closed="neither")]
_COUNT = [Interval(Integral, 0, None, closed="left")]


def wilson_bounds(
    proportion: ArrayLike, size: ArrayLike, confidence_level: float
) -> NDArray[np.float64]:
    """Return the lower and upper bounds; the size need not be a whole number.

    `scipy.stats.binomtest` takes whole counts only.
    """
    proportion, size = np.asarray(proportion, float), np.asarray(size, float)
    square = norm.ppf((1 + confidence_level) / 2) ** 2
    centre = proportion + square / (2 * size)
    spread = proportion * (1 - proportion) * square / size + (square / (2 * size)) ** 2
    half_width = np.sqrt(spread)
    bounds: NDArray[np.float64] = np.array([centre - half_width, centre + half_width])
    bounds /= 1 + square / size
    # Rounding must not move a bound away from 0 or 1.
    bounds[0, proportion == 0] = 0
    bounds[1, proportion == 1] = 1
    return bounds


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
        Number of trials; with none, both bounds are NaN.
    confidence_level : float, default=0.95
        Share of such intervals that contain the true proportion, in (0, 1).

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
            f"successes={successes} exceeds total={total}; pass at most {total}."
        )
    if total == 0:
        return math.nan, math.nan
    low, high = wilson_bounds(successes / total, total, confidence_level)
    return float(low), float(high)
