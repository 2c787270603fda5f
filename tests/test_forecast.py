"""The audit's forecast of the ROC AUC in another hospital."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from skcovid import audit
from skcovid.report import headline

SIDE = 24


def draw(n_images, *, lungs, border, seed=0, n_sources=1):
    """Draw noise with a bright centre or border in images of COVID-19."""
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(n_images) % 2, "COVID-19", "NORMAL")
    X = rng.normal(100, 20, (n_images, SIDE, SIDE))
    X[y == "COVID-19", 6:18, 6:18] += lungs
    X[y == "COVID-19", :, 0] += border
    X[y == "COVID-19", :, -1] += border
    source = np.arange(n_images) // 2 % n_sources
    return X.clip(0, 255).astype(np.uint8), y, source.astype(str)


def make_model(classifier=None):
    return make_pipeline(
        FunctionTransformer(lambda X: X.reshape(len(X), -1) / 255.0),
        classifier or LogisticRegression(C=0.1, max_iter=500),
    )


def forecast(X, y, source=None, model=None):
    report = audit(
        model or make_model(),
        X,
        y,
        source=source,
        cv=2,
        fractions=[0.9],
        verbose=0,
    )
    return report["outside"], report


def test_skill_of_the_lungs_is_expected_outside():
    check, report = forecast(*draw(160, lungs=25, border=0)[:2])
    assert check.status == "passed"
    found = check.details["forecasts"]["COVID-19"]
    inside = report.result.roc_auc["COVID-19"].value
    assert found["inside"] == inside > 0.9
    skill = inside - max(0.5, found["without_lungs"])
    assert check.figures[0].estimate.value == pytest.approx(0.5 + skill)
    assert found["left_out"] is None


def test_skill_of_the_border_is_not():
    check, report = forecast(*draw(160, lungs=0, border=60)[:2])
    assert check.flagged
    estimate = check.figures[0].estimate
    assert estimate.low < 0.5 < estimate.high < 0.8
    assert "0.5" in check.verdict
    assert "another hospital" in check.advice
    expected = f"about {estimate.value:.2f} is to be expected"
    assert expected in headline(report.result, report)


def test_sources_that_were_left_out_count_for_half():
    X, y, source = draw(160, lungs=25, border=0, n_sources=2)
    check, report = forecast(X, y, source)
    found = check.details["forecasts"]["NORMAL"]
    inside = report.result.roc_auc["NORMAL"].value
    by_lungs = 0.5 + inside - max(0.5, found["without_lungs"])
    assert found["left_out"] > 0.8
    assert found["outside"] == pytest.approx((by_lungs + found["left_out"]) / 2)


@pytest.mark.parametrize(
    ("n_images", "model", "reason"),
    [
        (80, make_model(LinearSVC()), "predict_proba"),
        (12, None, "Add patients"),
    ],
)
def test_what_is_not_known_is_not_forecast(n_images, model, reason):
    check, _ = forecast(*draw(n_images, lungs=6, border=0)[:2], model=model)
    assert check.status == "not run"
    assert reason in check.verdict
