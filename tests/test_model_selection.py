import json
import re
import warnings
from collections import Counter

import joblib
import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import Pipeline
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    IsolationForest,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    RidgeClassifier,
)
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RandomizedSearchCV,
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from _helpers import tiny_backbone
from _helpers.recording import RecordingClassifier, numbered_images
from skcovid import HoldoutPipeline, evaluate, make_transfer_pipeline
from skcovid.model_selection import split

tiny_backbone.register()

CLASSES = ["COVID-19", "NORMAL", "Viral Pneumonia"]
# Section 3.1 and Table 3 of the paper: the data set, a fold, a test half.
PAPER_LABELS = np.repeat(CLASSES, [219, 1341, 1345])

N_IMAGES = 60
X = numbered_images(N_IMAGES)
Y = np.repeat(CLASSES, [10, 20, 30])
GROUPS = np.arange(N_IMAGES) // 2


FOLDS = StratifiedGroupKFold(3)
HOLDOUT = HoldoutPipeline([("classify", RecordingClassifier())])
SEARCH = GridSearchCV(GaussianNB(), {}, cv=FOLDS)


class PatientClassifier(RecordingClassifier):
    """X holds patients; records those that it predicts and was fitted on."""

    def fit(self, X, y):
        self.classes_, self.patients_ = np.unique(y), np.unique(X)
        return self

    def predict_proba(self, X):
        self.calls.append(np.intersect1d(X, self.patients_).tolist())
        first = np.linspace(0.4, 0.6, len(X))
        return np.c_[first, 1 - first]


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    monkeypatch.setattr(RecordingClassifier, "calls", [])
    return RecordingClassifier.calls


class TestCrossValPredict:
    def test_is_scikit_learns(self):
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        expected = cross_val_predict(
            RecordingClassifier(), X, Y, cv=folds, method="predict_proba"
        )
        result = evaluate(RecordingClassifier(), X, Y, cv=5, verbose=0)
        np.testing.assert_array_equal(result.probabilities, expected)
        labels = cross_val_predict(RecordingClassifier(), X, Y, cv=folds)
        np.testing.assert_array_equal(result.predictions, labels)
        assert result.confusion_matrix.sum() == N_IMAGES
        assert result.accuracy.value == (result.predictions == Y).mean()

    @pytest.mark.parametrize("in_pipeline", [False, True])
    def test_labels_are_those_of_predict(self, in_pipeline):
        y = np.where(Y == "COVID-19", "sick", "healthy")
        classifier = FixedThresholdClassifier(
            RecordingClassifier(temperature=50.0), threshold=0.1, pos_label="sick"
        )
        if in_pipeline:
            classifier = make_pipeline(FunctionTransformer(), classifier)
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        expected = cross_val_predict(classifier, X, y, cv=folds)
        result = evaluate(classifier, X, y, cv=5, verbose=0)
        np.testing.assert_array_equal(result.predictions, expected)
        most_likely = result.classes[result.probabilities.argmax(axis=1)]
        assert (expected != most_likely).any()
        np.testing.assert_array_equal(
            result.confusion_matrix, confusion_matrix(y, expected)
        )

    def test_a_pipeline_of_its_own_kind_is_asked(self):
        class Cautious(Pipeline):
            def predict(self, X):
                return np.full(len(X), "NORMAL")

        pipeline = Cautious([("classify", RecordingClassifier())])
        result = evaluate(pipeline, X, Y, verbose=0)
        assert (result.predictions == "NORMAL").all()
        assert len(np.unique(result.probabilities.argmax(axis=1))) == 3

    def test_transforms_test_images_once(self):
        seen = []

        def count(images):
            seen.append(len(images))
            return images

        pipeline = make_pipeline(FunctionTransformer(count), RecordingClassifier())
        evaluate(pipeline, X, Y, cv=2, verbose=0)
        assert seen == [30, 30, 30, 30]

    def test_takes_a_classifier_with_a_decision_function_alone(self):
        def flatten(images):
            return np.asarray(images, float).reshape(len(images), -1)

        pipeline = make_pipeline(FunctionTransformer(flatten), RidgeClassifier())
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        result = evaluate(pipeline, X, Y, cv=5, verbose=0)
        expected = cross_val_predict(pipeline, X, Y, cv=folds)
        np.testing.assert_array_equal(result.predictions, expected)
        assert result.probabilities is None
        assert result.roc_auc is None

    def test_every_image_is_predicted_once_and_in_order(self):
        result = evaluate(RecordingClassifier(), X, Y, verbose=0)
        np.testing.assert_array_equal(result.test_indices, np.arange(N_IMAGES))
        for fold in result.folds:
            np.testing.assert_array_equal(
                fold.predictions, result.predictions[fold.test_indices]
            )
            assert not len(fold.validation_indices)
            assert not set(fold.train_indices) & set(fold.test_indices)
        assert len(result.fold_confusion_matrices) == 5

    def test_integer_cv_is_stratified_and_shuffled(self):
        result = evaluate(DummyClassifier(), X, Y, cv=5, verbose=0)
        for fold in result.folds:
            assert Counter(Y[fold.test_indices].tolist()) == dict(
                zip(CLASSES, [2, 4, 6], strict=True)
            )
        assert result.cv == repr(StratifiedKFold(5, shuffle=True, random_state=0))

    def test_groups_stay_whole(self):
        result = evaluate(DummyClassifier(), X, Y, groups=GROUPS, verbose=0)
        assert result.grouped
        for fold in result.folds:
            assert not set(GROUPS[fold.train_indices]) & set(GROUPS[fold.test_indices])
        assert result.cv.startswith("StratifiedGroupKFold")

    @pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
    def test_random_state_decides_the_folds(self, seeds):
        first, second = (
            evaluate(DummyClassifier(), X, Y, random_state=seed, verbose=0)
            for seed in seeds
        )
        alike = np.array_equal(
            first.folds[0].test_indices, second.folds[0].test_indices
        )
        assert alike == (seeds[0] == seeds[1])

    def test_takes_a_cross_validator(self):
        result = evaluate(
            DummyClassifier(),
            X,
            Y,
            cv=StratifiedGroupKFold(3),
            groups=GROUPS,
            verbose=0,
        )
        assert len(result.folds) == 3
        assert result.cv == repr(StratifiedGroupKFold(3))

    def test_takes_an_iterable_of_splits(self):
        splits = list(StratifiedKFold(4).split(X, Y))
        assert len(evaluate(DummyClassifier(), X, Y, cv=splits, verbose=0).folds) == 4

    def test_classes_missing_from_training_have_probability_zero(self):
        result = evaluate(
            RecordingClassifier(), X, Y, cv=LeaveOneGroupOut(), groups=Y, verbose=0
        )
        assert result.probabilities.shape == (N_IMAGES, 3)
        own = [CLASSES.index(label) for label in Y]
        assert (result.probabilities[np.arange(N_IMAGES), own] == 0).all()
        np.testing.assert_allclose(result.probabilities.sum(axis=1), 1)
        assert np.trace(result.confusion_matrix) == 0

    def test_a_classifier_without_probabilities(self):
        flat = X.reshape(N_IMAGES, -1)[:, :3]
        result = evaluate(LinearSVC(), flat, Y, verbose=0)
        assert result.probabilities is None
        np.testing.assert_array_equal(
            result.predictions,
            cross_val_predict(
                LinearSVC(),
                flat,
                Y,
                cv=StratifiedKFold(5, shuffle=True, random_state=0),
            ),
        )

    def test_fits_clones(self):
        pipeline = RecordingClassifier()
        evaluate(pipeline, X, Y, verbose=0)
        assert not hasattr(pipeline, "classes_")

    @pytest.mark.parametrize(
        "surround",
        [
            lambda pipeline: pipeline,
            lambda pipeline: VotingClassifier([("one", pipeline)], voting="soft"),
            lambda pipeline: StackingClassifier(
                [("one", pipeline)],
                GridSearchCV(GaussianNB(), {}, cv=GroupKFold(2)),
                cv=StratifiedGroupKFold(3),
            ),
            lambda pipeline: GridSearchCV(pipeline, {}, cv=StratifiedGroupKFold(4)),
        ],
        ids=["alone", "voting", "stacking", "search"],
    )
    def test_passes_the_groups_to_the_holdout(self, calls, surround):
        pipeline = HoldoutPipeline(
            [("classify", RecordingClassifier())], random_state=0
        )
        pipeline.set_params(validation_fraction=0.25)
        evaluate(surround(pipeline), X, Y, cv=3, groups=GROUPS, verbose=0)
        assert calls
        for call in calls:
            monitored = set(GROUPS[call.X_val[:, 0, 0] - 1])
            assert monitored
            assert not monitored & set(GROUPS[call.X[:, 0, 0] - 1])

    @pytest.mark.parametrize(
        ("estimator", "message"),
        [
            (GridSearchCV(DummyClassifier(), {}, cv=3), "^cv=3 of GridSearchCV"),
            (
                make_pipeline(
                    StandardScaler(),
                    RandomizedSearchCV(HOLDOUT, {}, cv=StratifiedKFold(3)),
                ),
                r"randomizedsearchcv__cv.*StratifiedGroupKFold",
            ),
            (CalibratedClassifierCV(HOLDOUT), "^cv=None of CalibratedClassifierCV"),
            (TunedThresholdClassifierCV(LogisticRegression(), cv=0.2), "^cv=0.2"),
            (VotingClassifier([("a", LogisticRegressionCV())]), "^a__cv=None"),
            (StackingClassifier([("a", HOLDOUT)]), "^cv=None of StackingClassifier"),
            (StackingClassifier([("a", HOLDOUT)], cv=FOLDS), "and None takes none"),
            (
                make_pipeline(
                    StandardScaler(),
                    StackingClassifier([("a", GaussianNB())], SEARCH, cv=FOLDS),
                ),
                r"StackingClassifier.*GaussianNB\(\) takes none.*GridSearchCV",
            ),
            (
                CalibratedClassifierCV(GaussianNB(), cv=FOLDS, ensemble=False),
                r"CalibratedClassifierCV.*GaussianNB\(\) takes none",
            ),
            (
                Pipeline([("s", RandomOverSampler()), ("c", SEARCH)]),
                "'c' needs groups.*'s' does.*sampler inside 'c'",
            ),
            (MLPClassifier(early_stopping=True), "early_stopping=True.*to False"),
            (GradientBoostingClassifier(n_iter_no_change=2), "n_iter_no_change.*None"),
        ],
        ids=lambda value: None if isinstance(value, str) else type(value).__name__,
    )
    def test_a_fit_that_would_split_patients_is_an_error(self, estimator, message):
        flat = X.reshape(N_IMAGES, -1)[:, :3]
        with pytest.raises(ValueError, match=message):
            evaluate(estimator, flat, Y, groups=GROUPS, verbose=0)

    @pytest.mark.parametrize(
        "surround",
        [
            lambda last: GridSearchCV(last, {}, cv=FOLDS),
            lambda last: make_pipeline(
                StandardScaler(), GridSearchCV(last, {}, cv=FOLDS)
            ),
            lambda last: CalibratedClassifierCV(last, cv=FOLDS),
            lambda last: TunedThresholdClassifierCV(last, cv=FOLDS),
            lambda last: StackingClassifier(
                [("a", GridSearchCV(last, {}, cv=FOLDS))], SEARCH, cv=FOLDS
            ),
        ],
        ids=["search", "pipeline", "calibrated", "threshold", "stacking"],
    )
    def test_inner_folds_keep_patients_whole(self, surround, calls):
        rows, binary = np.c_[GROUPS].astype(float), np.where(Y[-1] == Y, "a", "b")
        result = evaluate(
            surround(PatientClassifier()), rows, binary, cv=2, groups=GROUPS, verbose=0
        )
        assert result.grouped
        # Two outer folds, each with three inner ones.
        assert len(calls) >= 8
        assert not any(calls)

    def test_folds_of_frozen_classifiers_may_be_any(self):
        flat = X.reshape(N_IMAGES, -1)[:, :3]
        fitted = FrozenEstimator(GaussianNB().fit(flat, Y))
        for pipeline in (
            CalibratedClassifierCV(fitted, cv=3),
            StackingClassifier([("a", fitted)], cv="prefit"),
            MLPClassifier(max_iter=1),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = evaluate(pipeline, flat, Y, groups=GROUPS, verbose=0)
            assert result.grouped

    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_nan_probabilities_are_an_error(self, n_jobs):
        message = r"(?s)RecordingClassifier.*NaN.*rows 0, 1.*fold [12]"
        with np.errstate(all="ignore"), pytest.raises(FloatingPointError) as error:
            evaluate(RecordingClassifier(0.0), X, Y, n_jobs=n_jobs, verbose=0)
        assert error.match(message)

    def test_groups_without_metadata_routing(self):
        flat = X.reshape(N_IMAGES, -1)[:, :3]
        result = evaluate(
            AdaBoostClassifier(n_estimators=2), flat, Y, groups=GROUPS, verbose=0
        )
        assert result.grouped

    @pytest.mark.parametrize(
        "labels", [Y.tolist(), Y.astype(object), np.repeat([2, 5], 30), Y == "NORMAL"]
    )
    def test_labels_of_any_kind(self, labels):
        result = evaluate(RecordingClassifier(), X, labels, verbose=0)
        np.testing.assert_array_equal(result.classes, np.unique(labels))
        assert json.loads(result.to_json())["classes"] == np.unique(labels).tolist()

    @pytest.mark.parametrize(
        ("labels", "answer"),
        [
            (Y, lambda found: found.astype(object)),
            (Y, lambda found: found.tolist()),
            (Y, pd.Series),
            (np.repeat([2, 5, 10], 20), lambda found: found.astype(float)),
            (np.repeat([2, 5, 10], 20), lambda found: found.astype(object)),
            (Y == "NORMAL", lambda found: found.astype(int)),
        ],
        ids=["objects", "list", "series", "floats", "integer objects", "bool"],
    )
    def test_predictions_have_the_type_of_y(self, labels, answer):
        expected = evaluate(Answering(), X, labels, verbose=0)
        result = evaluate(Answering(answer), X, labels, verbose=0)
        assert result.predictions.dtype == labels.dtype
        np.testing.assert_array_equal(result.predictions, expected.predictions)
        np.testing.assert_array_equal(
            result.confusion_matrix, confusion_matrix(labels, expected.predictions)
        )

    def test_columns_follow_classes_in_any_order(self):
        labels = np.repeat([2, 5, 10], 20)
        expected = evaluate(Answering(), X, labels, verbose=0)
        result = evaluate(
            Answering(classes=lambda found: found[::-1], probabilities=np.fliplr),
            X,
            labels,
            verbose=0,
        )
        np.testing.assert_array_equal(result.probabilities, expected.probabilities)

    @pytest.mark.parametrize("kind", ["lists", "masks", "negative"])
    def test_sides_of_a_fold_in_any_form(self, kind):
        splits = list(StratifiedKFold(3).split(X, Y))
        form = {
            "lists": lambda rows: rows.tolist(),
            "masks": lambda rows: np.isin(np.arange(N_IMAGES), rows),
            "negative": lambda rows: rows - N_IMAGES,
        }[kind]
        given = [tuple(map(form, sides)) for sides in splits]
        result = evaluate(RecordingClassifier(), X, Y, cv=given, verbose=0)
        expected = evaluate(RecordingClassifier(), X, Y, cv=splits, verbose=0)
        np.testing.assert_array_equal(result.predictions, expected.predictions)
        np.testing.assert_array_equal(
            result.folds[1].test_indices, expected.folds[1].test_indices
        )

    def test_pandas_rows_with_one_index(self):
        index = np.random.default_rng(0).permutation(N_IMAGES)
        flat = pd.DataFrame(X.reshape(N_IMAGES, -1)[:, :3], index=index)
        labels, groups = pd.Series(Y, index=index), pd.Series(GROUPS, index=index)
        result = evaluate(GaussianNB(), flat, labels, groups=groups, verbose=0)
        expected = evaluate(GaussianNB(), flat.to_numpy(), Y, groups=GROUPS, verbose=0)
        np.testing.assert_array_equal(result.probabilities, expected.probabilities)

    def test_images_that_are_never_predicted(self):
        result = evaluate(
            DummyClassifier(),
            X,
            Y,
            cv=PredefinedSplit(np.arange(60) % 3 - 1),
            verbose=0,
        )
        text = result.to_markdown()
        assert "others never" in text
        assert "every image" not in text

    def test_progress_is_shown_unless_verbose_is_0(self, capfd):
        evaluate(DummyClassifier(), X, Y, verbose=0)
        out, err = capfd.readouterr()
        assert not out + err
        evaluate(DummyClassifier(), X, Y, cv=2, verbose=1)
        out, err = capfd.readouterr()
        assert not out
        for number, line in enumerate(err.splitlines(), start=1):
            pattern = rf"fold {number} of 2: accuracy \d+\.\d %, \d+ s"
            assert re.fullmatch(pattern, line)
        assert number == 2

    def test_a_terminal_has_one_bar(self, terminal):
        evaluate(DummyClassifier(), X, Y, cv=2, verbose=1)
        assert "folds:" in terminal.getvalue()
        assert "\n" not in terminal.getvalue()


class TestPaperProtocol:
    def test_sizes_are_the_papers(self):
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        sizes = [
            [len(part) for part in rows]
            for rows in split(PAPER_LABELS, cv=folds, protocol="paper")
        ]
        assert sizes == [[2324, 291, 290]] * 5

    def test_predicts_half_of_each_fold(self):
        result = evaluate(
            DummyClassifier(),
            np.zeros((len(PAPER_LABELS), 1)),
            PAPER_LABELS,
            protocol="paper",
            verbose=0,
        )
        assert result.confusion_matrix.sum() == len(result.test_indices) == 5 * 290
        assert len(result.predictions) == len(result.probabilities) == 5 * 290
        np.testing.assert_array_equal(
            result.confusion_matrix, sum(result.fold_confusion_matrices)
        )
        for fold in result.folds:
            rows = [fold.train_indices, fold.validation_indices, fold.test_indices]
            assert [len(part) for part in rows] == [2324, 291, 290]
            assert len(np.unique(np.concatenate(rows))) == 2905

    def test_halves_are_not_stratified(self):
        # 19 of 290 images in the paper; a stratified half would hold 22.
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        found = {
            Counter(PAPER_LABELS[rows.test].tolist())["COVID-19"]
            for seed in range(4)
            for rows in split(
                PAPER_LABELS, cv=folds, protocol="paper", random_state=seed
            )
        }
        assert len(found) > 2

    def test_the_other_half_is_the_validation_data(self, calls):
        pipeline = HoldoutPipeline([("classify", RecordingClassifier())])
        result = evaluate(pipeline, X, Y, protocol="paper", verbose=0)
        for call, fold in zip(calls, result.folds, strict=True):
            np.testing.assert_array_equal(call.X_val, X[fold.validation_indices])
            np.testing.assert_array_equal(call.y_val, Y[fold.validation_indices])
            np.testing.assert_array_equal(call.X, X[fold.train_indices])

    def test_an_estimator_without_validation_data_is_fitted_normally(self, calls):
        pipeline = Pipeline([("classify", RecordingClassifier())])
        evaluate(pipeline, X, Y, protocol="paper", verbose=0)
        assert all(call.X_val is None for call in calls)

    def test_two_patients_can_be_halved(self):
        groups = np.repeat(np.arange(6), 10)
        for rows in split(
            Y, cv=GroupKFold(3), groups=groups, protocol="paper", random_state=0
        ):
            held_out = [set(groups[part]) for part in (rows.validation, rows.test)]
            assert [len(patients) for patients in held_out] == [1, 1]
            assert not held_out[0] & held_out[1]

    def test_defaults_are_whole_folds_and_seed_0(self):
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        for rows in split(Y, cv=folds):
            assert not len(rows.validation)
        halves, again = (
            [
                rows.test.tolist()
                for rows in split(Y, cv=folds, protocol="paper", **seed)
            ]
            for seed in ({}, {"random_state": 0})
        )
        assert halves == again

    def test_groups_stay_whole(self):
        result = evaluate(
            DummyClassifier(), X, Y, groups=GROUPS, protocol="paper", verbose=0
        )
        for fold in result.folds:
            sides = [fold.train_indices, fold.validation_indices, fold.test_indices]
            assert sum(len(np.unique(GROUPS[side])) for side in sides) == 30


class TestPatientOverlap:
    @pytest.mark.parametrize("random_state", [0, 1])
    def test_equals_the_overlap_of_plain_folds(self, random_state):
        result = evaluate(
            DummyClassifier(),
            X,
            Y,
            cv=4,
            groups=GROUPS,
            random_state=random_state,
            verbose=0,
        )
        plain = StratifiedKFold(4, shuffle=True, random_state=random_state)
        shared = sum(
            np.isin(GROUPS[test], GROUPS[train]).sum()
            for train, test in plain.split(X, Y)
        )
        assert 0 < shared < N_IMAGES
        assert result.patient_overlap.value == shared / N_IMAGES

    def test_a_random_state_instance_equals_its_seed(self):
        seed, instance = (
            evaluate(
                DummyClassifier(), X, Y, groups=GROUPS, random_state=state, verbose=0
            )
            for state in (5, np.random.RandomState(5))
        )
        assert seed.patient_overlap == instance.patient_overlap
        np.testing.assert_array_equal(
            seed.folds[0].test_indices, instance.folds[0].test_indices
        )

    def test_is_zero_where_every_image_has_its_own_patient(self):
        result = evaluate(DummyClassifier(), X, Y, groups=np.arange(60), verbose=0)
        assert result.patient_overlap.value == 0
        assert result.patient_overlap.high > 0

    @pytest.mark.parametrize("random_state", range(4))
    def test_with_the_papers_halves(self, random_state):
        groups = np.random.default_rng(0).permutation(GROUPS)
        result = evaluate(
            DummyClassifier(),
            X,
            Y,
            cv=2,
            groups=groups,
            protocol="paper",
            random_state=random_state,
            verbose=0,
        )
        folds = StratifiedKFold(2, shuffle=True, random_state=random_state)
        shared = [
            np.isin(groups[rows.test], groups[rows.train])
            for rows in split(Y, cv=folds, protocol="paper", random_state=random_state)
        ]
        assert result.patient_overlap.value == np.concatenate(shared).mean()

    def test_with_as_many_folds_as_images_of_a_class(self):
        everyone = np.arange(N_IMAGES)
        result = evaluate(DummyClassifier(), X, Y, cv=10, groups=everyone, verbose=0)
        assert result.patient_overlap.value == 0

    def test_is_none_without_patients_or_plain_folds(self):
        assert evaluate(DummyClassifier(), X, Y, verbose=0).patient_overlap is None
        result = evaluate(
            DummyClassifier(), X, Y, cv=LeaveOneGroupOut(), groups=GROUPS, verbose=0
        )
        assert result.patient_overlap is None
        assert "plain stratified folds" not in result.to_markdown()


class Answering(RecordingClassifier):
    """Gives labels, classes and probabilities in another form."""

    def __init__(self, answer=None, classes=None, probabilities=None):
        super().__init__()
        self.answer = answer
        self.classes = classes
        self.probabilities = probabilities

    def fit(self, X, y):
        super().fit(X, y)
        self.labels_ = self.classes_
        if self.classes:
            self.classes_ = self.classes(self.classes_)
        return self

    def predict_proba(self, X):
        found = super().predict_proba(X)
        return self.probabilities(found) if self.probabilities else found

    def predict(self, X):
        found = self.labels_[RecordingClassifier.predict_proba(self, X).argmax(axis=1)]
        return self.answer(found) if self.answer else found


class Trained(DummyClassifier):
    """Has a history, like a trained network."""

    def fit(self, X, y, sample_weight=None):
        self.history_ = {"loss": [1.0]}
        return super().fit(X, y, sample_weight)


class TestWarnings:
    def test_constant_predictions(self):
        always = Trained(strategy="constant", constant="NORMAL")
        with pytest.warns(UserWarning, match="All 20") as caught:
            evaluate(always, X, Y, cv=3, verbose=0)
        assert len(caught) == 3
        for number, warning in enumerate(caught, start=1):
            for words in (f"fold {number}", "'NORMAL'", "reset_batch_norm"):
                assert words in str(warning.message)

    @pytest.mark.parametrize("n_test", [1, 2])
    def test_one_prediction_is_not_constant(self, n_test):
        splits = [(np.arange(n_test, N_IMAGES), np.arange(n_test))]
        with warnings.catch_warnings(record=True, action="always") as caught:
            evaluate(Trained(), X, Y, cv=splits, verbose=0)
        assert len(caught) == n_test - 1

    @pytest.mark.parametrize(
        "classifier",
        [
            pytest.param(DummyClassifier(), id="never trained"),
            pytest.param(Trained(strategy="stratified", random_state=0), id="varied"),
        ],
    )
    def test_no_warning_for_untrained_or_varied_predictions(self, classifier):
        with warnings.catch_warnings(action="error"):
            evaluate(classifier, X, Y, cv=3, verbose=0)

    def test_a_class_missing_from_a_fold(self):
        fold = np.where(Y == "COVID-19", 1, np.arange(N_IMAGES) % 2)
        with pytest.warns(UserWarning, match="fold 2") as caught:
            evaluate(DummyClassifier(), X, Y, cv=PredefinedSplit(fold), verbose=0)
        assert len(caught) == 1
        for words in ("no image of class 'COVID-19'", "10 test images"):
            assert words in str(caught[0].message)

    def test_they_name_the_callers_line(self):
        fold = np.where(Y == "COVID-19", 1, np.arange(N_IMAGES) % 2)
        with pytest.warns(UserWarning, match="test images") as caught:
            evaluate(Trained(), X, Y, cv=PredefinedSplit(fold), verbose=0)
        assert [warning.filename for warning in caught] == [__file__] * 3


class TestAnswersOfTheClassifier:
    """What can't be paired with the images and labels is an error."""

    @pytest.mark.parametrize(
        ("parameters", "named"),
        [
            ({"answer": lambda y: np.where(y == y[0], "other", y)}, "gives 'other'"),
            ({"answer": lambda y: np.unique(y, return_inverse=True)[1]}, r"gives \d,"),
            ({"answer": lambda y: y[:-1]}, r"predict .*\(11,\), expected \(12,\)"),
            ({"answer": lambda y: y[:, None]}, r"predict .*\(12, 1\)"),
            ({"answer": lambda y: [None] * len(y)}, "gives None"),
            ({"classes": lambda y: np.char.lower(y)}, "classes_ .*gives 'covid-19'"),
            ({"classes": lambda y: y[:-1]}, r"\(12, 3\) for 12 images and the 2"),
            ({"probabilities": lambda p: p[:-1]}, r"predict_proba .*\(11, 3\)"),
            ({"probabilities": lambda p: p[:, 0]}, r"predict_proba .*\(12,\)"),
            ({"probabilities": lambda p: p / 2}, "sum 1.*softmax"),
            ({"probabilities": lambda p: p - [1, -1, 0]}, "in .0, 1.*softmax"),
        ],
    )
    def test_is_an_error(self, parameters, named):
        with pytest.raises(ValueError, match=named):
            evaluate(Answering(**parameters), X, Y, verbose=0)


class TestErrors:
    """Each error comes before any fit."""

    @pytest.mark.parametrize("name", ["y", "groups"])
    def test_pandas_rows_in_another_order(self, name):
        flat = pd.DataFrame(X.reshape(N_IMAGES, -1)[:, :3])
        given = {"y": pd.Series(Y), "groups": pd.Series(GROUPS)}
        given[name] = given[name].sample(frac=1, random_state=0)
        with pytest.raises(ValueError, match=rf"{name}\.loc\[X\.index\]"):
            evaluate(RecordingClassifier(), flat, verbose=0, **given)

    def test_groups_in_another_order_than_y(self):
        groups = pd.Series(GROUPS).sample(frac=1, random_state=0)
        with pytest.raises(ValueError, match=r"groups\.loc\[y\.index\]"):
            evaluate(RecordingClassifier(), X, pd.Series(Y), groups=groups, verbose=0)

    def test_groups_in_a_table(self):
        with pytest.raises(ValueError, match=r"groups .*\(60, 1\).*one column"):
            evaluate(
                RecordingClassifier(), X, Y, groups=pd.DataFrame(GROUPS), verbose=0
            )

    @pytest.mark.parametrize("name", ["y", "groups"])
    def test_text_beside_numbers(self, name):
        given = {"y": Y, "groups": GROUPS, name: ["1", 1, 2] * 20}
        with pytest.raises(ValueError, match=rf"{name}: .*types.*'1' \(str\)"):
            evaluate(RecordingClassifier(), X, verbose=0, **given)

    @pytest.mark.parametrize(
        "estimator", [KMeans(), Ridge(), IsolationForest(), FunctionTransformer()]
    )
    def test_no_classifier(self, estimator):
        with pytest.raises(ValueError, match=r"pipeline=.*not a classifier"):
            evaluate(make_pipeline(estimator), X, Y, verbose=0)

    @pytest.mark.parametrize("sides", [([], range(60)), (range(60), [])])
    def test_an_empty_side(self, sides):
        with pytest.raises(ValueError, match="without training or without test"):
            evaluate(RecordingClassifier(), X, Y, cv=[sides], verbose=0)

    def test_no_folds(self):
        with pytest.raises(ValueError, match="gives no folds"):
            evaluate(RecordingClassifier(), X, Y, cv=[], verbose=0)

    @pytest.fixture(autouse=True)
    def _nothing_is_fitted(self, calls):
        yield
        assert not calls

    def test_unreadable_files_are_all_listed(self, tmp_path):
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"no image")
        paths = [str(tmp_path / "missing.png"), str(broken)] * 30
        pipeline = make_transfer_pipeline("tiny", weights=None)
        pipeline.set_params(classify=RecordingClassifier())
        with pytest.raises((ValueError, OSError)) as raised:
            evaluate(pipeline, paths, np.repeat(["A", "B"], 30), verbose=0)
        assert "missing.png" in str(raised.value)
        assert "broken.png" in str(raised.value)

    def test_an_unreadable_file_in_the_training_set_of_the_last_fold(
        self, tmp_path, grey_paths
    ):
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"no image")
        paths = [str(path) for path in grey_paths]
        paths[0] = str(broken)
        pipeline = make_transfer_pipeline("tiny", weights=None)
        pipeline.set_params(classify=RecordingClassifier())
        # The first fold trains on the other half.
        halves = np.array_split(np.arange(len(paths)), 2)
        labels = np.tile(["A", "B"], len(paths))[: len(paths)]
        with pytest.raises(ValueError, match=r"broken\.png"):
            evaluate(pipeline, paths, labels, cv=[halves[::-1], halves], verbose=0)

    def test_a_class_smaller_than_the_folds(self):
        labels = ["COVID-19"] * 3 + ["NORMAL"] * 57
        with pytest.raises(ValueError, match=r"'COVID-19' has 3 images.*Lower cv"):
            evaluate(RecordingClassifier(), X, labels, verbose=0)

    def test_fewer_patients_than_folds(self):
        with pytest.raises(ValueError, match=r"'COVID-19' has 3 patients.*cv=5"):
            evaluate(RecordingClassifier(), X, Y, groups=np.arange(60) // 4, verbose=0)

    def test_one_class(self):
        with pytest.raises(ValueError, match=r"one class.*'COVID-19'"):
            evaluate(RecordingClassifier(), X, ["COVID-19"] * 60, verbose=0)

    def test_overlapping_test_folds(self):
        with pytest.raises(ValueError, match=r"cv=Repeated.*partition.*Str"):
            evaluate(
                RecordingClassifier(),
                X,
                Y,
                cv=RepeatedStratifiedKFold(n_splits=2, n_repeats=2),
                verbose=0,
            )

    def test_training_on_test_images(self):
        with pytest.raises(ValueError, match=r"image 0.*two sides"):
            evaluate(
                RecordingClassifier(),
                X,
                Y,
                cv=[(np.arange(60), np.arange(60))],
                verbose=0,
            )

    # scikit-learn warns that KFold ignores groups.
    @pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
    @pytest.mark.parametrize("protocol", ["cross_val_predict", "paper"])
    def test_a_cross_validator_that_splits_patients(self, protocol):
        with pytest.raises(
            ValueError, match=r"KFold.*patient \d+.*StratifiedGroupKFold"
        ):
            evaluate(
                RecordingClassifier(),
                X,
                Y,
                cv=KFold(5, shuffle=True, random_state=0),
                groups=GROUPS,
                protocol=protocol,
                verbose=0,
            )

    def test_a_single_patient_cannot_be_halved(self):
        with pytest.raises(ValueError, match="single patient"):
            evaluate(
                RecordingClassifier(),
                X,
                np.tile(["A", "B"], 30),
                groups=np.arange(60) // 2 % 5,
                protocol="paper",
                verbose=0,
            )

    @pytest.mark.parametrize("lengths", [{"y": Y[:9]}, {"y": Y, "groups": GROUPS[:9]}])
    def test_inconsistent_lengths(self, lengths):
        with pytest.raises(ValueError, match="has 9 values for 60 images"):
            evaluate(RecordingClassifier(), X, verbose=0, **lengths)

    @pytest.mark.parametrize(
        "parameter",
        [
            {"cv": 1},
            {"cv": "five"},
            {"protocol": "loo"},
            {"random_state": "x"},
            {"verbose": "loud"},
        ],
        ids=str,
    )
    def test_invalid_parameters(self, parameter):
        with pytest.raises(ValueError, match=f"'{next(iter(parameter))}' parameter"):
            evaluate(RecordingClassifier(), X, Y, **{"verbose": 0, **parameter})

    def test_a_class_in_place_of_an_estimator(self):
        with pytest.raises(ValueError, match="'pipeline' parameter"):
            evaluate(RecordingClassifier, X, Y, verbose=0)

    def test_continuous_target(self):
        with pytest.raises(ValueError, match="Unknown label type"):
            evaluate(RecordingClassifier(), X, np.linspace(0, 1, 60), verbose=0)


def test_workers_give_what_one_process_gives():
    y = np.tile(CLASSES, 20)
    pipeline = make_pipeline(FunctionTransformer(np.reshape), LogisticRegression())
    pipeline.set_params(functiontransformer__kw_args={"shape": (-1, 256)})
    alone = evaluate(pipeline, X, y, cv=3, verbose=0)
    at_once = evaluate(pipeline, X, y, cv=3, n_jobs=2, verbose=0)
    assert at_once.probabilities.tobytes() == alone.probabilities.tobytes()
    np.testing.assert_array_equal(at_once.predictions, alone.predictions)


def test_parallel_folds_equal_sequential_ones():
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.tile(["a", "b", "c"], 20)
    alone = evaluate(LogisticRegression(), X, y, cv=3, verbose=0)
    with joblib.parallel_config(backend="threading"):
        at_once = evaluate(LogisticRegression(), X, y, cv=3, n_jobs=2, verbose=0)
    np.testing.assert_array_equal(at_once.probabilities, alone.probabilities)
    for fold, other in zip(at_once.folds, alone.folds, strict=True):
        np.testing.assert_array_equal(fold.test_indices, other.test_indices)
