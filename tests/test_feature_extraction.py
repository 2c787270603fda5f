import pickle

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from tqdm import tqdm

from _helpers import tiny_backbone
from skcovid import BackboneFeatures, BackbonePreprocessor, LazyImages, evaluate
from skcovid.networks import _feature_store
from skcovid.networks import _network as network

N_IMAGES = 9
# The ends of the first and of the second block.
LAYERS = [3, 6]
N_CHANNELS = 6 + 4
POOLS = (np.mean, np.max)

tiny_backbone.register()
GREY, Y = tiny_backbone.make_images(N_IMAGES)
X = tiny_backbone.prepare(GREY)


def make(**parameters):
    settings = {
        "weights": None,
        "layers": LAYERS,
        "batch_size": 4,
        "n_jobs": 1,
        "random_state": 0,
        "verbose": 0,
    }
    return BackboneFeatures("tiny", **{**settings, **parameters})


def lazy():
    images = LazyImages.from_array(GREY)
    return BackbonePreprocessor("tiny").fit(images).transform(images)


class TestFeatures:
    def test_pools_the_output_of_the_layers(self):
        features = make()
        found = features.fit_transform(X)
        base = features.trunk_.layers
        outputs = [
            layer.output
            for layer in base
            if layer.name in features.layer_names_ and len(layer.output.shape) == 4
        ]
        maps = keras.Model(features.trunk_.input, outputs).predict_on_batch(X)
        expected = [pool(depth, axis=(1, 2)) for depth in maps for pool in POOLS]
        assert_allclose(found, np.concatenate(expected, axis=1), rtol=1e-5, atol=1e-6)
        assert found.dtype == np.float32
        assert found.shape == (N_IMAGES, features.n_features_out_)

    def test_shows_progress(self, monkeypatch, terminal):
        shown = []
        monkeypatch.setattr(tqdm, "update", lambda bar, n: shown.append(n))
        make(verbose=1).fit(X).transform(X)
        assert shown == [4, 4, 1]

    def test_an_array_unless_a_table_is_asked_for(self):
        images = lazy()
        images.index = np.arange(N_IMAGES)[::-1]
        assert type(make().fit_transform(images)) is np.ndarray
        table = make().set_output(transform="pandas").fit_transform(images)
        assert_array_equal(table.index, images.index)

    def test_names_have_layer_pooling_and_channel(self):
        features = make(pooling="max").fit(X)
        names = features.get_feature_names_out()
        first, second = features.layer_names_
        assert len(names) == N_CHANNELS
        assert (names[0], names[6]) == (f"{first}_max_0", f"{second}_max_0")

    @pytest.mark.parametrize(
        ("pooling", "n_columns"),
        [("avg", N_CHANNELS), (["max"], N_CHANNELS), (("avg", "max"), 2 * N_CHANNELS)],
    )
    def test_poolings(self, pooling, n_columns):
        features = make(pooling=pooling).fit(X)
        assert features.n_features_out_ == n_columns

    def test_the_trunk_stops_at_the_deepest_layer(self):
        names = [layer.name for layer in make(layers=[3]).fit(X).trunk_.layers]
        deeper = [layer.name for layer in make(layers=[6]).fit(X).trunk_.layers]
        assert len(names) < len(deeper)

    def test_arrays_and_lazy_images_agree(self):
        assert_array_equal(make().fit_transform(X), make().fit_transform(lazy()))

    def test_random_state_repeats_the_weights(self):
        first, second = (make().fit_transform(X) for _ in range(2))
        assert_array_equal(first, second)
        assert not np.allclose(first, make(random_state=1).fit_transform(X))

    def test_works_with_any_classifier(self):
        pipeline = make_pipeline(make(), LogisticRegression(C=100, max_iter=1000))
        assert pipeline.fit(X, Y).score(X, Y) == 1

    def test_clone_and_pickle(self):
        features = clone(make()).fit(X)
        again = pickle.loads(pickle.dumps(features))
        assert_array_equal(again.transform(X), features.transform(X))


class TestMirror:
    def test_is_the_mean_of_both(self):
        plain = make().fit(X)
        expected = (plain.transform(X) + plain.transform(X[:, :, ::-1])) / 2
        found = make(mirror=True).fit_transform(X)
        assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert not np.allclose(found, plain.transform(X))

    def test_left_and_right_are_the_same(self):
        features = make(mirror=True).fit(X)
        assert_allclose(
            features.transform(X),
            features.transform(np.ascontiguousarray(X[:, :, ::-1])),
            rtol=1e-5,
            atol=1e-6,
        )

    def test_counts_and_keeps_both(self, tmp_path):
        features = make(mirror=True, memory=tmp_path)
        kept = features.fit_transform(lazy())
        assert features.n_trunk_passes_ == 2 * N_IMAGES
        assert_array_equal(features.transform(lazy()), kept)
        assert_array_equal(features.fit_transform(lazy()), kept)
        assert features.n_trunk_passes_ == 0
        assert_allclose(kept, make(mirror=True).fit_transform(lazy()), atol=1e-6)


class TestMemory:
    def test_is_shared(self, tmp_path):
        first = make(memory=tmp_path)
        kept = first.fit_transform(lazy()[:5])
        second = make(memory=tmp_path)
        assert_array_equal(second.fit_transform(lazy())[:5], kept)
        assert (first.n_trunk_passes_, second.n_trunk_passes_) == (5, N_IMAGES - 5)

    def test_without_memory_every_image_is_computed(self):
        features = make()
        features.fit_transform(X)
        assert features.n_trunk_passes_ == N_IMAGES

    def test_transform_reads_it_and_adds_nothing(self, tmp_path):
        features = make(memory=tmp_path)
        features.fit_transform(lazy()[3:5])
        entries = set(tmp_path.rglob("*"))
        expected = make().fit_transform(lazy())
        assert_allclose(features.transform(lazy()), expected, atol=1e-6)
        assert set(tmp_path.rglob("*")) == entries
        assert features.n_trunk_passes_ == 2

    @pytest.mark.parametrize("plan", [b"", b"{}", b"[0, 1e9]", b"[[0]]"])
    def test_a_damaged_plan_is_made_again(self, tmp_path, plan, monkeypatch):
        features = make(memory=tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(_feature_store.FeatureStore, "_write", None)
            with pytest.raises(TypeError):
                features.fit_transform(lazy())
        [path] = tmp_path.rglob("unfinished/*.json")
        path.write_bytes(plan)
        with pytest.warns(UserWarning, match=rf"{path.name} is damaged.*planned again"):
            found = features.fit_transform(lazy())
        assert_array_equal(found, make(memory=tmp_path / "other").fit_transform(lazy()))
        assert not list(tmp_path.rglob("unfinished/*.json"))

    def test_evaluate_computes_every_image_once(self, tmp_path, monkeypatch):
        passed = []
        predict_batches = network.predict_batches

        def counted(*arguments, **parameters):
            for rows, outputs in predict_batches(*arguments, **parameters):
                passed.append(len(outputs[0]))
                yield rows, outputs

        monkeypatch.setattr(_feature_store, "predict_batches", counted)
        pipeline = make_pipeline(make(memory=tmp_path), LogisticRegression())
        evaluate(pipeline, X, Y, cv=3, verbose=0)
        assert sum(passed) == N_IMAGES
        search = GridSearchCV(
            pipeline, {"logisticregression__C": [1, 2]}, cv=3, refit=False
        )
        search.fit(X, Y)
        assert sum(passed) == N_IMAGES

    def test_weights_are_digested_once(self, tmp_path, monkeypatch):
        features = make(memory=tmp_path)
        kept = features.fit_transform(lazy())
        digest = _feature_store.fingerprint
        monkeypatch.setattr(_feature_store, "fingerprint", None)
        assert_array_equal(features.transform(lazy()), kept)
        # Other weights in the same network are noticed all the same.
        monkeypatch.setattr(_feature_store, "fingerprint", digest)
        weights = [2 * values for values in features.trunk_.get_weights()]
        features.trunk_.set_weights(weights)
        assert not np.allclose(features.transform(lazy()), kept)


class TestErrors:
    @pytest.mark.parametrize(
        ("parameters", "match"),
        [
            ({"layers": []}, "layers.*at least one"),
            ({"layers": ["conv9"]}, "layers='conv9'"),
            ({"layers": [99]}, "layers=99"),
            ({"layers": "last"}, "'layers' parameter"),
            ({"pooling": "mean"}, "'pooling' parameter"),
            ({"pooling": ["mean"]}, "pooling must be"),
            ({"mirror": "yes"}, "'mirror' parameter"),
            ({"backbone": 3}, "'backbone' parameter"),
        ],
    )
    def test_parameters(self, parameters, match):
        with pytest.raises(ValueError, match=match):
            make().set_params(**parameters).fit(X)

    def test_images_of_another_shape_than_in_fit(self):
        with pytest.raises(ValueError, match=r"fitted on.*shape"):
            make().fit(X).transform(np.zeros((1, 16, 16, 3), np.float32))

    def test_before_fit(self):
        with pytest.raises(NotFittedError):
            make().transform(X)
