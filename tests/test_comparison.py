import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import ShuffleSplit, StratifiedGroupKFold, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC

from skcovid import compare, evaluate
from skcovid.metrics import compare_roc_auc

RNG = np.random.default_rng(0)
Y = np.repeat(["COVID-19", "NORMAL", "Viral Pneumonia"], [30, 60, 60])
X = RNG.normal(size=(150, 2)) + np.repeat([[0, 0], [1.5, 0], [0, 1.5]], [30, 60, 60], 0)
GROUPS = np.arange(150) // 3


def run(classifier, **parameters):
    return evaluate(classifier, X, Y, **{"verbose": 0, **parameters})


@pytest.fixture(scope="module")
def bayes():
    return run(GaussianNB())


@pytest.fixture(scope="module")
def narrow():
    """Like `bayes`, with one feature."""
    return evaluate(GaussianNB(), X[:, :1], Y, verbose=0)


def scores(result, scoring):
    found = []
    for fold in result.folds:
        true = Y[fold.test_indices]
        if scoring == "roc_auc_ovr":
            score = roc_auc_score(true, fold.probabilities, multi_class="ovr")
        elif scoring == "f1_macro":
            score = f1_score(true, fold.predictions, average="macro")
        elif scoring == "balanced_accuracy":
            score = balanced_accuracy_score(true, fold.predictions)
        else:
            score = (true == fold.predictions).mean()
        found.append(score)
    return np.array(found)


@pytest.mark.parametrize(
    "scoring", ["accuracy", "balanced_accuracy", "f1_macro", "roc_auc_ovr"]
)
def test_corrected_resampled_t(bayes, narrow, scoring):
    comparison = compare(bayes, narrow, scoring=scoring)
    differences = scores(bayes, scoring) - scores(narrow, scoring)
    assert comparison.fold_differences == pytest.approx(differences)
    assert comparison.n_folds == 5
    assert comparison.difference.value == pytest.approx(differences.mean())
    # With 120 and 30 images, t is that of an uncorrected test divided by this.
    correction = math.sqrt((1 / 5 + 30 / 120) / (1 / 5))
    plain = ttest_1samp(differences, 0)
    low, high = plain.confidence_interval()
    estimate = comparison.difference
    assert estimate.high - estimate.low == pytest.approx((high - low) * correction)
    shrunk = ttest_1samp(
        differences.mean() + (differences - differences.mean()) * correction, 0
    )
    assert comparison.pvalue == pytest.approx(shrunk.pvalue)
    assert estimate.method == "Nadeau-Bengio corrected resampled t"


def test_swapping_the_results_negates_the_difference(bayes, narrow):
    there, back = compare(bayes, narrow), compare(narrow, bayes)
    assert back.difference.value == -there.difference.value
    assert back.difference.low == pytest.approx(-there.difference.high)
    assert back.pvalue == pytest.approx(there.pvalue)
    assert back.n_only_a_better == there.n_only_b_better


def test_a_better_pipeline_is_found(bayes):
    comparison = compare(bayes, run(DummyClassifier()))
    assert comparison.pvalue < 0.01
    assert comparison.difference.low > 0
    assert comparison.exact_pvalue < 1e-6
    assert "accuracy, difference over 5 folds" in str(comparison)


def test_level_widens_the_interval(bayes, narrow):
    wide, tight = (
        compare(bayes, narrow, confidence_level=level).difference
        for level in (0.99, 0.8)
    )
    assert wide.low < tight.low < tight.value < tight.high < wide.high


def test_mcnemars_exact_test_without_patients(bayes, narrow):
    comparison = compare(bayes, narrow)
    right, also = bayes.predictions == Y, narrow.predictions == Y
    only_a, only_b = int((right & ~also).sum()), int((also & ~right).sum())
    assert comparison.unit == "images"
    assert (comparison.n_only_a_better, comparison.n_only_b_better) == (only_a, only_b)
    assert comparison.exact_pvalue == binomtest(only_a, only_a + only_b).pvalue


def test_patients_count_once():
    bayes, constant = (
        run(classifier, groups=GROUPS)
        for classifier in (GaussianNB(), DummyClassifier())
    )
    comparison = compare(bayes, constant)
    lead = [
        (bayes.predictions == Y)[patient == GROUPS].sum()
        - (constant.predictions == Y)[patient == GROUPS].sum()
        for patient in range(50)
    ]
    assert comparison.unit == "patients"
    assert comparison.n_only_a_better == np.sum(np.array(lead) > 0)
    assert comparison.n_only_b_better == np.sum(np.array(lead) < 0)


@pytest.mark.filterwarnings("error")
def test_equal_differences_in_all_folds_have_no_interval(bayes):
    comparison = compare(bayes, bayes)
    assert comparison.difference.value == 0
    assert math.isnan(comparison.difference.low)
    assert math.isnan(comparison.pvalue)
    assert comparison.exact_pvalue == 1
    content = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert content["pvalue"] is None
    assert content["difference"]["high"] is None
    assert content["n_folds"] == 5


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"random_state": 1}, "Fold 0.*result_b.*train_indices"),
        ({"cv": 4}, "result_a.*5 folds.*result_b.*4"),
        ({"groups": GROUPS}, "Fold 0.*result_b"),
        ({"protocol": "paper"}, "Fold 0.*result_b.*test_indices"),
    ],
)
def test_other_folds_are_an_error(bayes, parameters, message):
    with pytest.raises(ValueError, match=message):
        compare(bayes, run(GaussianNB(), **parameters))


def test_other_labels_are_an_error(bayes):
    other = evaluate(GaussianNB(), X, np.roll(Y, 1), verbose=0)
    with pytest.raises(ValueError, match="different labels"):
        compare(bayes, other)


@pytest.mark.parametrize("others", [None, np.arange(150) // 3])
def test_other_groups_in_the_same_folds_are_an_error(others):
    cv = list(StratifiedGroupKFold(3).split(X, Y, np.arange(150) // 6))
    result = run(GaussianNB(), cv=cv, groups=np.arange(150) // 6)
    with pytest.raises(ValueError, match="different groups"):
        compare(result, run(GaussianNB(), cv=cv, groups=others))


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_areas_of_one_class(groups):
    one = run(GaussianNB(), groups=groups)
    other = run(DummyClassifier(), groups=groups)
    comparison = compare(one, other, scoring="roc_auc", pos_label="NORMAL")
    of_folds = [
        roc_auc_score(Y[fold.test_indices] == "NORMAL", fold.probabilities[:, 1]) - 0.5
        for fold in one.folds
    ]
    assert comparison.fold_differences == pytest.approx(of_folds)
    assert comparison.roc_auc == compare_roc_auc(
        Y,
        one.probabilities[:, 1],
        other.probabilities[:, 1],
        pos_label="NORMAL",
        groups=groups,
    )
    assert comparison.roc_auc.area_a == one.roc_auc["NORMAL"]
    assert "DeLong" in str(comparison)
    assert json.loads(json.dumps(comparison.to_dict()))["roc_auc"]["pvalue"] < 0.01


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scoring": "roc_auc"}, "needs the class as pos_label"),
        ({"pos_label": "NORMAL"}, "other scores take none"),
        ({"scoring": "roc_auc", "pos_label": "normal"}, "not a class.*'NORMAL'"),
    ],
)
def test_the_class_of_an_area_is_needed(bayes, parameters, message):
    with pytest.raises(ValueError, match=message):
        compare(bayes, bayes, **parameters)


def test_one_fold_is_an_error():
    result = run(GaussianNB(), cv=ShuffleSplit(1, random_state=0))
    with pytest.raises(ValueError, match="at least two"):
        compare(result, result)


def test_probabilities_are_needed_for_areas(bayes):
    with pytest.raises(ValueError, match="needs probabilities"):
        compare(bayes, run(LinearSVC()), scoring="roc_auc_ovr")


@pytest.mark.parametrize("scoring", ["balanced_accuracy", "f1_macro", "roc_auc_ovr"])
def test_a_fold_without_a_class_is_an_error(scoring):
    folds = StratifiedKFold(2).split(X[30:], Y[30:])
    rows = np.arange(30)
    # Only the first fold tests COVID-19.
    splits = [
        (train + 30, np.r_[test + 30, rows[: 30 * (number == 0)]])
        for number, (train, test) in enumerate(folds)
    ]
    result = run(LogisticRegression(), cv=splits)
    assert compare(result, result).difference.value == 0
    with pytest.raises(ValueError, match=r"fold 1.*'COVID-19'"):
        compare(result, result, scoring=scoring)


@pytest.mark.parametrize(
    "parameter", [{"scoring": "mcc"}, {"confidence_level": 95}, {"result_b": None}]
)
def test_invalid_parameters(bayes, parameter):
    with pytest.raises(ValueError, match=f"'{next(iter(parameter))}' parameter"):
        compare(**{"result_a": bayes, "result_b": bayes, **parameter})
