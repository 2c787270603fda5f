"""Disputed labels through the public API: the queue, its table and its pictures."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skcovid import RadiographReader, audit, evaluate, write_report
from skcovid.auditing import DisputedLabel
from skcovid.datasets import make_radiographs
from skcovid.model_selection import EvaluationResult

pytestmark = pytest.mark.usefixtures("small_forests")
QUICK = {"cv": 3, "fractions": [0.9], "max_images": 100, "verbose": 0}
N_WRONG = 20


def flatten(images):
    return np.asarray(images).reshape(len(images), -1)


def make_model(classifier=None):
    return make_pipeline(
        RadiographReader(24),
        FunctionTransformer(flatten),
        StandardScaler(),
        classifier or LogisticRegression(C=0.01, max_iter=500),
    )


@pytest.fixture(scope="module")
def data():
    return make_radiographs(
        400, image_size=32, weights=(1, 1, 1), n_patients=200, random_state=0
    )


@pytest.fixture(scope="module")
def wrong(data):
    return np.random.default_rng(0).choice(len(data.target), N_WRONG, replace=False)


@pytest.fixture(scope="module")
def labels(data, wrong):
    """Labels, twenty of which are those of another class."""
    classes, codes = np.unique(data.target, return_inverse=True)
    codes[wrong] = (codes[wrong] + 1) % len(classes)
    return classes[codes]


@pytest.fixture(scope="module")
def report(data, labels):
    return audit(make_model(), data.images, labels, data.groups, **QUICK)


def test_wrong_labels_lead_the_queue(report, data, labels, wrong):
    check, queue = report["labels"], report.label_queue
    assert check.flagged
    share = check.figures[0].estimate
    assert share.low <= N_WRONG / len(labels) <= share.high
    first = [one.row for one in queue[: N_WRONG // 2]]
    assert np.isin(first, wrong).mean() >= 0.8
    for one in queue:
        assert one.name == f"image {one.row}"
        assert one.given == labels[one.row] != one.suggested
        assert 0 <= one.score <= 1
    assert sorted(queue, key=lambda one: -one.score) == list(queue)
    found = [one for one in queue if one.row in wrong]
    right = [one.suggested == data.target[one.row] for one in found]
    assert np.mean(right) >= 0.8


def test_scores_are_given_under_both_labels_and_nothing_is_dropped(report, labels):
    figures = {one.name: one.estimate for one in report["labels"].figures}
    assert figures["accuracy under the given labels"] == report.accuracy
    suggested = labels.copy()
    for one in report.label_queue:
        suggested[one.row] = one.suggested
    right = (report.result.predictions == suggested).mean()
    found = figures["accuracy under the suggested labels"].value
    assert found == pytest.approx(right)
    assert found > report.accuracy.value
    better = figures["mean ROC AUC under the suggested labels"]
    assert better.value > figures["mean ROC AUC under the given labels"].value
    assert len(report.result.predictions) == len(labels)


def test_a_model_that_may_have_been_trained_on_the_labels_is_not_asked(
    data, labels, wrong
):
    table = {"path": [f"{row}.png" for row in range(len(labels))], "label": labels}
    for name in np.unique(labels):
        table[f"probability_{name}"] = np.where(labels == name, 0.98, 0.01)
    result = EvaluationResult.from_predictions(table)
    report = audit(result, data.images, labels, refit=make_model(), **QUICK)
    compared = report["labels"].details["n_images"]
    assert compared == QUICK["max_images"]
    rows = [one.row for one in report.label_queue]
    assert np.isin(rows, wrong).sum() >= 0.5 * N_WRONG * compared / len(labels)


def test_own_labels_pass(data):
    X, y = data.images[:200], data.target[:200]
    found = audit(make_model(), X, y, **QUICK)["labels"]
    assert found.status == "passed"
    assert found.figures[0].estimate.low == 0


def test_labels_that_the_images_do_not_show_are_not_disputed(data):
    X, y = data.images[:120], np.random.default_rng(1).permutation(data.target[:120])
    model = make_model(DecisionTreeClassifier(random_state=0))
    found = audit(model, X, y, **QUICK)
    assert found["labels"].status == "not run"
    assert "contradict" in found["labels"].verdict
    assert found.label_queue == ()


def test_features_of_the_model_serve_without_probabilities(data, labels, wrong):
    model = make_model(LinearSVC(C=0.001))
    # In plain folds the images of a patient are on both sides.
    folds = KFold(3, shuffle=True, random_state=0)
    result = evaluate(model, data.images, labels, cv=folds, verbose=0)
    settings = QUICK | {"refit": model, "max_images": 400}
    found = audit(result, data.images, labels, data.groups, **settings)
    assert found["labels"].flagged
    first = [one.row for one in found.label_queue[: N_WRONG // 2]]
    assert np.isin(first, wrong).mean() >= 0.8


def test_without_features_or_enough_patients_the_check_is_not_run(data):
    X, y = data.images[:60], np.repeat(["a", "b"], [58, 2])
    rng = np.random.default_rng(0)
    result = evaluate(make_model(), X, rng.permutation(y), cv=2, verbose=0)
    few = audit(result, X, result.y_true, **QUICK)
    assert few["labels"].status == "not run"
    assert "b has 2 images" in few["labels"].verdict
    assert few.label_queue == ()


def test_table_for_decisions(report, tmp_path):
    row = DisputedLabel(3, "a, b/=x.png", "NORMAL", "=1+1", 0.25)
    path = tmp_path / "queue.csv"
    queue = (row, row._replace(name="@x\n.png", suggested="-1"))
    replace(report, label_queue=queue).write_label_queue(path)
    header, *lines = csv.reader(path.read_text("utf-8").splitlines())
    assert header == ["image", "given", "suggested", "score", "decision"]
    assert lines == [
        ["a, b/=x.png", "NORMAL", "'=1+1", "0.250", ""],
        ["'@x .png", "NORMAL", "'-1", "0.250", ""],
    ]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        report.write_label_queue(tmp_path / "nowhere" / "queue.csv")


def test_report_shows_pictures_of_the_first(report, data, tmp_path):
    first = report.label_queue[0]
    assert first.name in report.to_markdown()
    pages = [
        write_report(
            tmp_path / "report.html", report.result, audit=report, X=X
        ).read_text("utf-8")
        for X in (None, data.images)
    ]
    without, shown = (page.count("data:image/png") for page in pages)
    assert shown == without + 3  # with mistakes and mean images
    assert f"The first 12 of {len(report.label_queue)}" in pages[1]
