import subprocess
import sys

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcovid import evaluate
from skcovid.inspection import (
    ClassDistributionDisplay,
    OneVsRestCalibrationDisplay,
    PerClassTableDisplay,
    PooledConfusionMatrixDisplay,
    TrainingHistoryDisplay,
)
from skcovid.metrics import per_class_table

CLASSES = ["COVID-19", "Normal", "Viral pneumonia"]
MATRIX = np.array([[95, 0, 0], [1, 607, 22], [3, 14, 708]])
Y_TRUE = ["Normal", "COVID-19", "Normal", "Normal"]
Y_PRED = ["Normal", "COVID-19", "COVID-19", "Normal"]
HISTORY = {
    "loss": [1.1, 0.8, 0.6, 0.5],
    "accuracy": [0.4, 0.6, 0.7, 0.8],
    "val_loss": [1.2, 0.9, 0.8, 0.7],
    "val_accuracy": [0.3, 0.5, 0.6, 0.7],
    "learning_rate": [1e-3, 1e-3, 1e-3, 5e-5],
    "phase": [1, 1, 1, 2],
}
pytestmark = pytest.mark.usefixtures("plt")


def texts_of(ax):
    return [text.get_text() for text in ax.texts]


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def lines_of(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


DISPLAYS = {
    "confusion": lambda ax: PooledConfusionMatrixDisplay(MATRIX).plot(ax=ax),
    "confusion, predictions": lambda ax: PooledConfusionMatrixDisplay.from_predictions(
        Y_TRUE, Y_PRED, ax=ax
    ),
    "confusion, estimator": lambda ax: PooledConfusionMatrixDisplay.from_estimator(
        DummyClassifier().fit(np.zeros((4, 1)), Y_TRUE), np.zeros((4, 1)), Y_TRUE, ax=ax
    ),
    "table": lambda ax: PerClassTableDisplay(per_class_table(MATRIX, CLASSES)).plot(ax),
    "table, predictions": lambda ax: PerClassTableDisplay.from_predictions(
        Y_TRUE, Y_PRED, ax=ax
    ),
    "distribution": lambda ax: ClassDistributionDisplay([1, 3], ["a", "b"]).plot(ax),
    "distribution, labels": lambda ax: ClassDistributionDisplay.from_labels(
        Y_TRUE, ax=ax
    ),
    "history": lambda ax: TrainingHistoryDisplay({"loss": [2.0, 1.0]}).plot(ax),
    "history, estimator": lambda ax: TrainingHistoryDisplay.from_estimator(
        fitted_with_history({"loss": [2.0, 1.0]}), ax=ax
    ),
}


def fitted_with_history(history):
    classifier = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    classifier.history_ = history
    return classifier


@pytest.mark.parametrize("draw", DISPLAYS.values(), ids=DISPLAYS)
def test_displays_draw_on_given_axes(draw, plt):
    _, ax = plt.subplots()
    display = draw(ax)
    assert np.ravel(display.ax_)[0] is ax
    assert display.figure_ is ax.figure
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("draw", DISPLAYS.values(), ids=DISPLAYS)
def test_displays_make_a_figure_with_title_and_axis_labels(draw, plt):
    display = draw(None)
    assert plt.get_fignums() == [display.figure_.number]
    for ax in np.ravel(display.ax_):
        assert ax.get_title()
        assert ax.get_xlabel()
        assert ax.get_ylabel()


@pytest.mark.parametrize("draw", DISPLAYS.values(), ids=DISPLAYS)
def test_without_matplotlib_the_extra_is_named(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"requires matplotlib.*pip install"):
        draw(None)


def test_importing_the_displays_does_not_load_matplotlib():
    code = (
        "import sys, skcovid.inspection; "
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("draw", DISPLAYS.values(), ids=DISPLAYS)
def test_nothing_is_drawn_outside_the_figure(draw):
    display = draw(None)
    figure = display.figure_
    figure.canvas.draw()
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert drawn.xmin >= -0.02
    assert drawn.ymin >= -0.02
    assert drawn.xmax <= width + 0.02
    assert drawn.ymax <= height + 0.02


def test_confusion_matrix_shows_counts_and_shares_of_the_true_class():
    display = PooledConfusionMatrixDisplay(MATRIX, display_labels=CLASSES).plot()
    assert display.text_[0, 0].get_text() == "95\n100.0 %"
    assert display.text_[1, 2].get_text() == "22\n3.5 %"
    np.testing.assert_allclose(
        display.im_.get_array(), 100 * MATRIX / [[95], [630], [725]]
    )
    assert display.im_.get_clim() == (0, 100)
    assert "1,450 images" in display.ax_.get_title()
    assert display.im_.colorbar.ax.get_ylabel() == "Share of the true class (%)"


@pytest.mark.parametrize("cmap", ["viridis", "Blues", "Greys_r"])
def test_confusion_matrix_text_contrasts_with_its_cell(cmap):
    display = PooledConfusionMatrixDisplay(MATRIX).plot(cmap=cmap)
    cells = display.im_.to_rgba(display.im_.get_array())[..., :3].mean(axis=-1)
    texts = [np.mean(text.get_color()[:3]) for text in display.text_.flat]
    assert np.abs(cells.ravel() - texts).min() > 0.2


def test_confusion_matrix_colours_a_rare_class_like_the_others():
    shares = PooledConfusionMatrixDisplay(MATRIX).plot().im_.get_array()
    assert np.diag(shares).min() > 96


def test_confusion_matrix_breaks_long_names():
    names = ["Viral pneumonia other than COVID-19", "Normal"]
    display = PooledConfusionMatrixDisplay(np.eye(2, dtype=int), display_labels=names)
    lines = tick_labels(display.plot().ax_.xaxis)[0].split("\n")
    assert " ".join(lines) == names[0]
    assert max(map(len, lines)) <= 12


def test_confusion_matrix_rotated_names_stay_whole():
    names = ["Viral pneumonia", "Normal"]
    display = PooledConfusionMatrixDisplay(np.eye(2, dtype=int), display_labels=names)
    display.plot(xticks_rotation="vertical")
    assert tick_labels(display.ax_.xaxis) == names


@pytest.mark.filterwarnings("error")
def test_confusion_matrix_of_a_class_without_images():
    display = PooledConfusionMatrixDisplay(np.array([[2, 1], [0, 0]])).plot()
    assert display.text_[1, 0].get_text() == "0\nn/a"


def test_confusion_matrix_without_values_or_colorbar():
    display = PooledConfusionMatrixDisplay(MATRIX)
    display.plot(include_values=False, colorbar=False)
    assert display.text_ is None
    assert len(display.figure_.axes) == 1


def test_confusion_matrix_text_options_are_kept():
    display = PooledConfusionMatrixDisplay(MATRIX).plot(
        text_kw={"color": "red", "fontsize": 7}
    )
    assert {text.get_color() for text in display.text_.flat} == {"red"}
    assert display.text_[0, 0].get_fontsize() == 7


def test_confusion_matrix_rejects_normalize():
    with pytest.raises(ValueError, match="normalize=None"):
        PooledConfusionMatrixDisplay.from_predictions(Y_TRUE, Y_PRED, normalize="true")


def test_confusion_matrix_keeps_the_order_of_labels():
    display = PooledConfusionMatrixDisplay.from_predictions(
        Y_TRUE, Y_PRED, labels=["Normal", "COVID-19"], display_labels=["N", "C"]
    )
    assert display.text_[0, 0].get_text() == "2\n66.7 %"
    assert tick_labels(display.ax_.yaxis) == ["N", "C"]


def test_table_draws_every_figure_with_its_interval():
    table = per_class_table(MATRIX, CLASSES, confidence_level=0.9)
    ax = PerClassTableDisplay(table).plot().ax_
    rows = [*table.rows, table.means]
    fields = ["recall", "precision", "f1", "one_vs_rest_accuracy"]
    assert len(ax.containers) == 4
    for field, container in zip(fields, ax.containers, strict=True):
        dots, _, (bars,) = container
        np.testing.assert_allclose(
            dots.get_xdata(), [100 * getattr(row, field).value for row in rows]
        )
        ends = [segment[:, 0] for segment in bars.get_segments()]
        np.testing.assert_allclose(
            ends,
            [
                [100 * getattr(row, field).low, 100 * getattr(row, field).high]
                for row in rows
            ],
        )
    assert legend_of(ax) == ["Recall", "Precision", "F1", "One-vs-rest accuracy"]
    assert "90 %" in ax.get_xlabel()
    assert tick_labels(ax.yaxis)[0] == "COVID-19\n(n = 95)"
    assert tick_labels(ax.yaxis)[-1] == "Mean over\nclasses"


def test_table_puts_the_dots_of_a_class_beside_its_name():
    ax = PerClassTableDisplay(per_class_table(MATRIX, CLASSES)).plot().ax_
    positions = np.array([container[0].get_ydata() for container in ax.containers])
    np.testing.assert_array_equal(np.rint(positions), np.tile(range(4), (4, 1)))
    assert len(np.unique(positions)) == positions.size
    assert ax.yaxis_inverted()


@pytest.mark.filterwarnings("error")
def test_table_writes_undefined_figures():
    table = per_class_table([[0, 5], [0, 7]], ["a", "b"])
    ax = PerClassTableDisplay(table).plot().ax_
    assert texts_of(ax) == ["n/a", "n/a"]
    assert sorted(round(text.get_position()[1]) for text in ax.texts) == [0, 2]


def test_table_from_predictions_keeps_labels_and_level():
    display = PerClassTableDisplay.from_predictions(
        Y_TRUE, Y_PRED, labels=["Normal", "COVID-19"], confidence_level=0.8
    )
    assert list(display.table) == ["Normal", "COVID-19"]
    assert display.table.confidence_level == 0.8
    assert display.table["Normal"].recall.value == pytest.approx(2 / 3)


def test_distribution_of_the_paper():
    ax = ClassDistributionDisplay([219, 1341, 1345], CLASSES).plot().ax_
    assert [bar.get_width() for bar in ax.patches] == [219, 1341, 1345]
    assert texts_of(ax) == ["219 (7.5 %)", "1,341 (46.2 %)", "1,345 (46.3 %)"]
    assert tick_labels(ax.yaxis) == CLASSES
    assert ax.yaxis_inverted()
    assert "2,905 images" in ax.get_title()


def test_distribution_counts_labels():
    display = ClassDistributionDisplay.from_labels(np.array(Y_TRUE))
    assert display.labels == ["COVID-19", "Normal"]
    assert display.counts.tolist() == [1, 3]


@pytest.mark.filterwarnings("error")
def test_distribution_of_an_empty_class():
    ax = ClassDistributionDisplay([0, 0], ["a", "b"]).plot().ax_
    assert texts_of(ax) == ["0 (0.0 %)", "0 (0.0 %)"]


@pytest.mark.parametrize(
    ("counts", "labels", "message"),
    [
        (["a", "b"], ["a", "b"], "from_labels"),
        ([1.5, 2], ["a", "b"], "integer"),
        ([-1, 2], ["a", "b"], "integer"),
        ([1, 2], ["a"], "for each of 1 labels"),
    ],
)
def test_distribution_errors(counts, labels, message):
    with pytest.raises(ValueError, match=message):
        ClassDistributionDisplay(counts, labels)


def test_history_draws_both_phases_of_one_training():
    loss, accuracy = TrainingHistoryDisplay(HISTORY).plot().ax_
    for ax, key in ((loss, "loss"), (accuracy, "accuracy")):
        (training,) = lines_of(ax, "Training")
        (validation,) = lines_of(ax, "Validation")
        (boundary,) = lines_of(ax, "Fine-tuning begins")
        assert training.get_xdata().tolist() == [1, 2, 3, 4]
        assert list(training.get_ydata()) == HISTORY[key]
        assert list(validation.get_ydata()) == HISTORY[f"val_{key}"]
        assert training.get_color() != validation.get_color()
        assert training.get_linestyle() != validation.get_linestyle()
        assert list(boundary.get_xdata()) == [3.5, 3.5]
    assert [loss.get_ylabel(), accuracy.get_ylabel()] == ["Loss", "Accuracy"]
    assert legend_of(accuracy) == ["Training", "Validation", "Fine-tuning begins"]


def test_history_overlays_folds_in_the_same_colours():
    shorter = {key: values[1:] for key, values in HISTORY.items()}
    one = TrainingHistoryDisplay(HISTORY).plot()
    two = TrainingHistoryDisplay([HISTORY, shorter]).plot()
    single = lines_of(one.ax_[0], "Training")[0]
    folds = lines_of(two.ax_[0], "Training (2 folds)")
    assert [len(line.get_xdata()) for line in folds] == [4, 3]
    assert {line.get_color() for line in folds} == {single.get_color()}
    assert all(line.get_linewidth() < single.get_linewidth() for line in folds)
    boundaries = lines_of(two.ax_[0], "Fine-tuning begins (2 folds)")
    assert [line.get_xdata()[0] for line in boundaries] == [3.5, 2.5]
    assert legend_of(two.ax_[-1]) == [
        "Training (2 folds)",
        "Validation (2 folds)",
        "Fine-tuning begins (2 folds)",
    ]


def test_history_without_validation_accuracy_or_phases():
    display = TrainingHistoryDisplay({"loss": [1.0]}).plot()
    assert len(display.ax_) == 1
    assert legend_of(display.ax_[0]) == ["Training"]


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([2.0, 0.01], "linear"),
        ([2.5e38, 0.9], "log"),
        ([2.5e38, np.inf, 0.9, np.nan, 0.0], "log"),
        ([0.0, 0.0], "linear"),
        ([np.nan], "linear"),
    ],
)
def test_history_draws_losses_of_many_magnitudes_on_a_log_axis(losses, scale):
    history = {"loss": [1.0] * len(losses), "val_loss": losses}
    if scale == "linear":
        history["loss"] = losses
    display = TrainingHistoryDisplay(history).plot()
    assert display.ax_[0].get_yscale() == scale
    display.figure_.canvas.draw()


def test_history_legend_covers_both_panels():
    history = {"loss": [2.0], "val_loss": [2.0], "accuracy": [0.5]}
    display = TrainingHistoryDisplay(history).plot()
    assert legend_of(display.ax_[-1]) == ["Training", "Validation"]


def test_history_takes_one_axes_per_panel(plt):
    _, axes = plt.subplots(nrows=2)
    display = TrainingHistoryDisplay(HISTORY).plot(ax=axes)
    assert list(display.ax_) == list(axes)
    with pytest.raises(ValueError, match=r"2 axes.*got 1"):
        TrainingHistoryDisplay(HISTORY).plot(ax=axes[0])


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ([], "history is empty"),
        ({}, "history 0.*loss"),
        ({"loss": []}, "at least one epoch"),
        ([HISTORY, {"accuracy": [1.0]}], "history 1.*loss"),
        ({"loss": [1.0, 2.0], "phase": [1]}, "entry per epoch.*'phase': 1"),
    ],
)
def test_history_errors(history, message):
    with pytest.raises(ValueError, match=message):
        TrainingHistoryDisplay(history)


def test_history_of_a_classifier_and_of_a_pipeline():
    classifier = fitted_with_history(HISTORY)
    pipeline = make_pipeline(StandardScaler(), classifier)
    for estimator in (classifier, pipeline):
        display = TrainingHistoryDisplay.from_estimator(estimator)
        assert display.history is HISTORY
        assert len(display.ax_) == 2


def test_history_of_an_estimator_without_one():
    with pytest.raises(NotFittedError):
        TrainingHistoryDisplay.from_estimator(LogisticRegression())
    fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match=r"`history_`.*LogisticRegression"):
        TrainingHistoryDisplay.from_estimator(fitted)


class Recorder(DummyClassifier):
    """Guesses and has a training history."""

    def fit(self, X, y):
        self.history_ = HISTORY
        return super().fit(X, y)


@pytest.mark.filterwarnings("ignore:All 6 test images")
def test_displays_of_an_evaluation(plt):
    X, y = np.zeros((30, 1)), np.repeat(["a", "b", "c"], [5, 10, 15])
    result = evaluate(Recorder(), X, y, verbose=0)
    _, axes = plt.subplots(ncols=4)
    display = PooledConfusionMatrixDisplay.from_result(result, ax=axes[0])
    np.testing.assert_array_equal(display.confusion_matrix, result.confusion_matrix)
    assert tick_labels(axes[0].yaxis) == ["a", "b", "c"]
    display = PerClassTableDisplay.from_result(result, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.table["c"].recall.value == 1
    display = ClassDistributionDisplay.from_result(result, ax=axes[2])
    assert display.ax_ is axes[2]
    assert display.counts.tolist() == [5, 10, 15]
    display = OneVsRestCalibrationDisplay.from_result(result, ax=axes[3])
    assert display.ax_ is axes[3]
    assert [sum(counts) for counts in display.n_images] == [30, 30, 30]
    display = TrainingHistoryDisplay.from_result(result)
    assert display.history == [HISTORY] * 5


def test_an_evaluation_without_history_or_probabilities():
    X, y = np.zeros((30, 1)), np.repeat(["a", "b"], 15)
    result = evaluate(make_pipeline(Perceptron()), X, y, verbose=0)
    with pytest.raises(ValueError, match="no training history"):
        TrainingHistoryDisplay.from_result(result)
    with pytest.raises(ValueError, match="no probabilities"):
        OneVsRestCalibrationDisplay.from_result(result)
