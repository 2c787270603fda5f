"""Areas under ROC curves: pairs of one source only, and differences of two areas."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from skcovid.metrics import (
    Estimate,
    RocAucTable,
    compare_roc_auc,
    roc_auc_table,
)
from skcovid.metrics._estimates import difference_estimate

LABELS = ["COVID-19", "NORMAL", "Viral Pneumonia"]

# Forty-three patients with ovarian cancer of DeLong, DeLong and Clarke-Pearson (1988):
# albumin, total protein, K-G score, and whether surgery was of benefit; in the order of
# the example "Comparing Receiver Operating Characteristic Curves" of SAS' LOGISTIC.
OVARIAN = np.fromstring(
    """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0
    2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1
    4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
    4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
    3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1
    3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
    2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
    3.6 6.6 5 1
    """,
    sep=" ",
).reshape(-1, 4)


def draw(seed, n=200, n_sources=6):
    """Draw labels, scores with ties, patients and sources, all independent."""
    rng = np.random.default_rng(seed)
    return {
        "y_true": rng.choice(LABELS, n),
        "probabilities": rng.random((n, 3)).round(1),
        "labels": LABELS,
        "groups": rng.integers(0, n // 3, n),
        "source": rng.integers(0, n_sources, n),
    }


def count_pairs(y_true, score, source, label):
    """Return the share of pairs of one source in the right order, ties one half."""
    right = [
        (score[i] > score[j]) + (score[i] == score[j]) / 2
        for i in np.flatnonzero(y_true == label)
        for j in np.flatnonzero((y_true != label) & (source == source[i]))
    ]
    return np.mean(right) if right else math.nan


def of_two(true, score, **parameters):
    """Return the area of a score of one class against another."""
    score = np.asarray(score, dtype=float)
    return roc_auc_table(true, np.column_stack([score, -score]), [1, 0], **parameters)[
        1
    ]


@pytest.mark.parametrize(("n", "n_sources"), [(200, 6), (40, 20), (30, 1)])
def test_pairs_are_counted_one_by_one(n, n_sources):
    for seed in range(5):
        drawn = draw(seed, n, n_sources)
        areas = roc_auc_table(**drawn)
        for label, score in zip(LABELS, drawn["probabilities"].T, strict=True):
            counted = count_pairs(drawn["y_true"], score, drawn["source"], label)
            assert areas[label].value == pytest.approx(counted, abs=1e-12)
            assert areas[label].low <= counted <= areas[label].high


def test_it_is_the_mean_of_scikit_learns_areas_of_sources():
    drawn = draw(0)
    true, source = drawn["y_true"] == "NORMAL", drawn["source"]
    score = drawn["probabilities"][:, 1]
    inside = [source == place for place in range(6)]
    n_pairs = [np.sum(true[rows]) * np.sum(~true[rows]) for rows in inside]
    each = [roc_auc_score(true[rows], score[rows]) for rows in inside]
    area = roc_auc_table(**drawn)["NORMAL"]
    assert area.value == pytest.approx(np.average(each, weights=n_pairs))


@pytest.mark.parametrize("groups", [True, False])
def test_one_source_gives_the_plain_table(groups):
    drawn = draw(1) | {"source": None}
    if not groups:
        drawn["groups"] = None
    plain = roc_auc_table(**drawn)
    assert isinstance(plain, RocAucTable)
    assert plain == roc_auc_table(**drawn | {"source": ["clinic"] * 200})
    # Numbers name sources too.
    assert plain == roc_auc_table(**drawn | {"source": np.full(200, 2.5)})


def test_names_and_order_of_sources_and_copies_of_images_do_not_matter():
    drawn = draw(2)
    areas = roc_auc_table(**drawn)
    names = np.array([f"clinic {name}" for name in "febdac"])[drawn["source"]]
    rows = np.random.default_rng(0).permutation(np.tile(np.arange(200), 2))
    per_row = ("y_true", "probabilities", "groups")
    copies = {name: drawn[name][rows] for name in per_row}
    again = roc_auc_table(**copies, labels=LABELS, source=names[rows])
    for one, other in zip(areas.values(), again.values(), strict=True):
        assert vars(other) == pytest.approx(vars(one))


def test_a_score_that_tells_sources_apart_has_no_area_within_them():
    drawn = draw(3)
    # One class comes from one source mostly.
    source = np.where(np.arange(200) % 5 == 0, "a", drawn["y_true"])
    score = (source == "COVID-19").astype(float)
    scores = np.column_stack([score, score, score])
    plain = roc_auc_table(**drawn | {"probabilities": scores, "source": None})
    within = roc_auc_table(**drawn | {"probabilities": scores, "source": source})
    assert plain["COVID-19"].value > 0.85
    assert within["COVID-19"].value == 0.5


def test_sources_with_one_class_add_nothing_and_leave_the_interval():
    true, score = np.tile([0, 1], 20), np.random.default_rng(0).random(40)
    source = np.repeat(["a", "b"], 20)
    area = of_two(true, score, source=source)
    more = of_two(
        np.r_[true, np.ones(30, int)],
        np.r_[score, np.full(30, 2)],
        source=np.r_[source, ["c"] * 30],
    )
    assert more == area
    alone = of_two([0, 0, 1, 1], [1, 2, 3, 4], source=["a", "a", "b", "b"])
    assert math.isnan(alone.value)
    assert math.isnan(alone.low)


def test_constant_scores_and_separated_sources_keep_a_width():
    true, source = np.tile([0, 1], 20), np.repeat(["a", "b", "c", "d"], 10)
    constant = of_two(true, np.zeros(40), source=source)
    assert constant.value == 0.5
    assert constant.high - constant.low > 0.3
    # Separated in every source, at thresholds that differ.
    score = true + 2 * np.repeat([0, 1, 2, 3], 10)
    separated = of_two(true, score, source=source)
    assert (separated.value, separated.high) == (1, 1)
    # That of 20 of 20, the images of the smaller side.
    assert separated.low == pytest.approx(Estimate.from_counts(20, 20).low)
    assert of_two(true, score).value < 0.7


def test_one_patient_gives_the_area_and_an_interval_of_nearly_everything():
    true, score = np.tile([0, 1], 10), np.random.default_rng(0).random(20)
    area = of_two(true, score, source=["a"] * 20, groups=["one"] * 20)
    assert area.value == pytest.approx(roc_auc_score(true, score))
    assert area.high - area.low > 0.6


def test_the_interval_is_near_that_of_a_bootstrap_within_sources():
    rng = np.random.default_rng(0)
    # 120 patients with two images in one of two sources.
    groups = np.arange(240) // 2
    true, source = groups % 2, groups % 3 > 0
    score = true + 2 * source + rng.normal(size=120)[groups] + rng.normal(size=240)
    area = of_two(true, score, source=source, groups=groups)
    strata = [
        np.unique(groups[(true == t) & (source == s)]) for t in (0, 1) for s in (0, 1)
    ]
    values = []
    for _ in range(300):
        patients = np.concatenate([rng.choice(some, len(some)) for some in strata])
        rows = np.concatenate([np.flatnonzero(groups == one) for one in patients])
        values.append(of_two(true[rows], score[rows], source=source[rows]).value)
    assert (area.high - area.low) / (2 * 1.96) == pytest.approx(
        np.std(values), rel=0.15
    )


@pytest.mark.parametrize("missing", [None, np.nan, ""])
def test_a_missing_source_is_an_error(missing):
    source = np.array(["a", "b", missing, "a"], dtype=object)
    with pytest.raises(ValueError, match=r"source: missing in rows? 2"):
        of_two([0, 1, 0, 1], [1, 2, 3, 4], source=source)


@pytest.mark.parametrize(
    ("source", "message"),
    [(["a"] * 3, "numbers of samples"), ([["a"]] * 4, "source must hold one value")],
)
def test_sources_of_another_shape_are_an_error(source, message):
    with pytest.raises(ValueError, match=message):
        of_two([0, 1, 0, 1], [1, 2, 3, 4], source=source)


class TestDifference:
    def test_newcombes_published_example(self):
        # Newcombe (1998), method 10, for 56/70 - 48/80.
        difference = difference_estimate(
            Estimate.from_counts(56, 70), Estimate.from_counts(48, 80)
        )
        found = [difference.value, difference.low, difference.high]
        assert np.round(found, 4).tolist() == [0.2, 0.0524, 0.3339]

    def test_extremes_stay_in_range_and_nan_stays_nan(self):
        none, whole = Estimate.from_counts(0, 10), Estimate.from_counts(20, 20)
        difference = difference_estimate(none, whole)
        assert difference.value == difference.low == -1
        assert round(difference.high, 4) == -0.6791 or difference.high < -0.6
        unknown = difference_estimate(none, Estimate(math.nan, math.nan, math.nan))
        assert math.isnan(unknown.value)
        assert str(unknown) == "n/a"

    def test_swapped_figures_have_the_opposite_difference(self):
        a, b = Estimate.from_counts(3, 9), Estimate.from_counts(50, 80)
        there, back = difference_estimate(a, b), difference_estimate(b, a)
        assert (there.value, there.low) == pytest.approx((-back.value, -back.high))


class TestCompare:
    def test_delongs_published_example(self):
        albumin, protein, kg_score, benefit = OVARIAN.T
        for score, area, difference, error in [
            (albumin, 0.7366, 0.0108, 0.0953),
            (protein, 0.6478, -0.0780, 0.1046),
        ]:
            found = compare_roc_auc(benefit, score, -kg_score, pos_label=1)
            values = found.area_a.value, found.area_b.value, found.difference.value
            assert np.round(values, 4).tolist() == [area, 0.7258, difference]
            assert found.pvalue == pytest.approx(
                2 * norm.sf(abs(difference) / error), abs=2e-3
            )

    def test_the_variance_is_obuchowskis_computed_by_hand(self):
        rng = np.random.default_rng(0)
        groups = np.repeat(np.arange(40), 3)
        true = (groups % 4 == 0) ^ (rng.random(120) < 0.1)
        scores = (true + rng.normal(size=(2, 40))[:, groups]).round(1)
        found = compare_roc_auc(true, *scores, pos_label=True, groups=groups)
        sums = np.zeros((2, 40))
        for i in np.flatnonzero(true):
            for j in np.flatnonzero(~true):
                a, b = np.sign(scores[:, i] - scores[:, j]) / 2
                sums[0, groups[i]] += (a - b - found.difference.value) / (
                    true.sum() * (~true).sum()
                )
                sums[1, groups[j]] += (a - b - found.difference.value) / (
                    true.sum() * (~true).sum()
                )
        n = [len(np.unique(groups[side])) for side in (true, ~true)]
        scaled = sums * np.sqrt([[size / (size - 1)] for size in n])
        error = np.sqrt((scaled.sum(axis=0) ** 2).sum())
        expected = 2 * norm.sf(abs(found.difference.value) / error)
        assert found.pvalue == pytest.approx(expected)

    def test_areas_are_those_of_the_table_within_sources_too(self):
        drawn = draw(4)
        a, b, _ = drawn["probabilities"].T
        found = compare_roc_auc(
            drawn["y_true"],
            a,
            b,
            pos_label="COVID-19",
            groups=drawn["groups"],
            source=drawn["source"],
            confidence_level=0.9,
        )
        table = roc_auc_table(**drawn, confidence_level=0.9)
        assert found.area_a == table["COVID-19"]
        assert found.confidence_level == 0.9
        assert found.to_dict()["difference"]["value"] == found.difference.value
        assert "ROC AUC of COVID-19" in str(found)

    def test_equal_and_separated_scores(self):
        true, score = np.tile([0, 1], 20), np.random.default_rng(0).random(40)
        same = compare_roc_auc(true, score, 3 * score, pos_label=1)
        assert same.difference.value == 0
        assert same.difference.low <= 0 <= same.difference.high
        assert math.isnan(same.pvalue)
        both = compare_roc_auc(true, true, 2 * true, pos_label=1)
        assert (both.area_a.value, both.difference.value) == (1, 0)
        assert both.difference.low < -0.05
        assert both.difference.high > 0.05
        json = replace(both).to_dict()
        assert json["pvalue"] is None

    def test_a_better_score_is_found(self):
        rng = np.random.default_rng(0)
        true = np.repeat([0, 1], 60)
        found = compare_roc_auc(
            true, 2 * true + rng.normal(size=120), rng.normal(size=120), pos_label=1
        )
        assert found.pvalue < 1e-4
        assert found.difference.low > 0.2

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"pos_label": "c"}, "pos_label='c'.*labels are 'a', 'b'"),
            ({"score_a": [1, np.nan]}, "score_a contains NaN"),
            ({"score_b": [1, 2, 3]}, "numbers of samples"),
            ({"groups": ["x", None]}, "groups: missing"),
        ],
    )
    def test_errors(self, change, message):
        good = {"y_true": ["a", "b"], "score_a": [1, 2], "score_b": [2, 1]}
        with pytest.raises(ValueError, match=message):
            compare_roc_auc(**{**good, "pos_label": "a", **change})
