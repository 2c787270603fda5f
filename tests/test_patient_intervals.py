"""Intervals of the tables, which allow for similar images of one patient."""

import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score

from _helpers.simulated_patients import CLASSES, Predictions, estimates_of, simulate
from skcovid.metrics import (
    multiclass_accuracy,
    patient_confusion_matrices,
    per_class_table,
    roc_auc_table,
    wilson_interval,
)
from skcovid.metrics._proportions import estimate_share


@pytest.fixture
def predictions():
    return simulate(np.random.default_rng(0), 80, error=0.15)


def bounds(estimate):
    return [estimate.value, estimate.low, estimate.high]


def assert_same_intervals(first, second):
    assert first.keys() == second.keys()
    for key, estimate in first.items():
        np.testing.assert_allclose(bounds(estimate), bounds(second[key]), err_msg=key)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_interval_is_scipys(level):
    for successes, total in [(0, 7), (3, 7), (7, 7), (1, 1), (1299, 1300)]:
        expected = binomtest(successes, total).proportion_ci(level, method="wilson")
        assert wilson_interval(successes, total, level) == pytest.approx(expected)


def test_matrices_of_patients_add_up(predictions):
    y_true, y_pred, _, groups = predictions
    matrices = patient_confusion_matrices(y_true, y_pred, groups)
    assert matrices.shape == (80, 3, 3)
    np.testing.assert_array_equal(
        matrices.sum(axis=0), confusion_matrix(y_true, y_pred)
    )
    np.testing.assert_array_equal(matrices.sum(axis=(1, 2)), np.bincount(groups))


def test_matrices_of_patients_keep_the_order_of_labels(predictions):
    y_true, y_pred, _, groups = predictions
    order = [2, 0, 1]
    labels = [CLASSES[index] for index in order]
    matrices = patient_confusion_matrices(y_true, y_pred, groups, labels=labels)
    np.testing.assert_array_equal(
        matrices,
        patient_confusion_matrices(y_true, y_pred, groups)[:, order][..., order],
    )


def test_missing_labels_are_an_error(predictions):
    y_true, y_pred, _, groups = predictions
    with pytest.raises(ValueError, match=r"labels.*'COVID-19'"):
        patient_confusion_matrices(y_true, y_pred, groups, labels=CLASSES[1:])


def test_figures_do_not_depend_on_patients(predictions):
    for key, estimate in estimates_of(predictions).items():
        alone = estimates_of(predictions, grouped=False)[key]
        assert estimate.value == alone.value
        assert estimate.method.endswith("Wilson with effective sample size")
        assert estimate.low <= alone.low
        assert alone.high <= estimate.high or key[1] == "mean"


def test_with_one_image_per_patient_intervals_equal_those_without_patients(predictions):
    alone = predictions._replace(groups=np.arange(len(predictions.groups)))
    assert_same_intervals(estimates_of(alone), estimates_of(alone, grouped=False))


def test_copies_of_images_do_not_narrow_intervals(predictions):
    images = Predictions(*predictions[:3], np.arange(len(predictions.groups)))
    copies = Predictions(*(np.repeat(part, 4, axis=0) for part in images))
    assert_same_intervals(estimates_of(copies), estimates_of(images))


def test_without_mistakes_intervals_count_patients():
    matrices = np.zeros((30, 2, 2), dtype=int)
    matrices[:10, 0, 0], matrices[10:, 1, 1] = 5, 5
    table = per_class_table(matrices, ["ill", "well"])
    assert bounds(table["ill"].recall) == pytest.approx([1, *wilson_interval(10, 10)])
    assert bounds(table.accuracy) == pytest.approx([1, *wilson_interval(30, 30)])
    assert multiclass_accuracy(matrices) == table.accuracy


def test_one_more_mistake_does_not_narrow_much():
    # The variance estimated from one mistaken image is itself uncertain.
    widths = []
    for n_mistaken in range(4):
        matrices = np.zeros((40, 2, 2), dtype=int)
        matrices[:20, 0, 0], matrices[20:, 1, 1] = 6, 6
        matrices[:n_mistaken, 0] = [5, 1]
        recall = per_class_table(matrices, ["ill", "well"])["ill"].recall
        widths.append(recall.high - recall.low)
    assert widths[0] > 0.12
    assert min(widths) > 0.1


def test_specificity_and_balanced_accuracy(predictions):
    y_true, y_pred, *_ = predictions
    table = per_class_table(confusion_matrix(y_true, y_pred), CLASSES)
    for label in CLASSES:
        others = y_true != label
        specificity = table[label].specificity
        spared = (y_pred[others] != label).sum()
        assert specificity.value == spared / others.sum()
        assert (specificity.low, specificity.high) == pytest.approx(
            wilson_interval(int(spared), int(others.sum()))
        )
    assert table.means.recall.value == pytest.approx(
        balanced_accuracy_score(y_true, y_pred)
    )


@pytest.mark.parametrize("shape", [(0, 2, 2), (4, 2, 3), (4, 1, 1), (2, 2, 2, 2)])
def test_matrices_of_another_shape_are_an_error(shape):
    with pytest.raises(ValueError, match="confusion_matrix"):
        per_class_table(np.ones(shape, dtype=int), ["a", "b"])


def test_fractions_are_an_error():
    with pytest.raises(ValueError, match="counts"):
        per_class_table(np.full((3, 2, 2), 0.5), ["a", "b"])


def test_patients_of_several_classes_correlate_their_recalls():
    # If the same patients are mistaken in both classes, their mean is as uncertain as
    # either; with different patients it is more certain.
    tied, apart = np.zeros((20, 2, 2), int), np.zeros((40, 2, 2), int)
    tied[:, 0, 0] = tied[:, 1, 1] = 3
    tied[:6] = [[0, 3], [3, 0]]
    apart[:20, 0, :], apart[20:, 1, :] = tied[:, 0, :], tied[:, 1, :]
    widths = [
        table.means.recall.high - table.means.recall.low
        for table in (per_class_table(m, ["a", "b"]) for m in (tied, apart))
    ]
    assert widths[0] > 1.3 * widths[1]


class TestRocAuc:
    def test_values_are_those_of_scikit_learn(self, predictions):
        y_true, _, probabilities, groups = predictions
        rounded = probabilities.round(1)  # ties
        table = roc_auc_table(y_true, rounded, CLASSES, groups=groups)
        expected = [
            roc_auc_score(y_true == label, column)
            for label, column in zip(CLASSES, rounded.T, strict=True)
        ]
        assert [table[label].value for label in table] == pytest.approx(expected)
        assert table.mean.value == pytest.approx(np.mean(expected))

    def test_separated_classes_have_a_wide_interval(self):
        y_true = np.repeat(["ill", "well"], [20, 100])
        perfect = np.eye(2)[(y_true == "well").astype(int)]
        area = roc_auc_table(y_true, perfect, ["ill", "well"])["ill"]
        assert bounds(area) == pytest.approx([1, *wilson_interval(20, 20)])
        patients = np.arange(120) // 4
        area = roc_auc_table(y_true, perfect, ["ill", "well"], groups=patients)["ill"]
        assert bounds(area) == pytest.approx([1, *wilson_interval(5, 5)])

    @pytest.mark.filterwarnings("error")
    def test_a_class_without_images_has_no_area(self):
        table = roc_auc_table(["a", "b"], np.eye(3)[:2], ["a", "b", "c"])
        assert table["a"].value == 1
        assert math.isnan(table["c"].value)
        assert math.isnan(table.mean.low)
        content = json.loads(json.dumps(table.to_dict(), allow_nan=False))
        assert content["classes"]["c"]["value"] is None
        assert content["classes"]["a"]["low"] < content["classes"]["a"]["value"] == 1

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"labels": ["a"]}, "labels.*2 classes"),
            ({"y_true": ["a"]}, "numbers of samples"),
            ({"groups": [1]}, "numbers of samples"),
            ({"probabilities": [[0.1, np.nan]] * 2}, "NaN"),
            ({"confidence_level": 95}, "confidence_level"),
        ],
    )
    def test_errors(self, change, message):
        good = {
            "y_true": ["a", "b"],
            "probabilities": [[0.9, 0.1], [0.2, 0.8]],
            "labels": ["a", "b"],
        }
        with pytest.raises(ValueError, match=message):
            roc_auc_table(**{**good, **change})


class TestShare:
    def test_without_patients_it_is_the_wilson_interval(self):
        hits = np.repeat([True, False], [18, 2])
        assert bounds(estimate_share(hits)) == [0.9, *wilson_interval(18, 20)]

    def test_with_patients_it_is_the_accuracy(self, predictions):
        y_true, y_pred, _, groups = predictions
        accuracy = estimates_of(predictions)["accuracy", ""]
        share = estimate_share(y_true == y_pred, groups)
        assert bounds(share) == pytest.approx(bounds(accuracy))
        assert share.method == accuracy.method

    def test_without_images_it_is_nan(self):
        nothing = np.empty(0, dtype=bool)
        assert math.isnan(estimate_share(nothing).value)
        assert math.isnan(estimate_share(nothing, nothing).value)
