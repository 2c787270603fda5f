"""What scikit-learn's users do: tables, searches, processes, NumPy's numbers."""

import pickle

import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from _helpers import tiny_backbone
from skcovid import (
    AugmentationBalancer,
    BackboneFeatures,
    BackbonePreprocessor,
    RadiographReader,
    TransferLearningClassifier,
    augment,
    evaluate,
    make_transfer_pipeline,
    register_backbone,
)
from skcovid.datasets import make_radiographs
from skcovid.networks.backbones import Backbone

tiny_backbone.register()
# TensorFlow warns where its functions run eagerly.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Even though the .tf.config"),
    pytest.mark.usefixtures("eager"),
]

GREY, Y = tiny_backbone.make_images(12)
INPUT = tiny_backbone.prepare(GREY)
AGES = np.arange(6.0)
# Shuffled, with a label that occurs twice.
INDEX = pd.Index([5, 2, 2, 0, 1, 9])


def make_features(**parameters):
    settings = {"weights": None, "layers": [3], "pooling": "avg", "random_state": 0}
    return BackboneFeatures("tiny", verbose=0, **{**settings, **parameters})


def make_branch(**parameters):
    reader = RadiographReader(32, **parameters)
    return make_pipeline(reader, BackbonePreprocessor("tiny"), make_features())


def make_linear(backbone="tiny", **parameters):
    settings = {"weights": None, "layers": [3], "random_state": 0, "verbose": 0}
    settings |= {"classify__param_grid": {"C": [1.0]}, "classify__cv": 2}
    settings |= parameters
    return make_transfer_pipeline(backbone, recipe="linear", **settings)


def make_classifier(**parameters):
    settings = {"weights": None, "pooling": "avg", "epochs": 1, "dense_units": 4}
    settings |= {"reset_batch_norm": False, "random_state": 0, "verbose": 0}
    return TransferLearningClassifier("tiny", **{**settings, **parameters})


class TestTables:
    """Rows of images and of other columns stay together in pandas and polars."""

    @pytest.fixture
    def expected(self, grey_paths):
        features = make_branch().fit_transform(grey_paths)
        return np.column_stack([features, AGES])

    @pytest.fixture(params=["paths", "pixels"])
    def table(self, request, grey_paths, grey_images):
        images = grey_paths if request.param == "paths" else list(grey_images)
        return pd.DataFrame({"image": images, "age": AGES}, index=INDEX)

    def make_columns(self, **parameters):
        branch = make_branch(**parameters)
        return make_column_transformer((branch, "image"), ("passthrough", ["age"]))

    @pytest.mark.parametrize("container", ["default", "pandas", "polars"])
    @pytest.mark.parametrize("lazy", [True, False, "auto"])
    def test_images_join_the_other_columns_of_their_row(
        self, table, expected, container, lazy
    ):
        columns = self.make_columns(lazy=lazy)
        with config_context(transform_output=container):
            found = columns.fit_transform(table)
            assert_allclose(np.asarray(found), expected, rtol=1e-5)
            few = columns.transform(table.iloc[[4, 0, 2]])
            assert_allclose(np.asarray(few), expected[[4, 0, 2]], rtol=1e-5)
        if container == "pandas":
            assert_array_equal(found.index, INDEX)
            assert_array_equal(few.index, INDEX[[4, 0, 2]])

    def test_set_output_of_the_whole(self, table, expected):
        columns = self.make_columns().set_output(transform="pandas")
        found = clone(columns).fit_transform(table)
        assert_allclose(found, expected, rtol=1e-5)
        assert_array_equal(found.index, INDEX)
        assert found.columns[-1] == "passthrough__age"

    def test_a_step_between_keeps_the_index(self, table, expected):
        columns = self.make_columns()
        mirror = FunctionTransformer(mirror_images)
        columns.transformers[0][1].steps.insert(1, ("mirror", mirror))
        with config_context(transform_output="pandas"):
            found = columns.fit_transform(table)
        assert_array_equal(found.index, INDEX)
        assert_array_equal(found.iloc[:, -1], AGES)

    def test_features_beside_features(self, table, expected):
        union = make_union(make_branch(), make_branch())
        with config_context(transform_output="pandas"):
            found = union.fit_transform(table["image"])
        assert_allclose(found, expected[:, [*range(6), *range(6)]], rtol=1e-5)
        assert_array_equal(found.index, INDEX)

    def test_a_search_over_the_table(self, table):
        columns = self.make_columns()
        model = make_pipeline(columns, StandardScaler(), LogisticRegression())
        y = ["a", "b"] * 3
        plain = cross_val_predict(model, table, y, cv=2, method="predict_proba")
        with config_context(transform_output="pandas"):
            found = cross_val_predict(model, table, y, cv=2, method="predict_proba")
        assert_allclose(found, plain, rtol=1e-4)

    def test_resampled_images_have_no_index(self, table):
        images = RadiographReader(32).fit_transform(table["image"])
        assert_array_equal(images.index, INDEX)
        balancer = AugmentationBalancer(random_state=0)
        resampled, _ = balancer.fit_resample(images, ["a", "b"] * 3)
        assert resampled.index is None

    @pytest.mark.parametrize("container", ["pandas", "polars"])
    def test_the_classifier(self, container):
        plain = make_classifier().fit(INPUT, Y)
        with config_context(transform_output=container):
            model = make_classifier().fit(INPUT, Y, X_val=INPUT, y_val=Y)
            assert_array_equal(model.classes_, plain.classes_)
            found = make_classifier().fit(INPUT, Y).predict_proba(INPUT)
        assert_allclose(found, plain.predict_proba(INPUT), rtol=1e-5)

    @pytest.mark.parametrize("container", ["pandas", "polars"])
    def test_the_linear_recipe(self, container):
        plain = make_linear().fit(GREY, Y).predict_proba(GREY)
        with config_context(transform_output=container):
            found = make_linear().fit(GREY, Y).predict_proba(GREY)
        assert_allclose(found, plain, rtol=1e-4)

    def test_names_and_output_of_the_linear_recipe(self):
        linear = make_linear().fit(GREY, Y)
        names = linear[:3].get_feature_names_out()
        assert_array_equal(names, linear["features"].get_feature_names_out())
        found = linear[:3].set_output(transform="pandas").transform(GREY)
        assert_array_equal(found.columns, names)
        reader = linear["read"]
        assert_array_equal(reader.get_feature_names_out(["path"]), ["path"])
        assert linear[:2].get_feature_names_out(["path"]).tolist() == ["path"]


class TestSharedValues:
    """A value that two steps must share is checked before any image is read."""

    MISSING = ["/no/such/image.png"] * len(Y)

    @pytest.mark.parametrize("recipe", ["paper", "fast", "linear"])
    def test_two_networks(self, recipe):
        model = make_transfer_pipeline("resnet50", recipe=recipe, weights=None)
        first, second = [name for name, of in model.steps if hasattr(of, "backbone")]
        for name in (first, second):
            other = clone(model).set_params(**{f"{name}__backbone": "mobilenetv2"})
            with pytest.raises(
                ValueError, match=rf"'{first}' has.*'{second}' has.*{first}__backbone"
            ):
                other.fit(self.MISSING, Y)

    @pytest.mark.parametrize("recipe", ["paper", "linear"])
    @pytest.mark.parametrize(
        "sizes", [{"read": 100}, {"preprocess": 256}, {"preprocess": (224, 225)}]
    )
    def test_two_sizes(self, recipe, sizes):
        model = make_transfer_pipeline("resnet50", recipe=recipe, weights=None)
        model.set_params(**{f"{step}__image_size": of for step, of in sizes.items()})
        with pytest.raises(
            ValueError, match=r"'read'.*'preprocess' would enlarge.*read__image_size"
        ):
            model.fit(self.MISSING, Y)

    def test_one_network_by_two_spellings(self):
        model = make_linear(features__backbone="TINY", read__image_size=40)
        assert model.fit(GREY, Y).score(GREY, Y) > 0.5

    def test_a_search_of_one_step_never_takes_the_wrong_network(self):
        register_backbone(**OTHER, overwrite=True)
        search = GridSearchCV(make_linear(), {"features__backbone": ["tiny", "other"]})
        with pytest.warns(
            FitFailedWarning, match=r"(?s)'preprocess' has.*'features' has"
        ):
            search.set_params(cv=2).fit(GREY, Y)
        assert search.best_params_ == {"features__backbone": "tiny"}
        assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]

    def test_search_of_networks(self):
        register_backbone(**OTHER, overwrite=True)
        grid = [
            {"preprocess__backbone": [name], "features__backbone": [name]}
            for name in ("tiny", "other")
        ]
        search = GridSearchCV(make_linear(), grid, cv=2).fit(GREY, Y)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        steps = {"preprocess": [BackbonePreprocessor("other")]}
        steps["features"] = [make_features().set_params(backbone="other")]
        whole = GridSearchCV(make_linear(), steps, cv=2).fit(GREY, Y)
        assert whole.best_estimator_["features"].backbone_.mode == "caffe"

    def test_images_for_another_network_in_any_composition(self):
        register_backbone(**OTHER, overwrite=True)
        read = RadiographReader(lazy=True)
        for last in (make_features(), make_classifier()):
            model = make_pipeline(read, BackbonePreprocessor("other"), last)
            with pytest.raises(ValueError, match=r"mode 'caffe'.*needs 'tf'"):
                model.fit(GREY, Y)
            fitted = make_pipeline(read, BackbonePreprocessor("tiny"), last).fit(
                GREY, Y
            )
            images = model[:2].fit_transform(GREY)
            method = "transform" if hasattr(last, "transform") else "predict"
            with pytest.raises(ValueError, match=r"mode 'caffe'.*needs 'tf'"):
                getattr(fitted[-1], method)(images)


OTHER = {
    "name": "other",
    "builder": tiny_backbone.build_tiny,
    "image_size": 32,
    "mode": "caffe",
    "fine_tune_from": 0,
}


def mirror_images(images):
    return images.map(np.fliplr, "mirror")


def flatten(images):
    return np.asarray(images).reshape(len(images), -1)


def fit_from_pickle(content):
    return pickle.loads(content).fit_transform(GREY)


class TestProcesses:
    """Networks that only this process has registered work in others."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def mine(cls):
        yield register_backbone(**{**OTHER, "name": "Mine"}, overwrite=True)
        get_reusable_executor().shutdown()

    @pytest.mark.parametrize("given", ["mine", "MINE", "backbone"])
    def test_pickles_hold_the_backbone(self, mine, given):
        given = mine if given == "backbone" else given
        for estimator in (
            BackbonePreprocessor(given),
            make_features().set_params(backbone=given),
            make_classifier().set_params(backbone=given),
        ):
            again = pickle.loads(pickle.dumps(estimator))
            assert again.backbone == mine
            assert estimator.backbone == given
        assert make_transfer_pipeline(given)["classify"].backbone == mine

    def test_names_of_skcovid_stay_names(self):
        estimator = pickle.loads(pickle.dumps(BackbonePreprocessor("ResNet50")))
        assert estimator.backbone == "ResNet50"
        assert make_transfer_pipeline("resnet50")["classify"].backbone == "resnet50"

    def test_estimators_from_files(self):
        fitted = BackbonePreprocessor("mine").fit(GREY)
        models = [BackbonePreprocessor("mine"), fitted, fitted]
        fits = Parallel(n_jobs=2)(
            delayed(fit_from_pickle)(pickle.dumps(model)) for model in models
        )
        for found in fits:
            assert_array_equal(found, fitted.transform(GREY))

    def test_folds_and_searches(self, mine):
        model = make_imblearn_pipeline(
            BackbonePreprocessor("mine"),
            FunctionTransformer(flatten),
            LogisticRegression(),
        )
        expected = cross_val_predict(model, GREY, Y, cv=2)
        found = cross_val_predict(model, GREY, Y, cv=2, n_jobs=2)
        assert_array_equal(found, expected)
        result = evaluate(model, GREY, Y, cv=2, n_jobs=2, verbose=0)
        assert len(result.folds) == 2
        name = "backbonepreprocessor__backbone"
        for grid in ({"logisticregression__C": [1, 2]}, {name: ["resnet50", mine]}):
            model_of_own_size = clone(model)
            model_of_own_size[0].set_params(image_size=32)
            search = GridSearchCV(
                model_of_own_size, grid, cv=2, n_jobs=2, error_score="raise"
            )
            assert len(search.fit(GREY, Y).cv_results_["params"]) == 2


class TestNumbersOfNumPy:
    """They are converted in one place; the estimators' checks try every parameter."""

    @pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float16, np.float32])
    def test_sizes_do_not_overflow(self, kind):
        y = np.repeat(["a", "b"], [200, 2])
        X = np.zeros((202, 2, 2), np.uint8)
        balancer = AugmentationBalancer(factor=kind(2)).fit(X, y)
        assert balancer.sampling_strategy_ == {"a": 400, "b": 400}

    @pytest.mark.parametrize(
        ("parameters", "lists"),
        [
            ({"learning_rate": np.float32(0.01)}, {}),
            ({"batch_size": np.uint8(200), "dropout": np.float16(0.5)}, {}),
            ({"dense_units": np.uint8(4)}, {"feature_layers": [np.int64(3)]}),
            ({"fine_tune_from": np.int32(7)}, {"pooling": [np.str_("max")]}),
        ],
    )
    def test_the_classifier_trains(self, parameters, lists):
        model = make_classifier(**parameters, **lists)
        model.fit(INPUT, Y).predict(INPUT)
        assert {name: getattr(model, name) for name in parameters} == parameters
        found = model.get_params()
        for name, value in (parameters | lists).items():
            assert found[name] is value

    def test_functions(self):
        image = GREY[0]
        assert_array_equal(
            augment(image, random_state=np.int64(1), fill=np.int64(3)),
            augment(image, random_state=1, fill=3),
        )
        X, _ = make_radiographs(
            np.uint8(6), image_size=np.int64(32), random_state=0, return_X_y=np.True_
        )
        assert X.shape == (6, 32, 32)

    def test_backbones(self):
        backbone = Backbone("own", np.str_("VGG16"), np.int64(64), "tf", np.uint8(3))
        assert backbone == Backbone("own", "VGG16", 64, "tf", 3)
        assert type(backbone.image_size) is int


class TestLabels:
    MODELS = {
        "balancer": AugmentationBalancer(),
        "reader": RadiographReader(),
        "preprocessor": BackbonePreprocessor("tiny"),
        "linear": make_linear(),
        "sklearn": make_branch(),
        "classifier": make_classifier(),
        "paper": make_transfer_pipeline("tiny", weights=None),
    }

    @pytest.mark.parametrize("name", MODELS)
    @pytest.mark.parametrize("other", ["covid-19", "COVID-19 ", 7, True])
    def test_two_spellings_or_types(self, name, other):
        X = INPUT if name == "classifier" else GREY
        y = [*Y.tolist()[:-1], other]
        with pytest.raises(ValueError, match=r"y: (labels|values)") as raised:
            self.MODELS[name].fit(X, y)
        assert repr(other) in str(raised.value)

    @pytest.mark.parametrize("y", [[0, "0"], [b"a", "a"], [1, True], [0.5, "a"]])
    def test_types(self, y):
        with pytest.raises(ValueError, match=r"several types.*convert all"):
            RadiographReader().fit(GREY[:2], np.array(y, dtype=object))

    @pytest.mark.parametrize(
        "y", [[0, 1.0], [np.int64(1), 2], [np.str_("a"), "b"], [True, np.False_], None]
    )
    def test_one_type(self, y):
        RadiographReader().fit(GREY[:2], y)


def test_fine_tuning_from_the_first_layer_trains_every_layer():
    for model in (
        make_classifier(fine_tune_from=0),
        make_classifier().set_params(backbone=Backbone(**OTHER)),
    ):
        model.fit(INPUT, Y)
        assert model.fine_tune_from_ == 0
        layers = model.model_.layers[: model.n_backbone_layers_]
        assert all(layer.trainable for layer in layers)
