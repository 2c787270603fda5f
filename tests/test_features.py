"""The feature store; test_feature_store_faults has crashes and damage."""

import shutil
from importlib import metadata
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from _helpers import tiny_backbone
from skcovid import LazyImages
from skcovid.networks import FeatureStore, StoredFeatures, feature_bytes
from skcovid.networks import _graph as graph
from skcovid.networks import _network as network

BACKBONE = tiny_backbone.register()
pytestmark = [
    # Compiling a tiny network takes longer than running it.
    pytest.mark.usefixtures("eager"),
    # Keras warns with NumPy 2, TensorFlow where its functions run eagerly.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation", "ignore:Even though the .tf.config"
    ),
]
FILLING = {"batch_size": 4, "n_jobs": 2, "verbose": 0}
N_IMAGES = 10


def make_trunk(seed=0, first=tiny_backbone.FINE_TUNE_FROM, side=32, **parameters):
    """Make the trunk of the tiny network, with two outputs."""
    base = network.build_backbone(
        BACKBONE, None, image_size=(side, side), seed=seed, **parameters
    )
    return keras.Model(base.input, graph.frontier(base.layers[first:]))


def make_store(directory, *, dtype="float16", source=None, **parameters):
    return FeatureStore(directory, make_trunk(**parameters), dtype=dtype, source=source)


def make_pixels():
    generator = np.random.default_rng(0)
    return generator.uniform(-1, 1, (N_IMAGES, 32, 32, 3)).astype(np.float32)


def make_images():
    return LazyImages.from_array(make_pixels())


class Counting:
    """Loads images and counts how often."""

    def __init__(self):
        self.pixels = make_pixels()
        self.loads = []

    def __call__(self, number):
        self.loads.append(number)
        return self.pixels[number]

    def images(self, numbers):
        return LazyImages(
            self,
            numbers,
            image_shape=(32, 32, 3),
            keys=[f"image {number}" for number in numbers],
            dtype=np.float32,
        )


def constant_network(value):
    """Make a network whose features have one value for every image."""
    inputs = keras.Input((4, 4, 3))
    layer = keras.layers.Conv2D(
        2,
        4,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(value),
    )
    return keras.Model(inputs, [layer(inputs)])


@pytest.mark.parametrize(("dtype", "atol"), [("float16", 5e-3), ("float32", 1e-6)])
def test_equals_the_output_of_the_network(tmp_path, dtype, atol):
    store = make_store(tmp_path, dtype=dtype)
    kept = store.fill(make_images(), **FILLING)
    expected = store.trunk.predict_on_batch(make_pixels())
    rows = np.array([7, 0, 7, 3])
    for found, outputs in zip(kept.load(rows), expected, strict=True):
        assert found.dtype == dtype
        assert_allclose(found, outputs[rows], atol=atol)
    batches = list(kept.batches(4))
    assert [part for part, _ in batches] == [slice(0, 4), slice(4, 8), slice(8, 10)]
    for output, outputs in enumerate(expected):
        joined = np.concatenate([features[output] for _, features in batches])
        assert_allclose(joined, outputs, atol=atol)
    assert len(kept) == N_IMAGES
    assert_array_equal(kept[2:4].load(slice(None))[0], kept.load(slice(2, 4))[0])


def test_computes_each_image_once(tmp_path):
    counting = Counting()
    store = make_store(tmp_path)
    store.fill(counting.images([4, 1, 4, 2, 1]), **FILLING)
    assert store.n_computed == 3
    assert sorted(counting.loads) == [1, 2, 4]
    store.fill(counting.images([2, 4, 1]), **FILLING)
    assert store.n_computed == 3
    kept = store.fill(counting.images([0, 1, 2, 4]), **FILLING)
    assert store.n_computed == 4
    assert sorted(counting.loads) == [0, 1, 2, 4]
    expected = store.trunk.predict_on_batch(counting.pixels[[0, 1, 2, 4]])
    assert_allclose(kept.load(slice(None))[0], expected[0], atol=5e-3)


def test_copies_of_an_image_are_computed_once(tmp_path):
    pixels = make_pixels()
    store = make_store(tmp_path)
    kept = store.fill(LazyImages.from_array(pixels[[0, 1, 0, 0]]), **FILLING)
    assert store.n_computed == 2
    features = kept.load(slice(None))[0]
    assert_array_equal(features[0], features[2])
    assert not np.array_equal(features[0], features[1])


def test_another_store_finds_them(tmp_path):
    make_store(tmp_path).fill(make_images(), **FILLING)
    another = make_store(tmp_path)
    another.fill(make_images(), **FILLING)
    assert another.n_computed == 0


def test_features_of_features(tmp_path):
    base = network.build_backbone(BACKBONE, None, image_size=(32, 32), seed=0)
    entering = graph.frontier(base.layers[tiny_backbone.FINE_TUNE_FROM :])
    below = FeatureStore(tmp_path, keras.Model(base.input, entering), dtype="float32")
    above = FeatureStore(
        tmp_path, keras.Model(entering, [base.output]), dtype="float32", source=below
    )
    kept = above.fill(below.fill(make_images(), **FILLING), **FILLING)
    assert isinstance(kept, StoredFeatures)
    assert_allclose(
        kept.load(slice(None))[0], base.predict_on_batch(make_pixels()), atol=1e-5
    )
    assert (below.n_computed, above.n_computed) == (N_IMAGES, N_IMAGES)
    again = FeatureStore(
        tmp_path, keras.Model(entering, [base.output]), dtype="float32", source=below
    )
    again.fill(below.fill(make_images(), **FILLING), **FILLING)
    assert (below.n_computed, again.n_computed) == (N_IMAGES, 0)


@pytest.mark.parametrize("keys", [["a/b", "a/c"], ["../x", "y\0z"], ["", "é" * 300]])
def test_keys_may_be_any_text(tmp_path, keys):
    images = LazyImages(
        lambda number: make_pixels()[number],
        [0, 1],
        image_shape=(32, 32, 3),
        keys=keys,
        dtype=np.float32,
    )
    folder = tmp_path / "features"
    store = make_store(folder)
    kept = store.fill(images, **FILLING)
    expected = store.trunk.predict_on_batch(make_pixels()[:2])
    assert_allclose(kept.load(slice(None))[0], expected[0], atol=5e-3)
    assert list(tmp_path.iterdir()) == [folder]


class TestFingerprint:
    def test_does_not_depend_on_layer_names(self, tmp_path):
        first, second = make_trunk(), make_trunk()
        assert first.layers[1].name != second.layers[1].name
        assert (
            FeatureStore(tmp_path, first).fingerprint
            == FeatureStore(tmp_path, second).fingerprint
        )

    def test_does_not_depend_on_what_is_trainable(self, tmp_path):
        trunk = make_trunk()
        before = FeatureStore(tmp_path, trunk).fingerprint
        network.freeze(trunk.layers, "frozen")
        assert FeatureStore(tmp_path, trunk).fingerprint == before

    @pytest.mark.parametrize(
        "difference",
        [
            {"seed": 1},
            {"first": 4},
            {"side": 48},
            {"dtype": "float32"},
            {"precision": "mixed_bfloat16"},
        ],
        ids=str,
    )
    def test_depends_on_every_parameter_that_changes_features(
        self, tmp_path, difference
    ):
        default = make_store(tmp_path).fingerprint
        assert make_store(tmp_path, **difference).fingerprint != default

    def test_depends_on_one_weight(self, tmp_path):
        trunk = make_trunk()
        before = FeatureStore(tmp_path, trunk).fingerprint
        moving_mean = trunk.layers[2].moving_mean
        moving_mean.assign(moving_mean + np.eye(1, 6)[0] * 1e-3)
        assert FeatureStore(tmp_path, trunk).fingerprint != before

    @pytest.mark.parametrize("weights", ["kernel", "bias"])
    def test_depends_on_the_last_weight(self, tmp_path, weights):
        inputs = keras.Input((8,))
        layer = keras.layers.Dense(64)
        trunk = keras.Model(inputs, [layer(inputs)])
        before = FeatureStore(tmp_path, trunk).fingerprint
        variable = getattr(layer, weights)
        changed = keras.ops.convert_to_numpy(variable).copy()
        changed.flat[-1] += 1e-3
        variable.assign(changed)
        assert FeatureStore(tmp_path, trunk).fingerprint != before

    @pytest.mark.parametrize("decoder", ["opencv-python", "simplejpeg", "pydicom"])
    def test_depends_on_the_versions_of_decoders(self, tmp_path, monkeypatch, decoder):
        version, before = metadata.version, make_store(tmp_path).fingerprint
        monkeypatch.setattr(
            metadata, "version", lambda name: "0" if name == decoder else version(name)
        )
        assert make_store(tmp_path).fingerprint != before

    def test_depends_on_the_network_below(self, tmp_path):
        trunk = make_trunk()
        sources = [make_store(tmp_path, seed=seed) for seed in (0, 1)]
        first, second = (
            FeatureStore(tmp_path, trunk, source=source).fingerprint
            for source in sources
        )
        assert first != second

    def test_depends_on_how_layers_are_joined(self, tmp_path):
        fingerprints = []
        for skips in (False, True):
            inputs = keras.Input((4, 4, 3))
            first = keras.layers.ReLU()(inputs)
            second = keras.layers.ReLU(negative_slope=1)(first)
            pair = [inputs, second] if skips else [first, second]
            output = keras.layers.Add()(pair)
            trunk = keras.Model(inputs, [output])
            fingerprints.append(FeatureStore(tmp_path, trunk).fingerprint)
        assert fingerprints[0] != fingerprints[1]


class TestDisk:
    @pytest.mark.parametrize("dtype", ["float16", "float32"])
    def test_has_the_predicted_size(self, tmp_path, dtype):
        store = make_store(tmp_path, dtype=dtype)
        store.fill(make_images(), **FILLING)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(files) == N_IMAGES
        assert sum(path.stat().st_size for path in files) == feature_bytes(
            store.trunk, N_IMAGES, dtype
        )

    def test_a_full_disk_is_an_error_and_keeps_finished_images(
        self, tmp_path, monkeypatch
    ):
        store = make_store(tmp_path)
        store.fill(make_images()[:4], **FILLING)
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path: SimpleNamespace(free=1000)
        )
        needed = feature_bytes(store.trunk, N_IMAGES - 4) / 1e6
        with pytest.raises(OSError, match=rf"6 images.*{needed:.1f} MB"):
            store.fill(make_images(), **FILLING)
        monkeypatch.undo()
        assert store.n_computed == 4
        store.fill(make_images(), **FILLING)
        assert store.n_computed == N_IMAGES

    def test_an_interrupted_write_leaves_nothing_behind(self, tmp_path, monkeypatch):
        store = make_store(tmp_path)
        save, calls = np.save, []

        def interrupted(file, array):
            calls.append(1)
            if len(calls) == 3:
                file.write(b"half")
                raise KeyboardInterrupt
            save(file, array)

        monkeypatch.setattr(np, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.fill(make_images(), **FILLING)
        monkeypatch.undo()
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        # The plan of the batches is kept for the next run.
        assert sorted(path.suffix for path in files) == [".json", ".npy", ".npy"]
        another = make_store(tmp_path)
        another.fill(make_images(), **FILLING)
        # Two images of the first batch are kept, but batches are repeated as a whole.
        assert another.n_computed == N_IMAGES

    def test_a_truncated_file_is_computed_again(self, tmp_path):
        kept = make_store(tmp_path).fill(make_images(), **FILLING)
        before = kept.load(slice(None))
        path = min(tmp_path.rglob("*.npy"))
        path.write_bytes(path.read_bytes()[:50])
        store = make_store(tmp_path)
        with pytest.warns(UserWarning, match=rf"{path.name}.*damaged"):
            again = store.fill(make_images(), **FILLING)
        assert store.n_computed == 1
        for found, expected in zip(again.load(slice(None)), before, strict=True):
            assert_array_equal(found, expected)

    def test_an_unused_store_leaves_no_folder(self, tmp_path):
        make_store(tmp_path)
        assert not list(tmp_path.iterdir())


class TestRange:
    images = LazyImages.from_array(np.zeros((3, 4, 4, 3), dtype=np.float32))

    @pytest.mark.parametrize("value", [1e5, -1e5])
    def test_features_too_large_for_float16_are_an_error(self, tmp_path, value):
        store = FeatureStore(tmp_path, constant_network(value))
        with pytest.raises(
            FloatingPointError, match=r"100000.*float16.*features_dtype='float32'"
        ):
            store.fill(self.images, **FILLING)
        assert not list(tmp_path.rglob("*.npy"))

    def test_float32_holds_larger_features(self, tmp_path):
        store = FeatureStore(tmp_path, constant_network(1e5), dtype="float32")
        (features,) = store.fill(self.images, **FILLING).load(slice(None))
        assert_array_equal(features, np.full((3, 1, 1, 2), 1e5, dtype=np.float32))

    @pytest.mark.parametrize("dtype", ["float16", "float32"])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_nan_and_infinity_are_an_error_without_dtype_advice(
        self, tmp_path, value, dtype
    ):
        store = FeatureStore(tmp_path, constant_network(value), dtype=dtype)
        with pytest.raises(FloatingPointError, match="NaN or infinite") as raised:
            store.fill(self.images, **FILLING)
        assert "features_dtype" not in str(raised.value)


def test_progress_is_shown_only_if_verbose(tmp_path, terminal):
    store = make_store(tmp_path)
    store.fill(make_images()[:4], **FILLING)
    assert terminal.getvalue() == ""
    store.fill(make_images(), **{**FILLING, "verbose": 1})
    shown = terminal.getvalue()
    assert "features" in shown
    store.fill(make_images(), **{**FILLING, "verbose": 1})
    assert terminal.getvalue() == shown
