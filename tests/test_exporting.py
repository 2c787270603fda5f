import importlib.util
import json
import os

import keras
import numpy as np
import pytest
from imblearn.pipeline import Pipeline
from sklearn.base import clone
from sklearn.decomposition import KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.svm import LinearSVC

import skcovid
from _helpers import tiny_backbone
from _helpers.edge_features import EdgeFeatures
from skcovid import (
    BackboneFeatures,
    BackbonePreprocessor,
    RadiographReader,
    TransferLearningClassifier,
    make_transfer_pipeline,
    register_backbone,
)
from skcovid.persistence import _onnx as exporting

onnxruntime = pytest.importorskip("onnxruntime")
CONVERTER = exporting._CONVERTERS[keras.backend.backend()]
if importlib.util.find_spec(CONVERTER) is None:
    pytest.skip(
        f"{CONVERTER}, which Keras exports with, is not installed",
        allow_module_level=True,
    )
tiny_backbone.register()

X, Y = tiny_backbone.make_images(18)
NEW, _ = tiny_backbone.make_images(5, seed=1)
QUICK = {"weights": None, "verbose": 0, "random_state": 0}
FINE_TUNED = {
    "dense_units": 8,
    "epochs": 1,
    "factor": 1,
    "validation_fraction": 0.34,
}


def run(path, images):
    session = onnxruntime.InferenceSession(path)
    return session.run(["probabilities"], {"images": images})[0]


@pytest.fixture(scope="module")
def fast():
    return make_transfer_pipeline(
        "tiny", recipe="fast", **QUICK, **FINE_TUNED, dropout=0.1, learning_rate=0.01
    ).fit(X, Y)


@pytest.fixture(scope="module")
def linear():
    return make_transfer_pipeline("tiny", recipe="linear", **QUICK).fit(X, Y)


class TestFineTuned:
    @pytest.fixture(scope="class")
    def path(self, fast, tmp_path_factory):
        path = tmp_path_factory.mktemp("onnx") / "model.onnx"
        skcovid.export(fast, path)
        return path

    @pytest.mark.parametrize("n_images", [1, 5])
    def test_predicts_the_same(self, path, fast, n_images):
        images = NEW[:n_images]
        found = run(path, images)
        np.testing.assert_allclose(found, fast.predict_proba(images), atol=1e-4)
        # The network distinguishes the images.
        assert np.ptp(run(path, NEW), axis=0).max() > 0.01

    def test_metadata_describe_inputs_and_outputs(self, path):
        session = onnxruntime.InferenceSession(path)
        (taken,), (given,) = session.get_inputs(), session.get_outputs()
        assert (taken.type, taken.shape) == ("tensor(uint8)", ["n", 32, 32])
        assert (given.type, given.shape) == ("tensor(float)", ["n", 3])
        metadata = session.get_modelmeta().custom_metadata_map
        assert json.loads(metadata["classes"]) == tiny_backbone.CLASSES
        assert json.loads(metadata["image_size"]) == [32, 32]
        assert metadata["skcovid_version"] == skcovid.__version__

    def test_leaves_no_other_file(self, path):
        assert list(path.parent.iterdir()) == [path]


class TestLinear:
    def test_predicts_the_same(self, linear, tmp_path):
        skcovid.export(linear, tmp_path / "model.onnx")
        np.testing.assert_allclose(
            run(tmp_path / "model.onnx", NEW), linear.predict_proba(NEW), atol=1e-4
        )

    def test_two_classes_without_the_middle_steps(self, tmp_path):
        pipeline = make_transfer_pipeline("tiny", recipe="linear", **QUICK)
        pipeline.set_params(scale=None, components="passthrough")
        pipeline.set_params(classify=LogisticRegression(C=10))
        pipeline.fit(X, Y == "NORMAL")
        skcovid.export(pipeline, tmp_path / "model.onnx")
        found = run(tmp_path / "model.onnx", NEW)
        assert found.shape == (5, 2)
        np.testing.assert_allclose(found, pipeline.predict_proba(NEW), atol=1e-4)

    def test_as_many_components_as_images(self, tmp_path):
        pipeline = make_transfer_pipeline("tiny", recipe="linear", **QUICK)
        components = KernelPCA(len(X), eigen_solver="dense")
        pipeline.set_params(components=components).fit(X, Y)
        assert pipeline.named_steps["components"].eigenvalues_.min() == 0
        skcovid.export(pipeline, tmp_path / "model.onnx")
        np.testing.assert_allclose(
            run(tmp_path / "model.onnx", NEW), pipeline.predict_proba(NEW), atol=1e-4
        )

    def test_a_fitted_search_exports_its_best_pipeline(self, tmp_path):
        pipeline = make_transfer_pipeline("tiny", recipe="linear", **QUICK)
        search = GridSearchCV(pipeline, {"scale__with_mean": [False]}, cv=2).fit(X, Y)
        skcovid.export(search, tmp_path / "model.onnx")
        np.testing.assert_allclose(
            run(tmp_path / "model.onnx", NEW), search.predict_proba(NEW), atol=1e-4
        )

    def test_features_averaged_over_the_mirror_image(self, tmp_path):
        pipeline = make_transfer_pipeline(
            "tiny", recipe="linear", features__mirror=True, **QUICK
        ).fit(X, Y)
        skcovid.export(pipeline, tmp_path / "model.onnx")
        np.testing.assert_allclose(
            run(tmp_path / "model.onnx", NEW), pipeline.predict_proba(NEW), atol=1e-4
        )

    def test_another_estimator_with_a_network(self, linear, tmp_path):
        pipeline = make_transfer_pipeline("tiny", recipe="linear", **QUICK)
        pipeline.set_params(features=EdgeFeatures()).fit(X, Y)
        skcovid.export(pipeline, tmp_path / "model.onnx")
        np.testing.assert_allclose(
            run(tmp_path / "model.onnx", NEW), pipeline.predict_proba(NEW), atol=1e-4
        )

    @pytest.mark.parametrize("mode", ["caffe", "tf", "torch", "lite", "raw"])
    @pytest.mark.parametrize("channels", ["grey", "rgb"])
    def test_every_pixel_mode_and_colours(self, mode, channels, tmp_path):
        register_backbone(
            f"tiny {mode}",
            builder=tiny_backbone.build_tiny,
            image_size=32,
            mode=mode,
            fine_tune_from=7,
        )
        images = NEW
        if channels == "rgb":
            images = np.stack([NEW, NEW[::-1], 255 - NEW], axis=-1)
        pipeline = Pipeline(
            [
                ("read", RadiographReader(32, channels=channels)),
                ("preprocess", BackbonePreprocessor(f"tiny {mode}")),
                ("features", BackboneFeatures(f"tiny {mode}", **QUICK)),
                ("classify", LogisticRegression(max_iter=5)),
            ]
        )
        pipeline.fit(images, list("aabbb"))
        skcovid.export(pipeline, tmp_path / "model.onnx")
        others = images[:, ::-1].copy()
        np.testing.assert_allclose(
            run(tmp_path / "model.onnx", others),
            pipeline.predict_proba(others),
            atol=1e-4,
        )


class TestErrors:
    @pytest.fixture(autouse=True)
    def _writes_nothing(self, tmp_path):
        yield
        assert list(tmp_path.iterdir()) == []

    def test_another_classifier(self, tmp_path):
        pipeline = make_transfer_pipeline("tiny", recipe="linear", **QUICK)
        pipeline.set_params(classify=LinearSVC()).fit(X, Y)
        with pytest.raises(TypeError, match=r"LogisticRegression.*LinearSVC"):
            skcovid.export(pipeline, tmp_path / "model.onnx")

    def test_a_kernel_that_is_not_linear(self, tmp_path):
        pipeline = make_transfer_pipeline("tiny", recipe="linear", **QUICK)
        pipeline.set_params(components=KernelPCA(kernel="rbf")).fit(X, Y)
        with pytest.raises(TypeError, match="KernelPCA with kernel='linear'"):
            skcovid.export(pipeline, tmp_path / "model.onnx")

    def test_a_pipeline_without_a_preprocessor(self, fast, tmp_path):
        classifier = fast.named_steps["classify"]
        with pytest.raises(TypeError, match="BackbonePreprocessor"):
            skcovid.export(classifier, tmp_path / "model.onnx")

    def test_lung_masks(self, linear, tmp_path):
        pipeline = clone(linear).fit(X, Y).set_params(read__lungs="only")
        with pytest.raises(ValueError, match=r"lung masks.*lungs=None"):
            skcovid.export(pipeline, tmp_path / "model.onnx")

    def test_images_resized_twice(self, tmp_path):
        pipeline = make_transfer_pipeline(
            "tiny", recipe="linear", read__image_size=40, **QUICK
        ).fit(X, Y)
        with pytest.raises(ValueError, match=r"\(40, 40\).*\(32, 32\)"):
            skcovid.export(pipeline, tmp_path / "model.onnx")

    def test_mixed_precision(self, linear, tmp_path):
        pipeline = make_transfer_pipeline(
            "tiny", recipe="linear", precision="mixed_bfloat16", **QUICK
        ).fit(X, Y)
        with pytest.raises(ValueError, match="precision='mixed_bfloat16'"):
            skcovid.export(pipeline, tmp_path / "model.onnx")

    def test_a_missing_converter(self, linear, tmp_path, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ImportError, match=rf"{CONVERTER}.*skcovid\[onnx\]'"):
            skcovid.export(linear, tmp_path / "model.onnx")

    def test_a_missing_converter_of_another_backend(
        self, linear, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ImportError, match=r"'jax' needs .*pip install .*jax2onnx"):
            skcovid.export(linear, tmp_path / "model.onnx")

    @pytest.mark.parametrize(
        ("value", "message"),
        [(1 / 3, "differ from the pipeline's"), (np.nan, "NaN")],
    )
    def test_other_predictions(self, value, message, fast, tmp_path, monkeypatch):
        other = np.full((2, 3), value)
        monkeypatch.setattr(
            TransferLearningClassifier, "predict_proba", lambda self, X: other
        )
        with pytest.raises(RuntimeError, match=message):
            skcovid.export(fast, tmp_path / "model.onnx")


@pytest.mark.skipif(
    "SKCOVID_SLOW_TESTS" not in os.environ,
    reason="takes minutes; SKCOVID_SLOW_TESTS=1 runs it",
)
# Not the paper's recipe: a few steps after random weights its batch norms may divide by
# nearly zero and give NaN.
@pytest.mark.parametrize("recipe", ["fast", "linear"])
@pytest.mark.parametrize(
    ("backbone", "image_size"),
    [("resnet50", 64), ("vgg19", 64), ("densenet121", 64), ("inceptionv3", 96)],
)
def test_the_papers_networks(backbone, image_size, recipe, tmp_path):
    size = {"image_size": image_size, "read__image_size": image_size}
    settings = {} if recipe == "linear" else {**FINE_TUNED, "batch_size": 6}
    pipeline = make_transfer_pipeline(
        backbone, recipe=recipe, **QUICK, **size, **settings
    ).fit(X, Y)
    skcovid.export(pipeline, tmp_path / "model.onnx")
    images = np.asarray(pipeline.named_steps["read"].transform(NEW))
    np.testing.assert_allclose(
        run(tmp_path / "model.onnx", images), pipeline.predict_proba(NEW), atol=1e-4
    )
