"""The mean of a figure over sources, how much they differ, and a new source."""

import math

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from statsmodels.stats.meta_analysis import combine_effects

from skcovid.metrics import Estimate, compare_roc_auc, heterogeneity


def shares(hits, totals, confidence_level=0.95):
    return [
        Estimate.from_counts(one, total, confidence_level)
        for one, total in zip(hits, totals, strict=True)
    ]


def test_fleiss_published_example_of_smokers():
    # R's help of prop.test: X-squared = 12.6004, df = 3, p-value = 0.005585.
    found = heterogeneity(shares([83, 90, 129, 70], [86, 93, 136, 82]))
    assert round(found.q, 4) == 12.6004
    assert round(found.pvalue, 6) == 0.005585
    assert found.i_squared == pytest.approx(1 - 3 / 12.6004, abs=1e-5)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_random_effects_are_those_of_statsmodels(level):
    rng = np.random.default_rng(0)
    for _ in range(5):
        totals = rng.integers(20, 200, 7)
        hits = rng.binomial(totals, rng.uniform(0.4, 0.95, 7))
        found = heterogeneity(shares(hits, totals, level), confidence_level=level)
        chi_squared, pvalue, *_ = chi2_contingency(
            [hits, totals - hits], correction=False
        )
        assert (found.q, found.pvalue) == pytest.approx((chi_squared, pvalue))
        mean, tau_squared = found.mean.value, found.tau**2
        # The variance within a source is that of the mean figure.
        within = (mean * (1 - mean) - tau_squared) / totals
        other = combine_effects(hits / totals, within, method_re="iterated")
        assert found.tau**2 == pytest.approx(other.tau2, rel=1e-3)
        assert mean == pytest.approx(other.mean_effect_re, rel=1e-4)


def test_equal_sizes_have_hartung_and_knapps_variance():
    hits, totals = np.array([40, 52, 45, 58, 30]), np.full(5, 60)
    found = heterogeneity(shares(hits, totals))
    values = hits / totals
    error = values.std(ddof=1) / np.sqrt(5)
    assert found.mean.value == pytest.approx(values.mean())
    # Wilson's interval is symmetric in the logit: 2.776 is the quantile of t.
    half = 2.776 * error / (found.mean.value * (1 - found.mean.value))
    logits = [math.log(p / (1 - p)) for p in (found.mean.low, found.mean.high)]
    assert (logits[1] - logits[0]) / 2 == pytest.approx(half, rel=0.06)


def test_sources_that_agree():
    found = heterogeneity(shares([40] * 6, [50] * 6))
    assert (found.q, found.i_squared, found.tau) == pytest.approx((0, 0, 0))
    assert found.pvalue == 1
    pooled = Estimate.from_counts(240, 300)
    assert found.mean.value == pytest.approx(0.8)
    assert found.mean.low == pytest.approx(pooled.low)
    assert found.prediction.low == pytest.approx(found.mean.low, abs=0.02)


@pytest.mark.parametrize("value", [0, 1])
def test_perfect_sources(value):
    found = heterogeneity(shares([20 * value] * 4, [20] * 4))
    assert found.mean.value == value
    assert found.mean.high - found.mean.low == pytest.approx(0.0458, abs=1e-3)
    assert (found.q, found.tau, found.pvalue) == (0, 0, 1)


def test_perfect_sources_of_other_widths():
    lows = (0.32, 0.71, 0.9, 0.33, 0.87)
    for n_sources in (2, 3, 4, 5):
        ones = [Estimate(1.0, low, 1.0, "") for low in lows[:n_sources]]
        found = heterogeneity(ones)
        assert found.mean.value == 1
        assert found.mean.low < found.mean.high == 1
        assert found.tau == 0


def test_sources_that_contradict_each_other():
    found = heterogeneity(shares([0, 50, 0, 50], [50] * 4))
    assert found.mean.value == pytest.approx(0.5)
    assert found.tau > 0.45
    assert found.i_squared > 0.95
    assert (found.prediction.low, found.prediction.high) == pytest.approx((0, 1))


def test_a_new_source_is_less_certain_than_the_mean():
    found = heterogeneity(shares([45, 30, 38, 20, 33, 41], [50] * 6))
    assert found.prediction.low < found.mean.low < found.mean.high
    assert found.mean.high < found.prediction.high < 1
    assert found.prediction.value == found.mean.value


def test_sources_without_a_figure_are_counted():
    known = shares([45, 30, 38], [50] * 3)
    found = heterogeneity([known[0], Estimate.from_counts(0, 0), *known[1:]])
    assert (found.n_sources, found.n_left_out) == (3, 1)
    assert found.mean == heterogeneity(known).mean
    assert "1 without a figure" in str(found)


@pytest.mark.parametrize("n_sources", [0, 1])
def test_fewer_than_two_sources_give_no_figures(n_sources):
    found = heterogeneity(shares([45], [50])[:n_sources])
    assert math.isnan(found.mean.value)
    assert found.n_sources == n_sources
    assert found.to_dict()["q"] is None
    assert str(found.prediction) == "n/a"


def test_two_sources_say_almost_nothing_of_a_third():
    found = heterogeneity(shares([45, 30], [50, 50]))
    assert found.prediction.low < 0.01
    assert found.prediction.high > 0.99


def test_bounds_of_other_methods_are_taken_by_their_width():
    # A bootstrap interval that ends at 1.
    found = heterogeneity([Estimate(0.9, 0.8, 1.0), Estimate(0.8, 0.75, 0.87)])
    assert 0.8 < found.mean.value < 0.9


@pytest.mark.parametrize(
    "wrong", [Estimate(-0.1, -0.2, 0), Estimate(0.5, 0.5, 0.5), Estimate(0.5, 0, 1)]
)
def test_what_is_no_share_with_an_interval_is_an_error(wrong):
    with pytest.raises(ValueError, match=r"estimates.*leave this source out"):
        heterogeneity([*shares([45], [50]), wrong])


def test_what_is_not_known_prints_as_such():
    alone = heterogeneity([Estimate.from_counts(9, 10)])
    assert str(alone) == "mean of 1 sources: n/a; a new source: n/a; I² = n/a"
    same = compare_roc_auc([1, 0], [2, 1], [2, 1], pos_label=1)
    assert "p = n/a (DeLong)" in str(same)
