import pickle
import re
from collections import Counter
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
import sklearn
from imblearn import FunctionSampler
from imblearn.pipeline import Pipeline
from sklearn.base import clone, is_classifier
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from _helpers import tiny_backbone
from _helpers.recording import RecordingClassifier, numbered_images, numbers_of
from skcovid import (
    AugmentationBalancer,
    BackboneFeatures,
    BackbonePreprocessor,
    HoldoutPipeline,
    RadiographReader,
    TransferLearningClassifier,
    evaluate,
    make_transfer_pipeline,
)
from skcovid.augmentation import Rotation
from skcovid.pipeline import RECIPES

TINY = tiny_backbone.register()

N_IMAGES = 60
X = numbered_images(N_IMAGES)
Y = np.repeat(["COVID-19", "NORMAL", "Viral Pneumonia"], [10, 20, 30])
GROUPS = np.arange(N_IMAGES) // 2
# An image keeps its number when rotated.
BALANCING = {"factor": 1, "transforms": [Rotation()], "random_state": 0}


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    monkeypatch.setattr(RecordingClassifier, "calls", [])
    return RecordingClassifier.calls


def make_pipeline(**parameters):
    return HoldoutPipeline(
        [
            ("balance", AugmentationBalancer(**BALANCING)),
            ("half", FunctionTransformer(halve)),
            ("classify", RecordingClassifier()),
        ],
        **{"validation_fraction": 0.2, "random_state": 0, **parameters},
    )


def halve(images):
    return np.asarray(images) // 2


class NotedClassifier(RecordingClassifier):
    """A classifier whose `fit` takes metadata."""

    def fit(self, X, y, X_val=None, y_val=None, note=None):
        self.note_ = note
        return super().fit(X, y, X_val, y_val)


class WeightedCall(NamedTuple):
    X: object
    y: object
    X_val: object
    y_val: object
    sample_weight: object


class MetadataClassifier(RecordingClassifier):
    """A classifier whose `fit` keeps the metadata of its training images."""

    def fit(self, X, y, X_val=None, y_val=None, sample_weight=None, groups=None):
        self.sample_weight_, self.groups_ = sample_weight, groups
        super().fit(X, y, X_val, y_val)
        self.calls[-1] = WeightedCall(*self.calls[-1], sample_weight)
        return self


class TestSplit:
    def test_is_stratified(self):
        held_out = make_pipeline().fit(X, Y).validation_indices_
        assert Counter(Y[held_out]) == {
            "COVID-19": 2,
            "NORMAL": 4,
            "Viral Pneumonia": 6,
        }

    @pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
    def test_sets_the_fraction_aside(self, fraction):
        pipeline = make_pipeline(validation_fraction=fraction).fit(X, Y)
        assert len(pipeline.validation_indices_) == fraction * N_IMAGES

    def test_keeps_groups_whole(self):
        held_out = make_pipeline().fit(X, Y, groups=GROUPS).validation_indices_
        assert len(held_out) == 12
        kept = np.setdiff1d(np.arange(N_IMAGES), held_out)
        assert not set(GROUPS[held_out]) & set(GROUPS[kept])
        assert set(Y[held_out]) == set(Y)

    @pytest.mark.parametrize("groups", [None, GROUPS], ids=["images", "groups"])
    def test_is_repeatable_and_depends_on_the_seed(self, groups):
        first, again, other = (
            set(
                make_pipeline(random_state=seed)
                .fit(X, Y, groups=groups)
                .validation_indices_
            )
            for seed in (0, 0, 1)
        )
        assert first == again
        assert first != other

    @pytest.mark.parametrize("seed", range(5))
    def test_finds_a_split_with_every_class_among_few_groups(self, seed):
        # Of ten splits, five hold a patient with COVID-19.
        y = np.repeat(["COVID-19", "NORMAL"], [5, 55])
        groups = np.r_[np.arange(5), 5 + np.arange(55) // 2]
        pipeline = make_pipeline(validation_fraction=0.1, random_state=seed)
        pipeline.fit(X, y, groups=groups)
        assert set(y[pipeline.validation_indices_]) == set(y)

    @pytest.mark.parametrize("fraction", [0.1, 0.2, 0.35, 0.4, 0.45, 0.5])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_whole_groups_come_nearest_to_the_fraction(self, fraction, seed):
        pipeline = make_pipeline(validation_fraction=fraction, random_state=seed)
        held_out = pipeline.fit(X, Y, groups=GROUPS).validation_indices_
        assert abs(len(held_out) - fraction * N_IMAGES) <= 1
        for label, count in Counter(Y).items():
            assert abs(np.sum(Y[held_out] == label) - fraction * count) <= 2

    @pytest.mark.parametrize("seed", range(4))
    def test_no_choice_of_groups_is_nearer(self, seed):
        generator = np.random.default_rng(seed)
        sizes = generator.choice([1, 2, 5, 9, 13], size=8)
        groups = np.repeat(np.arange(8), sizes)
        y = generator.integers(0, 2, len(groups))
        fraction = generator.choice([0.15, 0.25, 0.4])
        pipeline = make_pipeline(validation_fraction=fraction)
        pipeline.fit(numbered_images(len(y)), y, groups=groups)
        distances = []
        for chosen in product([False, True], repeat=8):
            rows = np.array(chosen)[groups]
            if len(set(y[rows])) == len(set(y[~rows])) == 2:
                distances.append(abs(rows.sum() - fraction * len(y)))
        held_out = pipeline.validation_indices_
        assert abs(len(held_out) - fraction * len(y)) == min(distances)

    def test_groups_that_each_hold_every_class(self):
        groups, y = np.repeat(np.arange(8), 3), np.tile(np.unique(Y), 8)
        pipeline = make_pipeline(validation_fraction=0.25)
        held_out = pipeline.fit(X[:24], y, groups=groups).validation_indices_
        assert len(held_out) == 6
        assert len(set(groups[held_out])) == 2

    def test_groups_that_cannot_be_separated_are_an_error(self):
        # Each two of the three patients share a class.
        groups, y = np.repeat([0, 1, 2], 2), np.array(list("abbcca"))
        with pytest.raises(ValueError, match=r"validation_fraction=0\.5.*'.' has 2"):
            make_pipeline(validation_fraction=0.5).fit(X[:6], y, groups=groups)

    def test_a_class_of_one_image_is_an_error(self, calls):
        with pytest.raises(ValueError, match="'COVID-19' has 1"):
            make_pipeline().fit(X, ["COVID-19"] + ["NORMAL"] * 59)
        assert not calls

    def test_a_class_of_one_patient_is_an_error(self, calls):
        # This patient has images of another class too.
        groups = np.r_[0, 0, 0, np.arange(1, 58)]
        with pytest.raises(ValueError, match="'COVID-19' has 1"):
            make_pipeline().fit(
                X, ["NORMAL"] + ["COVID-19"] * 2 + ["NORMAL"] * 57, groups=groups
            )
        assert not calls

    @pytest.mark.parametrize("groups", [None, np.arange(60)], ids=["images", "groups"])
    def test_a_fraction_too_small_for_the_classes_is_an_error(self, groups, calls):
        with pytest.raises(ValueError, match=r"validation_fraction=0\.03"):
            make_pipeline(validation_fraction=0.03).fit(X, Y, groups=groups)
        assert not calls

    def test_a_rare_class_left_out_is_an_error(self):
        labels = ["COVID-19"] * 3 + ["NORMAL"] * 57
        with pytest.raises(ValueError, match=r"validation_fraction=0\.1.*'COVID-19'"):
            make_pipeline(validation_fraction=0.1).fit(X, labels)

    @pytest.mark.parametrize("fraction", [0, 0.6, 1, -0.1, "half", None])
    def test_an_invalid_fraction_is_an_error(self, fraction):
        with pytest.raises(ValueError, match="validation_fraction"):
            make_pipeline(validation_fraction=fraction).fit(X, Y)


class TestFit:
    def test_transforms_validation_data_without_resampling_it(self, calls):
        pipeline = make_pipeline().fit(X, Y)
        (call,) = calls
        held_out = pipeline.validation_indices_
        np.testing.assert_array_equal(call.X_val, X[held_out] // 2)
        np.testing.assert_array_equal(call.y_val, Y[held_out])
        # Each class ends with 0.8 × 30 images.
        assert Counter(call.y) == dict.fromkeys(np.unique(Y), 24)

    def test_given_validation_data_are_not_split_off(self, calls):
        pipeline = make_pipeline().fit(X, Y, X_val=X[:7], y_val=Y[:7])
        assert pipeline.validation_indices_ is None
        np.testing.assert_array_equal(calls[0].X_val, X[:7] // 2)
        np.testing.assert_array_equal(calls[0].y_val, Y[:7])
        assert len(calls[0].y) == 3 * 30

    @pytest.mark.parametrize("given", [{"X_val": X[:7]}, {"y_val": Y[:7]}])
    def test_x_val_without_y_val_is_an_error(self, given):
        with pytest.raises(ValueError, match=r"X_val.*y_val"):
            make_pipeline().fit(X, Y, **given)

    @pytest.mark.parametrize("lengths", [{"y": Y[:9]}, {"y": Y, "groups": GROUPS[:9]}])
    def test_different_lengths_are_an_error(self, lengths):
        with pytest.raises(ValueError, match=r"(y|groups) has 9"):
            make_pipeline().fit(X, **lengths)

    @pytest.mark.parametrize("last", [LogisticRegression(), "passthrough"])
    def test_a_last_step_without_validation_data_is_an_error(self, last):
        pipeline = make_pipeline().set_params(classify=last)
        message = (
            f"X_val and y_val.*{re.escape(repr(last))}.*imblearn.pipeline.Pipeline"
        )
        with pytest.raises(TypeError, match=message):
            pipeline.fit(X, Y)

    @pytest.mark.parametrize("container", [list, tuple])
    def test_takes_sequences(self, container, calls):
        make_pipeline().fit(container(X), container(Y), groups=container(GROUPS))
        assert len(calls[0].y) == 3 * 24

    def test_requested_metadata_reach_the_step(self):
        with sklearn.config_context(enable_metadata_routing=True):
            last = NotedClassifier().set_fit_request(note=True)
        pipeline = make_pipeline().set_params(classify=last).fit(X, Y, note="here")
        assert pipeline.named_steps["classify"].note_ == "here"

    @pytest.mark.parametrize("given", [{}, {"X_val": X[:7], "y_val": Y[:7]}])
    def test_weights_and_groups_stay_with_their_images(self, given, calls):
        with sklearn.config_context(enable_metadata_routing=True):
            last = MetadataClassifier().set_fit_request(sample_weight=True, groups=True)
        pipeline = make_pipeline().set_params(half="passthrough", classify=last)
        weights = np.arange(N_IMAGES) / 10
        pipeline.fit(X, Y, sample_weight=weights.tolist(), groups=GROUPS, **given)
        numbers = numbers_of(calls[0].X)
        assert len(numbers) > N_IMAGES
        np.testing.assert_array_equal(last.sample_weight_, weights[numbers])
        np.testing.assert_array_equal(last.groups_, GROUPS[numbers])

    def test_weights_that_a_sampler_cannot_resample_are_an_error(self):
        with sklearn.config_context(enable_metadata_routing=True):
            last = MetadataClassifier().set_fit_request(sample_weight=True)
        pipeline = make_pipeline().set_params(
            balance=FunctionSampler(validate=False), classify=last
        )
        pipeline.fit(X, Y)
        with pytest.raises(ValueError, match=r"'balance'.*sample_weight"):
            pipeline.fit(X, Y, sample_weight=np.ones(N_IMAGES))

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            (np.ones(N_IMAGES - 1), "sample_weight has 59 values for 60"),
            (np.full(N_IMAGES, np.nan), "sample_weight contains NaN"),
            (np.full(N_IMAGES, -1.0), "Negative.*sample_weight"),
        ],
        ids=["short", "nan", "negative"],
    )
    def test_weights_that_are_not_valid_are_an_error(self, weights, message, calls):
        with sklearn.config_context(enable_metadata_routing=True):
            last = MetadataClassifier().set_fit_request(sample_weight=True)
        pipeline = make_pipeline().set_params(classify=last)
        with pytest.raises(ValueError, match=message):
            pipeline.fit(X, Y, sample_weight=weights)
        with pytest.raises(TypeError, match=r"'classify'.*set_fit_request"):
            pipeline.fit(X, Y, classify__sample_weight=np.ones(N_IMAGES))
        assert not calls

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    @pytest.mark.parametrize("step", ["half", "classify"])
    def test_a_failed_refit_leaves_nothing_fitted(self, step, error, monkeypatch):
        def fail(X, y, X_val=None, y_val=None):
            raise error("stop")

        pipeline = make_pipeline().fit(X, Y)
        monkeypatch.setattr(pipeline.named_steps[step], "fit", fail)
        monkeypatch.setattr(
            pipeline.named_steps[step], "fit_transform", fail, raising=False
        )
        with pytest.raises(error, match="stop"):
            pipeline.fit(X, Y)
        assert not hasattr(pipeline, "validation_indices_")
        with pytest.raises(NotFittedError):
            check_is_fitted(pipeline)

    def test_a_sampler_may_precede_the_last_step_or_be_it(self, calls):
        pipeline = make_pipeline()
        pipeline.set_params(half="passthrough").fit(X, Y)
        np.testing.assert_array_equal(calls[0].X_val, X[pipeline.validation_indices_])
        sampler_last = HoldoutPipeline(
            [pipeline.steps[0], pipeline.steps[2]], random_state=0
        ).fit(X, Y)
        np.testing.assert_array_equal(
            calls[1].X_val, X[sampler_last.validation_indices_]
        )

    def test_a_column_of_labels_is_accepted_with_a_warning(self):
        with pytest.warns(DataConversionWarning, match="1d array"):
            fitted = make_pipeline().fit(X, Y[:, np.newaxis])
        np.testing.assert_array_equal(fitted.classes_, np.unique(Y))

    def test_predicts(self):
        pipeline = make_pipeline().fit(X, Y)
        np.testing.assert_array_equal(pipeline.classes_, np.unique(Y))
        assert pipeline.predict_proba(X[:4]).shape == (4, 3)
        assert pipeline.score(X, Y) > 0.6


class TestScikitLearn:
    def test_is_a_classifier(self):
        assert is_classifier(make_pipeline())

    def test_needs_labels(self):
        assert get_tags(make_pipeline()).target_tags.required is True

    def test_parameters(self):
        pipeline = make_pipeline()
        assert pipeline.get_params()["validation_fraction"] == 0.2
        pipeline.set_params(validation_fraction=0.3, balance__factor=2, random_state=5)
        copy = clone(pipeline)
        assert (copy.validation_fraction, copy.random_state) == (0.3, 5)
        assert copy.named_steps["balance"].factor == 2
        assert "validation_fraction=0.3" in repr(pipeline)
        assert make_pipeline(memory="cache").get_params()["memory"] == "cache"
        assert HoldoutPipeline(pipeline.steps).get_params()["verbose"] is False

    def test_an_unknown_parameter_is_an_error(self):
        with pytest.raises(TypeError, match="validation_split"):
            HoldoutPipeline([], validation_split=0.1)
        with pytest.raises(ValueError, match="validation_split"):
            make_pipeline().set_params(validation_split=0.1)

    def test_survives_pickling(self):
        pipeline = make_pipeline().fit(X, Y)
        restored = pickle.loads(pickle.dumps(pipeline))
        np.testing.assert_array_equal(
            restored.predict_proba(X), pipeline.predict_proba(X)
        )

    def test_slices(self):
        pipeline = make_pipeline().fit(X, Y)
        np.testing.assert_array_equal(pipeline[:-1].transform(X[:2]), X[:2] // 2)
        assert pipeline[:1].fit_resample(X, Y)[0].shape == (90, 16, 16)
        assert not hasattr(pipeline, "transform")

    def test_integer_cv_is_stratified(self):
        found = cross_validate(make_pipeline(), X, Y, cv=5, return_indices=True)
        for test in found["indices"]["test"]:
            assert Counter(Y[test]) == {
                "COVID-19": 2,
                "NORMAL": 4,
                "Viral Pneumonia": 6,
            }

    @pytest.mark.parametrize("routing", [False, True])
    def test_cross_validation_passes_the_groups(self, routing, calls):
        with sklearn.config_context(enable_metadata_routing=routing):
            to_splitter = {} if routing else {"groups": GROUPS}
            predicted = cross_val_predict(
                make_pipeline().set_params(half="passthrough"),
                X,
                Y,
                cv=StratifiedGroupKFold(3),
                params={"groups": GROUPS},
                **to_splitter,
            )
            assert sklearn.get_config()["enable_metadata_routing"] is routing
        assert predicted.shape == Y.shape
        assert len(calls) == 3
        for call in calls:
            monitored = set(GROUPS[numbers_of(call.X_val)])
            assert not monitored & set(GROUPS[numbers_of(call.X)])

    @pytest.mark.parametrize("routing", [False, True])
    def test_restores_the_configuration(self, routing):
        with sklearn.config_context(enable_metadata_routing=routing):
            make_pipeline().fit(X, Y)
            with pytest.raises(ValueError, match="y has 5 values"):
                make_pipeline().fit(X, Y[:5])
            failing = make_pipeline().set_params(balance__factor=-1)
            with pytest.raises(ValueError, match="factor"):
                failing.fit(X, Y)
            assert sklearn.get_config()["enable_metadata_routing"] is routing

    @pytest.mark.parametrize("routing", [False, True])
    def test_grid_search(self, routing, calls):
        with sklearn.config_context(enable_metadata_routing=routing):
            search = GridSearchCV(make_pipeline(), {"balance__factor": [1, 2]}, cv=2)
            search.fit(X, Y)
        assert len(search.cv_results_["params"]) == 2
        assert all(call.X_val is not None for call in calls)
        assert not np.isnan(search.cv_results_["mean_test_score"]).any()

    def test_plain_pipeline_has_no_validation_set(self, calls):
        Pipeline(make_pipeline().steps).fit(X, Y)
        assert calls[0].X_val is None
        assert len(calls[0].y) == 90


class TestMakeTransferPipeline:
    def test_steps(self):
        pipeline = make_transfer_pipeline("tiny", weights=None)
        assert isinstance(pipeline, HoldoutPipeline)
        assert list(pipeline.named_steps) == [
            "read",
            "balance",
            "preprocess",
            "classify",
        ]
        assert pipeline.named_steps["read"].image_size == tiny_backbone.IMAGE_SIZE
        assert pipeline.named_steps["read"].lazy is True
        assert pipeline.named_steps["preprocess"].backbone == TINY
        assert pipeline.named_steps["classify"].backbone == TINY

    def test_paper_is_the_default_recipe_and_equals_the_classifiers_defaults(self):
        classify = make_transfer_pipeline("tiny").named_steps["classify"]
        paper = make_transfer_pipeline("tiny", recipe="paper").named_steps["classify"]
        own = TransferLearningClassifier(TINY).get_params()
        assert classify.get_params() == paper.get_params() == own
        stated = {
            "batch_norm": "trainable",
            "reset_batch_norm": True,
            "pooling": None,
            "dense_units": 128,
            "dropout": 0.6,
            "learning_rate": 0.001,
            "reduce_lr_factor": 0.05,
            "reduce_lr_patience": 5,
            "early_stopping_patience": 10,
        }
        assert {name: own[name] for name in stated} == stated

    def test_steps_of_the_linear_recipe(self):
        pipeline = make_transfer_pipeline("tiny", recipe="linear", weights=None)
        assert list(pipeline.named_steps) == [
            "read",
            "preprocess",
            "features",
            "scale",
            "components",
            "classify",
        ]
        assert pipeline.named_steps["read"].image_size == tiny_backbone.IMAGE_SIZE
        assert pipeline.named_steps["read"].lazy is True
        assert pipeline.named_steps["preprocess"].backbone == TINY
        assert pipeline.named_steps["features"].backbone == TINY
        assert pipeline.named_steps["components"] == "passthrough"
        search = pipeline.named_steps["classify"]
        assert search.estimator.solver == "lbfgs"
        recipe = RECIPES["linear"]["classify"]
        assert search.param_grid == recipe["param_grid"]
        assert repr(search.cv) == repr(recipe["cv"])
        assert make_transfer_pipeline()["classify"].backbone == "inceptionv3"

    def test_recipes_are_parameters(self):
        fast = make_transfer_pipeline("tiny", recipe="fast").named_steps["classify"]
        recipe = RECIPES["fast"]["classify"]
        assert recipe.items() <= fast.get_params().items()
        assert recipe["keep_features"]
        assert recipe["batch_norm"] == "frozen"
        balance = make_transfer_pipeline("tiny", recipe="fast").named_steps["balance"]
        assert RECIPES["fast"]["balance"].items() <= balance.get_params().items()

    @pytest.mark.parametrize(
        ("override", "expected"),
        [
            ({"weights": None}, {"classify__weights": None}),
            (
                {"random_state": 3},
                {
                    "random_state": 3,
                    "balance__random_state": 3,
                    "classify__random_state": 3,
                },
            ),
            (
                {"n_jobs": 5},
                {"read__n_jobs": 5, "balance__n_jobs": 5, "classify__n_jobs": 5},
            ),
            (
                {"image_size": 96},
                {"read__image_size": 96, "preprocess__image_size": 96},
            ),
            ({"validation_fraction": 0.3}, {"validation_fraction": 0.3}),
            ({"balance__factor": 4}, {"balance__factor": 4}),
            # The pipeline's own memory and verbose do not change.
            ({"memory": "folder"}, {"classify__memory": "folder"}),
            ({"verbose": 0}, {"classify__verbose": 0}),
            # The value for a step takes precedence.
            (
                {"balance__n_jobs": 1, "n_jobs": 5},
                {"read__n_jobs": 5, "balance__n_jobs": 1, "classify__n_jobs": 5},
            ),
            (
                {"n_jobs": 5, "balance__n_jobs": 1},
                {"read__n_jobs": 5, "balance__n_jobs": 1, "classify__n_jobs": 5},
            ),
        ],
        ids=str,
    )
    def test_overrides_reach_every_step_that_has_them(self, override, expected):
        before = plain_parameters(make_transfer_pipeline("tiny"))
        after = plain_parameters(make_transfer_pipeline("tiny", **override))
        changed = {name for name in after if after[name] != before[name]}
        assert {name: after[name] for name in expected} == expected
        assert changed <= set(expected)

    @pytest.mark.parametrize(
        ("typo", "nearest"),
        [
            ("dropuot", "'dropout'"),
            ("classify__dropuot", "'classify__dropout'"),
            ("validation_fractoin", "'validation_fraction'"),
        ],
    )
    def test_a_typo_is_an_error_with_a_suggestion(self, typo, nearest):
        message = f"'{typo}'.* Did you mean {nearest}\\?$"
        with pytest.raises(TypeError, match=message):
            make_transfer_pipeline("tiny", **{typo: 1})

    @pytest.mark.parametrize("name", ["steps", "balance", "balance__", "zzzz"])
    def test_unknown_parameters_are_errors(self, name):
        with pytest.raises(TypeError, match=f"no parameter '{name}'"):
            make_transfer_pipeline("tiny", **{name: None})

    def test_an_unlike_name_is_told_where_the_names_are(self):
        with pytest.raises(TypeError, match=r"'zzzz'\. make_.*get_params"):
            make_transfer_pipeline("tiny", zzzz=None)

    def test_parameters_of_wrapped_estimators_are_suggested(self):
        with pytest.raises(TypeError, match=r"Did you mean 'solver'\?"):
            make_transfer_pipeline("tiny", recipe="linear", solvr="lbfgs")

    def test_steps_is_never_suggested(self):
        with pytest.raises(TypeError) as error:
            make_transfer_pipeline("tiny", stepss=None)
        assert "'steps'" not in str(error.value)

    def test_unknown_recipe_or_backbone_is_an_error(self):
        with pytest.raises(ValueError, match=r"recipe='fats'.*'paper', 'fast'"):
            make_transfer_pipeline("tiny", recipe="fats")
        with pytest.raises(ValueError, match=r"backbone='tinny'.*'tiny'"):
            make_transfer_pipeline("tinny")

    @pytest.mark.parametrize("recipe", RECIPES)
    def test_can_be_cloned_and_pickled_and_builds_nothing(self, recipe, tmp_path):
        pipeline = make_transfer_pipeline(
            "inceptionv3", recipe=recipe, weights=tmp_path / "missing.weights.h5"
        )
        copy = pickle.loads(pickle.dumps(clone(pipeline)))
        assert plain_parameters(copy) == plain_parameters(pipeline)


@pytest.mark.parametrize(
    ("step", "good", "bad"),
    [
        (RadiographReader(), X, X[:0]),
        (BackbonePreprocessor("tiny"), X, X[:0]),
        (
            BackboneFeatures("tiny", weights=None),
            np.zeros((1, 32, 32, 3), np.float32),
            X,
        ),
    ],
    ids=["reader", "preprocessor", "features"],
)
def test_a_transformer_is_not_fitted_after_a_fit_that_failed(step, good, bad):
    for fitted in (clone(step), clone(step).fit(good)):
        with pytest.raises(ValueError, match="X"):
            fitted.fit(bad)
        with pytest.raises(NotFittedError):
            check_is_fitted(fitted)


def test_a_balancer_is_not_fitted_after_a_fit_that_failed():
    for method, refit in product(("fit", "fit_resample"), (False, True)):
        balancer = AugmentationBalancer()
        if refit:
            getattr(balancer, method)(X, Y)
        with pytest.raises(ValueError, match="one class only"):
            getattr(balancer, method)(X, Y[:1].repeat(N_IMAGES))
        with pytest.raises(NotFittedError):
            check_is_fitted(balancer)


class TestLinearRecipe:
    """The search gets images in place of features, and records its fits."""

    def make(self, **parameters):
        steps = ["read", "preprocess", "features", "scale", "components"]
        return make_transfer_pipeline("tiny", recipe="linear").set_params(
            **dict.fromkeys(steps, "passthrough"),
            classify__estimator=RecordingClassifier(),
            classify__param_grid={"temperature": [1.0]},
            **parameters,
        )

    def check(self, calls, groups):
        """Check the fits of each search: three folds, then all images."""
        for start in range(0, len(calls), 4):
            trained = [numbers_of(call.X) for call in calls[start : start + 4]]
            for fold in trained[:3]:
                tested = np.setdiff1d(trained[3], fold)
                assert len(tested) > 10
                assert not set(groups[tested]) & set(groups[fold])

    @pytest.mark.parametrize("routing", [False, True])
    def test_fit_keeps_groups_whole(self, routing, calls):
        with sklearn.config_context(enable_metadata_routing=routing):
            pipeline = self.make().fit(X, Y, groups=GROUPS.tolist())
            assert sklearn.get_config()["enable_metadata_routing"] is routing
        assert len(calls) == 4
        self.check(calls, GROUPS)
        assert pipeline.score(X, Y) > 0.6

    def test_folds_without_groups_are_scikit_learns(self, calls):
        self.make().fit(X, Y)
        folds = StratifiedKFold(3).split(X, Y)
        for (train, _), call in zip(folds, calls[:3], strict=True):
            np.testing.assert_array_equal(numbers_of(call.X), train)

    def test_evaluate_and_searches_keep_groups_whole(self, calls):
        evaluate(self.make(), X, Y, cv=3, groups=GROUPS, verbose=0)
        with sklearn.config_context(enable_metadata_routing=True):
            cross_val_predict(
                self.make(),
                X,
                Y,
                cv=StratifiedGroupKFold(3),
                params={"groups": GROUPS},
            )
        assert len(calls) == 24
        self.check(calls, GROUPS)

    @pytest.mark.parametrize("groups", [None, GROUPS])
    def test_weights_stay_with_their_images(self, groups, calls):
        weights = np.arange(N_IMAGES) / 10
        with sklearn.config_context(enable_metadata_routing=True):
            last = MetadataClassifier().set_fit_request(
                sample_weight=True, groups=False
            )
            last.set_score_request(sample_weight=False)
            pipeline = self.make().set_params(classify__estimator=last)
            pipeline.fit(X, Y, sample_weight=weights, groups=groups)
        fitted = pipeline.named_steps["classify"].best_estimator_
        np.testing.assert_array_equal(fitted.sample_weight_, weights)
        assert len(calls) == 4
        seen = {tuple(call.sample_weight) for call in calls}
        expected = {tuple(weights[numbers_of(call.X)]) for call in calls}
        assert seen == expected

    def test_a_class_of_one_patient_is_an_error(self, calls):
        groups = np.where(Y[0] == Y, 99, GROUPS)
        with pytest.raises(ValueError, match=r"'COVID-19'.*n_splits=3.*groups"):
            self.make().fit(X, Y, groups=groups)
        assert not calls

    def test_a_sampler_resamples_the_groups(self, calls):
        pipeline = self.make()
        pipeline.set_params(read=AugmentationBalancer(**BALANCING))
        pipeline.fit(X, Y, groups=GROUPS)
        self.check(calls, GROUPS)

    @pytest.mark.parametrize("cv", [None, 3, StratifiedKFold(3)])
    def test_a_cv_that_splits_groups_is_an_error(self, cv, calls):
        pipeline = self.make(classify__cv=cv)
        with pytest.raises(ValueError, match=r"classify__cv.*StratifiedGroupKFold"):
            pipeline.fit(X, Y, groups=GROUPS)
        assert not calls
        pipeline.fit(X, Y)
        whole = self.make(classify__cv=StratifiedGroupKFold(3))
        calls.clear()
        whole.fit(X, Y, groups=GROUPS)
        self.check(calls, GROUPS)

    def test_a_last_step_that_splits_nothing_ignores_groups(self, calls):
        self.make().set_params(classify=RecordingClassifier()).fit(X, Y, groups=GROUPS)
        assert len(calls[0].X) == N_IMAGES

    def test_groups_of_another_length_are_an_error(self):
        with pytest.raises(ValueError, match="groups has 59 values for 60"):
            self.make().fit(X, Y, groups=GROUPS[:-1])


def plain_parameters(pipeline):
    # NaN and cross-validators do not equal their copies.
    other = ("steps", "classify__error_score", "classify__cv")
    return {
        name: value
        for name, value in pipeline.get_params().items()
        if name not in other and not hasattr(value, "fit")
    }
