import json
import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.utils import resample

from _helpers.simulated_patients import CLASSES, estimates_of, simulate
from skcovid.metrics import bootstrap_intervals

METHODS = ["BCa", "percentile"]


@pytest.fixture(scope="module")
def predictions():
    return simulate(np.random.default_rng(0), 600, error=0.35)


@pytest.fixture(scope="module", params=METHODS)
def intervals(request, predictions):
    y_true, y_pred, probabilities, groups = predictions
    return bootstrap_intervals(
        y_true,
        y_pred,
        probabilities.round(2),
        groups=groups,
        method=request.param,
        n_resamples=499,
    )


def all_of(intervals):
    areas = intervals.roc_auc or {}
    return [
        intervals.accuracy,
        *intervals.f1.values(),
        intervals.f1_macro,
        *areas.values(),
        *([intervals.roc_auc_macro] if areas else []),
    ]


def test_values_are_those_of_scikit_learn(intervals, predictions):
    y_true, y_pred, probabilities, _ = predictions
    expected = [
        accuracy_score(y_true, y_pred),
        *f1_score(y_true, y_pred, average=None),
        f1_score(y_true, y_pred, average="macro"),
    ]
    areas = [
        roc_auc_score(y_true == label, column)
        for label, column in zip(CLASSES, probabilities.round(2).T, strict=True)
    ]
    found = [estimate.value for estimate in all_of(intervals)]
    assert found == pytest.approx([*expected, *areas, np.mean(areas)])


def test_most_intervals_are_resampled(intervals):
    methods = [estimate.method for estimate in all_of(intervals)]
    assert sum(method.startswith("bootstrap") for method in methods) >= 6
    for estimate in all_of(intervals):
        assert estimate.low < estimate.value < estimate.high


def test_percentiles_are_those_of_resampled_patients(predictions):
    y_true, y_pred, probabilities, groups = predictions
    found = bootstrap_intervals(
        y_true,
        y_pred,
        probabilities.round(2),
        groups=groups,
        method="percentile",
        n_resamples=999,
    )
    assert found.roc_auc["NORMAL"].method == "bootstrap (percentile)"
    rows_of = [np.flatnonzero(groups == patient) for patient in range(600)]
    class_of = np.empty(600, dtype=object)
    class_of[groups] = y_true
    drawn = []
    for seed in range(150):
        patients = resample(np.arange(600), stratify=class_of, random_state=seed)
        rows = np.concatenate([rows_of[patient] for patient in patients])
        drawn.append(
            [
                accuracy_score(y_true[rows], y_pred[rows]),
                f1_score(y_true[rows], y_pred[rows], average="macro"),
                roc_auc_score(
                    y_true[rows] == "NORMAL", probabilities.round(2)[rows, 1]
                ),
            ]
        )
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    estimates = [found.accuracy, found.f1_macro, found.roc_auc["NORMAL"]]
    widths = high - low
    assert np.abs([e.low for e in estimates] - low).max() < 0.2 * widths.min()
    assert np.abs([e.high for e in estimates] - high).max() < 0.2 * widths.min()


def test_images_are_resampled_without_groups(predictions):
    y_true, y_pred, _, groups = predictions
    alone, together = (
        bootstrap_intervals(y_true, y_pred, groups=patients, n_resamples=499).accuracy
        for patients in (None, groups)
    )
    assert together.high - together.low > 1.15 * (alone.high - alone.low)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("error")
def test_few_mistaken_patients_get_a_wilson_interval(method):
    few = simulate(np.random.default_rng(1), 150, error=0.03)
    found = bootstrap_intervals(*few[:3], groups=few.groups, method=method)
    plain = estimates_of(few)
    assert found.accuracy == plain["accuracy", ""]
    assert found.f1["COVID-19"] == plain["f1", "COVID-19"]
    assert found.accuracy.method == "Wilson with effective sample size"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("error")
def test_a_perfect_class_gets_a_wilson_interval(method):
    y_true = np.repeat(["a", "b", "c"], [50, 200, 200])
    rng = np.random.default_rng(2)
    confused = (rng.random(450) < 0.3) & (y_true != "a")
    y_pred = np.where(confused, np.where(y_true == "b", "c", "b"), y_true)
    found = bootstrap_intervals(y_true, y_pred, method=method, n_resamples=199)
    assert found.f1["a"].value == 1
    assert found.f1["a"].method == "Wilson"
    assert found.f1["a"].low < 1
    assert found.f1["b"].method == found.accuracy.method == f"bootstrap ({method})"


@pytest.mark.filterwarnings("error")
def test_a_class_that_does_not_occur_is_nan(predictions):
    y_true, y_pred, _, groups = predictions
    found = bootstrap_intervals(
        y_true, y_pred, labels=[*CLASSES, "ghost"], groups=groups, n_resamples=99
    )
    assert math.isnan(found.f1["ghost"].value)
    assert math.isnan(found.f1_macro.low)
    assert found.accuracy.method == "bootstrap (BCa)"
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["roc_auc"] is None


def test_random_state_repeats_and_leaves_the_global_state_unchanged(predictions):
    y_true, y_pred, _, groups = predictions

    def run(random_state):
        return bootstrap_intervals(
            y_true, y_pred, groups=groups, n_resamples=99, random_state=random_state
        )

    np.random.seed(0)  # noqa: NPY002 (global)
    before = np.random.get_state()[1].copy()  # noqa: NPY002 (global)
    assert run(0) == run(0) == run(0)
    assert run(0) != run(1)
    state = np.random.RandomState(0)
    assert run(state) != run(state)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002 (global)


def test_a_patient_of_several_classes_stays_whole():
    # Every patient has one image of each class, both right or both wrong.
    rng = np.random.default_rng(3)
    wrong = np.repeat(rng.random(150) < 0.4, 2)
    y_true = np.tile(["a", "b"], 150)
    y_pred = np.where(wrong, np.where(y_true == "a", "b", "a"), y_true)
    groups = np.arange(300) // 2
    together = bootstrap_intervals(y_true, y_pred, groups=groups, n_resamples=499)
    alone = bootstrap_intervals(y_true, y_pred, n_resamples=499)
    ratio = (together.accuracy.high - together.accuracy.low) / (
        alone.accuracy.high - alone.accuracy.low
    )
    assert ratio == pytest.approx(np.sqrt(2), rel=0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "basic"}, "method"),
        ({"n_resamples": 10}, "n_resamples"),
        ({"confidence_level": 1}, "confidence_level"),
        ({"groups": [1, 2]}, "numbers of samples"),
        ({"labels": ["b"]}, "labels lack 'a'"),
        (
            {"groups": [0] * 50 + list(range(1, 151))},
            "'a' has one patient only",
        ),
    ],
)
def test_errors(change, message):
    y_true = np.repeat(["a", "b"], [50, 150])
    y_pred = np.where(np.arange(200) % 3, y_true, "b")
    with pytest.raises(ValueError, match=message):
        bootstrap_intervals(y_true, y_pred, **change)
