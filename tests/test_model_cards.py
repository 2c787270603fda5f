import re

import numpy as np
import pytest
from imblearn.pipeline import Pipeline
from sklearn.exceptions import NotFittedError

from _helpers.recording import RecordingClassifier, numbered_images
from skcovid import RadiographReader, evaluate, model_card

X = numbered_images(30)
Y = np.repeat(["COVID-19", "NORMAL", "Viral Pneumonia"], 10)


class Report:
    def to_markdown(self):
        return "Shortcut ratio 12 %."


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline(
        [("read", RadiographReader(16)), ("classify", RecordingClassifier(7.5))]
    )


def sections(card):
    return re.findall(r"^#+ (.*)$", card, flags=re.MULTILINE)


def section(card, title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", card, flags=re.S | re.M).group(
        1
    )


def test_warns_and_says_what_is_missing(pipeline):
    card = model_card(pipeline.fit(X, Y))
    assert sections(card) == [
        "Model card",
        "Intended use",
        "Model",
        "Parameters",
        "Limitations",
        "Evaluation",
        "Audit",
        "How to use it",
    ]
    assert "For research only" in section(card, "Intended use")
    assert "A network can tell those apart" in section(card, "Limitations")
    assert "Not evaluated" in section(card, "Evaluation")
    assert "Not audited" in section(card, "Audit")


def test_describes_the_model(pipeline):
    model = section(model_card(pipeline.fit(X, Y)), "Model")
    assert "Classes: COVID-19, NORMAL, Viral Pneumonia." in model
    assert "skcovid" in model
    assert re.search(r"classify__temperature +\| +7\.5 ", model)
    assert re.search(r"read__image_size +\| +16 ", model)
    assert "RecordingClassifier(" not in model


def test_holds_the_evaluation_and_the_audit(pipeline):
    result = evaluate(pipeline, X, Y, cv=3)
    card = model_card(pipeline.fit(X, Y), result, Report())
    assert result.accuracy.format_percent() in section(card, "Evaluation")
    assert "Table 4" in section(card, "Evaluation")
    assert section(card, "Audit").strip() == "Shortcut ratio 12 %."
    assert "Not " not in section(card, "Evaluation") + section(card, "Audit")


def test_not_fitted_is_an_error(pipeline):
    from sklearn.base import clone

    with pytest.raises(NotFittedError):
        model_card(clone(pipeline))


@pytest.mark.parametrize("wrong", [{"result": "97 %"}, {"audit": {"ratio": 1}}])
def test_wrong_reports_are_errors(pipeline, wrong):
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter"):
        model_card(pipeline.fit(X, Y), **wrong)
