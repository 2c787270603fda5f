"""How much a figure differs between sources, and what to expect of a new one."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import beta, chi2, norm, t

from skcovid._base._compatibility import validate_params
from skcovid.metrics._estimates import Estimate, JsonMixin, unknown_estimate
from skcovid.metrics._wilson import CONFIDENCE_LEVEL, wilson_bounds

# Values of `Estimate.method`.
RANDOM_EFFECTS = "random effects (Kleinman), robust variance"
PREDICTION = "prediction interval (beta)"


@dataclass(frozen=True)
class Heterogeneity(JsonMixin):
    """What :func:`heterogeneity` returns.

    With fewer than two figures all but the counts is NaN.

    Parameters
    ----------
    q : float
        Cochran's Q, at least 0: the squared deviations from the common mean, each in
        units of its variance if the sources do not differ.
    pvalue : float
        P-value of the test that all sources have the same true figure.
    i_squared : float
        Share of the variance between the figures that is due to differences between
        the sources, in [0, 1): ``1 - (n_sources - 1) / q``.
    tau : float
        Standard deviation of the sources' true figures, in the unit of the figures.
    mean : Estimate
        Mean of the true figures of all such sources, with its confidence interval.
    prediction : Estimate
        The same mean, with the interval where the true figure of a new source lies.
    n_sources, n_left_out : int
        Number of sources with a figure, and of those whose figure is NaN.
    confidence_level : float
        Confidence level of both intervals.
    weights : tuple of float
        Share of each given figure in the mean, 0 for NaN; they add up to 1.
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
    weights: tuple[float, ...]

    def __str__(self) -> str:
        left_out = f" ({self.n_left_out} without a figure)" if self.n_left_out else ""
        share = f"{100 * self.i_squared:.0f} %".replace("nan %", "n/a")
        return (
            f"mean of {self.n_sources} sources{left_out}: "
            f"{self.mean.format_fraction()}; a new source: "
            f"{self.prediction.format_fraction()}; I² = {share}"
        )


@validate_params({"estimates": ["array-like"], "confidence_level": CONFIDENCE_LEVEL})
def heterogeneity(
    estimates: Iterable[Estimate], *, confidence_level: float = 0.95
) -> Heterogeneity:
    """Mean of a figure over sources, their differences, and what a new one would have.

    Parameters
    ----------
    estimates : sequence of Estimate
        The same figure of each source, in [0, 1], such as its accuracy, recall or area
        under the ROC curve. NaN figures are left out and counted. The sources have no
        patients in common.
    confidence_level : float, default=0.95
        Confidence level of the intervals of `estimates`, and of those returned.

    Returns
    -------
    Heterogeneity

    Raises
    ------
    ValueError
        If a figure is not in [0, 1], or its interval has no width or is all of [0, 1].

    Notes
    -----
    Every figure `p` is taken as a share of `n` independent trials, with the `n` of
    which its interval is Wilson's. True figures vary between sources, and two images of
    a source are then as alike as their correlation `rho` says. With the mean `m`,

    - a figure's variance is ``m (1 - m) (rho + (1 - rho) / n)``, its weight `w` the
      inverse of ``rho + (1 - rho) / n`` [1]_. A figure's own variance is not used: it
      is too small for figures near 0 or 1, which then weigh too much [2]_;
    - `q` is ``sum(w (p - m)**2) / (m (1 - m))`` at ``rho = 0``, Pearson's chi-squared
      statistic of equal shares; `rho` is such that the sum is its expected value,
      ``n_sources - 1`` (Paule and Mandel [3]_); ``tau**2 = rho m (1 - m)``;
    - the variance of the mean is the robust one of the figures' deviations, with the
      degrees of freedom of Satterthwaite [4]_, which holds where `rho` is poorly known.
      The interval has Wilson's form, and is at least as wide as with a known `rho`;
    - the true figure of a new source is taken to have a beta distribution of that mean
      and variance, with the variance of the mean added and one degree of freedom less.

    :doc:`/evaluation` has the coverage in simulations. With two sources it is poor:
    then give the sources themselves. Prediction intervals are very wide with fewer than
    five sources.

    References
    ----------
    .. [1] Kleinman, J. C. (1973). Proportions with extraneous variance: single and
       independent samples. Journal of the American Statistical Association, 68, 46-54.
    .. [2] Stijnen, T., Hamza, T. H., and Özdemir, P. (2010). Random effects
       meta-analysis of event outcome in the framework of the generalized linear mixed
       model. Statistics in Medicine, 29, 3046-3067. It shows the bias.
    .. [3] Paule, R. C., and Mandel, J. (1982). Consensus values and weighting factors.
       Journal of Research of the National Bureau of Standards, 87, 377-385.
    .. [4] Tipton, E. (2015). Small sample adjustments for robust variance estimation
       with meta-regression. Psychological Methods, 20, 375-393.

    Examples
    --------
    >>> from skcovid.metrics import Estimate, heterogeneity
    >>> recalls = [
    ...     Estimate.from_counts(hits, 50) for hits in (45, 30, 38, 20, 33, 41)
    ... ]
    >>> found = heterogeneity(recalls)
    >>> print(found.mean)
    69.00 % [48.77, 83.88]
    >>> print(found.prediction.format_percent(0))
    69 % [16, 99]
    >>> round(found.i_squared, 2), round(found.tau, 2)
    (0.87, 0.17)
    """
    found = list(estimates)
    known = [estimate for estimate in found if not np.isnan(estimate.value)]
    n_free = len(known) - 1
    q = pvalue = i_squared = tau = np.nan
    mean = prediction = unknown_estimate("")
    shares = np.array([float(not np.isnan(estimate.value)) for estimate in found])
    if n_free > 0:
        values = np.array([estimate.value for estimate in known])
        sizes = _find_sizes(known, confidence_level)
        q = _find_q(0, values, sizes)
        pvalue = float(chi2.sf(q, n_free))
        i_squared = 1 - n_free / q if q > n_free else 0.0
        rho = 0.0
        if q > n_free:
            # Shares of 0 and 1 alone may differ by more than any correlation explains.
            rho = 1.0
            if _find_q(1, values, sizes) < n_free:
                rho = brentq(lambda r: _find_q(r, values, sizes) - n_free, 0, 1)
        weights = sizes / (1 + (sizes - 1) * rho)
        shares[shares > 0] = weights
        # Rounding may bring a mean of ones above 1.
        centre = float(np.clip(np.average(values, weights=weights), 0, 1))
        variance = centre * (1 - centre)
        tau = float(np.sqrt(rho * variance))
        robust, df = _find_robust_variance(values, weights)
        level = (1 + confidence_level) / 2
        # Number of trials that would leave the mean as uncertain.
        n_trials = variance / robust if robust and variance else np.inf
        as_normal = (norm.ppf(level) / t.ppf(level, df)) ** 2
        low, high = wilson_bounds(
            centre, min(n_trials * as_normal, weights.sum()), confidence_level
        )
        mean = Estimate(centre, float(low), float(high), RANDOM_EFFECTS)
        # Beyond that, a beta distribution has no such variance.
        spread = min(rho + 1 / min(n_trials, weights.sum()), 1 - 1e-9)
        if variance:
            # Farther out the bounds are 0 and 1, and not computed reliably.
            quantile = min(t.ppf(level, max(df - 1, 1)), 6)
            low, high = beta.ppf(
                norm.cdf([-quantile, quantile]),
                centre * (1 / spread - 1),
                (1 - centre) * (1 / spread - 1),
            )
        prediction = Estimate(centre, float(low), float(high), PREDICTION)
    return Heterogeneity(
        q=q,
        pvalue=pvalue,
        i_squared=i_squared,
        tau=tau,
        mean=mean,
        prediction=prediction,
        n_sources=len(known),
        n_left_out=len(found) - len(known),
        confidence_level=float(confidence_level),
        weights=tuple((shares / max(shares.sum(), 1e-300)).tolist()),
    )


def _find_sizes(
    estimates: list[Estimate], confidence_level: float
) -> NDArray[np.float64]:
    """Return the numbers of trials of which the intervals are Wilson's, by width."""
    for estimate in estimates:
        width = estimate.high - estimate.low
        if not (0 <= estimate.value <= 1 and 0 < width < 1):
            raise ValueError(
                f"estimates: {estimate.format_fraction()} must be a share with an "
                "interval narrower than [0, 1] and of some width, such as a recall or "
                "an area; leave this source out."
            )
    values, widths = np.array([(e.value, e.high - e.low) for e in estimates]).T
    # Wilson's width, solved for z**2 / n.
    half = widths**2 - 2 * values * (1 - values)
    ratio = (half + np.sqrt(half**2 + (1 - widths**2) * widths**2)) / (1 - widths**2)
    return np.asarray(norm.ppf((1 + confidence_level) / 2) ** 2 / ratio)


def _find_q(
    rho: float, values: NDArray[np.float64], sizes: NDArray[np.float64]
) -> float:
    """Return the sum of squared deviations in units of their variance; see Notes."""
    weights = sizes / (1 + (sizes - 1) * rho)
    mean = np.average(values, weights=weights)
    if np.ptp(values) == 0:
        return 0.0
    return float(weights @ (values - mean) ** 2 / (mean * (1 - mean)))


def _find_robust_variance(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, float]:
    """Return Tipton's variance (CR2) of a weighted mean, and its degrees of freedom."""
    shares = weights / weights.sum()
    scale = shares / np.sqrt(1 - shares)
    deviations = scale * (values - shares @ values)
    expected = np.diag(1 / weights) - 1 / weights.sum()
    expected *= np.outer(scale, scale)
    df = np.trace(expected) ** 2 / (expected**2).sum()
    return float(deviations @ deviations), float(df)
