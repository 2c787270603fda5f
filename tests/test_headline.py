"""The first sentence of a report: what can be done with a model."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from _helpers.results import make_external, make_result
from skcovid import evaluate
from skcovid.auditing import AuditCheck, AuditFigure, AuditReport
from skcovid.metrics import Estimate
from skcovid.report import headline

INSIDE = make_result()
NOTHING_OUTSIDE = "measured inside the collection"


def make_audit(result, ratio, status="flagged"):
    figure = AuditFigure("shortcut ratio, border", ratio)
    check = AuditCheck(
        *("shortcut ratio", "How much?", status, "Text.", "25 %."),
        advice="Report it.",
        figures=(figure,),
    )
    return AuditReport(checks=(check,), result=result, chance=0.5, settings={})


MUCH = Estimate(0.87, 0.82, 0.92)
LITTLE = Estimate(0.05, 0.01, 0.12)
UNKNOWN = Estimate(np.nan, np.nan, np.nan)


def test_nothing_outside_and_no_audit():
    text = headline(INSIDE)
    assert text.startswith("Do not use the model elsewhere yet")
    assert INSIDE.accuracy.format_percent(1) in text
    assert NOTHING_OUTSIDE in text
    assert "nothing is known outside" in text
    assert "not audited" in text


@pytest.mark.parametrize(
    ("ratio", "status", "begins", "has"),
    [
        (MUCH, "flagged", "Do not rely on the", "87 % [82, 92] of its skill"),
        (
            LITTLE,
            "passed",
            "Do not use the model elsewhere",
            "5 % [1, 12] of its skill",
        ),
        (UNKNOWN, "not run", "Do not use the model elsewhere", "could not say"),
    ],
)
def test_nothing_outside_but_an_audit(ratio, status, begins, has):
    text = headline(INSIDE, make_audit(INSIDE, ratio, status))
    assert text.startswith(begins)
    assert has in text
    assert NOTHING_OUTSIDE in text
    assert "not audited" not in text


def test_falls_outside():
    external = make_external(400, 0.2)
    text = headline(make_result(external=external))
    assert text.startswith(
        f"Do not rely on the {100 * INSIDE.accuracy.value:.1f} %: in"
    )
    assert external.roc_auc["COVID-19"].format_fraction(2) in text
    assert "400 images of 400 patients" in text
    assert INSIDE.roc_auc["COVID-19"].format_fraction() in text


def test_falls_outside_and_the_audit_says_why():
    result = make_result(external=make_external(400, 0.2))
    text = headline(result, make_audit(result, MUCH))
    assert text.startswith("Do not rely on the")
    assert text.index("87 %") < text.index(", and in the external set")


def test_holds_outside():
    text = headline(make_result(external=make_external(3000, 4)))
    assert text.startswith("The model held where it was tested: in the external set")
    assert "hospitals, machines and groups of patients were not tested" in text
    assert "Do not" not in text


def test_holds_outside_but_the_audit_flags_it():
    result = make_result(external=make_external(3000, 4))
    text = headline(result, make_audit(result, MUCH))
    assert text.startswith("Do not rely on the")
    assert "But in the external set" in text


def test_too_few_outside_to_say():
    text = headline(make_result(external=make_external(30, 3)))
    assert text.startswith("Do not rely on the")
    assert "yet, as it is not known whether it holds" in text
    assert "more patients" in text


def test_a_ranking_that_holds_with_labels_that_do_not():
    """A threshold may fail elsewhere although the ROC AUC does not fall."""
    external = make_external(3000, 4, shift=3)
    text = headline(make_result(external=external))
    assert text.startswith("Do not rely on the")
    assert "although the ROC AUC did not fall" in text
    assert external.per_class["NORMAL"].recall.format_percent(1) in text


def test_without_probabilities_the_labels_are_compared():
    external = make_external(400, 0.2, with_probabilities=False)
    text = headline(make_result(external=external))
    assert text.startswith("Do not rely on the")
    assert "ROC AUC" not in text


def test_no_better_than_chance_inside_and_outside():
    result = make_result(4000, 0.0, external=make_external(4000, 0.0))
    assert headline(result).startswith("Do not rely on the")


@pytest.mark.parametrize(
    ("skill", "begins", "has"),
    [
        (
            4.0,
            "The model held where it was tested",
            "within sources that the model had",
        ),
        (0.1, "Do not rely on the", "may be chance"),
    ],
)
def test_sources_left_out(skill, begins, has):
    source = np.repeat(["a", "b", "c", "d"], 200)
    text = headline(make_result(800, skill, source=source))
    assert text.startswith(begins)
    assert has in text
    assert NOTHING_OUTSIDE not in text


SOURCE = np.repeat(["a", "b", "c", "d"], 200)


def test_sources_that_differ_leave_a_new_one_open():
    skill = np.repeat([1.5, 0.7, 1.2, 0.3], 200)
    result = make_result(800, skill, source=SOURCE)
    assert result.heterogeneity("COVID-19").prediction.low < 0.5
    assert result.within_source_roc_auc["COVID-19"].low > 0.5
    text = headline(result)
    assert text.startswith("Do not rely on the")
    assert "in a new source it may be between" in text


def test_sources_that_were_trained_on_say_nothing_of_others():
    text = headline(make_result(800, source=SOURCE, leave_out=False))
    assert text.startswith("Do not use the model elsewhere yet")
    assert NOTHING_OUTSIDE in text


def test_a_model_that_tells_sources_apart():
    """Its ROC AUC is high over all images, and not within the sources."""
    y_true = np.where(np.arange(800) % 2, "NORMAL", "COVID-19")
    mostly = np.random.default_rng(0).random(800) < 0.9
    source = np.where((y_true == "COVID-19") == mostly, "clinic", "school")
    sign = np.where(source == "clinic", 1, -1) * np.where(y_true == "NORMAL", -1, 1)
    result = make_result(800, 4.0 * sign, source=source, leave_out=False)
    assert result.roc_auc["COVID-19"].low > 0.8
    text = headline(result)
    assert text.startswith("Do not rely on the")
    assert "within the sources that it was trained on" in text
    assert NOTHING_OUTSIDE in text


def test_sources_of_one_class_each():
    source = np.where(np.arange(400) % 2, "clinic", "school")
    text = headline(make_result(source=source, leave_out=False))
    assert text.startswith("Do not rely on the")
    assert "no source has two classes" in text
    assert NOTHING_OUTSIDE in text


def test_one_class_outside_says_nothing_of_the_others():
    inside, outside = ([[0]] * 90, ["a"] * 50 + ["b"] * 40), ([[0]] * 90, ["a"] * 90)
    result = evaluate(DummyClassifier(), *inside, cv=3, test=outside, verbose=0)
    text = headline(result)
    assert text.startswith("Do not rely on the")
    assert "all are of one class" in text
