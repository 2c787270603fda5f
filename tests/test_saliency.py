import gc
import importlib.util
import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from _helpers import tiny_backbone
from skcovid import LazyImages, make_transfer_pipeline
from skcovid.inspection import (
    central_share,
    grad_cam,
    occlusion_sensitivity,
    randomization_check,
    score_cam,
)

tiny_backbone.register()
pytestmark = [
    pytest.mark.usefixtures("eager"),
    # TensorFlow warns where its functions run eagerly, Keras with NumPy 2.
    pytest.mark.filterwarnings(
        "ignore:Even though the .tf.config",
        "ignore:__array__ implementation",
        "ignore:The structure of .inputs.",
    ),
]

N_IMAGES = 24
CLASSES = tiny_backbone.CLASSES
X, Y = tiny_backbone.make_images(N_IMAGES)
SIDE = tiny_backbone.IMAGE_SIZE
BARS = [slice(8 * label, 8 * label + 8) for label in range(3)]

gradients = partial(grad_cam, verbose=0)
scores = partial(score_cam, verbose=0)
occlusion = partial(occlusion_sensitivity, verbose=0)
coarse_occlusion = partial(occlusion, patch_size=16)
METHODS = pytest.mark.parametrize(
    "explain",
    [gradients, scores, coarse_occlusion],
    ids=["grad_cam", "score_cam", "occlusion"],
)
CAMS = pytest.mark.parametrize(
    "explain", [gradients, scores], ids=["grad_cam", "score_cam"]
)


def make(**parameters):
    settings = {
        "weights": None,
        "pooling": None,
        "feature_layers": None,
        "epochs": 12,
        "learning_rate": 0.02,
        "dropout": 0.0,
        "dense_units": 16,
        "batch_size": 9,
        "factor": 1,
        "validation_fraction": 0.25,
        "random_state": 0,
        "verbose": 0,
    }
    return make_transfer_pipeline("tiny", recipe="fast", **{**settings, **parameters})


@pytest.fixture(scope="module")
def pipeline():
    fitted = make().fit(X, Y)
    assert fitted.score(X, Y) == 1
    return fitted


@pytest.fixture(scope="module")
def linear():
    settings = {"weights": None, "random_state": 0, "verbose": 0}
    return make_transfer_pipeline("tiny", recipe="linear", **settings).fit(X, Y)


def count_nodes(model):
    """Count the calls that Keras remembers of the network and each of its layers."""
    return {
        layer.name: (len(layer._inbound_nodes), len(layer._outbound_nodes))
        for layer in (model, *model.layers)
    }


def state_of(pipeline):
    """Pickle all that the steps hold; a network's own file also holds the time."""
    kept = [dict(vars(step)) for step in pipeline.named_steps.values()]
    kept.append(kept[-1].pop("model_").get_weights())
    return pickle.dumps(kept)


def edges(estimator, images, target):
    """Return edges as a saliency that ignores the network."""
    return np.stack([np.abs(cv2.Laplacian(image, cv2.CV_32F)) for image in images])


class TestEveryMethod:
    @METHODS
    def test_has_image_size_and_float32(self, explain, pipeline):
        saliency = explain(pipeline, X[:4])
        assert saliency.shape == (4, SIDE, SIDE)
        assert saliency.dtype == np.float32
        assert np.ptp(saliency, axis=(1, 2)).min() > 0

    @METHODS
    def test_target_defaults_to_the_prediction(self, explain, pipeline):
        saliency = explain(pipeline, X[:3])
        assert_array_equal(explain(pipeline, X[:3], target=Y[:3]), saliency)
        of_one = explain(pipeline, X[:3], target=CLASSES[0])
        assert_array_equal(of_one[0], saliency[0])
        assert not np.array_equal(of_one[1], saliency[1])

    @METHODS
    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("healthy", "target='healthy'.*'COVID-19', 'NORMAL'"),
            (["NORMAL"], r"3 images.*\(1,\)"),
        ],
    )
    def test_invalid_targets_are_errors(self, explain, target, message, pipeline):
        with pytest.raises(ValueError, match=message):
            explain(pipeline, X[:3], target=target)

    @METHODS
    def test_takes_paths_lazy_images_and_arrays(self, explain, pipeline, write_image):
        paths = [write_image(f"{number}.png", X[number]) for number in range(3)]
        expected = explain(pipeline, X[:3])
        assert_allclose(explain(pipeline, paths), expected, atol=1e-6)
        lazy = LazyImages.from_array(X[:3])
        assert_allclose(explain(pipeline, lazy), expected, atol=1e-6)

    @METHODS
    def test_takes_the_classifier_alone(self, explain, pipeline):
        prepared = pipeline[:-1].transform(X[:3])
        saliency = explain(pipeline[-1], prepared)
        assert saliency.shape == (3, SIDE, SIDE)
        if explain is not coarse_occlusion:  # whose grey differs before preprocessing
            assert_allclose(saliency, explain(pipeline, X[:3]), atol=1e-6)

    @METHODS
    def test_does_not_depend_on_the_other_images(self, explain, pipeline):
        assert_allclose(
            explain(pipeline, X[:11])[10:], explain(pipeline, X[10:11]), atol=1e-5
        )

    @METHODS
    def test_needs_a_fitted_estimator(self, explain, pipeline):
        with pytest.raises(NotFittedError):
            explain(clone(pipeline), X[:3])

    @METHODS
    def test_progress_is_shown_unless_verbose_is_0(self, explain, pipeline, terminal):
        explain(pipeline, X[:3])
        assert terminal.getvalue() == ""
        explain(pipeline, X[:3], verbose=1)
        assert "0/3" in terminal.getvalue()

    @pytest.mark.parametrize(
        "explain",
        [
            *(gradients, scores, coarse_occlusion, partial(gradients, layer=2)),
            lambda estimator, X, target: randomization_check(
                scores, estimator, X, target=target, n_steps=1, n_repeats=1, verbose=0
            ),
        ],
        ids=["grad_cam", "score_cam", "occlusion", "lower layer", "randomization"],
    )
    def test_leaves_the_estimator_unchanged(self, explain, pipeline):
        before = pipeline.predict_proba(X)
        state, nodes = state_of(pipeline), count_nodes(pipeline[-1].model_)
        for _ in range(3):
            explain(pipeline, X[:3], target=CLASSES[1])
        assert count_nodes(pipeline[-1].model_) == nodes
        assert state_of(pipeline) == state
        assert_array_equal(pipeline.predict_proba(X), before)

    @METHODS
    def test_models_do_not_pile_up(self, explain, pipeline):
        for _ in range(2):
            explain(pipeline, X[:1])
        counts = []
        for _ in range(2):
            explain(pipeline, X[:1])
            gc.collect()
            counts.append(
                sum(
                    isinstance(one, keras.Layer | keras.KerasTensor)
                    for one in gc.get_objects()
                )
            )
        assert counts[0] == counts[1]


class TestClassActivationMaps:
    @CAMS
    def test_lies_between_0_and_1(self, explain, pipeline):
        saliency = explain(pipeline, X)
        assert saliency.min() >= 0
        assert set(saliency.max(axis=(1, 2))) <= {0, 1}

    @CAMS
    def test_layer_by_index_and_name(self, explain, pipeline):
        layer = pipeline[-1].model_.layers[3]
        by_index = explain(pipeline, X[:3], layer=3)
        assert_array_equal(explain(pipeline, X[:3], layer=layer.name), by_index)
        assert not np.array_equal(explain(pipeline, X[:3]), by_index)

    @CAMS
    def test_an_unknown_layer_is_an_error(self, explain, pipeline):
        with pytest.raises(ValueError, match=r"layer=99.* 11 layers"):
            explain(pipeline, X[:3], layer=99)
        with pytest.raises(ValueError, match="layer='dense'"):
            explain(pipeline, X[:3], layer="dense")

    @CAMS
    def test_for_a_linear_recipe_the_error_names_occlusion(self, explain, linear):
        with pytest.raises(TypeError, match=r"GridSearchCV.*occlusion_sensitivity"):
            explain(linear, X[:3])


class TestGradCam:
    def test_weights_are_the_slopes_of_the_score_before_the_softmax(self, pipeline):
        model = pipeline[-1].model_
        image = np.asarray(pipeline[:-1].transform(X[:1]))
        top = model.layers[10].output
        maps = keras.Model(model.inputs, top).predict_on_batch(image).astype(float)
        tail = keras.Model(top, model.layers[-2].output)
        kernel, bias = model.layers[-1].get_weights()
        column = CLASSES.index(Y[0])

        def score(shift):
            below = tail.predict_on_batch((maps + shift).astype(np.float32))
            return (below @ kernel + bias)[0, column]

        steps = 0.01 * np.eye(maps.shape[-1])
        slopes = [score(step) - score(-step) for step in steps]
        combined = np.maximum((maps[0] * slopes).sum(axis=-1), 0)
        expected = cv2.resize(combined, (SIDE, SIDE))
        found = gradients(pipeline, X[:1], target=Y[0])[0]
        assert_allclose(found, expected / expected.max(), atol=0.02)

    def test_gradients_do_not_depend_on_other_images_of_the_batch(self):
        pooled = make(epochs=1, pooling="avg").fit(X, Y)
        together = gradients(pooled, X[:5], target=Y[:5])
        apart = [gradients(pooled, X[row : row + 1], target=Y[row]) for row in range(5)]
        assert_allclose(together, np.concatenate(apart), atol=1e-5)

    def test_the_default_layer_is_the_last_convolution(self):
        from skcovid.inspection._feature_maps import find_feature_maps

        inputs = keras.Input((8, 8, 3))
        outputs = keras.layers.Conv2D(2, 3, name="last")(inputs)
        outputs = keras.layers.MaxPooling2D()(outputs)
        outputs = keras.layers.Flatten()(outputs)

        class Fitted:
            model_ = keras.Model(inputs, keras.layers.Dense(2)(outputs))
            n_backbone_layers_ = 3

        assert Fitted.model_.layers[find_feature_maps(Fitted, None)].name == "last"

    def test_mixed_precision(self):
        mixed = make(epochs=1, precision="mixed_bfloat16").fit(X, Y)
        saliency = gradients(mixed, X[:3], layer=7)
        assert np.isfinite(saliency).all()
        assert saliency.dtype == np.float32


OTHER_BACKEND = """
import pickle, sys
from pathlib import Path
import numpy as np
from _helpers import tiny_backbone
tiny_backbone.register()
import keras
from skcovid.inspection import grad_cam
assert keras.backend.backend() == {backend!r}
classifier, X, labels = pickle.loads(Path({file!r}).read_bytes())
found = [
    grad_cam(classifier, X, target=labels, layer=layer, verbose=0)
    for layer in (None, 7)
]
np.save({report!r}, found)
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_grad_cam_agrees_on_every_backend(backend, pipeline, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    classifier, images = pipeline[-1], np.asarray(pipeline[:-1].transform(X))
    file, report = tmp_path / "classifier.pickle", tmp_path / "found.npy"
    file.write_bytes(pickle.dumps((classifier, images, Y)))
    code = OTHER_BACKEND.format(backend=backend, file=str(file), report=str(report))
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    here = [
        grad_cam(classifier, images, target=Y, layer=layer, verbose=0)
        for layer in (None, 7)
    ]
    assert np.ptp(here) == 1
    assert_allclose(np.load(report), here, atol=1e-3)


class TestScoreCam:
    def test_weights_are_scores_of_the_masked_images(self, pipeline):
        classifier = pipeline[-1]
        model = classifier.model_
        image = np.asarray(pipeline[:-1].transform(X[:1]))[0]
        to_maps = keras.Model(model.inputs, model.layers[3].output)
        maps = to_maps.predict_on_batch(image[None])[0]
        column = CLASSES.index(Y[0])
        expected = np.zeros((SIDE, SIDE))
        nothing = classifier.predict_proba(np.zeros((1, SIDE, SIDE, 3)))[0, column]
        for channel in range(maps.shape[-1]):
            enlarged = cv2.resize(maps[..., channel], (SIDE, SIDE))
            if np.ptp(enlarged) > 0:
                mask = (enlarged - enlarged.min()) / np.ptp(enlarged)
                masked = image * mask[..., None]
                score = classifier.predict_proba(masked[None])[0, column]
                expected += (score - nothing) * enlarged
        expected = np.maximum(expected, 0)
        found = scores(pipeline, X[:1], target=Y[0], layer=3)[0]
        # Enlarging maps before or after they are added differs slightly.
        inside = expected > 0.1 * expected.max()
        assert_allclose(
            found[inside] / found.max(), expected[inside] / expected.max(), atol=0.1
        )

    def test_max_channels_selects_the_most_variable(self, pipeline):
        all_of_them = scores(pipeline, X[:3], layer=3)
        assert_array_equal(
            scores(pipeline, X[:3], layer=3, max_channels=6), all_of_them
        )
        few = scores(pipeline, X[:3], layer=3, max_channels=1)
        assert few.shape == all_of_them.shape
        assert not np.array_equal(few, all_of_them)

    def test_maps_without_structure_give_no_saliency(self, pipeline):
        flat = np.full((1, SIDE, SIDE), 128, dtype=np.uint8)
        assert_array_equal(scores(pipeline, flat, layer=0), 0)


class CornerClassifier:
    """The probability of "ill" is the mean brightness of the top left corner."""

    classes_ = np.array(["ill", "well"])

    def __init__(self):
        self.batches = []

    def predict(self, images):
        return self.classes_[self._probabilities(images).argmax(axis=1)]

    def predict_proba(self, images):
        self.batches.append(np.asarray(images))
        return self._probabilities(images)

    def _probabilities(self, images):
        ill = np.asarray(images, dtype=float)[:, :4, :4].mean(axis=(1, 2)) / 255
        ill = ill.mean(axis=-1) if ill.ndim == 2 else ill
        return np.stack([ill, 1 - ill], axis=1)


class TestOcclusion:
    def test_equals_the_drop_of_the_probability(self):
        images = np.full((2, 8, 12), 255, dtype=np.uint8)
        images[1, :4, :4] = 51
        saliency = occlusion(
            CornerClassifier(), images, target="ill", patch_size=4, stride=4, fill=0
        )
        assert_allclose(saliency[0, :4, :4], 1)
        assert_allclose(saliency[1, :4, :4], 0.2)
        assert not saliency[:, 4:].any()
        assert not saliency[:, :, 4:].any()
        raised = occlusion(CornerClassifier(), images, target="well", fill=0)
        assert raised.min() < 0
        assert raised.max() == 0

    def test_overlapping_patches_are_averaged(self):
        images = np.full((1, 8, 8), 255, dtype=np.uint8)
        saliency = occlusion(
            CornerClassifier(), images, target="ill", patch_size=4, stride=2, fill=0
        )
        # Patches at 0 hide the corner, those at 2 half of it, in each direction.
        assert_allclose(saliency[0, 0, :3:2], [1, (1 + 0.5) / 2])
        assert_allclose(saliency[0, 2, 2], (1 + 0.5 + 0.5 + 0.25) / 4)

    @pytest.mark.parametrize("shape", [(1, 9, 13), (1, 9, 13, 3)])
    def test_patches_reach_every_edge(self, shape):
        classifier = CornerClassifier()
        images = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
        occlusion(classifier, images, patch_size=4, stride=3, fill=255)
        hidden = (np.concatenate(classifier.batches)[1:] == 255).any(axis=0)
        assert hidden.all()

    def test_the_default_fill_is_the_mean_of_image_and_channel(self):
        classifier = CornerClassifier()
        images = np.zeros((2, 4, 4, 3), dtype=np.uint8)
        images[0, ..., 0] = 9
        images[1, :2, :, 1] = 100
        occlusion(classifier, images, patch_size=4)
        shown = np.concatenate(classifier.batches)
        assert_array_equal(shown[1, 0, 0], [9, 0, 0])
        assert_array_equal(shown[3, 3, 3], [0, 50, 0])

    def test_default_patch_and_stride_are_a_fifth_and_a_tenth(self):
        classifier = CornerClassifier()
        occlusion(classifier, np.full((1, 40, 60), 9, np.uint8), fill=0)
        hidden = np.concatenate(classifier.batches)[1:] == 0
        assert set(hidden.sum(axis=(1, 2))) == {8 * 8}
        assert len(hidden) == len(range(0, 33, 4)) * len(range(0, 53, 4))

    def test_batches_respect_batch_size(self):
        classifier = CornerClassifier()
        occlusion(classifier, np.zeros((3, 8, 8)), patch_size=4, batch_size=7)
        sizes = [len(batch) for batch in classifier.batches]
        assert set(sizes[:-1]) == {7}
        assert sum(sizes) == 3 * (1 + 9)

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda fitted: FrozenEstimator(fitted),
            lambda fitted: CalibratedClassifierCV(FrozenEstimator(fitted), cv=2).fit(
                X, Y
            ),
        ],
        ids=["frozen", "calibrated"],
    )
    def test_explains_the_linear_recipe_however_wrapped(self, wrap, linear):
        plain = occlusion(linear, X[:3], target=Y[:3], patch_size=16)
        wrapped = occlusion(wrap(linear), X[:3], target=Y[:3], patch_size=16)
        assert plain.shape == wrapped.shape == (3, SIDE, SIDE)
        assert np.abs(plain).max() > 0

    def test_explains_the_class_that_predict_says(self):
        class Cautious(CornerClassifier):
            def predict(self, images):
                return np.full(len(images), "ill")

        images = np.random.default_rng(0).integers(0, 256, (3, 12, 10), np.uint8)
        by_word = occlusion(Cautious(), images)
        np.testing.assert_array_equal(
            by_word, occlusion(CornerClassifier(), images, target="ill")
        )
        assert (by_word != occlusion(CornerClassifier(), images, target="well")).any()

    def test_explains_any_classifier(self):
        flatten = FunctionTransformer(lambda images: images.reshape(len(images), -1))
        model = make_pipeline(flatten, LogisticRegression()).fit(X / 255, Y)
        saliency = occlusion(model, X[:3] / 255, patch_size=8, stride=8, fill=0.0)
        for image, label in zip(saliency, Y[:3], strict=True):
            rows = image.mean(axis=1).reshape(4, 8).mean(axis=1)
            assert rows.argmax() == CLASSES.index(label)

    def test_features_of_occluded_images_are_not_stored(self, tmp_path):
        settings = {"weights": None, "random_state": 0, "memory": tmp_path}
        for fitted in (
            make(memory=tmp_path, epochs=1).fit(X, Y),
            make_transfer_pipeline("tiny", recipe="linear", **settings).fit(X, Y),
        ):
            before = set(tmp_path.rglob("*"))
            occlusion(fitted, X[:2], patch_size=16)
            assert set(tmp_path.rglob("*")) == before
            assert (
                fitted.get_params()[
                    "classify__memory"
                    if "balance" in fitted.named_steps
                    else "features__memory"
                ]
                == tmp_path
            )

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"patch_size": 9}, "patch_size=9.* 8×8"),
            ({"patch_size": 3, "stride": 4}, "stride=4.*patch_size=3"),
            (
                {"fill": 256},
                r"fill=256.*\[0, 255\]",
            ),
            ({"fill": "black"}, "'fill' parameter"),
            ({"patch_size": 0}, "'patch_size' parameter"),
        ],
    )
    def test_invalid_parameters_are_errors(self, parameters, message):
        with pytest.raises(ValueError, match=message):
            occlusion(CornerClassifier(), np.zeros((1, 8, 8), np.uint8), **parameters)

    def test_paths_need_a_reader(self):
        with pytest.raises(ValueError, match="RadiographReader"):
            occlusion(CornerClassifier(), ["1.png", "2.png"])

    def test_needs_probabilities(self):
        with pytest.raises(ValueError, match="'estimator' parameter"):
            occlusion(object(), X)


class TestCentralShare:
    @pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
    def test_constant_saliency_gives_the_fraction(self, fraction):
        share = central_share(np.ones((2, 200, 300)), fraction)
        assert_allclose(share, fraction, atol=0.01)

    def test_only_positive_values_count(self):
        saliency = np.full((1, 8, 8), -1.0)
        saliency[0, 4, 4] = 3
        saliency[0, 0, 0] = 1
        assert_allclose(central_share(saliency), 0.75)

    @pytest.mark.filterwarnings("error")
    def test_without_positive_values_it_is_nan(self):
        assert np.isnan(central_share(np.zeros((1, 4, 4))))[0]

    def test_tiny_maps(self):
        assert_allclose(central_share(np.ones((1, 3, 3)), 0.01), 1 / 9)

    @pytest.mark.parametrize("saliency", [np.ones((4, 4)), np.full((1, 4, 4), np.nan)])
    def test_invalid_saliency_is_an_error(self, saliency):
        with pytest.raises(ValueError, match=r"saliency.*finite"):
            central_share(saliency)

    def test_fractions_of_0_and_1_are_errors(self):
        for fraction in (0, 1):
            with pytest.raises(ValueError, match="'fraction' parameter"):
                central_share(np.ones((1, 4, 4)), fraction)


class TestRandomizationCheck:
    check = staticmethod(partial(randomization_check, random_state=0, verbose=0))

    @METHODS
    def test_a_method_that_depends_on_weights_passes(self, explain, pipeline):
        check = self.check(explain, pipeline, X[:6], n_steps=1, n_repeats=6)
        assert check.passed
        assert "passed" in str(check)

    def test_an_edge_detector_fails(self, pipeline):
        check = self.check(edges, pipeline, X[:9])
        assert not check.passed
        assert_array_equal(check.similarity, 1)
        assert "FAILED" in str(check)
        assert "1.00" in str(check)

    def test_a_method_that_hardly_depends_on_weights_fails(self, pipeline):
        def mostly_edges(estimator, images, target):
            ignoring = edges(estimator, images, target)
            following = gradients(estimator, images, target=target)
            return ignoring / ignoring.max() + following / 5

        check = self.check(mostly_edges, pipeline, X[:6], n_steps=1)
        assert not check.passed
        assert check.final_similarity < 0.99

    def test_randomizes_layers_from_top_to_bottom(self, pipeline):
        model = pipeline[-1].model_
        seen = []

        def record(estimator, images, target):
            seen.append([layer.get_weights() for layer in estimator[-1].model_.layers])
            return np.zeros((len(images), 2, 2)) + len(seen)

        check = self.check(record, pipeline, X[:2], n_steps=3, n_repeats=2)
        assert check.similarity.shape == (2, 3, 2)
        names = [layer.name for layer in model.layers]
        # Untrained batch normalisation already has its initial values.
        kernels = [
            number
            for number, layer in enumerate(model.layers)
            if hasattr(layer, "kernel")
        ]
        trained, *steps = seen
        for lowest, weights in zip(2 * check.layers, steps, strict=True):
            changed = [
                number
                for number in kernels
                if not np.array_equal(trained[number][0], weights[number][0])
            ]
            assert changed == [
                number for number in kernels if number >= names.index(lowest)
            ]
        assert check.layers[-1] == names[kernels[0]]
        assert not np.array_equal(seen[3][kernels[0]], seen[6][kernels[0]])

    def test_the_head_gets_new_weights(self):
        rates = {"learning_rate": 1e-12, "fine_tune_learning_rate": 1e-12}
        untrained = make(epochs=1, **rates).fit(X, Y)
        kernels = []

        def record(estimator, images, target):
            kernels.append(estimator[-1].model_.layers[-1].get_weights()[0])
            return np.zeros((len(images), 2, 2))

        self.check(record, untrained, X[:2], n_steps=1, n_repeats=1)
        assert np.abs(kernels[0] - kernels[1]).min() > 1e-6

    def test_explains_the_class_that_the_trained_network_predicts(self, pipeline):
        targets = []

        def record(estimator, images, target):
            targets.append(target)
            return np.zeros((len(images), 2, 2))

        self.check(record, pipeline, X[:3])
        assert all(list(target) == list(Y[:3]) for target in targets)
        targets.clear()
        self.check(record, pipeline, X[:3], target=CLASSES[2])
        assert set(np.ravel(targets)) == {CLASSES[2]}

    def test_seed_decides(self, pipeline):
        first, again, other = (
            self.check(
                gradients, pipeline, X[:3], n_steps=1, n_repeats=1, random_state=seed
            ).similarity
            for seed in (0, 0, 1)
        )
        assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_leaves_the_estimator_unchanged(self, pipeline):
        before = pipeline.predict_proba(X)
        self.check(gradients, pipeline[-1], pipeline[:-1].transform(X[:3]), n_repeats=1)
        self.check(gradients, pipeline, X[:3], n_steps=1)
        assert_array_equal(pipeline.predict_proba(X), before)

    def test_a_constant_map_has_similarity_0(self, pipeline):
        maps = iter([np.arange(8.0).reshape(2, 2, 2), np.ones((2, 2, 2))])
        check = self.check(
            lambda *_, target: next(maps), pipeline, X[:2], n_steps=1, n_repeats=1
        )
        assert_array_equal(check.similarity, 0)

    @pytest.mark.parametrize("maps", [np.zeros((2, 2)), np.full((2, 2, 2), np.nan)])
    def test_invalid_saliency_is_an_error(self, maps, pipeline):
        with pytest.raises(ValueError, match=r"saliency.*finite"):
            self.check(lambda *_, target: maps, pipeline, X[:2])

    def test_needs_a_network(self, linear):
        with pytest.raises(TypeError, match=r"randomization_check.*TransferLearning"):
            self.check(edges, linear, X[:2])
