"""Calibration, decision curves, operating points, sub-groups, numbers of patients."""

import json
import math
import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import brier_score_loss, recall_score, roc_auc_score, roc_curve
from statsmodels.stats.proportion import proportion_confint

from skcovid.metrics import (
    calibration_table,
    compare_roc_auc,
    decision_curve,
    operating_point,
    roc_auc_table,
    sample_size,
    subgroup_table,
)

BINOMIAL = sm.families.Binomial()


def draw(seed, n_patients=80, images=(1, 2, 4), slope=0.7):
    """Draw whether images are ill, the probability, and the patient."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_patients), rng.choice(images, n_patients))
    logits = rng.normal(-0.5, 1.5, n_patients)[groups] + rng.normal(size=len(groups))
    chance = np.where(
        rng.random(len(groups)) < 0.5,
        rng.random(n_patients)[groups],
        rng.random(len(groups)),
    )
    ill = chance < expit(slope * logits + 0.3)
    return ill, expit(logits), groups


def calibrate(ill, probability, groups=None):
    columns = np.column_stack([probability, 1 - np.asarray(probability)])
    y_true = np.where(ill, "ill", "well")
    return calibration_table(y_true, columns, ["ill", "well"], groups=groups)["ill"]


def half_width(estimate):
    return (estimate.high - estimate.low) / 2


# --- Calibration


@pytest.mark.parametrize("seed", range(3))
def test_slope_and_intercept_are_those_of_statsmodels(seed):
    ill, probability, _ = draw(seed)
    found = calibrate(ill, probability)
    logits = logit(probability)
    fit = sm.GLM(ill.astype(float), sm.add_constant(logits), BINOMIAL).fit()
    assert found.slope.value == pytest.approx(fit.params[1], rel=1e-6)
    ones = np.ones(len(ill))
    shift = sm.GLM(ill.astype(float), ones, BINOMIAL, offset=logits).fit()
    assert found.intercept.value == pytest.approx(shift.params[0], abs=1e-7)


@pytest.mark.parametrize("grouped", [False, True])
def test_their_variance_is_that_of_leaving_patients_out_in_one_step(grouped):
    ill, probability, groups = draw(4, 40)
    groups = groups if grouped else np.arange(len(ill))
    found = calibrate(ill, probability, groups if grouped else None)
    y, design = ill.astype(float), sm.add_constant(logit(probability))
    params = sm.GLM(y, design, BINOMIAL).fit(tol=1e-12).params
    steps = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one step does not converge
        for patient in np.unique(groups):
            keep = groups != patient
            model = sm.GLM(y[keep], design[keep], BINOMIAL)
            step = model.fit(start_params=params, maxiter=1).params - params
            steps.append(step[1])
    n_patients = len(steps)
    error = math.sqrt((n_patients - 1) / n_patients * np.sum(np.square(steps)))
    # Student's quantile is above the normal one.
    assert 1.96 < half_width(found.slope) / error < 2.3


def test_with_many_patients_intervals_are_the_cluster_robust_ones():
    ill, probability, groups = draw(5, 3000)
    found = calibrate(ill, probability, groups)
    y, logits = ill.astype(float), logit(probability)
    clustered = {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
    fit = sm.GLM(y, sm.add_constant(logits), BINOMIAL).fit(**clustered)
    assert half_width(found.slope) == pytest.approx(1.96 * fit.bse[1], rel=0.01)
    shift = sm.GLM(y, np.ones(len(y)), BINOMIAL, offset=logits).fit(**clustered)
    assert half_width(found.intercept) == pytest.approx(1.96 * shift.bse[0], rel=0.01)
    naive = calibrate(ill, probability)
    assert half_width(naive.intercept) < 0.9 * half_width(found.intercept)


def test_brier_score_and_shares():
    ill, probability, groups = draw(6)
    for patients in (None, groups):
        found = calibrate(ill, probability, patients)
        score = brier_score_loss(ill, probability)
        assert found.brier_score.value == pytest.approx(score)
        assert found.observed.value == pytest.approx(ill.mean())
        assert found.expected == pytest.approx(probability.mean())
    error = np.std((ill - probability) ** 2) / math.sqrt(len(ill))
    independent = calibrate(ill, probability).brier_score
    assert half_width(independent) == pytest.approx(1.96 * error, rel=0.1)


def test_every_class_is_calibrated_against_the_rest():
    rng = np.random.default_rng(7)
    probabilities = rng.dirichlet([1, 1, 1], 300)
    y_true = np.array([rng.choice(["a", "b", "c"], p=row) for row in probabilities])
    y_true[:20] = "other"
    table = calibration_table(y_true, probabilities, ["a", "b", "c"])
    alone = calibrate(y_true == "b", probabilities[:, 1])
    assert table["b"] == alone
    json.dumps(table.to_dict())


def test_probabilities_of_0_and_1_count_as_one_in_a_hundred_million():
    ill, probability, _ = draw(8)
    probability[:2], ill[:2] = [0, 1], [True, True]
    moved = np.clip(probability, 1e-8, 1 - 1e-8)
    found = calibrate(ill, probability)
    assert found.slope == calibrate(ill, moved).slope
    assert math.isfinite(found.slope.high)
    assert math.isfinite(found.intercept.high)


def test_probabilities_of_0_and_1_in_32_bits_have_a_slope():
    ill = np.arange(1000) < 500
    probability = ill.astype(np.float32)
    ill[[0, -1]] = [False, True]
    found = calibrate(ill, probability)
    # Of the two logits, the slope is the ratio to those of the observed shares.
    assert found.slope.value == pytest.approx(logit(499 / 500) / logit(1 - 1e-8))
    assert found.slope.low < found.slope.value < found.slope.high < 1
    assert found.intercept.value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("ill", "probability", "slope", "intercept"),
    [
        ([1, 1, 1], [0.9, 0.5, 0.6], "every image is of the class", "every image"),
        ([0, 0, 0], [0.9, 0.5, 0.6], "no image is of the class", "no image"),
        ([1, 0, 1, 0], [0.4] * 4, "all probabilities are equal", None),
        ([1, 1, 0, 0], [0.9, 0.4, 0.4, 0.1], "separate", None),
        ([0, 0, 1, 1], [0.9, 0.4, 0.3, 0.1], "separate", None),
        ([1, 1, 0, 0], [1.0, 1.0, 0.0, 0.0], "separate", None),
    ],
)
def test_figures_that_the_data_do_not_give_say_why(ill, probability, slope, intercept):
    found = calibrate(np.array(ill, bool), np.array(probability))
    assert math.isnan(found.slope.value)
    assert slope in found.slope.method
    assert str(found.slope) == "n/a"
    assert math.isnan(found.intercept.value) == (intercept is not None)
    if intercept:
        assert intercept in found.intercept.method
    assert 0 <= found.brier_score.low <= found.brier_score.high <= 1


def test_of_constant_probabilities_the_intercept_is_a_difference_of_logits():
    found = calibrate(np.arange(10) < 4, np.full(10, 0.2))
    assert found.intercept.value == pytest.approx(logit(0.4) - logit(0.2))


def test_one_patient_gives_no_interval():
    ill, probability, _ = draw(9)
    found = calibrate(ill, probability, np.zeros(len(ill)))
    assert found.slope.low == -math.inf
    assert found.slope.high == math.inf


def test_almost_separated_classes_have_a_slope():
    # One image in 2,000 is on the wrong side, and most logits are large.
    logits = np.r_[np.linspace(3, 18, 1000), np.linspace(-18, -3, 1000)]
    ill = logits > 0
    ill[[0, -1]] = [False, True]
    found = calibrate(ill, expit(logits))
    design = sm.add_constant(logit(np.clip(expit(logits), 1e-8, 1 - 1e-8)))
    fit = sm.GLM(ill.astype(float), design, BINOMIAL).fit()
    assert found.slope.value == pytest.approx(fit.params[1], rel=1e-5)


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([[1.2, -0.2]], "in \\[0, 1\\].*predict_proba"),
        ([[0.5, np.nan]], "NaN"),
        ([[0.5, 0.3, 0.2]], "labels"),
    ],
)
def test_what_are_not_probabilities_is_an_error(probabilities, message):
    with pytest.raises(ValueError, match=message):
        calibration_table(["ill"], probabilities, ["ill", "well"])


# --- Decision curve


def test_net_benefit_is_that_of_dcurves():
    # The tutorial of the R package dcurves: 750 patients, 105 with cancer; of 115 with
    # a family history 24 have it. Its net benefit, by threshold.
    published = {
        0.01: (0.13131313131313133, 0.030774410774410774),
        0.09: (0.05494505494505497, 0.02),
        0.14: (0, 0.012248062015503876),
        0.21: (-0.08860759493670886, -0.0002531645569620253),
        0.5: (-0.72, -0.08933333333333333),
        0.99: (-84.99999999999991, -11.97999999999999),
    }
    cancer = np.repeat([1, 1, 0, 0], [24, 81, 91, 554])
    history = np.repeat([1.0, 0.0, 1.0, 0.0], [24, 81, 91, 554])
    found = decision_curve(cancer, history, pos_label=1, thresholds=list(published))
    assert found.prevalence == pytest.approx(0.14)
    for treat_all, figure, (of_all, of_history) in zip(
        found.treat_all, found.net_benefit, published.values(), strict=True
    ):
        assert treat_all == pytest.approx(of_all, abs=1e-12)
        assert figure.value == pytest.approx(of_history, abs=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
def test_with_many_patients_its_interval_is_that_of_the_influence_function(grouped):
    ill, probability, groups = draw(10, 3000)
    found = decision_curve(
        ill, probability, pos_label=True, groups=groups if grouped else None
    )
    assert len(found.thresholds) == 99
    for index in (9, 49, 79):
        threshold = found.thresholds[index]
        gain = np.where(ill, 1, -threshold / (1 - threshold))
        gain *= probability >= threshold
        assert found.net_benefit[index].value == pytest.approx(gain.mean())
        influence = gain - gain.mean()
        if grouped:
            influence = np.bincount(groups, influence)
        error = math.sqrt(np.sum(influence**2)) / len(ill)
        expected = pytest.approx(1.96 * error, rel=0.03)
        assert half_width(found.net_benefit[index]) == expected


def test_a_probability_at_the_threshold_is_treated_also_in_32_bits():
    for dtype in (np.float32, np.float64):
        probability = np.array([0.95, 0.95, 0.3], dtype)
        found = decision_curve(
            [1, 0, 0], probability, pos_label=1, thresholds=[0.95, 0.3]
        )
        assert found.thresholds == (0.3, 0.95)
        expected = [(1 - 2 * 3 / 7) / 3, (1 - 19) / 3]
        assert [f.value for f in found.net_benefit] == pytest.approx(expected)
        assert operating_point(
            [1, 0, 0], probability, pos_label=1, threshold=0.95
        ).sensitivity.value == pytest.approx(1)


def test_a_class_without_images_has_no_benefit():
    found = decision_curve(["NORMAL"] * 4, [0.1, 0.2, 0.7, 0.9], pos_label="COVID-19")
    assert found.prevalence == 0
    assert max(figure.value for figure in found.net_benefit) == 0
    # No image reaches 0.95, but the next may.
    assert found.net_benefit[94].low < 0 < found.net_benefit[94].high
    json.dumps(found.to_dict())


@pytest.mark.parametrize("thresholds", [[0.0, 0.5], [1.0], [np.nan], []])
def test_thresholds_outside_0_and_1_are_an_error(thresholds):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        decision_curve([1, 0], [0.2, 0.4], pos_label=1, thresholds=thresholds)


def test_a_misspelt_class_or_several_columns_are_an_error():
    with pytest.raises(ValueError, match="differ only by case"):
        decision_curve(["ill", "well"], [0.2, 0.4], pos_label="Ill")
    with pytest.raises(ValueError, match="probabilities\\[:, 0\\]"):
        decision_curve(["ill", "well"], [[0.2, 0.8]] * 2, pos_label="ill")


@pytest.mark.parametrize("true", [["1", "0", "1"], [1, None, 0], [1, np.nan, 0]])
def test_labels_of_another_type_or_missing_ones_are_not_the_rest(true):
    scores = [0.2, 0.4, 0.9]
    columns = np.column_stack([scores, scores])
    for figure in (
        lambda: decision_curve(true, scores, pos_label=1),
        lambda: operating_point(true, scores, pos_label=1, threshold=0.5),
        lambda: compare_roc_auc(true, scores, scores, pos_label=1),
        lambda: calibration_table(true, columns, [0, 1]),
        lambda: roc_auc_table(true, columns, [0, 1]),
        lambda: subgroup_table(true, [1, 0, 1], ["F", "F", "M"], labels=[0, 1]),
    ):
        with pytest.raises(ValueError, match=r"several types.*convert|missing in rows"):
            figure()


def test_rows_of_pandas_in_another_order_are_an_error():
    pd = pytest.importorskip("pandas")
    ill, patients = pd.Series([1, 0, 1]), pd.Series(["a", "b", "c"])
    columns = np.full((3, 2), 0.5)
    with pytest.raises(ValueError, match="y_true and groups have different indices"):
        calibration_table(ill, columns, [0, 1], groups=patients[::-1])
    with pytest.raises(ValueError, match="y_true and attribute have different"):
        subgroup_table(ill, ill, patients[::-1])


def test_true_is_1():
    ill, score = [True, False, True], [0.3, 0.2, 0.9]
    assert decision_curve(ill, score, pos_label=1).prevalence == pytest.approx(2 / 3)
    assert roc_auc_table(ill, np.column_stack([score] * 2), [0, 1])[1].value == 1


# --- Operating point


@pytest.mark.parametrize("wanted", [0.05, 0.5, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("decimals", [1, 8])
def test_chosen_thresholds_are_those_of_roc_curve(wanted, decimals):
    # With one decimal most scores are tied.
    ill, probability, _ = draw(11)
    score = probability.round(decimals)
    false_alarms, found_share, thresholds = roc_curve(
        ill, score, drop_intermediate=False
    )
    point = operating_point(ill, score, pos_label=True, sensitivity=wanted)
    first = np.flatnonzero(found_share >= wanted - 1e-12)[0]
    assert point.threshold == thresholds[first]
    assert point.sensitivity.value == pytest.approx(found_share[first])
    assert point.specificity.value == pytest.approx(1 - false_alarms[first])
    point = operating_point(ill, score, pos_label=True, specificity=wanted)
    last = np.flatnonzero(1 - false_alarms >= wanted - 1e-12)[-1]
    assert point.specificity.value == pytest.approx(1 - false_alarms[last])
    assert point.sensitivity.value == pytest.approx(found_share[last])


def test_intervals_at_a_given_threshold_are_those_of_a_share():
    ill, probability, groups = draw(12)
    point = operating_point(ill, probability, pos_label=True, threshold=0.4)
    called = probability >= 0.4
    for figure, hits in (
        (point.sensitivity, called[ill]),
        (point.specificity, ~called[~ill]),
    ):
        low, high = proportion_confint(hits.sum(), len(hits), method="wilson")
        assert (figure.low, figure.high) == pytest.approx((low, high))
    assert point.n_positive == ill.sum()
    clustered = operating_point(
        ill, probability, pos_label=True, threshold=0.4, groups=groups
    )
    assert half_width(clustered.sensitivity) > half_width(point.sensitivity)
    assert "threshold of 0.4" in str(point)
    json.dumps(point.to_dict())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_threshold_gives_the_same_figures_when_it_is_passed_back(dtype):
    ill, probability, _ = draw(13)
    score = probability.astype(dtype)
    for wanted in ({"sensitivity": 0.95}, {"specificity": 0.9}, {"specificity": 1.0}):
        chosen = operating_point(ill, score, pos_label=True, **wanted)
        again = operating_point(ill, score, pos_label=True, threshold=chosen.threshold)
        assert again == chosen


def test_19_of_20_are_95_percent():
    point = operating_point(
        [1] * 20 + [0], [*range(20), 5], pos_label=1, sensitivity=0.95
    )
    assert point.threshold == 1


def test_a_side_without_images_is_nan_and_nothing_is_chosen_for_it():
    point = operating_point(
        ["well"] * 3, [0.1, 0.2, 0.6], pos_label="ill", threshold=0.5, groups=[1, 2, 2]
    )
    assert math.isnan(point.sensitivity.value)
    assert point.n_positive == 0
    with pytest.raises(ValueError, match=r"No image is 'ill'.*on images of both"):
        operating_point(["well"] * 2, [0, 1], pos_label="ill", sensitivity=0.9)
    with pytest.raises(ValueError, match="other than 'ill'"):
        operating_point(["ill"] * 2, [0, 1], pos_label="ill", specificity=0.9)


@pytest.mark.parametrize("given", [{}, {"threshold": 0.5, "sensitivity": 0.9}])
def test_one_of_three_is_given(given):
    with pytest.raises(ValueError, match="one of threshold, sensitivity and"):
        operating_point([0, 1], [0.1, 0.9], pos_label=1, **given)


# --- Sub-groups


def test_figures_of_a_sub_group_are_those_of_its_images_alone():
    ill, probability, groups = draw(14, 120)
    y_true = np.where(ill, "ill", "well")
    predictions = np.where(probability > 0.5, "ill", "well")
    columns = np.column_stack([probability, 1 - probability])
    sex = np.array(["F", "M", "", None], dtype=object)[groups % 4]
    table = subgroup_table(
        y_true, predictions, sex, probabilities=columns, groups=groups, name="sex"
    )
    assert list(table) == ["F", "M", "not known"]
    assert sum(row.n_images for row in table.values()) == len(ill)
    women = sex == "F"
    row = table["F"]
    assert row.n_patients == len(np.unique(groups[women]))
    assert row.accuracy.value == pytest.approx((y_true == predictions)[women].mean())
    recall = recall_score(y_true[women], predictions[women], average=None)
    assert [row.recall[c].value for c in ("ill", "well")] == pytest.approx(recall)
    assert row.specificity["ill"] == row.recall["well"]
    area = roc_auc_score(ill[women], probability[women])
    assert row.roc_auc["ill"].value == pytest.approx(area)
    alone = roc_auc_table(
        y_true[women], columns[women], ["ill", "well"], groups=groups[women]
    )
    assert row.roc_auc["ill"] == alone["ill"]
    json.dumps(table.to_dict())
    with pytest.raises(KeyError, match="not a group of this table"):
        table["X"]


def names_of(attribute, **options):
    labels = [0, 1] * (len(attribute) // 2) + [0] * (len(attribute) % 2)
    return list(subgroup_table(labels, labels, attribute, **options))


def test_ages_and_other_numbers_are_binned():
    ages = np.array([np.nan, 0, 17.9, 18, 60, 80, 114])
    bins = ["0 to below 18", "18 to below 40", "60 to below 80", "80 and above"]
    assert names_of(ages, name="age") == [*bins, "not known"]
    assert names_of(ages, bins=[0, 50, 120]) == [
        "0 to below 50",
        "50 to below 120",
        "not known",
    ]
    days = np.arange(100.0)
    assert names_of(days, name="days")[0] == "0 to below 24.75"
    assert len(names_of(days, name="days")) == 4
    assert names_of([3, 1, 3, 10]) == ["1", "3", "10"]
    assert names_of([True, False]) == ["False", "True"]


def test_attributes_of_pandas_are_read_as_they_are():
    pd = pytest.importorskip("pandas")
    assert names_of(pd.Series([1, None, 3], dtype="Int64")) == ["1", "3", "not known"]
    assert names_of(pd.Series(["PA", None, "AP"], dtype="category")) == [
        "AP",
        "PA",
        "not known",
    ]


@pytest.mark.parametrize(
    ("attribute", "options", "message"),
    [
        ([5, 200], {"bins": [0, 100]}, "it has 200.*add an edge"),
        ([-1, 20], {"name": "age"}, "it has -1"),
        ([5, 20], {"bins": [10, 0]}, "rising edges"),
        (["F", "M"], {"bins": [0, 1]}, "holds 'F'.*leave bins out"),
    ],
)
def test_bins_that_do_not_fit_are_an_error(attribute, options, message):
    with pytest.raises(ValueError, match=message):
        names_of(attribute, **options)


def test_small_groups_have_counts_and_no_figures():
    labels = [0, 1] * 20
    columns = np.eye(2)[labels]
    table = subgroup_table(
        labels, labels, ["a"] * 30 + ["b"] * 10, probabilities=columns
    )
    assert table["a"].accuracy.value == 1
    small = table["b"]
    assert small.n_images == 10
    assert small.n_patients is None
    for figure in (
        small.accuracy,
        *small.recall.values(),
        *small.specificity.values(),
        *small.roc_auc.values(),
    ):
        assert math.isnan(figure.value)
        assert figure.method == "fewer than 30 images"


def test_labels_that_the_classes_lack_count_as_rest():
    y_true = ["ill"] * 20 + ["well"] * 10 + ["other"] * 10
    predictions = ["ill"] * 15 + ["well"] * 20 + ["ill"] * 5
    row = subgroup_table(y_true, predictions, ["F"] * 40, labels=["ill", "well"])["F"]
    assert math.isnan(row.accuracy.value)
    assert "labels that the classes lack" in row.accuracy.method
    assert row.recall["ill"].value == 0.75
    assert row.specificity["ill"].value == 0.75
    assert row.roc_auc is None


# --- Number of patients


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("half", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("value", [0.0, 0.03, 0.5, 0.9, 1.0])
def test_the_number_of_patients_is_the_smallest_that_is_enough(value, half, level):
    n_patients = sample_size(value, half, confidence_level=level)

    def width(n):
        low, high = proportion_confint(value * n, n, 1 - level, method="wilson")
        return (high - low) / 2

    assert width(n_patients) <= half * (1 + 1e-9)
    assert n_patients == 1 or width(n_patients - 1) > half


def test_images_of_one_patient_that_are_alike_add_little():
    one = sample_size(0.9, 0.05)
    assert sample_size(0.9, 0.05, images_per_patient=4) == one
    independent = sample_size(0.9, 0.05, images_per_patient=4, correlation=0)
    assert independent == math.ceil(one / 4)
    assert independent < sample_size(0.9, 0.05, images_per_patient=4, correlation=0.5)
    # By the usual formula for large numbers.
    usual = norm.ppf(0.975) ** 2 * 0.9 * 0.1 / 0.05**2
    assert one == pytest.approx(usual, rel=0.03)
    with pytest.raises(ValueError, match="half_width"):
        sample_size(0.9, 0)
