"""How much a figure differs between sources, and what to expect of a new one."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import chi2, norm, t

from skcovid._base._compatibility import validate_params
from skcovid.metrics._estimates import Estimate, JsonMixin
from skcovid.metrics._wilson import CONFIDENCE_LEVEL

# Values of `Estimate.method`.
RANDOM_EFFECTS = "random effects (Paule-Mandel, Hartung-Knapp)"
PREDICTION = "prediction interval of a new source"


@dataclass(frozen=True)
class Heterogeneity(JsonMixin):
    """What :func:`heterogeneity` returns.

    Parameters
    ----------
    q : float
        Cochran's Q: the weighted sum of squared deviations, at least 0.
    pvalue : float
        That the sources differ by chance alone, in [0, 1].
    i_squared : float
        Share of the variance between the figures that is due to differences of the
        sources, in [0, 1).
    tau : float
        Standard deviation of the sources' true figures, on the logit scale.
    mean : Estimate
        Figure of the average source. It weighs sources nearly equally if they differ
        much, and by their precision if not.
    prediction : Estimate
        The same figure with an interval for a new source, where its images are many.
    n_sources, n_left_out : int
        Number of sources with a figure, and of those without, whose figure is NaN.
    confidence_level : float
        Confidence level of both intervals.
    """

    q: float
    pvalue: float
    i_squared: float
    tau: float
    mean: Estimate
    prediction: Estimate
    n_sources: int
    n_left_out: int
    confidence_level: float

    def __str__(self) -> str:
        return (
            f"mean of {self.n_sources} sources {self.mean.format_fraction()}; new "
            f"source {self.prediction.format_fraction()}"
        )


@validate_params({"estimates": ["array-like"], "confidence_level": CONFIDENCE_LEVEL})
def heterogeneity(
    estimates: Iterable[Estimate], *, confidence_level: float = 0.95
) -> Heterogeneity:
    """Summarise a figure of several sources, by a random-effects analysis."""
    found = list(estimates)
    known = [estimate for estimate in found if not math.isnan(estimate.value)]
    effects, variances = _as_logits(known, confidence_level)
    n_sources = len(known)
    q = pvalue = i_squared = tau = math.nan
    mean = prediction = Estimate(math.nan, math.nan, math.nan, RANDOM_EFFECTS)
    if n_sources > 1:
        q = _find_q(0, effects, variances)
        pvalue = float(chi2(n_sources - 1).sf(q))
        i_squared = max(1 - (n_sources - 1) / q, 0) if q else 0.0
        tau_squared = _find_tau_squared(effects, variances)
        tau = math.sqrt(tau_squared)
        weights = 1 / (variances + tau_squared)
        centre = float(np.average(effects, weights=weights))
        scale = _find_q(tau_squared, effects, variances) / (n_sources - 1)
        variance = scale / weights.sum()
        quantile = t(n_sources - 1).ppf((1 + confidence_level) / 2)
        mean, prediction = (
            Estimate(
                float(expit(centre)),
                float(expit(centre - quantile * error)),
                float(expit(centre + quantile * error)),
                method,
            )
            for error, method in (
                (math.sqrt(variance), RANDOM_EFFECTS),
                (math.sqrt(variance + tau_squared), PREDICTION),
            )
        )
    return Heterogeneity(
        q=q,
        pvalue=pvalue,
        i_squared=i_squared,
        tau=tau,
        mean=mean,
        prediction=prediction,
        n_sources=n_sources,
        n_left_out=len(found) - n_sources,
        confidence_level=float(confidence_level),
    )


def _as_logits(
    estimates: list[Estimate], confidence_level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return logits of the figures and their variances."""
    value, low, high = np.array([(e.value, e.low, e.high) for e in estimates]).T
    return logit(value), ((logit(high) - logit(low)) / 2 / norm.ppf(0.975)) ** 2


def _find_q(
    tau_squared: float, effects: NDArray[np.float64], variances: NDArray[np.float64]
) -> float:
    """Return the weighted sum of squared deviations from the weighted mean."""
    weights = 1 / (variances + tau_squared)
    mean = np.average(effects, weights=weights)
    return float(weights @ (effects - mean) ** 2)


def _find_tau_squared(
    effects: NDArray[np.float64], variances: NDArray[np.float64]
) -> float:
    """Return Paule and Mandel's variance between sources."""
    n_free = len(effects) - 1
    if _find_q(0, effects, variances) <= n_free:
        return 0.0
    largest = float(n_free * np.var(effects) + np.ptp(effects) ** 2)
    return float(brentq(lambda s: _find_q(s, effects, variances) - n_free, 0, largest))
