import json
import math
import pickle
from collections import Counter

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
)

from skcovid.metrics import (
    Estimate,
    confusion_matrix_to_markdown,
    multiclass_accuracy,
    per_class_table,
    pooled_confusion_matrix,
    wilson_interval,
)

CLASSES = ["COVID-19", "Normal", "Viral pneumonia"]
FIGURES = ["recall", "precision", "f1", "one_vs_rest_accuracy"]

# Table 4 of the paper, percent. Its text gives no entry of Table 3 (the confusion
# matrices): these are ones that add up to the supports of section 4, 5 x (19, 126, 145)
# images, and lead to every figure of the block.
PAPER = {
    "ResNet50": (
        [[95, 0, 0], [1, 607, 22], [3, 14, 708]],
        [[100, 96, 98, 99.72], [96, 98, 97, 97.45], [98, 97, 97, 97.31]],
        [98, 97, 97.33, 98.16],
    ),
    "VGG19": (
        [[93, 0, 2], [3, 614, 13], [1, 11, 713]],
        [[98, 96, 97, 99.59], [97, 98, 98, 98.14], [98, 98, 98, 98.14]],
        [97.66, 97.33, 97.66, 98.62],
    ),
    "DenseNet121": (
        [[92, 0, 3], [2, 608, 20], [1, 2, 722]],
        [[97, 97, 97, 99.59], [97, 100, 98, 98.34], [100, 97, 98, 98.21]],
        [98, 98, 97.66, 98.71],
    ),
}


def percents(row):
    return [100 * float(getattr(row, figure)) for figure in FIGURES]


def estimates_of(table):
    return {
        (label, figure): getattr(row, figure)
        for label, row in (*table.items(), ("MEAN", table.means))
        for figure in FIGURES
    }


@pytest.mark.parametrize("model", PAPER)
def test_table_4_of_the_paper(model):
    matrix, block, _ = PAPER[model]
    table = per_class_table(matrix, CLASSES)
    for row, expected in zip(table.values(), block, strict=True):
        *rounded, accuracy = percents(row)
        assert np.rint(rounded).tolist() == expected[:3]
        assert round(accuracy, 2) == expected[3]
    assert [row.support for row in table.values()] == [95, 630, 725]


@pytest.mark.parametrize("model", PAPER)
def test_means_of_table_4(model):
    matrix, block, means = PAPER[model]
    *exact, accuracy = percents(per_class_table(matrix, CLASSES).means)
    assert round(accuracy, 2) == means[3]
    # The paper averages whole percentages and cuts the result to two decimals.
    paper_way = np.mean(block, axis=0)[:3]
    assert (np.floor(100 * paper_way) / 100).tolist() == means[:3]
    np.testing.assert_allclose(exact, means[:3], atol=0.5)


def test_paper_accuracy_is_not_multiclass_accuracy():
    matrix = PAPER["ResNet50"][0]
    table = per_class_table(matrix, CLASSES)
    assert round(100 * float(multiclass_accuracy(matrix)), 2) == 97.24
    assert table.accuracy == multiclass_accuracy(matrix)
    assert float(table.means.one_vs_rest_accuracy) > float(table.accuracy)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_figures_are_those_of_scikit_learn(n_classes):
    rng = np.random.default_rng(0)
    y_true = rng.integers(n_classes, size=200)
    y_pred = np.where(rng.random(200) < 0.7, y_true, rng.integers(n_classes, size=200))
    matrix = confusion_matrix(y_true, y_pred)
    table = per_class_table(matrix, range(n_classes))

    precision, recall, f1, support = precision_recall_fscore_support(y_true, y_pred)
    one_vs_rest = multilabel_confusion_matrix(y_true, y_pred)
    accuracy = np.trace(one_vs_rest, axis1=1, axis2=2) / 200
    expected = np.transpose([recall, precision, f1, accuracy])
    observed = [percents(row) for row in table.values()]
    np.testing.assert_allclose(observed, 100 * expected)
    np.testing.assert_allclose(percents(table.means), 100 * expected.mean(axis=0))
    assert [row.support for row in table.values()] == support.tolist()
    assert table.means.support == 200
    assert float(table.accuracy) == pytest.approx(accuracy_score(y_true, y_pred))


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_of_published_examples(successes, total, low, high):
    assert wilson_interval(successes, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_interval_reaches_its_level(level):
    total = 60
    bounds = np.array([wilson_interval(k, total, level) for k in range(total + 1)])
    proportions = np.linspace(0.02, 0.98, 97)[:, np.newaxis]
    covered = (bounds[:, 0] <= proportions) & (proportions <= bounds[:, 1])
    chances = binom.pmf(np.arange(total + 1), total, proportions)
    coverage = (covered * chances).sum(axis=1)
    assert coverage.mean() == pytest.approx(level, abs=0.01)
    assert coverage.min() > level - 0.12


@pytest.mark.parametrize(
    ("matrix", "n_images"),
    [
        ([[80, 10, 5], [10, 200, 20], [5, 25, 145]], 150),
        # With few mistakes, a percentile bootstrap would cover the means below 85 %.
        ([[93, 0, 2], [3, 614, 13], [1, 11, 713]], 290),
    ],
)
def test_intervals_of_the_table_cover_the_truth(matrix, n_images):
    truth = {
        key: float(estimate)
        for key, estimate in estimates_of(per_class_table(matrix, CLASSES)).items()
    }
    rng = np.random.default_rng(0)
    chances = np.ravel(matrix) / np.sum(matrix)
    n_draws = 300
    covered: Counter[tuple[str, str]] = Counter()
    for draw in rng.multinomial(n_images, chances, size=n_draws):
        table = per_class_table(draw.reshape(3, 3), CLASSES)
        for key, estimate in estimates_of(table).items():
            covered[key] += estimate.low <= truth[key] <= estimate.high
    coverage = {key: count / n_draws for key, count in covered.items()}
    assert len(coverage) == 16
    assert min(coverage.values()) > 0.9, coverage
    assert 0.93 < np.mean(list(coverage.values())) < 0.98


@pytest.mark.parametrize("matrix", [*(block[0] for block in PAPER.values())])
def test_every_interval_contains_its_figure(matrix):
    for estimate in estimates_of(per_class_table(matrix, CLASSES)).values():
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert estimate.low < estimate.high


def test_intervals_do_not_shrink_to_a_point_without_mistakes():
    table = per_class_table(np.diag([5, 20, 20]), CLASSES)
    for estimate in estimates_of(table).values():
        assert estimate.high == 1
        assert estimate.low < 0.97


def test_intervals_widen_with_the_confidence_level():
    matrix = PAPER["VGG19"][0]
    narrow = estimates_of(per_class_table(matrix, CLASSES, confidence_level=0.8))
    wide = estimates_of(per_class_table(matrix, CLASSES, confidence_level=0.99))
    for key, estimate in narrow.items():
        assert wide[key].low < estimate.low
        assert estimate.high < wide[key].high or estimate.high == 1
        assert wide[key].value == estimate.value


@pytest.mark.filterwarnings("error")
def test_undefined_figures_are_nan_not_zero():
    table = per_class_table([[0, 5, 0], [0, 7, 0], [0, 0, 0]], CLASSES)
    never_predicted, absent = table["COVID-19"], table["Viral pneumonia"]
    assert never_predicted.recall.value == 0
    assert never_predicted.f1.value == 0
    assert math.isnan(never_predicted.precision.value)
    assert math.isnan(absent.recall.value)
    assert math.isnan(absent.f1.value)
    for estimate in (never_predicted.precision, absent.recall, table.means.precision):
        assert math.isnan(estimate.low)
        assert math.isnan(estimate.high)
        assert estimate.format_percent() == "n/a"
    assert absent.one_vs_rest_accuracy.value == 1
    assert "n/a" in table.to_markdown()
    assert table.to_dict()["classes"]["COVID-19"]["precision"] == {
        "value": None,
        "low": None,
        "high": None,
        "method": "Wilson",
    }


@pytest.mark.filterwarnings("error")
def test_an_empty_matrix_gives_nan():
    table = per_class_table(np.zeros((2, 2), int), ["a", "b"])
    assert all(math.isnan(e.value) for e in estimates_of(table).values())
    assert math.isnan(float(multiclass_accuracy(np.zeros((2, 2), int))))


def test_table_is_a_mapping_from_label_to_row():
    table = per_class_table([[3, 1], [0, 4]], np.array(["ill", "well"]))
    assert list(table) == ["ill", "well"]
    assert len(table) == 2
    assert table["well"].support == 4
    assert "other" not in table
    with pytest.raises(KeyError, match=r"'other'.*'ill', 'well'"):
        table["other"]
    assert pickle.loads(pickle.dumps(table)) == table


def test_to_dict_can_be_written_as_json():
    matrix = PAPER["ResNet50"][0]
    table = per_class_table(np.array(matrix), np.array([10, 20, 30]))
    content = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert list(content["classes"]) == ["10", "20", "30"]
    recall = content["classes"]["20"]["recall"]
    assert recall["low"] < recall["value"] == 607 / 630 < recall["high"]
    assert content["classes"]["20"]["support"] == 630
    assert content["means"]["support"] == 1450
    assert content["accuracy"]["value"] == 1410 / 1450
    assert content["confidence_level"] == 0.95


def test_to_markdown_is_laid_out_as_table_4():
    table = per_class_table(PAPER["ResNet50"][0], CLASSES, confidence_level=0.9)
    text = table.to_markdown(decimals=0)
    header, rule, *rows, blank, caption = text.splitlines()
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert "recall" in header
    assert "one-vs-rest accuracy" in header
    assert set(rule) <= set("|:- ")
    assert [row[0] for row in cells] == [*CLASSES, "MEAN"]
    assert [cell.split(" %")[0] for cell in cells[0]][1:] == [
        *("100", "96", "98", "100"),
        "95",
    ]
    assert cells[-1][-1] == "1450"
    assert len({len(line) for line in (header, rule, *rows)}) == 1
    assert blank == ""
    assert "Multi-class accuracy: 97 %" in caption
    assert "90 % confidence intervals" in caption
    assert str(table) == table.to_markdown()


def test_confusion_matrix_to_markdown_is_table_3():
    text = confusion_matrix_to_markdown(PAPER["ResNet50"][0], ["C", "N", "V|W"])
    assert text.splitlines() == [
        "| true / predicted |   C |   N | V\\|W |",
        "| :--------------- | --: | --: | ---: |",
        "| C                |  95 |   0 |    0 |",
        "| N                |   1 | 607 |   22 |",
        "| V\\|W             |   3 |  14 |  708 |",
    ]


def test_estimate_from_counts():
    estimate = Estimate.from_counts(95, 95)
    assert float(estimate) == 1
    assert (estimate.low, estimate.high) == wilson_interval(95, 95)
    assert str(estimate) == "100.00 % [96.11, 100.00]"
    assert estimate.format_percent(decimals=0) == "100 % [96, 100]"


def test_pooled_confusion_matrix_adds_the_folds_up():
    folds = np.arange(45).reshape(5, 3, 3)
    pooled = pooled_confusion_matrix(list(folds))
    np.testing.assert_array_equal(pooled, folds.sum(axis=0))
    assert pooled.dtype == np.int64


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ([], "matrices is empty"),
        ([[1, 2], [3, 4]], r"matrices\[0\].*square"),
        ([np.eye(2), np.eye(3)], r"matrices\[1\].*\(3, 3\).*labels"),
        ([np.eye(2), np.ones((2, 3))], r"matrices\[1\].*square"),
        ([np.eye(2), -np.eye(2)], r"matrices\[1\].*counts"),
    ],
)
def test_pooled_confusion_matrix_errors(matrices, message):
    with pytest.raises(ValueError, match=message):
        pooled_confusion_matrix(matrices)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[0.5, 0.5], [0.0, 1.0]], "normalize=None"),
        ([[1, np.nan], [0, 1]], "must hold counts"),
        ([["1", "0"], ["0", "1"]], "must hold counts"),
        ([[5]], "at least two classes"),
    ],
)
@pytest.mark.parametrize(
    "function",
    [
        multiclass_accuracy,
        lambda matrix: per_class_table(matrix, range(len(matrix))),
        lambda matrix: confusion_matrix_to_markdown(matrix, range(len(matrix))),
    ],
    ids=["multiclass_accuracy", "per_class_table", "confusion_matrix_to_markdown"],
)
def test_other_matrices_are_errors(function, matrix, message):
    with pytest.raises(ValueError, match=message):
        function(matrix)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"], "labels.*2 classes.*'a'"),
        (["a", "a"], "labels must differ"),
        ([1, "1"], "labels must differ"),
    ],
)
def test_labels_must_name_every_class_once(labels, message):
    with pytest.raises(ValueError, match=message):
        per_class_table([[1, 0], [0, 1]], labels)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_confidence_level_is_a_probability(level):
    with pytest.raises(ValueError, match="confidence_level"):
        per_class_table([[1, 0], [0, 1]], ["a", "b"], confidence_level=level)


@pytest.mark.parametrize(("successes", "total"), [(3, 2), (-1, 2), (1.5, 2)])
def test_wilson_interval_rejects_impossible_counts(successes, total):
    with pytest.raises(ValueError, match="successes"):
        wilson_interval(successes, total)
