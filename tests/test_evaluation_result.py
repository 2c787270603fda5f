"""Reports of an evaluation: JSON and Markdown, with an interval for every figure."""

import json
import pickle
import re
from dataclasses import fields

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier

from _helpers.recording import RecordingClassifier, numbered_images
from skcovid import evaluate
from skcovid.metrics import (
    bootstrap_intervals,
    patient_confusion_matrices,
    per_class_table,
    predictive_values,
    roc_auc_table,
)

CLASSES = ["COVID-19", "NORMAL", "Viral Pneumonia"]
N_IMAGES = 60
X = numbered_images(N_IMAGES)
Y = np.repeat(CLASSES, [10, 20, 30])
GROUPS = np.arange(N_IMAGES) // 2


class WithHistory(RecordingClassifier):
    def fit(self, X, y, X_val=None, y_val=None):
        self.history_ = {
            "loss": [1.0, 0.5],
            "accuracy": [0.5, 0.75],
            "learning_rate": [0.1, 0.1],
            "phase": [1, 2],
        }
        return super().fit(X, y, X_val, y_val)


@pytest.fixture(scope="module")
def result():
    return evaluate(WithHistory(), X, Y, groups=GROUPS, verbose=0)


# Entries that are not figures of the evaluation: settings, wall time, and records of
# single images and epochs.
NO_FIGURES = {"confidence_level", "fit_seconds", "predict_seconds"} | {
    "probabilities",
    "history",
}
INTERVAL = {"value", "low", "high", "method"}


def figures_in(content, path=()):
    """Return every figure of the JSON with its interval or None."""
    if isinstance(content, dict) and content.keys() == INTERVAL:
        yield path, content
    elif isinstance(content, float):
        yield path, None
    elif isinstance(content, dict | list):
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        for key, entry in pairs:
            if key not in NO_FIGURES:
                yield from figures_in(entry, (*path, key))


class TestReport:
    def test_json(self, result, tmp_path):
        text = result.to_json(tmp_path / "result.json")
        assert (tmp_path / "result.json").read_text(encoding="utf-8") == text
        read = json.loads(text)
        assert read == result.to_dict()
        assert read["classes"] == CLASSES
        assert read["confusion_matrix"] == result.confusion_matrix.tolist()
        assert read["predictions"] == result.predictions.tolist()
        assert read["y_true"] == Y.tolist()
        assert np.shape(read["probabilities"]) == (60, 3)
        assert read["accuracy"]["value"] == result.accuracy.value
        assert read["protocol"] == "cross_val_predict"
        assert read["grouped"] is True
        assert read["n_patients"] == 30
        assert set(read["versions"]) >= {"python", "skcovid", "scikit-learn", "keras"}
        assert [fold["n_train"] for fold in read["folds"]] == [
            len(fold.train_indices) for fold in result.folds
        ]

    @pytest.mark.parametrize(
        ("history", "expected"),
        [
            ({"loss": [np.float32(0.5), np.nan]}, {"loss": [0.5, None]}),
            ({"loss": np.array([1, np.inf], np.float32)}, {"loss": [1.0, None]}),
            ({"best": 0.25, "sizes": (3, 4)}, {"best": [0.25], "sizes": [3, 4]}),
            (
                [{"epoch": 1, "valid": np.float64(0.5)}, {"epoch": 2, "new": True}],
                {"epoch": [1, 2], "valid": [0.5, None], "new": [None, True]},
            ),
            ([], {}),
        ],
        ids=["NaN", "array", "scalar", "skorch", "no epochs"],
    )
    @pytest.mark.parametrize("kept", [False, True])
    def test_json_of_any_history(self, tmp_path, history, expected, kept):
        class Trained(LinearClassifier):
            def fit(self, X, y):
                self.history_ = history
                return super().fit(X, y)

        def run():
            return evaluate(
                Trained(), X, Y, cv=2, verbose=0, checkpoint=tmp_path if kept else None
            )

        result = run()
        read = json.loads(
            result.to_json(), parse_constant=lambda name: pytest.fail(name)
        )
        assert [fold["history"] for fold in read["folds"]] == [expected] * 2
        assert read == result.to_dict()
        assert isinstance(result.to_markdown(), str)
        if kept:
            assert run().to_json() == result.to_json()

    def test_a_history_of_another_kind_is_an_error(self):
        class Trained(LinearClassifier):
            history_ = (0.5, 0.25)

        with pytest.raises(TypeError, match=r"history_=.*a dict of lists"):
            evaluate(Trained(), X, Y, verbose=0)

    def test_json_into_a_missing_folder(self, result, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"missing.*does not exist"):
            result.to_json(tmp_path / "missing" / "result.json")

    def test_json_of_the_papers_halves(self):
        result = evaluate(LinearClassifier(), X, Y, protocol="paper", verbose=0)
        read = json.loads(result.to_json())
        assert read["test_indices"] == result.test_indices.tolist()
        assert read["y_true"] == Y[result.test_indices].tolist()
        assert read["probabilities"] is None

    def test_markdown(self, result):
        text = result.to_markdown()
        for expected in (
            "30, each on one side of every split",
            "every image predicted once",
            f"{result.accuracy}",
            f"{result.balanced_accuracy}",
            result.roc_auc.mean.format_fraction(),
            result.roc_auc["NORMAL"].format_fraction(),
            f"{result.patient_overlap}",
            "Wilson with effective sample size for shares",
            "Epochs in each fold: 2, 2, 2, 2, 2",
            "StratifiedGroupKFold",
            "scikit-learn",
            *CLASSES,
        ):
            assert expected in text

    @pytest.mark.parametrize(
        ("classifier", "groups", "protocol"),
        [
            (WithHistory(), GROUPS, "cross_val_predict"),
            (RecordingClassifier(), None, "paper"),
            (DummyClassifier(strategy="constant", constant="NORMAL"), GROUPS, "paper"),
        ],
    )
    def test_every_figure_of_the_json_has_its_interval(
        self, classifier, groups, protocol
    ):
        result = evaluate(classifier, X, Y, groups=groups, protocol=protocol, verbose=0)
        found = json.loads(result.to_json())
        # Slopes and thresholds are of other ranges.
        points = found.pop("operating_points")
        for row in (found.pop("calibration") or {"classes": {}})["classes"].values():
            assert {"low", "high"} < row["slope"].keys() == row["intercept"].keys()
        for point in points.values():
            assert point["inside"]["specificity"]["low"] is not None
        figures = dict(figures_in(found))
        for figure, interval in figures.items():
            assert interval is not None, f"{figure} has no interval"
            value, low, high = (interval[key] for key in ("value", "low", "high"))
            assert interval["method"], figure
            if value is None:
                assert low is None, figure
                assert high is None, figure
            else:
                assert 0 <= low <= value <= high <= 1, figure
                assert low < high, figure
        # Five of each class and of their mean, four areas, two accuracies.
        assert len(figures) == 4 * 5 + 1 + 4 + 2 + (groups is not None)

    def test_the_check_finds_a_figure_without_interval(self):
        bare = {"accuracy": {"value": 0.5, "low": 0.4}, "folds": [{"recall": 0.5}]}
        assert all(interval is None for _, interval in figures_in(bare))
        assert len(list(figures_in(bare))) == 3

    def test_every_figure_of_the_markdown_has_its_interval(self, result):
        interval = r"\[-?\d+\.\d+, -?\d+\.\d+\]"
        text = result.to_markdown().rpartition("### How it was made")[0]
        text = re.sub(rf"-?\d+\.\d+( %)? {interval}", "", text)
        assert not re.search(r"\d\.\d", text), text

    def test_intervals_are_computed_from_patients(self, result):
        matrices = patient_confusion_matrices(Y, result.predictions, GROUPS)
        assert result.per_class == per_class_table(matrices, CLASSES)
        assert result.accuracy == result.per_class.accuracy
        assert result.balanced_accuracy == result.per_class.means.recall
        assert result.roc_auc == roc_auc_table(
            Y, result.probabilities, CLASSES, groups=GROUPS
        )
        assert result.n_patients == 30

    def test_without_groups_intervals_are_computed_from_images(self):
        result = evaluate(RecordingClassifier(), X, Y, protocol="paper", verbose=0)
        table = per_class_table(result.confusion_matrix, CLASSES)
        # As text, because NaN does not equal itself.
        assert str(result.per_class) == str(table)
        assert result.accuracy.method == "Wilson"
        areas = roc_auc_table(Y[result.test_indices], result.probabilities, CLASSES)
        assert result.roc_auc.to_dict() == areas.to_dict()
        assert result.n_patients is None

    def test_without_probabilities_there_are_no_areas(self):
        result = evaluate(LinearClassifier(), X, Y, verbose=0)
        assert result.roc_auc is None
        assert json.loads(result.to_json())["roc_auc"] is None
        assert "ROC" not in result.to_markdown()
        assert result.bootstrap(n_resamples=99).roc_auc is None

    def test_predictive_values(self, result):
        values = result.predictive_values({"COVID-19": 0.01, "NORMAL": 0.5})
        row = result.per_class["COVID-19"]
        assert values["COVID-19"] == predictive_values(
            row.recall, row.specificity, 0.01
        )
        assert values["NORMAL"].prevalence == 0.5
        with pytest.raises(KeyError, match="'flu' is not a class"):
            result.predictive_values({"flu": 0.1})

    def test_bootstrap(self, result):
        assert result.bootstrap(n_resamples=99, random_state=1) == bootstrap_intervals(
            Y,
            result.predictions,
            result.probabilities,
            groups=GROUPS,
            n_resamples=99,
            random_state=1,
        )

    def test_markdown_names_the_protocol(self):
        result = evaluate(DummyClassifier(), X, Y, protocol="paper", verbose=0)
        text = result.to_markdown()
        assert "half-folds" in text
        assert "images were taken as independent" in text
        assert re.search(rf"Images predicted +\| +{len(result.test_indices)} ", text)

    def test_timings_and_histories(self, result):
        assert {name: len(times) for name, times in result.timings.items()} == {
            "fit": 5,
            "predict": 5,
        }
        assert min(result.timings["fit"] + result.timings["predict"]) >= 0
        assert [history["phase"] for history in result.histories] == [[1, 2]] * 5

    def test_tables_are_computed_once(self, result):
        assert result.per_class is result.per_class
        assert result.roc_auc is result.roc_auc
        copy = pickle.loads(pickle.dumps(result))
        assert vars(copy).keys() == {field.name for field in fields(result)}
        assert copy.per_class == result.per_class


class LinearClassifier(ClassifierMixin, BaseEstimator):
    """A classifier without probabilities."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[np.asarray(X)[:, 0, 0] % len(self.classes_)]
