import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skcovid import audit
from skcovid.datasets import make_radiographs
from skcovid.inspection import AuditDisplay
from skcovid.metrics import Estimate

ACCURACIES = {
    "model": Estimate(0.95, 0.92, 0.97),
    "file properties": Estimate(0.8, 0.75, 0.84),
    "border": Estimate(0.5, 0.45, 0.55),
}
CURVE = [
    (share, Estimate(value, value - 0.1, value + 0.05))
    for share, value in [(1.0, 0.9), (0.5, 0.8), (0.2, 0.7)]
]
pytestmark = pytest.mark.usefixtures("plt")


def flatten(images):
    return images.reshape(len(images), -1) / 255.0


def test_bars_show_accuracies_and_highlight_flagged_checks():
    display = AuditDisplay(ACCURACIES, 0.4, flagged=["file properties"]).plot()
    (ax,) = display.ax_
    assert [bar.get_width() for bar in display.bars_] == [0.95, 0.8, 0.5]
    model, suspect, other = (bar.get_facecolor() for bar in display.bars_)
    assert model == other != suspect
    assert [text.get_text() for text in ax.texts] == ["95.0 %", "80.0 %", "50.0 %"]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["Chance", "Flagged check"]
    assert display.figure_ is ax.figure


def test_intervals_chance_and_threshold_are_drawn():
    (ax,) = AuditDisplay(ACCURACIES, 0.4, threshold=0.6).plot().ax_
    segments = np.concatenate([lines.get_segments() for lines in ax.collections])
    np.testing.assert_allclose(
        segments[:, :, 0], [[0.92, 0.97], [0.75, 0.84], [0.45, 0.55]]
    )
    lines = {line.get_label(): line.get_xdata()[0] for line in ax.lines}
    assert lines["Chance"] == 0.4
    assert lines["Threshold"] == 0.6


def test_the_curve_has_its_own_axes():
    display = AuditDisplay(
        ACCURACIES, 0.4, visible_chance=0.3, visible_curve=CURVE
    ).plot()
    bars, curve = display.ax_
    line = curve.lines[0]
    np.testing.assert_allclose(line.get_xdata(), [1.0, 0.5, 0.2])
    np.testing.assert_allclose(line.get_ydata(), [0.9, 0.8, 0.7])
    assert curve.lines[-1].get_ydata()[0] == 0.3
    # The visible share decreases to the right.
    assert curve.get_xlim()[0] > curve.get_xlim()[1]
    for ax in (bars, curve):
        assert ax.get_title()
        assert ax.get_xlabel()
        assert ax.get_ylabel()


def test_draws_on_given_axes(plt):
    _, axes = plt.subplots(ncols=2)
    display = AuditDisplay(ACCURACIES, 0.4, visible_curve=CURVE).plot(ax=axes)
    assert display.ax_[0] is axes[0]
    assert len(plt.get_fignums()) == 1
    with pytest.raises(ValueError, match=r"2 axes.*got 1"):
        AuditDisplay(ACCURACIES, 0.4, visible_curve=CURVE).plot(ax=axes[0])


@pytest.mark.parametrize(
    ("accuracies", "options", "message"),
    [
        ({}, {}, "accuracies is empty"),
        (ACCURACIES, {"flagged": ["headers"]}, "flagged.*'headers'"),
    ],
)
def test_wrong_values_are_errors(accuracies, options, message):
    with pytest.raises(ValueError, match=message):
        AuditDisplay(accuracies, 0.4, **options)


def test_from_report_draws_an_audit():
    X, y = make_radiographs(
        60, image_size=48, weights=(1, 1, 1), random_state=0, return_X_y=True
    )
    X[y == "COVID-19", 1:4, 1:4] = 255
    model = make_pipeline(FunctionTransformer(flatten), LogisticRegression(C=0.01))
    report = audit(model, X, y, cv=2, fractions=[0.9], verbose=0)
    display = AuditDisplay.from_report(report)
    assert list(display.accuracies)[:3] == [
        *("model", "ring of thumbnails", "16 × 16 thumbnails")
    ]
    assert display.flagged[0] == "ring of thumbnails"
    assert len(display.visible_curve) == 2
    assert display.chance < display.threshold < display.accuracies["model"].value


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"requires matplotlib.*skcovid\[plot\]"):
        AuditDisplay(ACCURACIES, 0.4).plot()
