"""Cramér's V and its test, which count patients rather than their images."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from scipy.stats.contingency import association, crosstab

from skcovid.metrics import Estimate, cramers_v

SIZES = {
    "20 of 20": lambda _: np.full(20, 20),
    "50 of 4": lambda _: np.full(50, 4),
    "unequal": lambda rng: np.maximum(1, rng.lognormal(1.3, 1, 60)).astype(int),
}


def draw(seed, sizes, *, decided=0.0, crossing=0.0):
    """Draw class, source and patient of images; one class a patient."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(n := SIZES[sizes](rng))), n)
    label = rng.choice(3, len(n), p=[0.2, 0.4, 0.4])[groups]
    source = rng.integers(0, 3, len(n))[groups]
    own = rng.random(len(groups)) < crossing
    source = np.where(own, rng.integers(0, 3, len(groups)), source)
    by_class = (rng.random(len(n)) < decided)[groups]
    return np.where(by_class, label, source), label, groups


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("crossing", [0.0, 0.5])
def test_without_association_the_error_is_the_level(sizes, crossing):
    pvalues, lows = [], []
    for seed in range(60):
        source, label, groups = draw(seed, sizes, crossing=crossing)
        v, pvalue = cramers_v(source, label, groups=groups, n_resamples=99)
        pvalues.append(pvalue)
        lows.append(v.low)
    # 3 of 60 are expected; 9 or more have a probability below 1 %.
    assert np.count_nonzero(np.array(pvalues) <= 0.05) < 9
    assert np.mean(np.array(lows) > 0.1) < 0.12
    # p-values are spread over all of [0, 1].
    assert 0.35 < np.mean(pvalues) < 0.65


def test_images_taken_as_independent_are_found_associated():
    sets = [draw(seed, "20 of 20") for seed in range(20)]
    pvalues = [chi2_contingency(crosstab(*one[:2])[1]).pvalue for one in sets]
    assert np.mean(np.array(pvalues) <= 0.05) > 0.9


@pytest.mark.parametrize("sizes", SIZES)
def test_an_association_is_found(sizes):
    found = [
        cramers_v(source, label, groups=groups, n_resamples=99)
        for source, label, groups in (draw(s, sizes, decided=0.9) for s in range(10))
    ]
    assert all(pvalue == pytest.approx(0.01) for _, pvalue in found)
    assert all(0.3 < v.low <= v.value <= v.high <= 1 for v, _ in found)


def test_the_value_is_that_of_scipy_with_and_without_patients():
    source, label, groups = draw(0, "unequal", decided=0.4)
    expected = association(crosstab(source, label)[1], method="cramer")
    for patients in (groups, None):
        for columns in ((source, label), (label, source)):
            v, _ = cramers_v(*columns, groups=patients, n_resamples=99)
            assert v.value == pytest.approx(expected)


def test_without_patients_it_is_the_chi_square_test():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 80)
    source = np.where(rng.random(80) < 0.2, label, rng.integers(0, 3, 80))
    expected = chi2_contingency(crosstab(source, label)[1], correction=False).pvalue
    assert 0.05 < expected < 0.9
    assert cramers_v(source, label)[1] == pytest.approx(expected, abs=0.1)


def test_copies_of_images_change_nothing():
    source, label, groups = draw(1, "50 of 4", decided=0.5)
    once, often = (
        cramers_v(
            *(np.repeat(one, n) for one in (source, label)), groups=np.repeat(groups, n)
        )
        for n in (1, 7)
    )
    assert often[1] == once[1]
    assert often[0].low == pytest.approx(once[0].low)


def test_columns_that_determine_each_other():
    source = np.repeat(["A", "B", "C"], 40)
    found = cramers_v(
        source, np.repeat(["x", "y", "z"], 40), groups=np.arange(120) // 4
    )
    assert found == (Estimate(1, 1, 1), pytest.approx(0.001))


def test_a_column_of_one_value_has_no_association():
    v, pvalue = cramers_v(["A"] * 4, [0, 1, 0, 1])
    assert np.isnan([v.value, v.low, v.high, pvalue]).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"second": [0, 1]}, "numbers of samples"),
        ({"groups": ["p", None, "q", "q"]}, "groups"),
        ({"n_resamples": 3}, "n_resamples"),
    ],
)
def test_errors(changed, message):
    arguments = {"first": list("AABB"), "second": [0, 1, 0, 1], **changed}
    with pytest.raises(ValueError, match=message):
        cramers_v(**arguments)
