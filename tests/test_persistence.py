import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
import pytest
from imblearn.ensemble import BalancedBaggingClassifier
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import Pipeline
from imblearn.pipeline import make_pipeline as imblearn_pipeline
from imblearn.under_sampling import RandomUnderSampler
from numpy.testing import assert_array_equal
from scipy.stats import uniform
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    RepeatedStratifiedKFold,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import (
    OneVsOneClassifier,
    OneVsRestClassifier,
    OutputCodeClassifier,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

import skcovid
from _helpers import tiny_backbone
from _helpers.edge_features import EdgeFeatures, UntrustedFeatures
from _helpers.hostile_files import read_members, write_model
from skcovid import (
    BackbonePreprocessor,
    LazyImages,
    RadiographReader,
    make_transfer_pipeline,
)
from skcovid.augmentation import Rotation, Zoom
from skcovid.networks.backbones import Backbone
from skcovid.persistence import ModelFileError, _model_file, describe, fingerprint_model

tiny_backbone.register()
pytestmark = [
    pytest.mark.usefixtures("eager"),
    # TensorFlow warns where its functions run eagerly.
    pytest.mark.filterwarnings("ignore:Even though the .tf.config"),
]

X, Y = tiny_backbone.make_images(18)
NEW, _ = tiny_backbone.make_images(5, seed=1)
QUICK = {"weights": None, "verbose": 0, "random_state": 0}
FINE_TUNED = {
    **QUICK,
    "dense_units": 8,
    "epochs": 1,
    "factor": 1,
    "validation_fraction": 0.34,
}


def make(recipe, **parameters):
    settings = {**(QUICK if recipe == "linear" else FINE_TUNED), **parameters}
    return make_transfer_pipeline("tiny", recipe=recipe, **settings)


@pytest.fixture(scope="module")
def fitted():
    return {recipe: make(recipe).fit(X, Y) for recipe in ("paper", "fast", "linear")}


def score_one(estimator, X, y):
    return 1.0


def make_images_negative(images):
    return -images


def saved_and_loaded(pipeline, path):
    skcovid.save(pipeline, path)
    return skcovid.load(path)


class TestRoundTrip:
    @pytest.mark.parametrize("recipe", ["paper", "fast", "linear"])
    def test_predicts_the_same(self, recipe, fitted, tmp_path):
        pipeline = fitted[recipe]
        loaded = saved_and_loaded(pipeline, tmp_path / "model.skcovid")
        assert_array_equal(loaded.predict_proba(NEW), pipeline.predict_proba(NEW))
        assert_array_equal(loaded.predict(NEW), pipeline.predict(NEW))
        assert_array_equal(loaded.classes_, pipeline.classes_)
        assert type(loaded) is type(pipeline)
        assert repr(loaded) == repr(pipeline)

    def test_predicts_the_same_in_a_new_process(self, fitted, tmp_path):
        np.save(tmp_path / "images.npy", NEW)
        for recipe, pipeline in fitted.items():
            skcovid.save(pipeline, tmp_path / f"{recipe}.skcovid")
        script = f"""
            import sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            import os
            import numpy as np, skcovid
            from _helpers import tiny_backbone
            os.chdir({str(tmp_path)!r})
            tiny_backbone.register()
            images = np.load("images.npy")
            with tiny_backbone.eagerly():
                for recipe in {list(fitted)}:
                    pipeline = skcovid.load(f"{{recipe}}.skcovid")
                    np.save(f"{{recipe}}.npy", pipeline.predict_proba(images))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for recipe, pipeline in fitted.items():
            found = np.load(tmp_path / f"{recipe}.npy")
            assert_array_equal(found, pipeline.predict_proba(NEW))

    def test_a_loaded_pipeline_can_be_saved_and_fitted_again(self, fitted, tmp_path):
        loaded = saved_and_loaded(fitted["fast"], tmp_path / "first.skcovid")
        again = saved_and_loaded(loaded, tmp_path / "second.skcovid")
        assert_array_equal(again.predict_proba(NEW), loaded.predict_proba(NEW))
        again.fit(X, Y)
        # The seeds were saved.
        np.testing.assert_allclose(
            again.predict_proba(NEW), loaded.predict_proba(NEW), atol=1e-5
        )

    def test_keeps_which_layers_were_trained_and_the_history(self, fitted, tmp_path):
        loaded = saved_and_loaded(fitted["fast"], tmp_path / "model.skcovid")
        before, after = (
            pipeline.named_steps["classify"] for pipeline in (fitted["fast"], loaded)
        )
        assert [layer.trainable for layer in after.model_.layers] == [
            layer.trainable for layer in before.model_.layers
        ]
        assert after.history_ == before.history_
        assert_array_equal(
            loaded.validation_indices_, fitted["fast"].validation_indices_
        )

    def test_saving_leaves_the_pipeline_as_it_is(self, fitted, tmp_path):
        classifier = fitted["fast"].named_steps["classify"]
        before = dict(vars(classifier))
        skcovid.save(fitted["fast"], tmp_path / "model.skcovid")
        assert vars(classifier) == before

    def test_transforms_and_the_random_state_are_saved(self, tmp_path):
        pipeline = make("fast", transforms=[Rotation(-3, 3), Zoom()]).set_params(
            balance__random_state=np.random.RandomState(5)
        )
        loaded = saved_and_loaded(pipeline.fit(X, Y), tmp_path / "model.skcovid")
        assert loaded.get_params()["balance__transforms"] == [Rotation(-3, 3), Zoom()]
        drawn, expected = (
            found.get_params()["balance__random_state"].randint(10**9)
            for found in (loaded, pipeline)
        )
        assert drawn == expected

    def test_memory_folders_are_not_saved(self, tmp_path):
        pipeline = make("linear", features__memory=tmp_path / "features").fit(X, Y)
        kept = sorted((tmp_path / "features").rglob("*"))
        loaded = saved_and_loaded(pipeline, tmp_path / "model.skcovid")
        assert loaded.get_params()["features__memory"] is None
        np.testing.assert_allclose(
            loaded.predict_proba(NEW), pipeline.predict_proba(NEW), atol=1e-6
        )
        # Saving keeps the stored features.
        assert set(kept) <= set((tmp_path / "features").rglob("*"))

    def test_a_classifier_alone_and_features_alone(self, fitted, tmp_path):
        images = tiny_backbone.prepare(NEW)
        classifier = fitted["paper"].named_steps["classify"]
        loaded = saved_and_loaded(classifier, tmp_path / "classifier.skcovid")
        assert_array_equal(
            loaded.predict_proba(images), classifier.predict_proba(images)
        )
        features = fitted["linear"].named_steps["features"]
        loaded = saved_and_loaded(features, tmp_path / "features.skcovid")
        assert_array_equal(loaded.transform(images), features.transform(images))
        assert_array_equal(
            loaded.get_feature_names_out(), features.get_feature_names_out()
        )

    def test_a_search_over_a_network(self, tmp_path):
        search = GridSearchCV(
            make("fast"),
            {"classify__dropout": [0.2, 0.4]},
            cv=2,
            scoring="balanced_accuracy",
        ).fit(X, Y)
        loaded = saved_and_loaded(search, tmp_path / "model.skcovid")
        assert_array_equal(loaded.predict_proba(NEW), search.predict_proba(NEW))
        assert loaded.best_params_ == search.best_params_
        assert loaded.score(X, Y) == search.score(X, Y)

    @pytest.mark.parametrize(
        "classifier",
        [
            LinearDiscriminantAnalysis(),
            CalibratedClassifierCV(LogisticRegression(), cv=2),
        ],
    )
    def test_another_classifier_behind_the_features(self, classifier, tmp_path):
        pipeline = make("linear").set_params(components=None, classify=classifier)
        pipeline.fit(X, Y)
        loaded = saved_and_loaded(pipeline, tmp_path / "model.skcovid")
        assert_array_equal(loaded.predict_proba(NEW), pipeline.predict_proba(NEW))

    def test_a_pipeline_without_a_network(self, tmp_path):
        pipeline = Pipeline(
            [("scale", StandardScaler()), ("classify", LogisticRegression())]
        ).fit(X.reshape(len(X), -1), Y)
        loaded = saved_and_loaded(pipeline, tmp_path / "model.skcovid")
        rows = NEW.reshape(len(NEW), -1)
        assert_array_equal(loaded.predict_proba(rows), pipeline.predict_proba(rows))
        assert "backend" not in describe(tmp_path / "model.skcovid")["versions"]


TABLE = np.random.default_rng(0).normal(size=(18, 6))
BINARY = np.where(np.arange(18) % 2, "sick", "well")
SCALED = make_pipeline(StandardScaler(), LogisticRegression())
COMPOSITIONS = {
    "columns by slice and mask": make_pipeline(
        ColumnTransformer(
            [
                ("scaled", StandardScaler(), slice(0, 2)),
                ("as they are", "passthrough", [3]),
                ("halves", KBinsDiscretizer(2, encode="ordinal"), [False] * 5 + [True]),
            ],
            remainder=MinMaxScaler(),
        ),
        SimpleImputer(),
        LogisticRegression(),
    ),
    "bagging": BaggingClassifier(SCALED, n_estimators=2, random_state=0),
    "boosting": AdaBoostClassifier(SCALED[-1], n_estimators=2, random_state=0),
    "one against the rest": OneVsRestClassifier(SCALED),
    "one against one": OneVsOneClassifier(SCALED),
    "error-correcting codes": OutputCodeClassifier(SCALED, random_state=0),
    "isotonic calibration": CalibratedClassifierCV(SCALED, cv=2, method="isotonic"),
    "random projection": make_pipeline(GaussianRandomProjection(3), SCALED),
    "kernel approximation": make_pipeline(RBFSampler(n_components=3), SCALED),
    "a function of NumPy": make_pipeline(FunctionTransformer(np.arctan), SCALED),
    "the default selection": make_pipeline(SelectKBest(k=3), SCALED),
    "stochastic gradient descent": make_pipeline(StandardScaler(), SGDClassifier()),
    "SMOTE": imblearn_pipeline(StandardScaler(), SMOTE(k_neighbors=2), SCALED[-1]),
    "undersampling": imblearn_pipeline(RandomUnderSampler(random_state=0), SCALED[-1]),
    "balanced bagging": BalancedBaggingClassifier(SCALED, n_estimators=2),
    "repeated folds": GridSearchCV(
        SCALED,
        {"logisticregression__C": np.logspace(-1, 1, 2)},
        cv=RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0),
        scoring={"auc": "roc_auc", "accuracy": "accuracy"},
        refit="auc",
    ),
    "listed folds": RandomizedSearchCV(
        SCALED,
        {"logisticregression": [LogisticRegression(), RidgeClassifier()]},
        n_iter=2,
        cv=[(np.arange(12), np.arange(12, 18))],
        random_state=0,
    ),
    "the best threshold": TunedThresholdClassifierCV(SCALED, cv=2, scoring="f1"),
    "ensembles in ensembles": VotingClassifier(
        [
            ("stack", StackingClassifier([("a", SCALED)], cv=2)),
            ("search", GridSearchCV(SCALED, {"logisticregression__C": [1, 2]}, cv=2)),
        ],
        voting="soft",
    ),
}


if "temperature" in CalibratedClassifierCV._parameter_constraints["method"][0].options:
    COMPOSITIONS["temperature scaling"] = CalibratedClassifierCV(
        SCALED, cv=2, method="temperature"
    )
# Predicting may cost more than reading their arrays, or they have no probabilities.
WITHOUT_TEST_PREDICTIONS = {
    "columns by slice and mask",
    "error-correcting codes",
    "kernel approximation",
}


class TestCompositions:
    """What scikit-learn's users put around estimators."""

    @pytest.mark.parametrize("name", COMPOSITIONS)
    def test_of_columns_is_loaded_with_equal_predictions(self, name, tmp_path):
        labels = (BINARY == "sick").astype(int)
        model = clone(COMPOSITIONS[name]).fit(TABLE, labels)
        loaded = saved_and_loaded(model, tmp_path / "model.skcovid")
        assert_array_equal(loaded.predict(TABLE), model.predict(TABLE))
        if hasattr(model, "predict_proba"):
            assert_array_equal(loaded.predict_proba(TABLE), model.predict_proba(TABLE))
        assert fingerprint_model(loaded) == fingerprint_model(model)
        probe = describe(tmp_path / "model.skcovid")["probe"]
        assert (probe is None) == (name in WITHOUT_TEST_PREDICTIONS)
        assert_array_equal(clone(loaded).fit(TABLE, labels).classes_, model.classes_)

    @pytest.mark.parametrize(
        "compose",
        [
            lambda one, other: VotingClassifier([("a", one), ("b", other)]),
            lambda one, other: StackingClassifier([("a", one), ("b", other)], cv=2),
            lambda one, other: CalibratedClassifierCV(one, cv=2),
            lambda one, other: OneVsRestClassifier(one),
            lambda one, other: FixedThresholdClassifier(one, threshold=0.3),
            lambda one, other: TunedThresholdClassifierCV(one, cv=2),
            lambda one, other: make_pipeline(one[:3], SCALED),
            lambda one, other: make_pipeline(
                FeatureUnion([("a", one[:3]), ("b", other[:3])]), SCALED
            ),
        ],
        ids=[
            "vote",
            "stack",
            "calibrated",
            "rest",
            "fixed",
            "tuned",
            "nested",
            "union",
        ],
    )
    def test_of_networks_is_loaded_with_equal_predictions(self, compose, tmp_path):
        other = make("linear").set_params(features__pooling="max")
        model = compose(make("linear"), other).fit(X, BINARY)
        loaded = saved_and_loaded(model, tmp_path / "model.skcovid")
        assert_array_equal(loaded.predict(NEW), model.predict(NEW))
        adds_columns = isinstance(
            getattr(model, "steps", [[None]])[0][-1], FeatureUnion
        )
        probe = describe(tmp_path / "model.skcovid")["probe"]
        assert (probe is None) == adds_columns

    def test_of_fine_tuned_networks(self, fitted, tmp_path):
        model = VotingClassifier(
            [("a", make("fast")), ("b", make("paper"))], voting="soft"
        )
        model.fit(X, Y)
        loaded = saved_and_loaded(model, tmp_path / "model.skcovid")
        assert_array_equal(loaded.predict_proba(NEW), model.predict_proba(NEW))
        assert describe(tmp_path / "model.skcovid")["probe"] is not None

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (
                GridSearchCV(SCALED, {"logisticregression__C": [1]}, scoring=score_one),
                "score_one.* as 'scoring' of GridSearchCV.*best_estimator_",
            ),
            (
                RandomizedSearchCV(
                    SCALED, {"logisticregression__C": uniform()}, n_iter=1, cv=2
                ),
                "as 'param_distributions' of RandomizedSearchCV.*best_estimator_",
            ),
            (KNeighborsClassifier(), "KNeighborsClassifier"),
            (
                make_pipeline(SparseRandomProjection(2), SCALED),
                "csr_matrix.*components_",
            ),
        ],
    )
    def test_a_part_that_cannot_be_saved_is_named(self, model, message, tmp_path):
        with pytest.raises(TypeError, match=rf"can't be saved.*{message}"):
            skcovid.save(model.fit(TABLE, BINARY), tmp_path / "model.skcovid")


class TestAnotherNetworkEstimator:
    """An estimator from outside skcovid, after skcovid's transformers."""

    def make(self, features):
        return Pipeline(
            [
                ("read", RadiographReader(32)),
                ("preprocess", BackbonePreprocessor("tiny")),
                ("features", features),
                ("classify", LogisticRegression()),
            ]
        ).fit(X, Y)

    def test_is_saved_and_loaded(self, tmp_path):
        pipeline = self.make(EdgeFeatures(n_filters=5))
        loaded = saved_and_loaded(pipeline, tmp_path / "model.skcovid")
        assert_array_equal(loaded.predict_proba(NEW), pipeline.predict_proba(NEW))
        assert fingerprint_model(loaded) == fingerprint_model(pipeline)
        features = loaded.named_steps["features"]
        assert type(features) is EdgeFeatures
        assert not hasattr(features, "shape_in_fit_")

    def test_alone(self, tmp_path):
        images = np.asarray(tiny_backbone.prepare(NEW))
        features = EdgeFeatures().fit(images)
        loaded = saved_and_loaded(features, tmp_path / "model.skcovid")
        assert_array_equal(loaded.transform(images), features.transform(images))

    def test_parameters_changed_after_fit_are_an_error(self, tmp_path):
        pipeline = self.make(EdgeFeatures()).set_params(features__n_filters=101)
        with pytest.raises(ValueError, match=r"n_filters=101.*Fit it again"):
            skcovid.save(pipeline, tmp_path / "model.skcovid")

    def test_a_subclass_is_not_trusted(self, tmp_path):
        with pytest.raises(TypeError, match=r"can't be saved.*UntrustedFeatures"):
            skcovid.save(self.make(UntrustedFeatures()), tmp_path / "model.skcovid")


class TestSave:
    def test_describes_data_and_versions(self, fitted, tmp_path):
        path = tmp_path / "model.skcovid"
        skcovid.save(fitted["fast"], path, X=X, y=Y)
        found = describe(path)
        assert found["classes"] == tiny_backbone.CLASSES
        assert found["versions"]["skcovid"] == skcovid.__version__
        assert found["versions"]["backend"] == keras.backend.backend()
        assert datetime.fromisoformat(found["created"]) <= datetime.now(UTC)
        assert found["data"]["n_samples"] == 18
        assert found["data"]["classes"] == dict.fromkeys(tiny_backbone.CLASSES, 6)

    def test_the_fingerprint_of_the_data(
        self, fitted, tmp_path, grey_paths, write_image, grey_images
    ):
        def fingerprint(X, y):
            path = tmp_path / "model.skcovid"
            skcovid.save(fitted["linear"], path, X=X, y=y)
            return describe(path)["data"]["fingerprint"]

        order = np.array([4, 2, 0, 1, 3, 5])
        labels = np.array(list("aabbab"))
        found = fingerprint(X[:6], labels)
        assert fingerprint(X[:6][order], labels[order]) == found
        assert fingerprint(X[:6], labels[order]) != found
        assert fingerprint(X[1:7], labels) != found
        lazy = LazyImages.from_array(X)
        assert fingerprint(lazy[order], labels[order]) == fingerprint(lazy[:6], labels)
        assert fingerprint(lazy[1:7], labels) != fingerprint(lazy[:6], labels)
        of_files = fingerprint(grey_paths, labels)
        copy = write_image("copy.png", grey_images[0])
        assert fingerprint([copy, *grey_paths[1:]], labels) == of_files
        assert fingerprint(grey_paths[1:] + grey_paths[:1], labels) != of_files

    @pytest.mark.parametrize(
        ("make", "costs_little"),
        [
            (lambda: np.zeros((9, 9)), True),
            (lambda: np.zeros((1, 1, 1)), False),
            (lambda: np.zeros(2**24, np.int8), False),
            (lambda: 2**20, True),
            (lambda: 2**20 + 1, False),
            (lambda: -np.int64(2**20 + 1), False),
            # The pipeline and its two steps are objects too.
            (lambda: [StandardScaler() for _ in range(998)], False),
        ],
        ids=[
            *("two sides", "three sides", "values", "integer", "large integer"),
            *("large negative integer", "objects"),
        ],
    )
    def test_large_parts_predict_no_test_images(self, make, costs_little, tmp_path):
        model = clone(SCALED).fit(TABLE, BINARY)
        model[0].note_ = make()
        skcovid.save(model, tmp_path / "model.skcovid")
        probe = describe(tmp_path / "model.skcovid")["probe"]
        assert (probe is not None) == costs_little

    @pytest.mark.parametrize(("side", "costs_little"), [(512, True), (513, False)])
    def test_large_images_predict_no_test_images(
        self, side, costs_little, fitted, tmp_path
    ):
        reader = RadiographReader((32, side)).fit(X)
        pipeline = Pipeline([("read", reader), *fitted["linear"].steps[1:]])
        skcovid.save(pipeline, tmp_path / "model.skcovid")
        probe = describe(tmp_path / "model.skcovid")["probe"]
        assert (probe is not None) == costs_little

    def test_a_reader_of_large_images_alone(self, tmp_path):
        reader = RadiographReader(512).fit(X)
        loaded = saved_and_loaded(reader, tmp_path / "reader.skcovid")
        assert_array_equal(loaded.transform(NEW), reader.transform(NEW))

    def test_files_are_not_judged_by_another_white_level(
        self, tmp_path, write_image, recwarn
    ):
        paths = [write_image("a.png", np.full((4, 4), 4095, np.uint16))]
        reader = RadiographReader(4, white_level=4095).fit(paths)
        skcovid.save(reader, tmp_path / "reader.skcovid", X=paths)
        loaded = skcovid.load(tmp_path / "reader.skcovid")
        assert np.asarray(loaded.transform(paths)).min() == 255
        assert not recwarn

    def test_replaces_an_existing_file(self, fitted, tmp_path):
        path = tmp_path / "model.skcovid"
        path.write_text("something else")
        skcovid.save(fitted["linear"], path)
        skcovid.load(path)
        assert list(tmp_path.iterdir()) == [path]

    def test_an_interrupted_write_keeps_the_old_file(
        self, fitted, tmp_path, monkeypatch
    ):
        path = tmp_path / "model.skcovid"
        path.write_text("the former one")

        def fail(file, members):
            file.write(b"half")
            raise OSError("no space left")

        monkeypatch.setattr(_model_file, "write_members", fail)
        with pytest.raises(OSError, match="no space left"):
            skcovid.save(fitted["linear"], path)
        assert path.read_text() == "the former one"
        assert list(tmp_path.iterdir()) == [path]

    def test_the_fingerprint_of_the_model(self, fitted, tmp_path):
        def fingerprint(pipeline):
            skcovid.save(pipeline, tmp_path / "model.skcovid")
            return describe(tmp_path / "model.skcovid")["fingerprint"]

        found = [fingerprint(pipeline) for pipeline in fitted.values()]
        assert len(set(found)) == 3
        for recipe, expected in zip(fitted, found, strict=True):
            fitted[recipe].predict(NEW)
            assert fingerprint(fitted[recipe]) == expected
            assert fingerprint(skcovid.load(tmp_path / "model.skcovid")) == expected
        other = make("linear").fit(X[::-1], Y[::-1])
        assert fingerprint(other) not in found

    def test_a_path_that_cannot_be_written_is_an_error_before_work(
        self, fitted, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(_model_file, "extract_networks", None)
        with pytest.raises(FileNotFoundError, match=r"no/model\.skcovid.*Make it"):
            skcovid.save(fitted["linear"], tmp_path / "no" / "model.skcovid")
        with pytest.raises(IsADirectoryError, match=r"is a folder\. Add the name"):
            skcovid.save(fitted["linear"], tmp_path)
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(PermissionError, match="may not write to its folder"):
            skcovid.save(fitted["linear"], tmp_path / "model.skcovid")

    @pytest.mark.parametrize(
        "other",
        [np.zeros((3, 2)), np.zeros(6, "f4"), np.zeros(6).view("i8"), [0.0] * 6],
        ids=["shape", "size of numbers", "kind of numbers", "list"],
    )
    def test_the_fingerprint_tells_arrays_of_equal_bytes_apart(self, other):
        assert fingerprint_model(np.zeros(6)) != fingerprint_model(other)

    def test_not_fitted_is_an_error(self, tmp_path):
        with pytest.raises(NotFittedError):
            skcovid.save(make("linear"), tmp_path / "model.skcovid")

    @pytest.mark.parametrize(
        ("step", "message"),
        [
            (RandomForestClassifier(n_estimators=2), "DecisionTreeClassifier"),
            (
                Pipeline(
                    [
                        ("own", FunctionTransformer(make_images_negative)),
                        ("classify", LogisticRegression()),
                    ]
                ),
                "make_images_negative.* as .func. of FunctionTransformer",
            ),
        ],
    )
    def test_steps_that_could_not_be_loaded_are_an_error(self, step, message, tmp_path):
        pipeline = make("linear").set_params(classify=step).fit(X, Y)
        with pytest.raises(TypeError, match=rf"can't be saved.*{message}"):
            skcovid.save(pipeline, tmp_path / "model.skcovid")
        assert list(tmp_path.iterdir()) == []

    def test_a_backbone_that_is_not_registered_is_an_error(self, tmp_path):
        backbone = Backbone("other", tiny_backbone.build_tiny, 32, "tf", 7)
        pipeline = make_transfer_pipeline(backbone, recipe="linear", **QUICK)
        with pytest.raises(TypeError, match=r"'other'.*register_backbone"):
            skcovid.save(pipeline.fit(X, Y), tmp_path / "model.skcovid")

    def test_parameters_changed_after_fit_are_an_error(self, fitted, tmp_path):
        pipeline = make("fast").fit(X, Y)
        pipeline.set_params(classify__dense_units=4)
        with pytest.raises(ValueError, match=r"can't be saved.*Fit it again"):
            skcovid.save(pipeline, tmp_path / "model.skcovid")
        assert list(tmp_path.iterdir()) == []


class TestVersions:
    """The tests change versions in the file, as the installed ones are fixed."""

    @pytest.fixture
    def path(self, fitted, tmp_path):
        path = tmp_path / "model.skcovid"
        skcovid.save(fitted["linear"], path)
        return path

    def test_other_versions_load_if_predictions_are_the_same(self, path, fitted):
        versions = {**describe(path)["versions"], "scikit-learn": "1.5.0"}
        write_model(path, read_members(path), versions=versions)
        loaded = skcovid.load(path)
        assert_array_equal(loaded.predict(NEW), fitted["linear"].predict(NEW))

    def test_other_versions_are_an_error_if_predictions_differ(self, path):
        found = describe(path)
        answers = np.roll(found["probe"], 1, axis=1).tolist()
        # With the same versions predictions are not compared.
        write_model(path, read_members(path), probe=answers)
        skcovid.load(path)
        write_model(
            path, read_members(path), versions={**found["versions"], "keras": "3.1.0"}
        )
        with pytest.raises(
            ModelFileError,
            match=r"model\.skcovid.*predictions.*keras 3\.1\.0",
        ):
            skcovid.load(path)

    def test_without_test_predictions_other_versions_are_a_warning(
        self, path, tmp_path
    ):
        versions = {**describe(path)["versions"], "keras": "3.1.0"}
        write_model(path, read_members(path), probe=None)
        skcovid.load(path)
        write_model(path, read_members(path), probe=None, versions=versions)
        with pytest.warns(UserWarning, match=r"keras 3\.1\.0 .*Compare"):
            skcovid.load(path)
        # What scikit-learn would have to compute for them may have no end.
        table = make_pipeline(PolynomialFeatures(2), LogisticRegression())
        skcovid.save(table.fit(X[:, 0, :4], Y), path)
        assert describe(path)["probe"] is None

    def test_a_backbone_that_is_not_registered_cannot_be_loaded(
        self, path, monkeypatch
    ):
        from skcovid.networks import backbones

        others = {k: v for k, v in backbones._REGISTRY.items() if k != "tiny"}
        monkeypatch.setattr(backbones, "_REGISTRY", others)
        with pytest.raises(ModelFileError, match=r"model\.skcovid.*registered.*'tiny'"):
            skcovid.load(path)

    def test_a_backbone_registered_with_other_parameters_is_an_error(
        self, path, monkeypatch
    ):
        from skcovid.networks import backbones

        other = Backbone("tiny", tiny_backbone.build_tiny, 32, "caffe", 7)
        monkeypatch.setattr(
            backbones, "_REGISTRY", {**backbones._REGISTRY, "tiny": other}
        )
        with pytest.raises(ModelFileError, match=r"mode 'caffe'.*'tf'"):
            skcovid.load(path)


def test_loading_a_missing_file_raises_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        skcovid.load(tmp_path / "nowhere.skcovid")
