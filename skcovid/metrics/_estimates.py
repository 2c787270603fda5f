"""`Estimate`: a figure with its confidence interval, and the mean of several."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skcovid.metrics._wilson import wilson_interval

# Values of `Estimate.method`.
WILSON = "Wilson"
EFFECTIVE_WILSON = "Wilson with effective sample size"
MOVER = "MOVER"


class JsonMixin:
    """Gives a dataclass of estimates and numbers the method `to_dict`."""

    def to_dict(self) -> dict[str, Any]:
        """Return all as nested dicts, ready for JSON: NaN becomes None."""
        return {name: as_json(entry) for name, entry in vars(self).items()}


@dataclass(frozen=True, repr=False)
class Estimate(JsonMixin):
    """A figure with its confidence interval.

    Parameters
    ----------
    value : float
        The figure: in [0, 1] if it is a share or an area, in [-1, 1] if it is a
        difference of them. NaN, with both bounds, where the data give none, such as the
        precision of a class that was never predicted.
    low, high : float
        Bounds of the interval, in the same range.
    method : str, default=""
        How the interval was made, such as "Wilson"; of some NaN, why there is no
        figure.

    Examples
    --------
    >>> from skcovid.metrics import Estimate
    >>> estimate = Estimate.from_counts(1410, 1450)
    >>> estimate
    Estimate(0.9724 [0.9627, 0.9797], Wilson)
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
        """Proportion of successes in independent trials, with its Wilson interval.

        Parameters
        ----------
        successes, total : int
            Numbers of successes and of trials. With no trials the figure is NaN.
        confidence_level : float, default=0.95
            Confidence level of the interval, in (0, 1).

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

    def format_percent(self, decimals: int = 2) -> str:
        """Write the figure and its interval in percent, ``"n/a"`` if it is NaN.

        Parameters
        ----------
        decimals : int, default=2
            Number of decimals. Table 4 of the paper has two for accuracy, no others.

        Returns
        -------
        str
        """
        return self._format(decimals, scale=100, unit=" %")

    def format_fraction(self, decimals: int = 3) -> str:
        """Write the figure and its interval as fractions, ``"n/a"`` if it is NaN.

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

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return self.format_percent()

    def __repr__(self) -> str:
        texts = filter(None, [self.format_fraction(4), self.method])
        return f"Estimate({', '.join(texts)})"

    def _repr_html_(self) -> str:
        value, _, interval = self.format_fraction(4).partition(" ")
        cells = [value, interval.strip("[]"), escape(self.method)]
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        names = "<th>value</th><th>interval</th><th>method</th>"
        return f"<table><tr>{names}</tr><tr>{row}</tr></table>"


def unknown_estimate(reason: str) -> Estimate:
    """Return the estimate of a figure that the data do not give, and why."""
    return Estimate(math.nan, math.nan, math.nan, reason)


def transform_estimate(
    estimate: Estimate, function: Callable[[float], float]
) -> Estimate:
    """Apply a monotonic function to a figure and its bounds."""
    low, high = sorted((function(estimate.low), function(estimate.high)))
    return Estimate(function(estimate.value), low, high, estimate.method)


def as_json(entry: Any) -> Any:
    """Turn estimates, and what holds them, into JSON; NaN and infinity become None."""
    if hasattr(entry, "to_dict"):
        return entry.to_dict()
    if isinstance(entry, Mapping):
        return {str(name): as_json(value) for name, value in entry.items()}
    if isinstance(entry, list | tuple):
        return [as_json(value) for value in entry]
    return None if isinstance(entry, float) and not math.isfinite(entry) else entry


def mean_estimate(
    estimates: Sequence[Estimate], correlation: NDArray[np.float64]
) -> Estimate:
    """Mean of estimates, its interval by MOVER (see `per_class_table`), or NaN."""
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


def difference_estimate(a: Estimate, b: Estimate, correlation: float = 0) -> Estimate:
    """Return `a` minus `b`, its interval by MOVER; NaN if either is.

    Both intervals have one confidence level. The figures are of different patients, or
    have the `correlation` given. For shares this is Newcombe's interval (1998,
    Statistics in Medicine, 17, 873-890, method 10); in general that of Zou and Donner.
    """
    to_low, to_high = (
        math.sqrt(max(down**2 + up**2 - 2 * correlation * down * up, 0))
        for down, up in (
            (a.value - a.low, b.high - b.value),
            (a.high - a.value, b.value - b.low),
        )
    )
    value = a.value - b.value
    method = f"{MOVER}: {a.method.removeprefix(f'{MOVER}: ')}"
    return Estimate(value, value - to_low, value + to_high, method)
