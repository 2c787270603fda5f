import gc
import pickle
import random
import subprocess
import sys
import tempfile
import warnings
import weakref
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted
from tensorflow.python.eager import context

from _helpers import tiny_backbone
from skcovid import (
    LazyImages,
    TransferLearningClassifier,
    evaluate,
    make_transfer_pipeline,
)
from skcovid.estimators import _training as training
from skcovid.estimators._training import Batches, TrainingSettings, train_phase
from skcovid.networks import _network as network
from skcovid.networks.backbones import get_backbone

tiny_backbone.register()
pytestmark = [
    pytest.mark.usefixtures("eager"),
    # TensorFlow warns where its functions run eagerly, Keras with NumPy 2.
    pytest.mark.filterwarnings(
        "ignore:Even though the .tf.config", "ignore:__array__ implementation"
    ),
]

N_IMAGES = 18
CLASSES = tiny_backbone.CLASSES
GREY, Y = tiny_backbone.make_images(N_IMAGES)
X = tiny_backbone.prepare(GREY)
GREY_VAL, Y_VAL = tiny_backbone.make_images(6, seed=1)
X_VAL = tiny_backbone.prepare(GREY_VAL)
VALIDATION = {"X_val": X_VAL, "y_val": Y_VAL}

QUICK = {
    "backbone": "tiny",
    "weights": None,
    "dense_units": 8,
    "epochs": 1,
    "batch_size": 9,
    "n_jobs": 1,
    "random_state": 0,
    "verbose": 0,
}
FROZEN = {"batch_norm": "frozen", "reset_batch_norm": False}
KEPT = {**FROZEN, "keep_features": True, "features_dtype": "float32"}
LEARNING = {**KEPT, "dropout": 0.0, "learning_rate": 0.02, "batch_size": 6, "epochs": 4}


def make(**parameters):
    return TransferLearningClassifier(**{**QUICK, **parameters})


def make_pipeline(**parameters):
    """Make the fast recipe; it monitors three of the nine images in a fold."""
    settings = {**QUICK, "factor": 1, "validation_fraction": 0.34, **parameters}
    return make_transfer_pipeline(recipe="fast", **settings)


@pytest.fixture(scope="module")
def whole():
    return make(**FROZEN).fit(X, Y, **VALIDATION)


@pytest.fixture
def fitted(whole):
    """A fitted classifier that the test may change."""
    return pickle.loads(pickle.dumps(whole))


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    return tmp_path_factory.mktemp("memory")


@pytest.fixture(scope="module")
def kept(memory):
    return make(**KEPT, memory=memory).fit(X, Y, **VALIDATION)


@pytest.fixture(scope="module")
def backbone_file(tmp_path_factory):
    """Weights of the tiny network with random batch norm statistics."""
    base = network.build_backbone(
        get_backbone("tiny"), None, image_size=(32, 32), seed=5
    )
    generator = np.random.default_rng(0)
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(generator.normal(0, 0.1, layer.gamma.shape))
            layer.moving_variance.assign(generator.uniform(1, 2, layer.gamma.shape))
    path = tmp_path_factory.mktemp("weights") / "tiny.weights.h5"
    base.save_weights(path)
    return path, base.layers


class TestScikitLearn:
    def test_is_a_classifier(self):
        assert is_classifier(make())
        tags = get_tags(make())
        assert tags.estimator_type == "classifier"
        assert tags.classifier_tags is not None
        assert tags.target_tags.required
        assert tags.input_tags.three_d_array
        assert not tags.input_tags.two_d_array
        assert not tags.non_deterministic
        assert get_tags(make(random_state=None)).non_deterministic

    def test_parameters(self):
        classifier = make(dropout=0.3)
        assert classifier.get_params()["dropout"] == 0.3
        assert "dense_units=8" in repr(classifier)
        classifier.set_params(dropout=0.4, batch_size=5)
        copy = clone(classifier)
        assert copy.get_params() == classifier.get_params()
        # Other processes do not know the registered name.
        expected = {**copy.get_params(), "backbone": get_backbone("tiny")}
        assert pickle.loads(pickle.dumps(copy)).get_params() == expected

    def test_unknown_parameters_are_errors(self):
        with pytest.raises(TypeError, match="dropuot"):
            TransferLearningClassifier("tiny", dropuot=0.5)
        with pytest.raises(ValueError, match="dropuot"):
            make().set_params(dropuot=0.5)

    def test_constructing_stores_the_arguments_only(self):
        classifier = make(weights="missing.weights.h5", backbone="no such network")
        assert vars(classifier) == classifier.get_params()

    def test_has_no_partial_fit(self, kept):
        assert not hasattr(make(), "partial_fit")
        assert not hasattr(kept, "partial_fit")

    @pytest.mark.parametrize("method", ["predict", "predict_proba"])
    def test_predicting_before_fit_is_an_error(self, method):
        with pytest.raises(NotFittedError):
            getattr(make(), method)(X)

    def test_html(self, kept):
        assert "TransferLearningClassifier" in kept._repr_html_()


class TestParameters:
    @pytest.mark.parametrize(
        "parameter",
        [
            {"backbone": 3},
            {"weights": 3},
            {"fine_tune_from": -1},
            {"fine_tune_from": 1.5},
            {"pooling": "mean"},
            {"feature_layers": "all"},
            {"dense_units": 0},
            {"dropout": 1.0},
            {"dropout": -0.1},
            {"batch_norm": True},
            {"reset_batch_norm": "yes"},
            {"learning_rate": 0},
            {"batch_size": 0},
            {"epochs": 0},
            {"reduce_lr_factor": 1},
            {"reduce_lr_patience": 0},
            {"early_stopping_patience": 0},
            {"class_weight": "even"},
            {"keep_features": "yes"},
            {"features_dtype": "float64"},
            {"memory": 3},
            {"precision": "float16"},
            {"n_jobs": 0},
            {"random_state": "x"},
            {"verbose": "loud"},
        ],
        ids=str,
    )
    def test_invalid_values_are_errors(self, parameter):
        with pytest.raises(ValueError, match=f"'{next(iter(parameter))}' parameter"):
            make(**parameter).fit(X, Y)

    @pytest.mark.parametrize(
        ("parameters", "match"),
        [
            ({"keep_features": True}, "keep_features=True.*batch_norm='frozen'"),
            ({"batch_norm": "frozen"}, "reset_batch_norm=True"),
            ({"feature_layers": "auto"}, "feature_layers='auto'.*pooling"),
            ({"pooling": "avg", "feature_layers": ["conv9"]}, "feature_layers='conv9'"),
            ({"pooling": "avg", "feature_layers": []}, "feature_layers must name"),
            ({"pooling": ["avg", "mean"]}, "pooling must be"),
            ({"pooling": []}, "pooling must be"),
        ],
    )
    def test_invalid_combinations_are_errors(self, parameters, match):
        with pytest.raises(ValueError, match=match):
            make(**parameters).fit(X, Y)

    @pytest.mark.parametrize(
        ("parameters", "error", "match"),
        [
            ({"backbone": "tinny"}, ValueError, "Did you mean 'tiny'"),
            ({"fine_tune_from": 11}, ValueError, "fine_tune_from=11"),
            ({"fine_tune_from": "conv"}, ValueError, "fine_tune_from='conv'"),
            ({"weights": "no.weights.h5"}, FileNotFoundError, r"no\.weights\.h5"),
            ({"weights": "no.pt"}, ValueError, r"no\.pt"),
        ],
        ids=str,
    )
    def test_parameters_that_do_not_fit_the_backbone_are_errors(
        self, parameters, error, match
    ):
        with pytest.raises(error, match=match):
            make(**parameters).fit(X, Y)

    def test_fine_tune_from_defaults_to_the_backbones(self, whole):
        assert whole.fine_tune_from_ == tiny_backbone.FINE_TUNE_FROM
        classifier = make(fine_tune_from=4, **FROZEN).fit(X, Y)
        assert classifier.fine_tune_from_ == 4
        trained = [layer.trainable for layer in classifier.model_.layers]
        assert trained[:4] == [False] * 4
        assert trained[4] is True


class TestData:
    @pytest.mark.parametrize(
        ("images", "match"),
        [
            (GREY, r"X.*preprocessed.*\(18, 32, 32\)"),
            (np.repeat(GREY[..., None], 3, axis=-1), r"float32.*uint8.*Backbone"),
            (X.reshape(18, -1), "X.*preprocessed"),
            (X[..., :1], "X.*preprocessed"),
            (X[:0], "X.*preprocessed"),
            (np.where(X > 0.5, np.nan, X), "X holds NaN"),
            (np.where(X > 0.5, np.inf, X), "X holds NaN or infinite"),
        ],
        ids=["grey", "uint8", "flat", "one channel", "none", "nan", "infinite"],
    )
    def test_invalid_images_are_errors(self, images, match):
        with pytest.raises(ValueError, match=match):
            make().fit(images, Y[: len(images)])

    @pytest.mark.parametrize(
        ("labels", "match"),
        [
            (["NORMAL"] * N_IMAGES, "one class only, 'NORMAL'"),
            (Y[:-1], "numbers of samples"),
            (np.linspace(0, 1, N_IMAGES), "Unknown label type"),
            (np.eye(3)[np.arange(N_IMAGES) % 3], "1d array"),
        ],
        ids=["one class", "length", "continuous", "one-hot"],
    )
    def test_invalid_labels_are_errors(self, labels, match):
        with pytest.raises(ValueError, match=match):
            make().fit(X, labels)

    @pytest.mark.parametrize(
        ("validation", "match"),
        [
            ({"X_val": X_VAL}, "X_val and y_val"),
            ({"y_val": Y_VAL}, "X_val and y_val"),
            ({"X_val": X_VAL, "y_val": Y_VAL[:-1]}, "inconsistent numbers"),
            ({"X_val": X_VAL, "y_val": ["Covid"] * 6}, r"y_val .*'Covid'"),
            ({"X_val": GREY_VAL, "y_val": Y_VAL}, "X_val.*preprocessed"),
            ({"X_val": X_VAL[:, 1:], "y_val": Y_VAL}, r"X_val .*\(31, 32, 3\)"),
        ],
        ids=["no labels", "no images", "length", "unknown label", "grey", "shape"],
    )
    def test_invalid_validation_data_are_errors(self, validation, match):
        with pytest.raises(ValueError, match=match):
            make().fit(X, Y, **validation)

    @pytest.mark.parametrize(
        "weights",
        [
            np.ones(N_IMAGES - 1),
            -np.ones(N_IMAGES),
            np.zeros(N_IMAGES),
            np.full(N_IMAGES, np.nan),
        ],
    )
    def test_invalid_sample_weights_are_errors(self, weights):
        with pytest.raises(ValueError, match=r"[Ww]eight|NaN|[Nn]egative"):
            make().fit(X, Y, sample_weight=weights)

    def test_class_weights_of_zero_are_an_error(self):
        with pytest.raises(ValueError, match=r"every sample.*zero"):
            make(class_weight=dict.fromkeys(CLASSES, 0)).fit(X, Y)

    def test_another_shape_in_predict_is_an_error(self, kept):
        with pytest.raises(ValueError, match=r"\(31, 32, 3\).*\(32, 32, 3\)"):
            kept.predict(X[:, 1:])

    def test_other_float_types_are_accepted(self, kept):
        assert_allclose(
            kept.predict_proba(X.astype(np.float64)), kept.predict_proba(X), atol=1e-6
        )

    def test_with_kept_features_lazy_images_are_loaded_once(self):
        loads = []

        def load(number):
            loads.append(number)
            return X[number]

        lazy = LazyImages(
            load,
            range(N_IMAGES),
            image_shape=(32, 32, 3),
            keys=[str(number) for number in range(N_IMAGES)],
            dtype=np.float32,
        )
        classifier = make(**KEPT, pooling="avg").fit(lazy, Y)
        assert sorted(loads) == list(range(N_IMAGES))
        assert classifier.n_trunk_passes_ == N_IMAGES


class TestPredictions:
    def test_probabilities(self, whole):
        probabilities = whole.predict_proba(X)
        assert_array_equal(whole.classes_, CLASSES)
        assert probabilities.shape == (N_IMAGES, 3)
        assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        assert_array_equal(
            whole.predict(X), whole.classes_[probabilities.argmax(axis=1)]
        )
        assert whole.score(X, Y) == (whole.predict(X) == Y).mean()

    def test_do_not_depend_on_the_batch(self, whole, kept):
        for classifier in (whole, kept):
            alone = np.concatenate(
                [classifier.predict_proba(X[[row]]) for row in range(3)]
            )
            assert_allclose(alone, classifier.predict_proba(X)[:3], atol=1e-5)


class TestAtomicFit:
    def check_not_fitted(self, classifier):
        with pytest.raises(NotFittedError):
            check_is_fitted(classifier)
        with pytest.raises(NotFittedError):
            classifier.predict(X)

    @pytest.mark.parametrize(
        ("place", "refit", "error"),
        [
            ("skcovid.networks._network.build_backbone", False, KeyboardInterrupt),
            (
                "skcovid.networks._feature_store.FeatureStore.fill",
                True,
                KeyboardInterrupt,
            ),
            ("skcovid.estimators._training_phases.train_phase", True, MemoryError),
        ],
    )
    def test_a_fit_that_was_stopped(self, place, refit, error, fitted, monkeypatch):
        def stop(*args, **kwargs):
            raise error("stop")

        classifier = fitted if refit else make(**FROZEN)
        classifier.set_params(keep_features=True)
        monkeypatch.setattr(place, stop)
        with pytest.raises(error, match="stop"):
            classifier.fit(X, Y)
        self.check_not_fitted(classifier)

    def test_a_fit_that_was_stopped_resumes(self, tmp_path, monkeypatch):
        ended = []

        def stop(*args):
            ended.append(args)
            if len(ended) == 3:
                raise KeyboardInterrupt

        parameters = {**KEPT, "epochs": 2, "random_state": 0}
        expected = make(**parameters).fit(X, Y).predict_proba(X)
        classifier = make(**parameters, checkpoint=tmp_path)
        with monkeypatch.context() as patched:
            place = "skcovid.estimators._training.CheckLoss.on_epoch_end"
            patched.setattr(place, stop)
            with pytest.raises(KeyboardInterrupt):
                classifier.fit(X, Y)
        self.check_not_fitted(classifier)
        assert_array_equal(classifier.fit(X, Y).predict_proba(X), expected)

    @pytest.mark.parametrize("parameter", [{"epochs": 0}, {"pooling": []}], ids=str)
    def test_a_refit_with_an_invalid_parameter(self, parameter, fitted):
        fitted.set_params(**parameter)
        with pytest.raises(ValueError, match=next(iter(parameter))):
            fitted.fit(X, Y)
        self.check_not_fitted(fitted)

    def test_a_refit_whose_loss_is_no_number(self, fitted):
        fitted.set_params(epochs=3, learning_rate=1e30)
        with pytest.raises(FloatingPointError, match="learning_rate"):
            fitted.fit(X, Y)
        self.check_not_fitted(fitted)

    def test_a_refit_of_a_pipeline_whose_files_are_missing(self):
        pipeline = make_pipeline(epochs=1).fit(GREY, Y)
        with pytest.raises(FileNotFoundError):
            pipeline.fit([f"{number}.png" for number in range(N_IMAGES)], Y)
        self.check_not_fitted(pipeline)

    def test_nan_is_not_a_class(self, fitted):
        last = fitted.model_.layers[-1]
        last.set_weights([np.full_like(w, np.nan) for w in last.get_weights()])
        with pytest.raises(FloatingPointError, match=r"NaN.*learning_rate"):
            fitted.predict(X)


class TestTraining:
    def test_history(self, whole):
        history = whole.history_
        assert history["phase"] == [1, 2]
        assert set(history) == {
            "phase",
            "loss",
            "accuracy",
            "val_loss",
            "val_accuracy",
            "learning_rate",
        }
        assert {len(values) for values in history.values()} == {2}
        assert_allclose(history["learning_rate"], 0.001)

    def test_paper_policy(self, backbone_file):
        path, before = backbone_file
        classifier = make(weights=path).fit(X, Y)
        layers = classifier.model_.layers
        assert classifier.n_backbone_layers_ == len(before)
        for index, layer in enumerate(layers):
            is_norm = isinstance(layer, keras.layers.BatchNormalization)
            assert layer.trainable == (is_norm or index >= 7), layer.name
        assert not same_weights(layers[2], before[2])  # a batch norm of the trunk
        for index in (1, 4):  # convolutions of the trunk
            assert same_weights(layers[index], before[index])
        assert not same_weights(layers[7], before[7])
        # Reset to zeros, then moved by less than 0.99 per step.
        for norm in (2, 5, 8):
            assert (layers[norm].moving_variance.numpy() < 0.1).all()

    def test_frozen_policy(self, backbone_file):
        path, before = backbone_file
        classifier = make(weights=path, **FROZEN).fit(X, Y)
        layers = classifier.model_.layers
        for index, layer in enumerate(before):
            is_norm = isinstance(layer, keras.layers.BatchNormalization)
            assert layers[index].trainable == (index >= 7 and not is_norm)
            assert same_weights(layers[index], layer) == (index != 7)
        head_norms = [
            layer
            for layer in layers[len(before) :]
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        assert len(head_norms) == 2
        assert all(layer.trainable for layer in head_norms)
        assert all(layer.moving_mean.numpy().any() for layer in head_norms)

    @pytest.mark.parametrize(
        "head",
        [
            {},
            {"pooling": "avg"},
            {"pooling": ["avg", "max"], "feature_layers": [3, 6]},
        ],
    )
    def test_kept_features_change_nothing(self, head, whole, kept):
        pair = [whole, kept]
        if head:
            pair = [
                make(**policy, **head).fit(X, Y, **VALIDATION)
                for policy in (FROZEN, KEPT)
            ]
        by_images, by_features = pair
        assert by_images.n_trunk_passes_ == 0
        assert by_features.n_trunk_passes_ == N_IMAGES + len(X_VAL)
        # Losses of phase 1 and of phase 2.
        for name in ("loss", "val_loss"):
            assert_allclose(
                by_images.history_[name], by_features.history_[name], atol=1e-3
            )
        assert_allclose(
            by_images.predict_proba(X), by_features.predict_proba(X), atol=1e-3
        )
        for own, other in zip(
            by_images.model_.get_weights(),
            by_features.model_.get_weights(),
            strict=True,
        ):
            assert_allclose(own, other, atol=1e-3)

    def test_stops_early_with_the_weights_of_the_best_epoch(self):
        # The validation labels contradict the training labels.
        wrong = np.roll(Y, 1)
        classifier = make(
            **KEPT,
            pooling="avg",
            dropout=0.0,
            learning_rate=0.05,
            epochs=12,
            reduce_lr_patience=1,
            reduce_lr_factor=0.1,
            early_stopping_patience=2,
        ).fit(X, Y, X_val=X, y_val=wrong)
        phase = np.array(classifier.history_["phase"])
        assert (phase == 1).sum() < 12
        assert (phase == 2).sum() < 12
        losses = np.array(classifier.history_["val_loss"])[phase == 2]
        rates = np.array(classifier.history_["learning_rate"])[phase == 2]
        assert_allclose(rates[0], 0.05)
        assert_allclose(rates.min(), 0.05 * 0.1, rtol=1e-4)
        right = [CLASSES.index(label) for label in wrong]
        probabilities = classifier.predict_proba(X)[np.arange(N_IMAGES), right]
        assert_allclose(-np.log(probabilities).mean(), losses.min(), rtol=1e-3)

    def test_class_weights_equal_sample_weights(self, kept):
        without_first = {"COVID-19": 0, "NORMAL": 1, "Viral Pneumonia": 1}
        sample_weight = [without_first[label] for label in Y]
        by_sample = make(**KEPT).fit(X, Y, sample_weight=sample_weight)
        by_class = make(**KEPT, class_weight=without_first).fit(X, Y)
        assert_array_equal(by_sample.predict_proba(X), by_class.predict_proba(X))
        assert by_class.history_["loss"] != kept.history_["loss"]

    def test_only_a_class_with_weight_is_learned(self):
        only = CLASSES[-1]
        weights = {label: float(label == only) for label in CLASSES}
        classifier = make(**LEARNING, class_weight=weights).fit(X, Y)
        # Only the bias of this class grows.
        _, bias = classifier.model_.layers[-1].get_weights()
        assert (np.sign(bias) == np.where(classifier.classes_ == only, 1, -1)).all()
        assert classifier.history_["loss"][-1] < 0.1
        assert classifier.history_["accuracy"][-1] < 0.9

    def test_learns(self):
        history = make(**LEARNING).fit(X, Y).history_
        assert history["accuracy"][-1] > 0.9
        assert history["loss"][-1] < history["loss"][0]

    def test_balanced_weights(self):
        labels = np.where(np.arange(N_IMAGES) < 12, "NORMAL", "COVID-19")
        balanced = make(**KEPT, class_weight="balanced").fit(X, labels)
        weights = {"NORMAL": 18 / (2 * 12), "COVID-19": 18 / (2 * 6)}
        spelled_out = make(**KEPT, class_weight=weights).fit(X, labels)
        assert_allclose(
            balanced.predict_proba(X), spelled_out.predict_proba(X), atol=1e-6
        )

    def test_precision_applies_to_the_backbone_and_is_restored(self):
        before = keras.config.dtype_policy()
        classifier = make(precision="mixed_bfloat16", **KEPT).fit(X, Y)
        assert keras.config.dtype_policy() == before
        assert classifier.model_.layers[1].compute_dtype == "bfloat16"
        assert classifier.predict_proba(X).dtype == np.float32
        assert_allclose(classifier.predict_proba(X).sum(axis=1), 1, rtol=1e-5)

    @pytest.mark.parametrize(
        ("precision", "scales"), [("float32", False), ("mixed_float16", True)]
    )
    def test_half_precision_scales_the_loss(self, precision, scales):
        base = network.build_backbone(
            get_backbone("tiny"), None, image_size=(32, 32), precision=precision
        )
        model = network.add_head(
            base, 3, pooling=("avg",), dense_units=4, dropout=0.0, seed=0
        )
        labels = np.arange(N_IMAGES) % 3
        settings = TrainingSettings(
            batch_norm="trainable",
            learning_rate=0.001,
            fine_tune_learning_rate=None,
            batch_size=N_IMAGES,
            epochs=1,
            reduce_lr_factor=0.5,
            reduce_lr_patience=1,
            early_stopping_patience=1,
            keep_freed_memory=False,
            n_jobs=1,
            verbose=0,
        )
        batches = Batches(lambda rows: X[rows], labels, batch_size=N_IMAGES, n_jobs=1)
        train_phase(model, batches, None, settings)
        scaling = keras.optimizers.LossScaleOptimizer
        assert isinstance(model.optimizer, scaling) == scales


def same_weights(layer, other):
    pairs = zip(layer.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(own, expected) for own, expected in pairs)


class TestRandomState:
    def test_repeats_a_fit(self, kept, memory):
        again = make(**KEPT, memory=memory).fit(X, Y, **VALIDATION)
        assert_array_equal(again.predict_proba(X), kept.predict_proba(X))
        assert again.history_ == kept.history_

    def test_threads_change_nothing(self, whole):
        threaded = make(**FROZEN, n_jobs=3).fit(X, Y, **VALIDATION)
        assert_array_equal(threaded.predict_proba(X), whole.predict_proba(X))

    def test_unseeded_fits_differ_even_after_a_seeded_one(self, whole):
        first, second = (
            make(**FROZEN, random_state=None).fit(X, Y).predict_proba(X)
            for _ in range(2)
        )
        assert not np.allclose(first, second)
        assert not np.allclose(first, whole.predict_proba(X))

    def test_takes_a_generator_and_advances_it(self):
        state = np.random.RandomState(3)
        first, second = (
            make(**FROZEN, random_state=state).fit(X, Y).predict_proba(X)
            for _ in range(2)
        )
        again = make(**FROZEN, random_state=np.random.RandomState(3)).fit(X, Y)
        assert_array_equal(again.predict_proba(X), first)
        assert not np.allclose(first, second)

    @pytest.mark.parametrize("seed", [0, None])
    def test_global_state_is_unchanged(self, seed):
        tf.random.set_seed(17)
        before = global_state()
        make(random_state=seed).fit(X, Y, **VALIDATION).predict(X)
        assert global_state() == before


def backend_state():
    """Return the global random state of TensorFlow or PyTorch; JAX has none."""
    if keras.backend.backend() != "torch":
        return context.global_seed()
    import torch

    return torch.get_rng_state().tolist()


def global_state():
    return {
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002 (the global one)
        "backend": backend_state(),
        "dtype policy": keras.config.dtype_policy().name,
        "floatx": keras.config.floatx(),
        "warnings": list(warnings.filters),
    }


class TestMemory:
    def test_a_second_fit_does_not_run_the_trunk(self, kept, memory):
        assert kept.n_trunk_passes_ == N_IMAGES + len(X_VAL)
        again = make(**KEPT, memory=memory, dropout=0.1).fit(X, Y, **VALIDATION)
        assert again.n_trunk_passes_ == 0

    def test_predictions_use_stored_features(self, whole, tmp_path):
        classifier = make(**KEPT, memory=tmp_path).fit(X, Y, **VALIDATION)
        before = files_in(tmp_path)
        found = classifier.predict_proba(X)
        assert files_in(tmp_path) == before
        assert_allclose(found, whole.predict_proba(X), atol=1e-3)

    def test_predictions_compute_missing_features(self, kept, memory, whole):
        new = tiny_backbone.prepare(tiny_backbone.make_images(4, seed=9)[0])
        images = np.concatenate([new[:2], X[:3], new[2:]])
        before = files_in(memory)
        found = kept.predict_proba(images)
        assert files_in(memory) == before
        assert_allclose(found, whole.predict_proba(images), atol=1e-3)
        assert kept.n_trunk_passes_ == N_IMAGES + len(X_VAL)

    def test_leaves_no_empty_folder(self, kept, memory):
        kept.predict(X)
        assert all(any(folder.iterdir()) for folder in memory.iterdir())

    def test_another_backbone_does_not_use_them(self, memory, backbone_file):
        path, _ = backbone_file
        other = make(**KEPT, memory=memory, weights=path).fit(X, Y)
        assert other.n_trunk_passes_ == N_IMAGES

    def test_grid_search_runs_the_trunk_once(self, tmp_path):
        pipeline = make_pipeline(memory=tmp_path)
        search = GridSearchCV(
            pipeline,
            {"classify__dropout": [0.1]},
            cv=2,
            refit=False,
            error_score="raise",
        ).fit(GREY, Y)
        before = files_in(tmp_path)
        search.set_params(param_grid={"classify__dropout": [0.2]}).fit(GREY, Y)
        assert files_in(tmp_path) == before
        assert not np.isnan(search.cv_results_["mean_test_score"]).any()

    @pytest.mark.parametrize("fails", [False, True])
    def test_without_memory_no_folder_is_left(self, fails, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        seen = []

        def load(number):
            seen.extend(tmp_path.iterdir())
            if fails:
                raise OSError("the disk is gone")
            return X[number]

        lazy = LazyImages(
            load,
            range(N_IMAGES),
            image_shape=(32, 32, 3),
            keys=[str(number) for number in range(N_IMAGES)],
            dtype=np.float32,
        )
        if fails:
            with pytest.raises(OSError, match="the disk is gone"):
                make(**KEPT).fit(lazy, Y)
        else:
            make(**KEPT).fit(lazy, Y)
        assert seen
        assert not list(tmp_path.iterdir())


def files_in(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


NEW_PROCESS = """
import gc, os, pickle, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
# TensorFlow's information lines, which it writes without skcovid too, are left out.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1"
import keras
import numpy as np
import psutil
keras.ops.zeros(1)
print("TensorFlow has started", file=sys.stderr)

folder = Path({folder!r})
whole, kept, X = pickle.loads((folder / "classifiers.pickle").read_bytes())
found = [whole.predict_proba(X), kept.predict_proba(X)]
np.save(folder / "found.npy", found)
assert list(whole.predict(X)) == list(whole.classes_[found[0].argmax(axis=1)])
assert whole.history_["phase"] == [1, 2]

from _helpers import tiny_backbone
from skcovid import TransferLearningClassifier
tiny_backbone.register()
images, labels = tiny_backbone.make_images(6)
X = tiny_backbone.prepare(images)
sizes = []
for _ in range(4):
    # About 130 MB with the optimiser's state.
    classifier = TransferLearningClassifier(
        "tiny", fine_tune_from=10, dense_units=16000, **{parameters!r}
    ).fit(X, labels)
    classifier.predict(X)
    del classifier
    gc.collect()
    sizes.append(psutil.Process().memory_info().rss)
np.save(folder / "sizes.npy", sizes)
"""


@pytest.fixture(scope="module")
def new_process(whole, kept, tmp_path_factory):
    """A process that predicts and fits, compiled, and the folder of its results."""
    pytest.importorskip("psutil")
    folder = tmp_path_factory.mktemp("process")
    (folder / "classifiers.pickle").write_bytes(pickle.dumps((whole, kept, X)))
    parameters = {**QUICK, **KEPT}
    del parameters["backbone"], parameters["dense_units"]
    code = NEW_PROCESS.format(
        tests=str(Path(__file__).parent), folder=str(folder), parameters=parameters
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done, folder


class TestPickling:
    def test_a_new_process_predicts_the_same(self, whole, kept, new_process):
        _, folder = new_process
        by_whole, by_kept = np.load(folder / "found.npy")
        # A new process compiles functions that run eagerly here.
        assert_allclose(by_whole, whole.predict_proba(X), atol=1e-6)
        assert_allclose(by_kept, kept.predict_proba(X), atol=1e-6)

    def test_a_pickle_holds_no_training_state(self, whole):
        weights = sum(value.nbytes for value in whole.model_.get_weights())
        assert len(pickle.dumps(whole)) < weights + 200_000
        assert getattr(whole.model_, "optimizer", None) is None

    def test_a_copy_of_a_fitted_one_is_unfitted(self, whole):
        with pytest.raises(NotFittedError):
            clone(whole).predict(X)


def test_pipeline_from_end_to_end(tmp_path):
    pipeline = make_pipeline(memory=tmp_path)
    result = evaluate(pipeline, GREY, Y, cv=2, verbose=0)
    assert result.confusion_matrix.sum() == N_IMAGES
    assert [history["phase"] for history in result.histories] == [[1, 2]] * 2
    assert all("val_loss" in history for history in result.histories)
    assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)


def test_fits_are_silent_and_do_not_fill_the_memory(new_process):
    # Compiled, since compiling causes TensorFlow's warnings and memory use.
    done, folder = new_process
    assert done.stdout == ""
    assert done.stderr.endswith("TensorFlow has started\n")
    sizes = np.load(folder / "sizes.npy")
    # Allocators free memory late, so one measurement is not enough.
    assert sizes[-2:].min() < 1.06 * sizes[:2].max(), sizes


@pytest.mark.parametrize("policy", [FROZEN, KEPT], ids=["whole", "kept"])
def test_a_deleted_classifier_releases_its_images_and_network(policy):
    def load(number):
        return X[number]

    images, monitored = (
        LazyImages(
            load,
            range(N_IMAGES),
            image_shape=(32, 32, 3),
            keys=[str(number) for number in range(N_IMAGES)],
            dtype=np.float32,
        )
        for _ in range(2)
    )
    classifier = make(**policy).fit(images, Y, X_val=monitored, y_val=Y)
    loader, first_layer = weakref.ref(load), weakref.ref(classifier.model_.layers[1])
    del load, images, monitored
    gc.collect()
    assert loader() is None
    del classifier
    gc.collect()
    assert first_layer() is None


def test_progress_is_shown_unless_verbose_is_0(terminal, monkeypatch):
    monkeypatch.setattr("skcovid._base._progress._REDRAWN", -1)
    make(**KEPT, pooling="max").fit(X, Y)
    assert terminal.getvalue() == ""
    make(**KEPT, pooling="avg", verbose=1).fit(X, Y)
    shown = terminal.getvalue()
    for expected in ("training:", "features 18 of 18", "phase 1", "phase 2"):
        assert expected in shown


class TestLongTraining:
    @pytest.fixture
    def announced(self, monkeypatch, capsys):
        """Fit while the clock counts some seconds a batch; return what is said."""

        def fit(seconds, **parameters):
            clock = iter(range(0, 10**9, 5 * seconds))
            monkeypatch.setattr(training, "perf_counter", lambda: next(clock))
            classifier = make(batch_size=6, epochs=2, **{"verbose": 1, **parameters})
            capsys.readouterr()
            classifier.fit(X, Y, **VALIDATION)
            return capsys.readouterr().err

        return fit

    def test_says_how_long_it_takes_at_most(self, announced):
        # 3 training batches and 1 of validation, 2 epochs in each of 2 phases. Measured
        # in the second.
        text = announced(225)
        assert text.count("\n") == 1
        expected = "up to 45 min on this machine: 220 s a batch × 4 batches × 3 epochs;"
        assert expected in text
        assert 'recipe "linear" or "fast", a smaller network, or a GPU' in text

    def test_only_if_it_is_long(self, announced):
        assert announced(50) == ""
        assert announced(225, verbose=0) == ""

    def test_the_fast_recipe_is_not_its_own_cure(self, announced):
        text = announced(225, **KEPT, pooling="max")
        assert "linear" in text
        assert "fast" not in text

    def test_folds_that_are_left_count(self, monkeypatch, capsys):
        clock = iter(range(0, 10**9, 500))
        monkeypatch.setattr(training, "perf_counter", lambda: next(clock))
        classifier = make(batch_size=6, epochs=4, verbose=1)
        evaluate(classifier, X, Y, cv=2, verbose=1)
        first, *folds = capsys.readouterr().err.splitlines()
        assert "100 s a batch × 2 batches × 14 epochs of 2 fits" in first
        assert [line[:11] for line in folds] == ["fold 1 of 2", "fold 2 of 2"]
