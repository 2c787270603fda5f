"""Association of two columns where images of one patient are alike."""

import math
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skcovid._base._compatibility import Interval, validate_params
from skcovid._base._label_checks import check_groups
from skcovid._base._random import draw_seed
from skcovid.metrics._estimates import Estimate


@validate_params(
    {
        "first": ["array-like"],
        "second": ["array-like"],
        "groups": ["array-like", None],
        "n_resamples": [Interval(Integral, 99, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def cramers_v(
    first: ArrayLike,
    second: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n_resamples: int = 999,
    random_state: int | np.random.RandomState | None = 0,
) -> tuple[Estimate, float]:
    """Cramér's V of two columns, such as hospital and class, by patients.

    0 if neither tells anything of the other, 1 if each tells the other (or the one with
    more values tells the other).

    Parameters
    ----------
    first, second : array-like of shape (n_samples,)
        Two labels of each image.
    groups : array-like of shape (n_samples,), default=None
        Patient of each image. By default images count as independent.
    n_resamples : int, default=999
        Number of resamples for the interval, and of permutations for the p-value.
    random_state : int, RandomState instance or None, default=0
        Seed of both.

    Returns
    -------
    estimate : Estimate
        Cramér's V, in [0, 1], with its 95 % interval; NaN if a column has one value.
    pvalue : float
        Probability of a V at least as large if the columns were not associated.

    Raises
    ------
    ValueError
        If lengths differ or a patient is missing.

    Notes
    -----
    For the p-value, the shares of each value of `second` among a patient's images are
    exchanged at random between patients. The interval has the percentiles of V² in
    resamples of patients, less twice the mean amount by which they exceed V²: samples
    without association have a V above 0, and resamples of them a larger one.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.metrics import cramers_v
    >>> hospital = np.repeat(["A", "A", "B", "B", "B", "A", "B", "A"], 20)
    >>> label = np.repeat(["ill", "ill", "well", "well"] * 2, 20)
    >>> v, pvalue = cramers_v(hospital, label, groups=np.arange(160) // 20)
    >>> print(v.format_fraction(2), pvalue > 0.05)
    0.50 [0.00, 0.89] True
    """
    check_consistent_length(first, second, groups)
    check_groups(groups)
    units = np.arange(len(np.asarray(first))) if groups is None else groups
    rows, columns, patients = (
        np.unique(column_or_1d(values), return_inverse=True)[1]
        for values in (first, second, units)
    )
    n_rows, n_columns, n_patients = (
        numbers.max() + 1 for numbers in (rows, columns, patients)
    )
    cells = rows * n_columns + columns
    generator = np.random.default_rng(draw_seed(random_state))

    def count(weights: NDArray[Any]) -> NDArray[np.float64]:
        """Cross-tabulate; each image of a patient counts as its weight says."""
        counts = np.bincount(cells, weights[patients], n_rows * n_columns).astype(float)
        return counts.reshape(n_rows, n_columns)

    observed = float(_square_v(count(np.ones(n_patients))))
    if math.isnan(observed):
        return Estimate(math.nan, math.nan, math.nan), math.nan
    resamples = generator.integers(n_patients, size=(n_resamples, n_patients))
    drawn = _square_v(
        [count(np.bincount(units, minlength=n_patients)) for units in resamples]
    )
    bias = np.nanmean(drawn) - observed
    bounds = np.clip(np.nanpercentile(drawn, [2.5, 97.5]) - 2 * bias, 0, 1)
    low, high = np.sqrt([min(bounds[0], observed), max(bounds[1], observed)]).tolist()
    shares = [
        np.bincount(patients, columns == column) / np.bincount(patients)
        for column in range(n_columns)
    ]
    orders = [generator.permutation(n_patients)[patients] for _ in range(n_resamples)]
    exchanged = _square_v(
        [[np.bincount(rows, share[one], n_rows) for share in shares] for one in orders]
    )
    # Rounding must not make an equal table smaller.
    n_as_large = np.count_nonzero(exchanged >= observed - 1e-9)
    pvalue = (1 + n_as_large) / (1 + n_resamples)
    return Estimate(math.sqrt(observed), low, high), pvalue


def _square_v(tables: ArrayLike) -> NDArray[np.float64]:
    """Return the squares of Cramér's V, NaN if one row or column has all images."""
    counts = np.asarray(tables, dtype=float)
    rows, columns = counts.sum(axis=-1), counts.sum(axis=-2)
    expected = rows[..., np.newaxis] * columns[..., np.newaxis, :]
    shares = np.divide(
        counts**2, expected, out=np.zeros_like(counts), where=expected > 0
    )
    n_used = np.minimum(np.count_nonzero(rows, -1), np.count_nonzero(columns, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = (shares.sum(axis=(-2, -1)) - 1) / (n_used - 1)
    return np.where(n_used > 1, np.clip(squares, 0, 1), np.nan)
