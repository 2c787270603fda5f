import random
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import h5py
import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from _helpers import tiny_backbone
from skcovid.networks import _graph as graph
from skcovid.networks import _network as network
from skcovid.networks._batch_norm import fold_batch_norm
from skcovid.networks._weights_file import KERNEL_SIZES
from skcovid.networks.backbones import Backbone, get_backbone

BACKBONE = tiny_backbone.register()
pytestmark = [
    # Compiling a tiny network takes longer than running it.
    pytest.mark.usefixtures("eager"),
    # Keras warns with NumPy 2, TensorFlow where its functions run eagerly.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation", "ignore:Even though the .tf.config"
    ),
]
FINE_TUNE_FROM = tiny_backbone.FINE_TUNE_FROM


def build(weights=None, backbone=BACKBONE, side=tiny_backbone.IMAGE_SIZE, **parameters):
    return network.build_backbone(
        backbone, weights, image_size=(side, side), **parameters
    )


def add_head(base, **parameters):
    defaults = {
        "n_classes": 3,
        "pooling": (),
        "dense_units": 16,
        "dropout": 0.6,
        "seed": 0,
    }
    return network.add_head(base, **{**defaults, **parameters})


def images(n_images=4, side=tiny_backbone.IMAGE_SIZE):
    generator = np.random.default_rng(0)
    return generator.uniform(-1, 1, (n_images, side, side, 3)).astype(np.float32)


def batch_norms(layers):
    return [
        layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)
    ]


def set_moving_statistics(model):
    """Set random statistics for every batch normalisation."""
    generator = np.random.default_rng(1)
    for layer in batch_norms(model.layers):
        size = layer.moving_mean.shape
        layer.moving_mean.assign(generator.normal(0, 0.1, size))
        layer.moving_variance.assign(generator.uniform(0.5, 2, size))


def legacy_state():
    return np.random.get_state()[1].tolist()  # noqa: NPY002 (the global one)


class TestHead:
    @pytest.mark.parametrize(
        ("pooling", "gathers"),
        [
            ((), keras.layers.Flatten),
            (("avg",), keras.layers.GlobalAveragePooling2D),
            (("max",), keras.layers.GlobalMaxPooling2D),
        ],
    )
    def test_layers_are_the_papers(self, pooling, gathers):
        base = build()
        model = add_head(base, pooling=pooling, dense_units=128)
        head = model.layers[len(base.layers) :]
        assert [type(layer) for layer in head] == [
            gathers,
            keras.layers.BatchNormalization,
            keras.layers.Dense,
            keras.layers.BatchNormalization,
            keras.layers.Dropout,
            keras.layers.Dense,
        ]
        hidden, dropout, softmax = head[2], head[4], head[5]
        assert (hidden.units, hidden.activation) == (128, keras.activations.relu)
        assert dropout.rate == 0.6
        assert (softmax.units, softmax.activation) == (3, keras.activations.softmax)

    def test_the_backbones_layers_come_first(self):
        base = build()
        model = add_head(base)
        pairs = zip(model.layers, base.layers, strict=False)
        assert all(own is of_base for own, of_base in pairs)

    def test_pooling_pools(self):
        base = build()
        features = base.predict_on_batch(images())
        for pooling, expected in {
            (): features.reshape(4, -1),
            ("avg",): features.mean(axis=(1, 2)),
            ("max",): features.max(axis=(1, 2)),
        }.items():
            model = add_head(base, pooling=pooling)
            gathered = keras.Model(model.input, model.layers[len(base.layers)].output)
            np.testing.assert_allclose(
                gathered.predict_on_batch(images()), expected, rtol=1e-5, atol=1e-6
            )

    def test_the_last_layer_is_pooled_once(self):
        base = build()
        once = add_head(base, pooling=("avg", "max"))
        again = add_head(base, feature_layers=base.layers[-1:], pooling=("avg", "max"))
        assert len(again.layers) == len(once.layers)

    def test_head_on_several_layers(self):
        base = build()
        side = base.layers[3]
        model = add_head(base, feature_layers=[side], pooling=("avg", "max"))
        pairs = zip(model.layers, base.layers, strict=False)
        assert all(own is of_base for own, of_base in pairs)
        (joined,) = (
            layer
            for layer in model.layers[len(base.layers) :]
            if isinstance(layer, keras.layers.Concatenate)
        )
        maps = keras.Model(base.input, [side.output, base.output]).predict_on_batch(
            images()
        )
        expected = [
            pool(depth, axis=(1, 2)) for depth in maps for pool in (np.mean, np.max)
        ]
        np.testing.assert_allclose(
            keras.Model(model.input, joined.output).predict_on_batch(images()),
            np.concatenate(expected, axis=1),
            rtol=1e-5,
            atol=1e-6,
        )

    def test_seed_decides_the_weights(self):
        base = build()
        first, again, other = (
            add_head(base, seed=seed).get_weights() for seed in (0, 0, 1)
        )
        assert all(map(np.array_equal, first, again))
        assert not all(map(np.array_equal, first, other))

    def test_head_is_float32_at_any_precision(self):
        base = build(precision="mixed_bfloat16")
        model = add_head(base)
        assert {layer.compute_dtype for layer in base.layers[1:]} == {"bfloat16"}
        assert {layer.compute_dtype for layer in model.layers[len(base.layers) :]} == {
            "float32"
        }


class TestFreezing:
    @pytest.fixture
    def layers(self):
        return build().layers

    @staticmethod
    def trainable(layers):
        return {index for index, layer in enumerate(layers) if layer.trainable}

    def test_paper_trains_every_batch_normalisation_in_both_phases(self, layers):
        norms = {2, 5, 8}
        network.freeze(layers, "trainable")
        assert self.trainable(layers) == norms
        network.unfreeze(layers[FINE_TUNE_FROM:], "trainable")
        assert self.trainable(layers) == norms | set(range(FINE_TUNE_FROM, len(layers)))

    def test_frozen_trains_no_batch_normalisation(self, layers):
        network.freeze(layers, "frozen")
        assert self.trainable(layers) == set()
        network.unfreeze(layers[FINE_TUNE_FROM:], "frozen")
        above = set(range(FINE_TUNE_FROM, len(layers)))
        assert self.trainable(layers) == above - {8}

    def test_freezing_again_undoes_the_unfreezing(self, layers):
        network.unfreeze(layers, "trainable")
        network.freeze(layers, "frozen")
        assert self.trainable(layers) == set()


def test_reset_moving_statistics():
    model = add_head(build())
    set_moving_statistics(model)
    scales = [layer.gamma.numpy() for layer in batch_norms(model.layers)]
    network.reset_moving_statistics(model)
    assert len(scales) == 5
    for layer, scale in zip(batch_norms(model.layers), scales, strict=True):
        assert not layer.moving_mean.numpy().any()
        assert not layer.moving_variance.numpy().any()
        assert_array_equal(layer.gamma.numpy(), scale)


class TestFindLayer:
    def test_by_index_or_name(self):
        layers = build().layers
        assert graph.find_layer(layers, 7) == 7
        assert graph.find_layer(layers, layers[7].name) == 7

    @pytest.mark.parametrize("layer", [11, 1000, "conv9"])
    def test_a_missing_layer_is_an_error(self, layer):
        with pytest.raises(ValueError, match=f"fine_tune_from={layer!r}"):
            graph.find_layer(build().layers, layer)


class TestFoldBatchNorm:
    def test_output_is_the_same(self):
        model = build()
        set_moving_statistics(model)
        before = model.predict_on_batch(images())
        folded = fold_batch_norm(model)
        assert not any(map(network.is_batch_norm, folded.layers))
        assert_allclose(folded.predict_on_batch(images()), before, rtol=1e-5, atol=1e-6)
        assert_array_equal(model.predict_on_batch(images()), before)

    @pytest.mark.parametrize("bias", [False, True])
    @pytest.mark.parametrize(("scale", "center"), [(True, False), (False, True)])
    def test_any_parameters(self, bias, scale, center):
        inputs = keras.Input((8, 8, 3))
        maps = keras.layers.Conv2D(
            4, 3, use_bias=bias, bias_initializer="random_normal"
        )(inputs)
        maps = keras.layers.BatchNormalization(
            scale=scale,
            center=center,
            gamma_initializer="random_normal",
            beta_initializer="random_normal",
        )(maps)
        model = keras.Model(inputs, maps)
        set_moving_statistics(model)
        folded = fold_batch_norm(model)
        assert len(folded.layers) == 2
        pixels = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
        assert_allclose(
            folded.predict_on_batch(pixels),
            model.predict_on_batch(pixels),
            rtol=1e-4,
            atol=1e-5,
        )

    @pytest.mark.parametrize("bias", [False, True])
    def test_depthwise_convolutions(self, bias):
        inputs = keras.Input((8, 8, 3))
        maps = keras.layers.DepthwiseConv2D(
            3, depth_multiplier=2, use_bias=bias, bias_initializer="random_normal"
        )(inputs)
        normalise = keras.layers.BatchNormalization(gamma_initializer="random_normal")
        model = keras.Model(inputs, normalise(maps))
        set_moving_statistics(model)
        folded = fold_batch_norm(model)
        assert len(folded.layers) == 2
        pixels = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
        assert_allclose(
            folded.predict_on_batch(pixels),
            model.predict_on_batch(pixels),
            rtol=1e-4,
            atol=1e-5,
        )

    @pytest.mark.parametrize("activation", [None, "relu"])
    def test_batch_norm_stays_where_another_layer_uses_the_convolution(
        self, activation
    ):
        inputs = keras.Input((8, 8, 3))
        maps = keras.layers.Conv2D(4, 3, activation=activation)(inputs)
        outputs = [keras.layers.BatchNormalization()(maps)]
        if activation is None:
            outputs.append(keras.layers.ReLU()(maps))
        model = keras.Model(inputs, outputs)
        set_moving_statistics(model)
        folded = fold_batch_norm(model)
        assert any(map(network.is_batch_norm, folded.layers))
        pixels = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
        for found, expected in zip(
            keras.tree.flatten(folded.predict_on_batch(pixels)),
            keras.tree.flatten(model.predict_on_batch(pixels)),
            strict=True,
        ):
            assert_allclose(found, expected, rtol=1e-6)


def split(model, base, first):
    """Return the tail of a network whose layers from `first` on are trained."""
    head = model.layers[len(base.layers) :]
    batch_norm = next(filter(network.is_batch_norm, head))
    (head_input,) = graph.layer_inputs(batch_norm)
    above = [*base.layers[first:], *head]
    trained = [
        layer
        for layer in above
        if layer.weights and (layer in head or not network.is_batch_norm(layer))
    ]
    return graph.split_tail(model, head_input, trained)


def shapes(tensors):
    return sorted(tuple(tensor.shape[1:]) for tensor in tensors)


class TestSplitTail:
    @pytest.mark.parametrize("pooling", [(), ("avg",), ("avg", "max")])
    @pytest.mark.parametrize("first", range(11))
    def test_trunk_and_tail_are_the_network(self, first, pooling):
        base = build()
        sides = [base.layers[3], base.layers[6]] if pooling else []
        model = add_head(base, feature_layers=sides, pooling=pooling)
        set_moving_statistics(model)
        tail = split(model, base, first)
        trunk = keras.Model(model.input, tail.inputs)
        features = keras.tree.flatten(trunk.predict_on_batch(images()))
        assert_allclose(
            keras.Model(tail.inputs, tail.output).predict_on_batch(features),
            model.predict_on_batch(images()),
            rtol=1e-6,
        )

    def test_trunk_and_head_are_the_network(self):
        base = build()
        model = add_head(base, pooling=("avg", "max"))
        set_moving_statistics(model)
        tail = split(model, base, FINE_TUNE_FROM)
        trunk = keras.Model(model.input, tail.inputs)
        gather = keras.Model(tail.inputs, tail.head_input)
        features = keras.tree.flatten(trunk.predict_on_batch(images()))
        gathered = gather.predict_on_batch(features)
        head = keras.Model(tail.head_input, tail.output)
        assert_allclose(
            head.predict_on_batch(gathered),
            model.predict_on_batch(images()),
            rtol=1e-6,
        )

    def test_trains_the_weights_of_the_network(self):
        base = build()
        model = add_head(base, pooling=("avg",))
        network.freeze(base.layers, "frozen")
        network.unfreeze(base.layers[FINE_TUNE_FROM:], "frozen")
        tail = split(model, base, FINE_TUNE_FROM)
        part = keras.Model(tail.inputs, tail.output)
        assert {id(weight) for weight in part.trainable_weights} == {
            id(weight) for weight in model.trainable_weights
        }

    def test_only_trained_layers_take_maps(self):
        base = build()
        model = add_head(base, pooling=("avg", "max"))
        # The short branch joins the long one above the cut and skips trained layers.
        tail = split(model, base, FINE_TUNE_FROM)
        (into_convolution,) = graph.layer_inputs(base.layers[FINE_TUNE_FROM])
        assert any(tensor is into_convolution for tensor in tail.inputs)
        assert shapes(tail.inputs) == sorted([(6,), (6,), (8, 8, 4)])

    def test_layers_without_weights_belong_to_the_trunk(self):
        base = build()
        model = add_head(base, pooling=("avg",))
        last = len(base.layers) - 1
        tail = split(model, base, last)
        assert [id(tensor) for tensor in tail.inputs] == [id(tail.head_input)]

    def test_inception(self):
        backbone = get_backbone("inceptionv3")
        base = build(backbone=backbone, side=96)
        model = add_head(base, pooling=("avg", "max"))
        set_moving_statistics(model)
        tail = split(model, base, backbone.fine_tune_from)
        maps = [tensor for tensor in tail.inputs if len(tensor.shape) == 4]
        assert shapes(maps) == [(1, 1, 2048)]
        image = images(1, 96)
        features = keras.Model(base.input, tail.inputs).predict_on_batch(image)
        assert_allclose(
            keras.Model(tail.inputs, tail.output).predict_on_batch(features),
            model.predict_on_batch(image),
            rtol=1e-5,
        )


class TestFrontier:
    @pytest.mark.parametrize("first", range(11))
    def test_trunk_and_tail_are_the_network(self, first):
        base = build()
        model = add_head(base)
        set_moving_statistics(model)
        entering = graph.frontier(base.layers[first:])
        trunk = keras.Model(base.input, entering)
        tail = keras.Model(entering, model.output)
        features = keras.tree.flatten(trunk.predict_on_batch(images()))
        assert_array_equal(
            tail.predict_on_batch(features), model.predict_on_batch(images())
        )

    def test_holds_each_tensor_once(self):
        base = build()
        entering = graph.frontier(base.layers[FINE_TUNE_FROM:])
        below = {base.layers[3].output.name, base.layers[6].output.name}
        assert {tensor.name for tensor in entering} == below
        assert len(entering) == 2

    def test_ignores_other_models_that_share_layers(self):
        base = build()
        first = graph.frontier(base.layers[FINE_TUNE_FROM:])
        keras.Model(first, base.output)
        again = graph.frontier(base.layers[FINE_TUNE_FROM:])
        assert [id(tensor) for tensor in again] == [id(tensor) for tensor in first]

    def test_inception(self):
        backbone = get_backbone("inceptionv3")
        base = build(backbone=backbone, side=96)
        model = add_head(base)
        set_moving_statistics(model)
        assert len(base.layers) == 311
        assert all(map(lambda a, b: a is b, model.layers, base.layers))
        entering = graph.frontier(base.layers[backbone.fine_tune_from :])
        assert len(entering) == 6
        image = images(1, 96)
        features = keras.Model(base.input, entering).predict_on_batch(image)
        assert_array_equal(
            keras.Model(entering, model.output).predict_on_batch(features),
            model.predict_on_batch(image),
        )


def virtual(file, name, kept):
    layout = h5py.VirtualLayout(kept.shape, kept.dtype)
    layout[:] = h5py.VirtualSource("other.h5", "kernel", kept.shape)
    file.create_virtual_dataset(name, layout)


# Ways to put an array, or something else, in the place of a weight.
HOSTILE = {
    "giant": lambda file, name, kept: file.create_dataset(name, (30000, 10**5), "f4"),
    "no content": lambda file, name, kept: file.create_dataset(name, kept.shape, "f4"),
    "giant chunk": lambda file, name, kept: file.create_dataset(
        name, (1, 1), "f4", chunks=(2**14, 2**15), maxshape=(None, None)
    ),
    "compressed giant": lambda file, name, kept: file.create_dataset(
        name, (30000, 10**5), "f4", chunks=(10, 10), compression="gzip"
    ),
    "compressed, no content": lambda file, name, kept: file.create_dataset(
        name, kept.shape, "f4", compression="gzip"
    ),
    "external storage": lambda file, name, kept: file.create_dataset(
        name, kept.shape, "f4", external=[("/etc/passwd", 0, kept.nbytes)]
    ),
    "virtual": virtual,
    "external link": lambda file, name, kept: file.__setitem__(
        name, h5py.ExternalLink("other.h5", "kernel")
    ),
    "soft link": lambda file, name, kept: file.__setitem__(
        name, h5py.SoftLink("/layers")
    ),
}


class TestWeights:
    @pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
    def test_file_round_trip(self, suffix, tmp_path):
        path = tmp_path / f"backbone{suffix}"
        saved = build(seed=1)
        set_moving_statistics(saved)
        (saved.save_weights if suffix == ".weights.h5" else saved.save)(path)
        for given in (path, str(path)):
            loaded = build(given, seed=2)
            for own, expected in zip(
                loaded.get_weights(), saved.get_weights(), strict=True
            ):
                assert_array_equal(own, expected)

    @pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
    def test_another_architecture_is_an_error(self, suffix, tmp_path):
        path = tmp_path / f"other{suffix}"
        inputs = keras.Input((32, 32, 3))
        other = keras.Model(inputs, keras.layers.Conv2D(5, 7)(inputs))
        (other.save_weights if suffix == ".weights.h5" else other.save)(path)
        with pytest.raises(ValueError, match=rf"other{suffix}.*'tiny'"):
            build(path)

    @pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
    def test_the_network_that_weights_are_of_is_named(
        self, suffix, tmp_path, monkeypatch
    ):
        path = tmp_path / f"other{suffix}"
        inputs = keras.Input((32, 32, 3))
        outputs = keras.layers.Flatten()(keras.layers.Conv2D(5, 7)(inputs))
        other = keras.Model(inputs, keras.layers.Dense(2)(outputs))
        (other.save_weights if suffix == ".weights.h5" else other.save)(path)
        monkeypatch.setitem(KERNEL_SIZES, "vgg19", 7 * 7 * 3 * 5)
        with pytest.raises(ValueError, match=r"'tiny'.*backbone='vgg19'") as info:
            build(path)
        assert info.value.__cause__ is None
        assert info.value.__suppress_context__

    @pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
    @pytest.mark.parametrize("number", [np.nan, -np.inf])
    def test_numbers_that_are_not_finite_are_an_error(self, suffix, number, tmp_path):
        path = tmp_path / f"broken{suffix}"
        saved = build()
        values = saved.get_weights()
        assert values[4].shape == (6,)
        values[4][-1] = number
        saved.set_weights(values)
        (saved.save_weights if suffix == ".weights.h5" else saved.save)(path)
        with pytest.raises(ValueError, match=r"broken.*moving_variance.*batch_norm"):
            build(path)

    @pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
    @pytest.mark.parametrize("hostile", HOSTILE)
    def test_a_hostile_file_is_refused_before_it_is_read(
        self, suffix, hostile, tmp_path, monkeypatch
    ):
        path = tmp_path / "hostile.weights.h5"
        build().save_weights(path)
        with h5py.File(path, "a") as file:
            name = file.visit(lambda name: name if name.endswith("vars/0") else None)
            kept = file[name][()]
            del file[name]
            HOSTILE[hostile](file, name, kept)
        if suffix == ".keras":
            config = keras.Sequential([keras.Input((1,)), keras.layers.Dense(8)])
            wide = config.to_json().replace('"units": 8', '"units": 3000000000')
            with zipfile.ZipFile(tmp_path / "hostile.keras", "w") as archive:
                archive.writestr("config.json", wide)
                archive.writestr("metadata.json", "{}")
                archive.write(path, "model.weights.h5")
            path = tmp_path / "hostile.keras"
        monkeypatch.setattr(keras.Model, "load_weights", None)
        with pytest.raises(ValueError, match=rf"hostile{suffix}.*{name}"):
            build(path)

    def test_compressed_arrays_are_loaded(self, tmp_path):
        path, saved = tmp_path / "backbone.weights.h5", build(seed=1)
        saved.save_weights(path)
        arrays = []
        with h5py.File(path, "a") as file:
            file.visititems(lambda name, item: arrays.append((name, item)))
            for name, item in arrays:
                if isinstance(item, h5py.Dataset) and item.shape:
                    kept = item[()]
                    del file[name]
                    file.create_dataset(name, data=kept, compression="gzip")
        loaded = build(path, seed=2)
        assert all(map(np.array_equal, loaded.get_weights(), saved.get_weights()))

    def test_a_compressed_keras_file_is_an_error(self, tmp_path):
        path = tmp_path / "compressed.keras"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model.weights.h5", bytes(10**7))
        with pytest.raises(ValueError, match=r"compressed\.keras.*compressed"):
            build(path)

    def test_the_network_in_a_keras_file_is_not_built(self, tmp_path):
        path, saved = tmp_path / "backbone.keras", build(seed=1)
        saved.save(path)
        with zipfile.ZipFile(path) as archive:
            weights = archive.read("model.weights.h5")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "no network")
            archive.writestr("model.weights.h5", weights)
        loaded = build(path, seed=2)
        assert all(map(np.array_equal, loaded.get_weights(), saved.get_weights()))

    @pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
    def test_a_damaged_file_is_an_error(self, suffix, tmp_path):
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(ValueError, match=f"damaged{suffix}"):
            build(path)

    def test_a_missing_file_is_an_error(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"missing\.weights\.h5"):
            build(tmp_path / "missing.weights.h5")

    @pytest.mark.parametrize("weights", ["file.h5", "file.ckpt", "ImageNet", ""])
    def test_another_kind_of_file_is_an_error(self, weights):
        with pytest.raises(ValueError, match=rf"{weights!r}.*'imagenet', None"):
            build(weights)

    @pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
    def test_a_backbone_inside_another_network_is_an_error(self, suffix, tmp_path):
        path = tmp_path / f"nested{suffix}"
        layers = [build(), keras.layers.Flatten(), keras.layers.Dense(2)]
        saved = keras.Sequential([keras.Input((32, 32, 3)), *layers])
        (saved.save_weights if suffix == ".weights.h5" else saved.save)(path)
        with pytest.raises(
            ValueError, match=r"nested.*inside.*save the backbone alone"
        ):
            build(path)

    @pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
    def test_a_trained_network_with_a_head_starts_another(self, suffix, tmp_path):
        path = tmp_path / f"trained{suffix}"
        base = build(seed=1)
        model = add_head(base)
        model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy")
        model.train_on_batch(images(), np.array([0, 1, 2, 0]))
        (model.save_weights if suffix == ".weights.h5" else model.save)(path)
        loaded = build(path, seed=2)
        assert all(map(np.array_equal, loaded.get_weights(), base.get_weights()))

    def test_an_older_file_with_a_new_suffix_is_an_error(self, tmp_path):
        build().save(tmp_path / "older.h5")
        path = (tmp_path / "older.h5").rename(tmp_path / "older.weights.h5")
        with pytest.raises(
            ValueError, match=r"older\.weights.*older \.h5.*save_weights"
        ):
            build(path)

    @pytest.mark.parametrize(
        "error", [Exception("URL fetch failure"), ValueError("corrupted file detected")]
    )
    def test_a_failing_download_names_the_other_choices(self, monkeypatch, error):
        def fail(include_top, weights, input_shape):
            if weights == "imagenet":
                raise error  # as Keras does
            return tiny_backbone.build_tiny(include_top, weights, input_shape)

        monkeypatch.setattr(keras.applications, "VGG19", fail)
        with pytest.raises(OSError, match=str(error)) as raised:
            build("imagenet", backbone=get_backbone("vgg19"))
        for choice in ("weights=PATH", "weights=None", "'vgg19'", "KERAS_HOME"):
            assert choice in str(raised.value)
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__

    def test_an_invalid_size_is_not_reported_as_a_failed_download(self):
        with pytest.raises(ValueError, match="75x75"):
            build("imagenet", backbone=get_backbone("inceptionv3"), side=32)

    def test_downloaded_weights_are_requested_from_the_builder(self, monkeypatch):
        asked = []

        def remember(include_top, weights, input_shape):
            asked.append(weights)
            return tiny_backbone.build_tiny(include_top, None, input_shape)

        monkeypatch.setattr(keras.applications, "VGG19", remember)
        build("imagenet", backbone=get_backbone("vgg19"))
        assert asked == ["imagenet"]

    def test_random_weights_are_repeatable(self):
        first, again, other = (build(seed=seed).get_weights() for seed in (3, 3, 4))
        assert all(map(np.array_equal, first, again))
        assert not all(map(np.array_equal, first, other))

    def test_random_weights_are_repeatable_while_other_threads_draw(self):
        expected = build(seed=3).get_weights()
        built = threading.Event()

        def draw():
            while not built.is_set():
                random.random()
                random.randint(0, 9)

        thread = threading.Thread(target=draw)
        thread.start()
        try:
            beside = build(seed=3).get_weights()
        finally:
            built.set()
            thread.join()
        assert all(map(np.array_equal, expected, beside))

    @pytest.mark.parametrize("weights", [None, ".weights.h5", ".keras"])
    def test_random_state_is_unchanged(self, weights, tmp_path):
        if weights is not None:
            path = tmp_path / f"backbone{weights}"
            saved = build()
            (saved.save_weights if weights == ".weights.h5" else saved.save)(path)
            weights = path
        before = random.getstate(), legacy_state()
        build(weights)
        assert (random.getstate(), legacy_state()) == before


@pytest.fixture
def channels_first():
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format(before)


class TestBuilding:
    def test_does_not_depend_on_the_image_data_format(self, channels_first):
        model = add_head(build(), pooling=("avg", "max"))
        flattened = add_head(build())
        assert keras.config.image_data_format() == "channels_first"
        keras.config.set_image_data_format("channels_last")
        assert model.input_shape == (None, 32, 32, 3)
        for found, pooling in ((model, ("avg", "max")), (flattened, ())):
            expected = add_head(build(), pooling=pooling)
            assert_array_equal(
                found.predict_on_batch(images()), expected.predict_on_batch(images())
            )

    def test_restores_the_dtype_policy(self):
        before = keras.config.dtype_policy()
        build(precision="mixed_bfloat16")
        assert keras.config.dtype_policy() == before

        def fail(include_top, weights, input_shape):
            raise RuntimeError("no such layer")

        with pytest.raises(RuntimeError, match="no such layer"):
            build(
                backbone=Backbone("broken", fail, 32, "tf", 0),
                precision="mixed_bfloat16",
            )
        assert keras.config.dtype_policy() == before

    def test_random_weights_are_the_same_in_threads(self):
        def build_slowly(include_top, weights, input_shape):
            inputs = keras.Input(input_shape)
            time.sleep(0.05)  # Time for another thread to draw in between.
            return keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs))

        backbone = Backbone("slow", build_slowly, 32, "tf", 0)
        with ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(build, backbone=backbone, seed=7) for _ in range(3)]
        alone = build(backbone=backbone, seed=7).get_weights()[0]
        for future in futures:
            assert_array_equal(future.result().get_weights()[0], alone)

    def test_an_unknown_builder_is_an_error(self):
        with pytest.raises(ValueError, match="'NoNet'"):
            build(backbone=Backbone("nonet", "NoNet", 32, "tf", 0))

    def test_a_sequential_backbone(self):
        def build_sequential(include_top, weights, input_shape):
            return keras.Sequential(
                [
                    keras.Input(input_shape),
                    keras.layers.Conv2D(4, 3, strides=4),
                    keras.layers.Conv2D(5, 3),
                ]
            )

        base = build(backbone=Backbone("chain", build_sequential, 32, "tf", 1))
        model = add_head(base)
        assert all(map(lambda a, b: a is b, model.layers, base.layers))
        assert model.predict_on_batch(images()).shape == (4, 3)


class TestPredictBatches:
    def test_a_smaller_last_batch_gives_as_many_rows(self):
        base = build()
        inputs = images(7)
        batches = ((slice(i, min(i + 3, 7)), inputs[i : i + 3]) for i in (0, 3, 6))
        found = list(network.predict_batches(base, batches))
        assert [rows for rows, _ in found] == [slice(0, 3), slice(3, 6), slice(6, 7)]
        outputs = np.concatenate([part for _, (part,) in found])
        np.testing.assert_allclose(
            outputs, base.predict_on_batch(inputs), rtol=1e-5, atol=1e-6
        )

    def test_several_inputs_and_outputs(self):
        base = build()
        entering = graph.frontier(base.layers[FINE_TUNE_FROM:])
        trunk = keras.Model(base.input, entering)
        tail = keras.Model(entering, base.output)
        ((_, features),) = network.predict_batches(trunk, [(slice(0, 4), images())])
        ((_, (output,)),) = network.predict_batches(
            tail, [(slice(0, 4), tuple(features))]
        )
        assert_array_equal(output, base.predict_on_batch(images()))
