import sys

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Perceptron

from skcovid import evaluate
from skcovid.inspection import (
    DecisionCurveDisplay,
    FlowDiagramDisplay,
    ForestPlotDisplay,
)
from skcovid.metrics import Estimate, decision_curve, heterogeneity

pytestmark = pytest.mark.usefixtures("plt")

NAN = Estimate(np.nan, np.nan, np.nan)
AREAS = {
    "Hannover": Estimate(0.71, 0.61, 0.79),
    "Eurorad": NAN,
    "A publisher of a long name, and of another": Estimate(0.48, 0.35, 0.61),
    "Radiopaedia": Estimate(0.9, 0.88, 0.92),
}
IMAGES = dict(zip(AREAS, [100, 20, 30, 1400], strict=True))
COLLECTIONS = {"A": (520, 400), "B" * 60: (300, None)}
FOLDS = {f"Fold {number}": (163, 120) for number in range(5)}
EXCLUDED = {
    "Lateral view": (4, 4),
    "File that cannot be read for some reason": (1, None),
}
FLOW = FlowDiagramDisplay(
    COLLECTIONS,
    FOLDS,
    excluded=EXCLUDED,
    external={"C": (531, 300)},
    external_excluded={"Image also in training": (1, 1)},
    n_external_patients=299,
)
rng = np.random.default_rng(0)
Y = np.resize(["COVID-19", "Normal", "Normal", "Other"], 160)
X = rng.normal(size=(160, 3)) + (Y == "COVID-19")[:, np.newaxis]
SOURCE = np.repeat(["A", "B", "C", "only normal"], 40)
Y[SOURCE == "only normal"] = "Normal"
GROUPS = np.arange(160) // 2
CURVE = decision_curve(Y, np.clip(X[:, 0] / 4, 0, 1), pos_label="COVID-19")

DISPLAYS = {
    "forest": lambda ax=None: ForestPlotDisplay.from_estimates(
        AREAS, n_images=IMAGES, n_patients=IMAGES, ax=ax
    ),
    "forest, one row": lambda ax=None: ForestPlotDisplay(["all"], [NAN]).plot(ax),
    "curve": lambda ax=None: DecisionCurveDisplay(CURVE).plot(ax),
    "flow": lambda ax=None: FLOW.plot(ax),
    "flow, one column": lambda ax=None: FlowDiagramDisplay(
        {"A": (1, 1)}, {"Test": (1, 1)}
    ).plot(ax),
}
EVERY = pytest.mark.parametrize("draw", DISPLAYS.values(), ids=DISPLAYS)


@pytest.fixture(scope="module")
def result():
    rows = np.arange(0, 160, 3)
    return evaluate(
        LogisticRegression(),
        X,
        Y,
        groups=GROUPS,
        source=SOURCE,
        cv=3,
        test=(X[rows] + 0.1, Y[rows]),
        random_state=0,
        verbose=0,
    )


def texts_of(ax):
    return [text.get_text() for text in ax.texts]


@EVERY
@pytest.mark.filterwarnings("error")
def test_nothing_is_drawn_outside_the_figure(draw, plt):
    display = draw()
    figure = display.figure_
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()
    drawn = figure.get_tightbbox()
    assert min(drawn.xmin, drawn.ymin) >= -0.02
    assert (np.array([drawn.xmax, drawn.ymax]) <= figure.get_size_inches() + 0.02).all()
    assert np.ravel(display.ax_)[0].get_title()


@EVERY
def test_draws_on_given_axes(draw, plt):
    _, ax = plt.subplots()
    display = draw(ax)
    assert np.ravel(display.ax_)[0] is ax
    assert display.figure_ is ax.figure
    assert len(plt.get_fignums()) == 1


@EVERY
def test_without_matplotlib_the_extra_is_named(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"requires matplotlib.*skcovid\[plot\]"):
        draw()


class TestForestPlot:
    def test_sources_are_sorted_and_those_without_a_figure_are_last(self):
        display = ForestPlotDisplay.from_estimates(
            AREAS, n_images=IMAGES, notes={"Eurorad": "one class"}
        )
        assert display.labels[0] == "Radiopaedia"
        assert display.labels[-1] == "Eurorad"
        assert display.n_images == [1400, 100, 30, 20]
        expected = [AREAS[label].value for label in display.labels[:-1]]
        np.testing.assert_allclose(display.boxes_.get_offsets()[:, 0], expected)
        assert "one class" in texts_of(display.ax_)
        assert "0.900 [0.880, 0.920]" in texts_of(display.ax_)

    def test_boxes_have_the_weights_of_the_mean(self):
        display = ForestPlotDisplay.from_estimates(AREAS)
        weights = np.array(display.summary.weights)
        assert weights[-1] == 0
        np.testing.assert_allclose(weights.sum(), 1)
        np.testing.assert_allclose(
            display.boxes_.get_sizes(), 150 * weights[:-1] / weights.max()
        )

    def test_mean_and_prediction_are_those_of_the_summary(self):
        ax = ForestPlotDisplay.from_estimates(AREAS).ax_
        found = heterogeneity(AREAS.values())
        (diamond,) = ax.patches
        assert diamond.get_xy()[:, 0].min() == pytest.approx(found.mean.low)
        assert diamond.get_xy()[:, 0].max() == pytest.approx(found.mean.high)
        for estimate in (found.mean, found.prediction):
            assert estimate.format_fraction() in texts_of(ax)
        low, high = ax.get_xlim()
        assert low < found.prediction.low < found.prediction.high < high
        assert "I² = " in ax.get_xlabel()

    def test_rows_without_figures(self):
        ax = ForestPlotDisplay(["a", "b"], [NAN, NAN]).plot().ax_
        assert texts_of(ax).count("n/a") == 2
        display = ForestPlotDisplay.from_estimates({"a": NAN, "b": NAN})
        assert texts_of(display.ax_).count("n/a") == 4

    def test_a_result_with_sources_and_an_external_set(self, result):
        display = ForestPlotDisplay.from_result(result, label="COVID-19")
        assert set(display.labels) == set(SOURCE)
        assert display.labels[-1] == "only normal"
        assert display.n_images == [40] * 4
        assert display.n_patients == [20] * 4
        expected = result.heterogeneity("COVID-19").mean
        assert display.summary.mean.value == pytest.approx(expected.value)
        texts = texts_of(display.ax_)
        assert "one class" in texts
        assert result.external.roc_auc["COVID-19"].format_fraction() in texts

    def test_a_result_with_an_external_set_alone(self):
        found = evaluate(LogisticRegression(), X, Y, cv=2, test=(X + 0.1, Y), verbose=0)
        display = ForestPlotDisplay.from_result(found, label="Normal")
        assert display.labels == ["Inside", "External set"]
        assert display.estimates[1] == found.external.roc_auc["Normal"]
        assert display.n_images == [160, 160]

    def test_errors(self):
        with pytest.raises(ValueError, match="labels is empty"):
            ForestPlotDisplay([], [])
        with pytest.raises(ValueError, match="inconsistent numbers"):
            ForestPlotDisplay(["a"], [NAN], n_images=[1, 2])
        plain = evaluate(DummyClassifier(), X, Y, cv=2, verbose=0)
        with pytest.raises(ValueError, match="neither sources nor an external set"):
            ForestPlotDisplay.from_result(plain, label="Normal")


class TestDecisionCurve:
    def test_lines_are_those_of_the_curve(self):
        display = DecisionCurveDisplay(CURVE).plot()
        (ax,) = display.ax_
        lines = {line.get_label(): line.get_ydata() for line in ax.lines}
        np.testing.assert_allclose(
            lines["Model"], [estimate.value for estimate in CURVE.net_benefit]
        )
        np.testing.assert_allclose(lines["Treat all"], CURVE.treat_all)
        assert set(lines["Treat none"]) == {0}
        low, high = ax.get_ylim()
        assert -CURVE.prevalence < low < 0 < CURVE.prevalence < high

    def test_a_result_with_an_external_set(self, result):
        display = DecisionCurveDisplay.from_result(
            result, label="COVID-19", thresholds=[0.2, 0.3]
        )
        inside, outside = display.curves.values()
        assert inside.thresholds == outside.thresholds == (0.2, 0.3)
        assert inside.prevalence == np.mean(Y == "COVID-19")
        expected = np.mean(result.external.y_true == "COVID-19")
        assert outside.prevalence == expected
        titles = [ax.get_title().split("\n")[0] for ax in display.ax_]
        assert titles == ["Inside", "Outside"]

    @pytest.mark.filterwarnings("error")
    def test_a_class_without_images(self):
        display = DecisionCurveDisplay.from_predictions(
            ["a", "b"], [0.1, 0.2], pos_label="c"
        )
        display.figure_.canvas.draw()

    def test_errors(self, result):
        with pytest.raises(ValueError, match="curves is empty"):
            DecisionCurveDisplay({})
        with pytest.raises(KeyError, match="flu"):
            DecisionCurveDisplay.from_result(result, label="flu")
        plain = evaluate(Perceptron(), X, Y, cv=2, verbose=0)
        with pytest.raises(ValueError, match="no probabilities"):
            DecisionCurveDisplay.from_result(plain, label="Normal")


class TestFlowDiagram:
    @pytest.mark.parametrize("width", [3.5, 5, None])
    @pytest.mark.parametrize("dpi", [60, 200])
    def test_text_stays_in_its_box(self, width, dpi, plt):
        ax = None
        if width:
            _, (ax, _) = plt.subplots(1, 2, figsize=(2 * width, 3), dpi=dpi)
        display = FLOW.plot(ax)
        display.figure_.set_dpi(dpi)
        display.figure_.set_layout_engine("constrained")
        display.figure_.canvas.draw()
        boxes = [box.get_window_extent() for box in display.boxes_]
        for text in display.text_:
            inner = text.get_window_extent()
            assert any(
                box.x0 <= inner.x0
                and box.y0 <= inner.y0
                and inner.x1 <= box.x1
                and inner.y1 <= box.y1
                for box in boxes
            ), text

    def test_counts_and_reasons_are_written(self):
        found = "\n".join(text.get_text() for text in FLOW.plot().text_)
        for part in ("A: 520 images, 400 patients", "Lateral view: 4 images", "Fold 4"):
            assert part in found
        assert "815 images" in found
        assert "530 images, 299 patients" in found

    @pytest.mark.parametrize("suffix", ["svg", "png"])
    def test_is_written(self, suffix, tmp_path):
        path = tmp_path / f"flow.{suffix}"
        FLOW.plot().figure_.savefig(path)
        assert path.stat().st_size > 1000

    def test_a_result(self, result):
        display = FlowDiagramDisplay.from_result(result)
        assert display.collections["A"] == (40, 20)
        assert display.partitions["Fold 1, test"][0] == len(
            result.folds[0].test_indices
        )
        assert sum(images for images, _ in display.partitions.values()) == 160
        assert display.n_patients == 80
        assert display.external == {"External set": (54, None)}
        assert display.external_excluded == {}
        collections = {"all": (170, None)}
        with pytest.raises(ValueError, match="170 images, the result has 160"):
            FlowDiagramDisplay.from_result(result, collections=collections)
        display = FlowDiagramDisplay.from_result(
            result, collections=collections, excluded={"copies": (10, None)}
        )
        assert "copies: 10 images" in "".join(text.get_text() for text in display.text_)

    def test_errors(self):
        with pytest.raises(ValueError, match="collections is empty"):
            FlowDiagramDisplay({}, {})
        with pytest.raises(ValueError, match=r"excluded holds 2 images.*the 1 "):
            FlowDiagramDisplay({"A": (1, 1)}, {}, excluded={"copies": (2, 1)})
