"""`evaluate(test=...)`: a model of all images is scored on images from elsewhere."""

import json
import math
import pickle
import re
from typing import ClassVar

import cv2
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    roc_auc_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch

from _helpers import checkpoint_run, tiny_backbone
from _helpers.recording import RecordingClassifier
from skcovid import LazyImages, RadiographReader, evaluate
from skcovid.metrics import calibration_table, decision_curve
from skcovid.metrics._proportions import estimate_share
from skcovid.model_selection import _checkpoint

CLASSES = np.array(["COVID-19", "NORMAL", "Viral Pneumonia"])


def make_features(n_samples, noise, seed):
    """Make features whose first column depends on the class; two images a patient."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n_samples)
    features = rng.normal(size=(n_samples, 4))
    features[:, 0] = 2 * labels + noise * features[:, 0]
    return features, CLASSES[labels], np.arange(n_samples) // 2


X, Y, GROUPS = make_features(90, 1, seed=0)
TEST_X, TEST_Y, TEST_GROUPS = make_features(61, 3, seed=1)
TEST_GROUPS = np.array([f"elsewhere/{patient}" for patient in TEST_GROUPS])


def run(test, pipeline=None, X=X, y=Y, **options):
    estimator = LogisticRegression() if pipeline is None else pipeline
    return evaluate(estimator, X, y, **{"cv": 3, "verbose": 0, "test": test, **options})


def bounds(estimate):
    return [estimate.value, estimate.low, estimate.high]


@pytest.fixture(scope="module")
def result():
    return run((TEST_X, TEST_Y, TEST_GROUPS), groups=GROUPS)


class TestFigures:
    def test_folds_are_those_without_a_test_set(self, result):
        alone = run(None, groups=GROUPS)
        assert checkpoint_run.outcome(result) == checkpoint_run.outcome(alone)
        assert len(result.folds) == 3
        assert result.per_class == alone.per_class
        assert alone.external is None
        assert alone.differences is None

    def test_the_model_was_fitted_on_everything(self, result):
        model = LogisticRegression().fit(X, Y)
        external = result.external
        np.testing.assert_array_equal(external.predictions, model.predict(TEST_X))
        np.testing.assert_array_equal(
            external.probabilities, model.predict_proba(TEST_X)
        )
        np.testing.assert_array_equal(external.y_true, TEST_Y)
        np.testing.assert_array_equal(external.rows, np.arange(len(TEST_Y)))
        np.testing.assert_array_equal(external.groups, TEST_GROUPS)
        assert external.n_patients == len(set(TEST_GROUPS))
        assert external.n_left_out == 0

    def test_figures_are_those_of_scikit_learn(self, result):
        external = result.external
        assert external.accuracy.value == accuracy_score(TEST_Y, external.predictions)
        assert external.balanced_accuracy.value == pytest.approx(
            balanced_accuracy_score(TEST_Y, external.predictions)
        )
        np.testing.assert_array_equal(
            external.confusion_matrix, confusion_matrix(TEST_Y, external.predictions)
        )
        for column, label in enumerate(CLASSES.tolist()):
            area = external.roc_auc[label].value
            scores = external.probabilities[:, column]
            assert area == pytest.approx(roc_auc_score(label == TEST_Y, scores))
        assert external.accuracy == estimate_share(
            external.predictions == TEST_Y, TEST_GROUPS
        )

    def test_differences_are_inside_minus_outside(self, result):
        def subtract(a, b):
            # Newcombe (1998), method 10, from any two intervals.
            low = math.hypot(a.value - a.low, b.high - b.value)
            high = math.hypot(a.high - a.value, b.value - b.low)
            value = a.value - b.value
            return pytest.approx([value, value - low, value + high])

        outside, found = result.external, result.differences
        assert found.keys() == {
            *("accuracy", "balanced_accuracy", "recall", "specificity", "roc_auc")
        }
        for name in ("accuracy", "balanced_accuracy"):
            both = getattr(result, name), getattr(outside, name)
            assert bounds(found[name]) == subtract(*both)
        assert found["accuracy"].value > 0
        for label in CLASSES.tolist():
            inside_row, outside_row = (
                one.per_class[label] for one in (result, outside)
            )
            for name in ("recall", "specificity"):
                both = getattr(inside_row, name), getattr(outside_row, name)
                assert bounds(found[name][label]) == subtract(*both)
            both = result.roc_auc[label], outside.roc_auc[label]
            assert bounds(found["roc_auc"][label]) == subtract(*both)

    def test_a_classifier_without_probabilities(self):
        class Plain(ClassifierMixin, BaseEstimator):
            def fit(self, X, y):
                self.classes_ = np.unique(y)
                return self

            def predict(self, X):
                return self.classes_[(X[:, 0] > 0).astype(int)]

        found = run((TEST_X, TEST_Y), Plain())
        assert found.external.probabilities is None
        assert found.external.roc_auc is None
        assert "roc_auc" not in found.differences
        assert "ROC AUC" not in found.to_markdown()
        assert found.operating_points == {}
        with pytest.raises(ValueError, match="predict_proba"):
            found.decision_curve("NORMAL")

    @pytest.mark.parametrize("test_groups", [None, TEST_GROUPS])
    def test_labels_that_the_model_lacks_are_the_rest(self, test_groups):
        labels = np.where(np.arange(61) % 4 == 0, "A finding", TEST_Y)
        found = run((TEST_X, labels, test_groups), groups=GROUPS)
        external = found.external
        assert external.labels.tolist() == [*CLASSES, "A finding"]
        assert external.confusion_matrix.shape == (4, 3)
        np.testing.assert_array_equal(
            external.confusion_matrix,
            confusion_matrix(labels, external.predictions, labels=external.labels)[
                :, :3
            ],
        )
        assert math.isnan(external.accuracy.value)
        recalls = []
        for column, label in enumerate(CLASSES.tolist()):
            true, predicted = labels == label, external.predictions == label
            row = external.per_class[label]
            for figure, among, hits in (
                (row.recall, true, predicted),
                (row.specificity, ~true, ~predicted),
            ):
                patients = None if test_groups is None else test_groups[among]
                share = estimate_share(hits[among], patients)
                assert bounds(figure) == pytest.approx(bounds(share))
            assert row.precision.value == (true & predicted).sum() / predicted.sum()
            assert row.one_vs_rest_accuracy.value == (true == predicted).mean()
            assert row.support == true.sum()
            recalls.append(row.recall.value)
            scores = external.probabilities[:, column]
            assert external.roc_auc[label].value == pytest.approx(
                roc_auc_score(true, scores)
            )
        assert external.balanced_accuracy.value == pytest.approx(np.mean(recalls))
        # Recalls do not depend on the images of other labels.
        known = labels != "A finding"
        only = run(
            (
                TEST_X[known],
                labels[known],
                None if test_groups is None else test_groups[known],
            ),
            groups=GROUPS,
        ).external
        assert bounds(external.balanced_accuracy) == pytest.approx(
            bounds(only.balanced_accuracy)
        )
        assert math.isnan(found.differences["accuracy"].value)
        text = found.to_markdown()
        assert re.search(r"Multi-class accuracy .*\d %.* n/a \| +n/a", text)
        assert "'A finding'" in text
        json.loads(found.to_json())

    def test_one_class_only_outside(self):
        normal = TEST_Y == "NORMAL"
        found = run((TEST_X[normal], TEST_Y[normal]))
        external = found.external
        row = external.per_class["COVID-19"]
        assert math.isnan(row.recall.value)
        share = np.mean(external.predictions != "COVID-19")
        assert row.specificity.value == pytest.approx(share)
        assert math.isnan(external.roc_auc["COVID-19"].value)
        assert math.isnan(found.differences["roc_auc"]["NORMAL"].value)
        assert external.accuracy.value == np.mean(external.predictions == "NORMAL")
        assert "n/a" in found.to_markdown()
        assert (
            json.loads(found.to_json())["external"]["roc_auc"]["mean"]["value"] is None
        )


class TestClinicalFigures:
    def test_a_threshold_is_chosen_inside_and_applied_outside(self, result):
        external = result.external
        text = result.to_markdown()
        for column, label in enumerate(CLASSES.tolist()):
            scores = result.probabilities[:, column]
            of_class = np.sort(scores[label == Y])[::-1]
            threshold = of_class[math.ceil(0.95 * len(of_class)) - 1]
            point = result.operating_points[label]
            assert point["inside"] == result.operating_point(label, sensitivity=0.95)
            assert point["inside"].threshold == threshold
            called = external.probabilities[:, column] >= threshold
            outside = point["outside"]
            assert outside.threshold == threshold
            assert outside.sensitivity.value == called[label == TEST_Y].mean()
            assert outside.specificity.value == pytest.approx(
                1 - called[label != TEST_Y].mean()
            )
            assert outside.sensitivity.format_percent(1) in text
        found = json.loads(result.to_json())["operating_points"]
        assert (
            found["NORMAL"]["outside"]
            == result.operating_points["NORMAL"]["outside"].to_dict()
        )

    def test_methods_are_those_of_the_metrics(self, result):
        external = result.external
        assert external.calibration == calibration_table(
            TEST_Y, external.probabilities, CLASSES, groups=TEST_GROUPS
        )
        assert external.decision_curve("NORMAL", [0.2, 0.5]) == decision_curve(
            TEST_Y,
            external.probabilities[:, 1],
            pos_label="NORMAL",
            thresholds=[0.2, 0.5],
            groups=TEST_GROUPS,
        )
        sex = np.where(np.arange(61) % 2, "F", "M")
        tables = external.subgroups({"sex": sex, "age": np.arange(61)}, min_images=5)
        assert list(tables) == ["sex", "age"]
        women = external.predictions[1::2] == TEST_Y[1::2]
        assert tables["sex"]["F"].accuracy.value == pytest.approx(women.mean())

    def test_attributes_follow_the_rows_that_were_scored(self):
        found = run_images((TEST_IMAGES, TEST_IMAGE_Y)).external
        copied = np.isin(np.arange(9), list(COPIES))
        table = found.subgroups({"copied": copied.astype(str)})["copied"]
        assert list(table) == ["False"]
        assert table["False"].n_images == 7

    def test_errors_name_the_cure(self, result):
        with pytest.raises(KeyError, match=r"'normal' is not a class.*'NORMAL'"):
            result.operating_point("normal", sensitivity=0.9)
        with pytest.raises(ValueError, match=r"'sex'.*\(60,\).*\(61,\)"):
            result.external.subgroups({"sex": ["F"] * 60})


class TestPresentation:
    def test_the_headline_never_shows_the_inside_figure_alone(self, result):
        headline = result.to_markdown().split("###")[1]
        rows = [line for line in headline.splitlines() if line.startswith("|")][2:]
        assert len(rows) == 2 + 3 * 3
        for row in rows:
            _, inside, outside, lost = row.strip("|").split("|")
            for cell in (inside, outside, lost):
                assert re.search(r"\[-?[\d.]+, -?[\d.]+\]", cell)
        assert result.external.accuracy.format_percent() in headline
        assert result.differences["accuracy"].format_percent() in headline

    def test_dict_and_json(self, result):
        found = json.loads(result.to_json())
        external = found["external"]
        assert external["accuracy"] == result.external.accuracy.to_dict()
        assert external["predictions"] == result.external.predictions.tolist()
        assert external["rows"] == list(range(61))
        assert external["copies"] is None
        assert external["n_patients"] == 31
        for label, estimate in found["differences"]["roc_auc"].items():
            assert estimate == result.differences["roc_auc"][label].to_dict()
        assert json.loads(run(None).to_json())["external"] is None

    def test_pickle(self, result):
        copy = pickle.loads(pickle.dumps(result))
        assert copy.external.per_class == result.external.per_class
        assert copy.differences == result.differences
        assert copy.to_markdown() == result.to_markdown()


def make_images(n_images, seed):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (n_images, 12, 12), dtype=np.uint8)
    resized = [cv2.resize(image, (48, 48)) for image in small]
    return np.stack(resized), CLASSES[np.arange(n_images) % 3]


def flatten(images):
    return np.asarray(images).reshape(len(images), -1) / 255


IMAGES, IMAGE_Y = make_images(15, seed=2)
TEST_IMAGES, TEST_IMAGE_Y = make_images(9, seed=3)
TEST_IMAGES[4] = IMAGES[11]
TEST_IMAGES[7] = IMAGES[2] // 2 + 60
COPIES = {4: 11, 7: 2}


def run_images(test, pipeline=None, X=IMAGES, y=IMAGE_Y, **options):
    if pipeline is None:
        pipeline = make_pipeline(FunctionTransformer(flatten), DummyClassifier())
    return run(test, pipeline, X, y, **options)


class TestCopies:
    @pytest.mark.parametrize(
        "convert",
        [
            np.asarray,
            list,
            LazyImages.from_array,
            lambda images: LazyImages.from_array(images / np.float32(127.5) - 1),
            lambda images: np.repeat(images[..., np.newaxis], 3, axis=-1),
        ],
        ids=["array", "list", "lazy", "preprocessed", "rgb"],
    )
    def test_copies_are_left_out_and_listed(self, convert):
        found = run_images((convert(TEST_IMAGES), TEST_IMAGE_Y), X=convert(IMAGES))
        external = found.external
        assert external.copies == COPIES
        assert external.rows.tolist() == [0, 1, 2, 3, 5, 6, 8]
        assert external.n_left_out == 2
        np.testing.assert_array_equal(external.y_true, TEST_IMAGE_Y[external.rows])
        assert len(external.predictions) == len(external.probabilities) == 7
        assert found.to_dict()["external"]["copies"] == {"4": 11, "7": 2}
        text = found.to_markdown()
        assert "4: a copy of training row 11" in text
        assert re.search(r"copies of training images +\| +2 \|", text)

    def test_copies_in_files(self, write_image):
        paths, test_paths = (
            [
                write_image(f"{name}-{row}.png", image)
                for row, image in enumerate(images)
            ]
            for name, images in (("in", IMAGES), ("out", TEST_IMAGES))
        )
        pipeline = make_pipeline(
            RadiographReader(24), FunctionTransformer(flatten), DummyClassifier()
        )
        test = Bunch(paths=test_paths, target=TEST_IMAGE_Y, groups=None)
        series = pd.Series(paths)
        found = run_images(test, pipeline, X=series).external
        assert found.copies == COPIES
        assert found.groups is None
        # Of files, arrays are copies too.
        assert (
            run_images((TEST_IMAGES, TEST_IMAGE_Y), pipeline, X=paths).external.copies
            == COPIES
        )

    def test_copies_are_not_searched_for_in_features(self, result):
        assert result.external.copies is None
        assert re.search(r"copies .*not searched for", result.to_markdown())

    def test_the_training_set_itself_is_an_error(self):
        with pytest.raises(ValueError, match=r"no image .* left.* 15 are copies"):
            run_images((IMAGES, IMAGE_Y))

    def test_patients_of_training_are_left_out(self):
        test_groups = TEST_GROUPS.copy().astype(object)
        groups = np.array([f"patient {number}" for number in GROUPS])
        test_groups[[3, 8]] = "patient 7", "patient 9"
        with pytest.warns(UserWarning, match=r"2 images of test .*'patient 7'"):
            found = run((TEST_X, TEST_Y, test_groups), groups=groups).external
        assert found.patients_in_training.tolist() == [3, 8]
        assert found.n_left_out == 2
        np.testing.assert_array_equal(
            found.rows, np.delete(np.arange(len(TEST_Y)), [3, 8])
        )
        assert "patient 7" not in found.groups
        # Patients of both sets are not searched for where one has none.
        assert "not searched for" in run((TEST_X, TEST_Y), groups=groups).to_markdown()

    def test_patients_of_training_alone_are_an_error(self):
        with (
            pytest.warns(UserWarning, match="61 images of test"),
            pytest.raises(ValueError, match=r"no image .* 61 are of patients"),
        ):
            run((TEST_X, TEST_Y, GROUPS[:61]), groups=GROUPS)


class TestChecks:
    @pytest.fixture(autouse=True)
    def calls(self, monkeypatch):
        monkeypatch.setattr(RecordingClassifier, "calls", [])
        yield
        assert not RecordingClassifier.calls

    @pytest.mark.parametrize(
        ("test", "message"),
        [
            ((TEST_X,), r"\(X, y\).*got 1"),
            ((TEST_X, TEST_Y[1:]), "test: .* values for .* images"),
            ((TEST_X, TEST_Y, TEST_GROUPS[1:]), "test: .* values for .* images"),
            ((TEST_X, [None, *TEST_Y[1:]]), "test: y: missing in rows 0"),
            ((TEST_X, TEST_Y, [*TEST_GROUPS[1:], ""]), "test: groups: missing in .*60"),
            ((TEST_X, np.char.lower(TEST_Y)), "'covid-19' differ only"),
            ((TEST_X, ["Other"] * 61), r"no label of y.*'Other'.*'COVID-19'"),
            ((TEST_X, np.arange(61) % 3), "no label of y: .*0, 1, 2"),
            ((TEST_X[:, 1:], TEST_Y), r"test: .*\(3,\).*\(4,\)"),
            ((TEST_X[:, 0], TEST_Y), r"test: .*\(\).*\(4,\)"),
            ((TEST_X, TEST_Y, np.arange(61).astype(str)), "patient '0'.*another type"),
            ((pd.DataFrame(TEST_X), TEST_Y), "test: its columns"),
            (
                (pd.DataFrame(TEST_X), pd.Series(TEST_Y, index=range(1, 62))),
                "test: X and y have different indices",
            ),
            ({"images": TEST_X}, r"paths.*target.*\['images'\]"),
        ],
    )
    def test_a_faulty_set_is_an_error_before_the_first_fit(self, test, message):
        with pytest.raises(ValueError, match=message):
            run(test, RecordingClassifier(), groups=GROUPS)

    def test_numbers_that_look_like_labels(self):
        with pytest.raises(
            ValueError, match=r"no label of y: .*\[0, 1\].*\['0', '1'\]"
        ):
            run(
                (X, np.arange(90) % 2),
                RecordingClassifier(),
                y=(np.arange(90) % 2).astype(str),
            )

    def test_columns_in_another_order(self):
        tables = [pd.DataFrame(one, columns=list("abcd")) for one in (X, TEST_X)]
        with pytest.raises(ValueError, match=r"\['d', 'c', 'b', 'a'\]"):
            run((tables[1].iloc[:, ::-1], TEST_Y), RecordingClassifier(), X=tables[0])

    def test_images_of_another_size(self):
        smaller = TEST_IMAGES[:, 8:, 8:]
        with pytest.raises(ValueError, match=r"\(40, 40\).*\(48, 48\).*Reader"):
            run_images((smaller, TEST_IMAGE_Y), RecordingClassifier())

    def test_unreadable_files(self, write_image, tmp_path):
        paths = [write_image(f"{row}.png", image) for row, image in enumerate(IMAGES)]
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"no image")
        pipeline = make_pipeline(RadiographReader(16), RecordingClassifier())
        with pytest.raises(ValueError, match=r"test: [\s\S]*broken\.png"):
            run_images(([*paths[:2], broken], IMAGE_Y[:3]), pipeline, X=paths)
        with pytest.raises(FileNotFoundError, match=r"test: [\s\S]*absent\.png"):
            run_images(([*paths[:2], "absent.png"], IMAGE_Y[:3]), pipeline, X=paths)


class GroupsClassifier(DummyClassifier):
    """Records the groups that it is fitted with."""

    seen: ClassVar[list[object]] = []

    def fit(self, X, y, groups=None):
        self.seen.append(groups)
        return super().fit(X, y)


class TestFit:
    def test_a_reader_takes_images_of_another_size(self):
        pipeline = make_pipeline(
            RadiographReader(), FunctionTransformer(flatten), DummyClassifier()
        )
        found = run_images((TEST_IMAGES[:, 8:, 8:], TEST_IMAGE_Y), pipeline)
        assert len(found.external.predictions) + found.external.n_left_out == 9

    def test_groups_go_to_the_fit_on_everything(self, monkeypatch):
        monkeypatch.setattr(GroupsClassifier, "seen", [])
        run((TEST_X, TEST_Y), GroupsClassifier(), groups=GROUPS)
        np.testing.assert_array_equal(GroupsClassifier.seen[-1], GROUPS)

    def test_no_validation_data_are_taken_for_it(self, monkeypatch):
        monkeypatch.setattr(RecordingClassifier, "calls", [])
        found = run((TEST_X, TEST_Y), RecordingClassifier(), protocol="paper")
        *folds, last = RecordingClassifier.calls
        assert all(call.X_val is not None for call in folds)
        assert last.X_val is None
        assert len(last.X) == 90
        assert len(found.external.rows) == 61

    def test_folds_at_once(self, result):
        with joblib.parallel_config(backend="threading"):
            found = run((TEST_X, TEST_Y, TEST_GROUPS), groups=GROUPS, n_jobs=2)
        assert found.differences == result.differences

    def test_tables_lists_and_a_row_index(self, result):
        index = [f"row {number}" for number in range(61)]
        table = pd.DataFrame(TEST_X, index=index)
        y = pd.Series(TEST_Y, index=index)
        groups = pd.Series(TEST_GROUPS, index=index)
        found = run((table, y, groups), X=pd.DataFrame(X), groups=GROUPS)
        assert found.external.per_class == result.external.per_class
        found = run((TEST_X.tolist(), TEST_Y.tolist()), X=X.tolist(), y=Y.tolist())
        np.testing.assert_array_equal(
            found.external.predictions, result.external.predictions
        )


class StoppedClassifier(LogisticRegression):
    """Fails when it is fitted on all images, as long as `stopped` is set."""

    stopped = False
    n_fits = 0

    def fit(self, X, y):
        if len(y) == len(Y) and StoppedClassifier.stopped:
            raise RuntimeError("the power has failed")
        StoppedClassifier.n_fits += 1
        return super().fit(X, y)


class TestResume:
    def test_a_stop_during_the_last_fit(self, tmp_path, monkeypatch, result):
        monkeypatch.setattr(StoppedClassifier, "stopped", True)
        monkeypatch.setattr(StoppedClassifier, "n_fits", 0)
        test = TEST_X, TEST_Y, TEST_GROUPS
        options = {"groups": GROUPS, "checkpoint": tmp_path}
        with pytest.raises(RuntimeError, match="power"):
            run(test, StoppedClassifier(), **options)
        assert StoppedClassifier.n_fits == 3
        monkeypatch.setattr(StoppedClassifier, "stopped", False)
        for _ in range(2):
            resumed = run(test, StoppedClassifier(), **options)
            assert StoppedClassifier.n_fits == 4
            assert resumed.differences == result.differences
            np.testing.assert_array_equal(
                resumed.external.probabilities, result.external.probabilities
            )
        for other, name in (
            ((TEST_X[:-1], TEST_Y[:-1], TEST_GROUPS[:-1]), "test: X"),
            ((TEST_X, TEST_Y[::-1], TEST_GROUPS), "test: y"),
            ((TEST_X, TEST_Y), "test: groups"),
            (None, "test: y.* nothing now"),
        ):
            with pytest.raises(ValueError, match=rf"another evaluation[\s\S]*{name}"):
                run(other, StoppedClassifier(), **options)

    def test_a_network_resumes_within_the_last_fit(self, tmp_path, monkeypatch):
        images, y = tiny_backbone.make_images(36)
        pipeline = checkpoint_run.make_estimator("fast").set_params(classify__epochs=1)
        test = tiny_backbone.make_images(12, seed=1)

        def run_network(folder):
            with tiny_backbone.eagerly():
                return run(test, pipeline, images, y, cv=2, checkpoint=folder)

        expected = run_network(tmp_path / "whole")
        write = _checkpoint.EvaluationCheckpoint.write

        def stop(self, number, fold):
            if number == 3:
                raise RuntimeError("the power has failed")
            write(self, number, fold)

        with monkeypatch.context() as patched:
            patched.setattr(_checkpoint.EvaluationCheckpoint, "write", stop)
            with pytest.raises(RuntimeError, match="power"):
                run_network(tmp_path / "stopped")
        assert list((tmp_path / "stopped" / "fold-3-training").iterdir())
        resumed = run_network(tmp_path / "stopped")
        assert resumed.external.history == expected.external.history
        np.testing.assert_array_equal(
            resumed.external.probabilities, expected.external.probabilities
        )
        assert resumed.differences == expected.differences
