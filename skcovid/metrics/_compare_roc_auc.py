"""Compare the areas under the ROC curves of two scores of the same images."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from skcovid._base._compatibility import validate_params
from skcovid._base._label_checks import check_groups, check_source
from skcovid.metrics._estimates import Estimate, JsonMixin, difference_estimate
from skcovid.metrics._roc_auc import find_areas
from skcovid.metrics._wilson import CONFIDENCE_LEVEL


@dataclass(frozen=True)
class RocAucComparison(JsonMixin):
    """What :func:`compare_roc_auc` returns.

    Parameters
    ----------
    pos_label : object
        The class that both scores are for.
    area_a, area_b : Estimate
        Areas under the ROC curves of the two scores, in [0, 1].
    difference : Estimate
        `area_a` minus `area_b`, in [-1, 1].
    pvalue : float
        Two-sided p-value of DeLong's test for equal areas. NaN if the variance of the
        difference cannot be estimated, as where both areas are 1.
    confidence_level : float
        Confidence level of the intervals.
    """

    pos_label: Hashable
    area_a: Estimate
    area_b: Estimate
    difference: Estimate
    pvalue: float
    confidence_level: float

    def __str__(self) -> str:
        return (
            f"ROC AUC of {self.pos_label}: {self.area_a.format_fraction()} against "
            f"{self.area_b.format_fraction()}, difference "
            f"{self.difference.format_fraction()}, p = {self.pvalue:.3g} (DeLong)"
        )


@validate_params(
    {
        "y_true": ["array-like"],
        "score_a": ["array-like"],
        "score_b": ["array-like"],
        "pos_label": "no_validation",
        "groups": ["array-like", None],
        "source": ["array-like", None],
        "confidence_level": CONFIDENCE_LEVEL,
    }
)
def compare_roc_auc(
    y_true: ArrayLike,
    score_a: ArrayLike,
    score_b: ArrayLike,
    *,
    pos_label: Hashable,
    groups: ArrayLike | None = None,
    source: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> RocAucComparison:
    """Compare the areas under the ROC curves of two scores of the same images."""
    check_consistent_length(y_true, score_a, score_b, groups, source)
    check_groups(groups)
    check_source(source)
    scores = np.column_stack(
        [
            check_array(column_or_1d(score), ensure_2d=False, input_name=name)
            for name, score in (("score_a", score_a), ("score_b", score_b))
        ]
    )
    true = column_or_1d(y_true) == pos_label
    areas = find_areas(np.column_stack([true, true]), scores, groups, source)
    area_a, area_b = areas.estimate(confidence_level)
    difference = difference_estimate(area_a, area_b, areas.correlate()[0, 1])
    contrast: Any = areas.influence @ [[1.0], [-1.0]]
    error = math.sqrt(areas.sample.sum_outer_products(contrast)[0, 0])
    pvalue = math.nan
    if error > 1e-12:
        pvalue = float(2 * norm.sf(abs(difference.value) / error))
    return RocAucComparison(
        pos_label=pos_label,
        area_a=area_a,
        area_b=area_b,
        difference=difference,
        pvalue=pvalue,
        confidence_level=float(confidence_level),
    )
