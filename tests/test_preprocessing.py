import os
import pickle
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import polars as pl
import pytest
from imblearn.over_sampling import RandomOverSampler
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError

from skcovid import BackbonePreprocessor, LazyImages, RadiographReader
from skcovid.networks.backbones import Backbone, get_backbone, list_backbones

KERAS_MODULES = {
    "resnet50": "resnet50",
    "vgg19": "vgg19",
    "densenet121": "densenet",
    "inceptionv3": "inception_v3",
    "mobilenetv2": "mobilenet_v2",
    "efficientnetv2b0": "efficientnet_v2",
}
ONE_A_MODE = {
    "caffe": "resnet50",
    "torch": "densenet121",
    "tf": "inceptionv3",
    "lite": "efficientnetlite0",
    "raw": "efficientnetv2b0",
}
OWN_SIZE = (12, 10)
TRANSFORMERS = [
    RadiographReader(image_size=(6, 5), channels="rgb"),
    BackbonePreprocessor("densenet121", image_size=8),
]


def preprocessor(name, size=OWN_SIZE):
    return BackbonePreprocessor(name, image_size=size)


def flatten(images):
    return np.asarray(images).reshape(len(images), -1)


def all_layouts(images, tmp_path):
    """Return the same pixels in every memory layout and container."""
    read_only = images.copy()
    read_only.flags.writeable = False
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    backwards = np.ascontiguousarray(images[::-1, ::-1])[::-1, ::-1]
    return {
        "read-only": read_only,
        "memory-mapped": mapped,
        "Fortran order": np.asfortranarray(images),
        "negative strides": backwards,
        "list of arrays": list(images),
        "nested lists": images.tolist(),
        "uint16": images.astype(np.uint16) * 257,
        "int64": images.astype(np.int64),
        "float32": images.astype(np.float32),
    }


class TestReaderInputs:
    @pytest.mark.parametrize(
        "kind",
        [
            list,
            tuple,
            np.array,
            lambda paths: np.array(paths, dtype=object),
            lambda paths: [Path(path) for path in paths],
            lambda paths: np.array([Path(path) for path in paths], dtype=object),
            lambda paths: [*paths[:2], *map(Path, paths[2:])],
        ],
        ids=["list", "tuple", "str array", "objects", "Paths", "Path array", "mixed"],
    )
    def test_paths_of_any_kind(self, grey_paths, grey_images, kind):
        images = RadiographReader().fit_transform(kind(grey_paths))
        assert isinstance(images, LazyImages)
        assert (images.dtype, images.shape) == (np.uint8, grey_images.shape)
        np.testing.assert_array_equal(np.asarray(images), grey_images)

    def test_a_column_of_paths_that_samplers_and_bagging_hand_on(
        self, grey_paths, grey_images
    ):
        column, y = np.array(grey_paths)[:, np.newaxis], [0, 1] * 3
        images = RadiographReader().fit_transform(column)
        np.testing.assert_array_equal(images, grey_images)
        flat = FunctionTransformer(flatten)
        model = make_pipeline(RadiographReader(), flat, RidgeClassifier())
        column, y = RandomOverSampler().fit_resample(column, y)
        assert BaggingClassifier(model, 2).fit(column, y).predict(column).shape == (6,)

    def test_two_columns_of_paths_are_refused(self, grey_paths):
        with pytest.raises(ValueError, match=r"n_samples, height, width"):
            RadiographReader().fit(np.array(grey_paths).reshape(3, 2))

    @pytest.mark.parametrize("dtype", [None, object, "string", "category"])
    def test_a_column_of_pandas(self, grey_paths, grey_images, dtype):
        column = pd.DataFrame({"path": grey_paths}, index=range(6, 0, -1))["path"]
        images = RadiographReader().fit_transform(column.astype(dtype or column.dtype))
        np.testing.assert_array_equal(np.asarray(images), grey_images)

    def test_a_column_of_path_objects(self, grey_paths, grey_images):
        column = pd.Series([Path(path) for path in grey_paths], index=list("fedcba"))
        images = RadiographReader().fit_transform(column)
        np.testing.assert_array_equal(np.asarray(images), grey_images)

    @pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
    def test_a_column_of_polars(self, grey_paths, grey_images, dtype):
        column = pl.DataFrame({"path": grey_paths})["path"].cast(dtype)
        images = RadiographReader().fit_transform(column)
        np.testing.assert_array_equal(np.asarray(images), grey_images)

    @pytest.mark.parametrize("library", [pd, pl])
    def test_columns_are_split_and_predicted_like_lists(self, grey_paths, library):
        labels = ["a", "b"] * 3
        model = make_pipeline(
            RadiographReader(6), FunctionTransformer(flatten), RidgeClassifier()
        )
        columns = library.Series(grey_paths), library.Series(labels)
        expected = cross_val_predict(model, grey_paths, labels, cv=3)
        np.testing.assert_array_equal(
            cross_val_predict(model, *columns, cv=3), expected
        )

    @pytest.mark.parametrize("library", [pd, pl])
    @pytest.mark.parametrize("step", [RadiographReader(), BackbonePreprocessor()])
    def test_a_table_is_an_error(self, grey_paths, library, step):
        table = library.DataFrame({"path": grey_paths, "label": list("ababab")})
        message = r"one column of paths.*'path', 'label'.*as in X\['path'\]"
        with pytest.raises(ValueError, match=message):
            step.fit(table)
        with pytest.raises(ValueError, match="one column of paths"):
            step.fit(table[["path"]])

    @pytest.mark.parametrize("library", [pd, pl])
    def test_a_missing_path_in_a_column_is_an_error(self, grey_paths, library):
        with pytest.raises(ValueError, match=r"X\[1\].*path"):
            RadiographReader().fit(library.Series([grey_paths[0], None]))

    @pytest.mark.parametrize("colour", [False, True])
    def test_arrays_in_any_layout(self, grey_images, rgb_images, tmp_path, colour):
        images = rgb_images if colour else grey_images
        expected = RadiographReader(image_size=(7, 9)).fit_transform(images)
        assert expected.shape == (6, 7, 9, 3) if colour else (6, 7, 9)
        for layout, same in all_layouts(images, tmp_path).items():
            resized = RadiographReader(image_size=(7, 9)).fit_transform(same)
            np.testing.assert_array_equal(resized, expected, err_msg=layout)
            kept = RadiographReader().fit_transform(same)
            np.testing.assert_array_equal(kept, images, err_msg=layout)

    @pytest.mark.parametrize("wrong", ["a.png", Path("a.png")])
    @pytest.mark.parametrize("step", [RadiographReader(), BackbonePreprocessor()])
    def test_one_path_is_an_error(self, step, wrong):
        with pytest.raises(ValueError, match=r"list of paths.*a\.png"):
            step.fit(wrong)

    @pytest.mark.parametrize("image_size", [8, None])
    def test_missing_files_are_all_listed(self, image_size, grey_paths, tmp_path):
        missing = [str(tmp_path / "no.png"), str(tmp_path / "neither.png")]
        with pytest.raises(FileNotFoundError) as error:
            RadiographReader(image_size).fit_transform(
                [missing[0], *grey_paths, missing[1]]
            )
        assert all(path in str(error.value) for path in missing)

    def test_transform_finds_a_file_that_breaks_after_fit(self, grey_paths):
        reader = RadiographReader(8).fit(grey_paths)
        Path(grey_paths[4]).write_bytes(b"overwritten")
        with pytest.raises(ValueError, match=r"4\.png"):
            reader.transform(grey_paths)

    def test_a_rewritten_file_gives_new_pixels_and_another_key(
        self, grey_paths, write_image
    ):
        reader = RadiographReader(8).fit(grey_paths)
        before = reader.transform(grey_paths)
        keys, pixels = before.keys, np.asarray(before)
        os.utime(write_image("4.png", np.full((9, 9), 50, np.uint8)), ns=(1, 1))
        after = reader.transform(grey_paths)
        changed = [False, False, False, False, True, False]
        assert (after.keys != keys).tolist() == changed
        differs = (np.asarray(after) != pixels).any(axis=(1, 2))
        assert differs.tolist() == changed

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ([], "no images"),
            (np.array([], dtype=str), "no images"),
            (["a.png", 3], r"X\[1\].*path"),
            (["a.png", None], r"X\[1\].*path"),
            ([np.zeros((4, 4)), np.zeros((4, 5))], "images of one shape"),
            (np.zeros((4, 4), np.uint8), r"shape \(4, 4\)"),
            (np.array([["a.png", "b.png"]]), r"shape \(1, 2\)"),
            (np.full((1, 4, 4), 0.5), "already normalised"),
        ],
    )
    def test_other_input_is_an_error(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            RadiographReader(4).fit(wrong)

    def test_unequal_arrays_in_an_object_array_are_an_error(self):
        images = np.empty(2, dtype=object)
        images[:] = [np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)]
        with pytest.raises(ValueError, match="images of one shape"):
            RadiographReader(4).fit(images)


class Opened:
    """Records the names of files in a folder that Python opens, in order."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.names = []

    def __call__(self, event, args):
        if event == "open" and isinstance(args[0], str | os.PathLike):
            path = Path(args[0])
            if str(path.parent) == self.folder:
                self.names.append(path.name)


@pytest.fixture
def opened(tmp_path, grey_paths):
    """Files of the test that are opened from now on."""
    record = Opened(tmp_path)
    # The hook stays until the process ends, but records this folder only.
    sys.addaudithook(record)
    return record.names


class TestFilesOpened:
    NAMES = tuple(f"{number}.png" for number in range(6))

    def test_fit_with_a_size_opens_no_file(self, grey_paths, opened, tmp_path):
        Path(grey_paths[1]).write_bytes(b"no image")
        del opened[:]
        paths = [*grey_paths, str(tmp_path / "missing.png")]
        reader = RadiographReader(8).fit(paths)
        assert reader.image_size_ == (8, 8)
        assert opened == []
        with pytest.raises(ValueError, match=r"2 of 7 files") as error:
            reader.transform(paths)
        for named in ("1.png", "missing.png"):
            assert named in str(error.value)

    @pytest.mark.parametrize("image_size", [8, None])
    def test_fit_transform_opens_each_once(self, image_size, grey_paths, opened):
        images = RadiographReader(image_size).fit_transform(grey_paths)
        assert sorted(opened) == list(self.NAMES)
        images[2]
        assert opened[6:] == ["2.png"]

    def test_fit_without_a_size_lists_bad_files(self, grey_paths):
        Path(grey_paths[1]).write_bytes(b"no image")
        Path(grey_paths[4]).write_bytes(b"")
        with pytest.raises(ValueError, match=r"2 of 6 files") as error:
            RadiographReader().fit(grey_paths)
        for named in ("1.png", "4.png"):
            assert named in str(error.value)

    def test_no_fold_checks_a_file_again(self, grey_paths, opened):
        for _ in range(3):
            for reader in (RadiographReader(8), RadiographReader(9)):
                reader.fit(grey_paths[:4]).transform(grey_paths)
        assert sorted(opened) == list(self.NAMES)

    def test_a_rewritten_file_is_checked_again(self, grey_paths, opened, write_image):
        reader = RadiographReader(8).fit(grey_paths)
        reader.transform(grey_paths)
        write_image("3.png", np.zeros((20, 30), np.uint8))
        del opened[:]
        reader.transform(grey_paths)
        assert opened == ["3.png"]

    @pytest.mark.parametrize("access", [np.asarray, lambda images: images[3], list])
    def test_a_file_rewritten_after_transform_is_an_error(
        self, access, grey_paths, write_image
    ):
        images = RadiographReader(8).fit_transform(grey_paths)
        before = Path(grey_paths[3]).stat()
        write_image("3.png", np.zeros((12, 10), np.uint8))
        # Copying with times kept, as rsync and cp -p do.
        os.utime(grey_paths[3], ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(ValueError, match=r"3\.png.*changed.*transform"):
            access(images)
        images[2]

    def test_a_file_rewritten_with_the_same_size_and_time_is_checked_again(
        self, tmp_path
    ):
        path = tmp_path / "1.pgm"
        for level in (0, 200):
            path.write_bytes(b"P5 4 4 255\n" + bytes([level] * 16))
            os.utime(path, ns=(10**18, 10**18))
            images = RadiographReader(4).fit_transform([str(path)])
            np.testing.assert_array_equal(images, np.full((1, 4, 4), level))

    def test_a_touched_or_moved_file_is_unchanged(self, grey_paths):
        images = RadiographReader(8).fit_transform(grey_paths)
        expected = np.asarray(images)
        os.utime(grey_paths[0])
        content = Path(grey_paths[1]).read_bytes()
        Path(grey_paths[1]).unlink()
        Path(grey_paths[1]).write_bytes(content)
        np.testing.assert_array_equal(images, expected)


class TestReaderSizes:
    @pytest.mark.parametrize(
        ("image_size", "expected"),
        [(8, (8, 8)), ((6, 9), (6, 9)), (np.int64(8), (8, 8)), (None, OWN_SIZE)],
    )
    @pytest.mark.parametrize("source", ["paths", "array", "lazy"])
    def test_images_have_image_size(
        self, image_size, expected, source, grey_paths, grey_images
    ):
        X = {
            "paths": grey_paths,
            "array": grey_images,
            "lazy": LazyImages.from_array(grey_images),
        }[source]
        reader = RadiographReader(image_size).fit(X)
        assert reader.image_size_ == expected
        assert np.asarray(reader.transform(X)).shape == (6, *expected)

    def test_files_of_different_size_need_image_size(self, grey_paths, write_image):
        odd = str(write_image("odd.png", np.zeros((5, 7), np.uint8)))
        with pytest.raises(ValueError, match="Pass image_size") as error:
            RadiographReader().fit([*grey_paths, odd])
        for named in ("12×10", "5×7", odd):
            assert named in str(error.value)
        images = RadiographReader(8).fit_transform([*grey_paths, odd])
        assert np.asarray(images).shape == (7, 8, 8)

    def test_later_images_get_the_size_found_by_fit(
        self, grey_paths, grey_images, write_image
    ):
        other = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
        path = str(write_image("other.png", other))
        for reader in (
            RadiographReader().fit(grey_paths),
            RadiographReader().fit(grey_images),
        ):
            assert reader.image_size_ == OWN_SIZE
            from_file = np.asarray(reader.transform([path]))
            from_array = np.asarray(reader.transform(other[None]))
            assert from_file.shape == (1, *OWN_SIZE)
            np.testing.assert_array_equal(from_file, from_array)

    def test_downscaling_averages_fine_structure(self):
        stripes = np.zeros((1, 16, 16), dtype=np.uint8)
        stripes[..., ::4] = 200
        shrunk = RadiographReader(4).fit_transform(stripes)
        np.testing.assert_array_equal(shrunk, np.full((1, 4, 4), 50))

    @pytest.mark.parametrize("image_size", [3, 12, 50, (3, 50)])
    def test_a_plain_image_stays_plain_at_any_size(self, image_size):
        plain = np.full((1, 12, 12), 77, dtype=np.uint8)
        assert (RadiographReader(image_size).fit_transform(plain) == 77).all()


class TestReaderChannels:
    def test_grey_files_become_three_equal_channels(self, grey_paths, grey_images):
        images = RadiographReader(channels="rgb").fit_transform(grey_paths)
        assert images.shape == (*grey_images.shape, 3)
        expected = np.stack([grey_images] * 3, axis=-1)
        np.testing.assert_array_equal(np.asarray(images), expected)

    def test_colour_files_keep_their_channels_in_rgb_order(
        self, rgb_images, write_image
    ):
        path = write_image("a.png", rgb_images[0])
        images = RadiographReader(channels="rgb").fit_transform([path])
        np.testing.assert_array_equal(images[0], rgb_images[0])
        assert RadiographReader().fit_transform([path]).shape == (1, *OWN_SIZE)

    @pytest.mark.parametrize("wrap", [np.asarray, LazyImages.from_array])
    def test_arrays(self, grey_images, rgb_images, wrap):
        as_rgb = RadiographReader(channels="rgb").fit_transform(wrap(grey_images))
        expected = np.stack([grey_images] * 3, axis=-1)
        np.testing.assert_array_equal(np.asarray(as_rgb), expected)
        for channels in ("grey", "rgb"):
            kept = RadiographReader(channels=channels).fit_transform(wrap(rgb_images))
            np.testing.assert_array_equal(np.asarray(kept), rgb_images)


class TestLazyAndEager:
    @pytest.mark.parametrize(
        ("lazy", "source", "expected"),
        [
            ("auto", "paths", LazyImages),
            ("auto", "lazy", LazyImages),
            ("auto", "array", np.ndarray),
            (True, "paths", LazyImages),
            (True, "lazy", LazyImages),
            (True, "array", LazyImages),
            (False, "paths", np.ndarray),
            (False, "lazy", np.ndarray),
            (False, "array", np.ndarray),
        ],
    )
    def test_the_reader(self, lazy, source, expected, grey_paths, grey_images):
        X = {
            "paths": grey_paths,
            "array": grey_images,
            "lazy": LazyImages.from_array(grey_images),
        }[source]
        images = RadiographReader((6, 5), lazy=lazy).fit_transform(X)
        assert type(images) is expected
        eager = RadiographReader((6, 5)).fit_transform(grey_images)
        np.testing.assert_array_equal(np.asarray(images), eager)

    @pytest.mark.parametrize("name", ONE_A_MODE.values(), ids=ONE_A_MODE)
    def test_the_preprocessor(self, name, grey_images):
        eager = preprocessor(name, 9).fit_transform(grey_images)
        lazy = preprocessor(name, 9).fit_transform(LazyImages.from_array(grey_images))
        assert type(eager) is np.ndarray
        assert type(lazy) is LazyImages
        assert lazy.shape == eager.shape == (6, 9, 9, 3)
        assert lazy.dtype == eager.dtype == np.float32
        np.testing.assert_array_equal(np.asarray(lazy), eager)

    def test_nothing_is_computed_before_access(self, grey_images):
        loaded = []

        def load(number):
            loaded.append(number)
            return grey_images[number]

        images = LazyImages(load, range(6), image_shape=OWN_SIZE)
        steps = make_pipeline(
            RadiographReader(8, channels="rgb"), preprocessor("vgg19", 9)
        )
        prepared = steps.fit_transform(images)
        assert loaded == []
        assert prepared[4].shape == (9, 9, 3)
        assert loaded == [4]

    def test_files_are_decoded_on_access(self, grey_paths):
        images = RadiographReader(8).fit_transform(grey_paths)
        Path(grey_paths[3]).unlink()
        assert images[2].shape == (8, 8)
        with pytest.raises(FileNotFoundError, match=r"3\.png"):
            images[3]

    def test_a_key_depends_on_file_size_channels_and_preparation(self, grey_paths):
        def keys(paths, size, channels, backbone):
            reader = RadiographReader(size, channels=channels)
            images = reader.fit_transform(paths)
            return images.keys, preprocessor(backbone).fit_transform(images).keys

        usual = (grey_paths, 8, "grey", "resnet50")
        variants = [
            usual,
            (grey_paths, 9, "grey", "resnet50"),
            (grey_paths, 8, "rgb", "resnet50"),
            (grey_paths, 8, "grey", "densenet121"),
        ]
        read, prepared = zip(*(keys(*variant) for variant in variants), strict=True)
        assert len({*np.concatenate(read)}) == 3 * len(grey_paths)
        assert len({*np.concatenate(prepared)}) == 4 * len(grey_paths)
        for first, second in zip(keys(*usual), keys(*usual), strict=True):
            np.testing.assert_array_equal(first, second)

    def test_a_key_depends_on_content_not_on_name(self, grey_paths, tmp_path):
        copied = tmp_path / "copied.png"
        copied.write_bytes(Path(grey_paths[2]).read_bytes())
        images = RadiographReader(8).fit_transform([grey_paths[2], copied])
        assert images.keys[0] == images.keys[1]


class TestModes:
    @pytest.mark.parametrize("name", KERAS_MODULES)
    def test_pixels_equal_those_of_keras(self, name, rgb_images):
        import keras

        module = getattr(keras.applications, KERAS_MODULES[name])
        expected = module.preprocess_input(rgb_images.astype(np.float32))
        prepared = preprocessor(name).fit_transform(rgb_images)
        assert prepared.dtype == np.float32
        np.testing.assert_allclose(prepared, expected, atol=1e-4)

    def test_every_registered_backbone_is_compared(self):
        assert set(KERAS_MODULES) <= set(list_backbones())
        modes = {get_backbone(name).mode for name in KERAS_MODULES}
        # Keras has no EfficientNet-Lite.
        assert {*modes, "lite"} == set(ONE_A_MODE)

    @pytest.mark.parametrize("name", ONE_A_MODE.values(), ids=ONE_A_MODE)
    def test_grey_becomes_three_equal_channels_first(self, name, grey_images):
        as_rgb = np.stack([grey_images] * 3, axis=-1)
        from_grey = preprocessor(name, 9).fit_transform(grey_images)
        from_rgb = preprocessor(name, 9).fit_transform(as_rgb)
        np.testing.assert_array_equal(from_grey, from_rgb)

    @pytest.mark.parametrize(
        ("name", "lowest", "highest"),
        [
            ("resnet50", (-103.939, -116.779, -123.68), (151.061, 138.221, 131.32)),
            ("densenet121", (-2.1179, -2.0357, -1.8044), (2.2489, 2.4286, 2.64)),
            ("inceptionv3", (-1, -1, -1), (1, 1, 1)),
            ("efficientnetlite2", (-127 / 128,) * 3, (1, 1, 1)),
            ("efficientnetv2b0", (0, 0, 0), (255, 255, 255)),
        ],
    )
    def test_range(self, name, lowest, highest):
        extremes = np.stack(
            [np.zeros(OWN_SIZE, np.uint8), np.full(OWN_SIZE, 255, np.uint8)]
        )
        black, white = preprocessor(name).fit_transform(extremes)
        np.testing.assert_allclose(black[0, 0], lowest, atol=1e-3)
        np.testing.assert_allclose(white[0, 0], highest, atol=1e-3)

    @pytest.mark.parametrize("name", ONE_A_MODE.values(), ids=ONE_A_MODE)
    @pytest.mark.parametrize("wrap", [np.asarray, LazyImages.from_array])
    def test_inverse_transform_restores_the_pixels(self, name, wrap):
        every_level = np.arange(256 * 3, dtype=np.uint16).reshape(1, 16, 16, 3)
        images = (every_level % 256).astype(np.uint8)
        fitted = preprocessor(name, 16).fit(images)
        restored = fitted.inverse_transform(fitted.transform(wrap(images)))
        assert restored.dtype == np.uint8
        np.testing.assert_array_equal(restored, images)

    def test_inverse_transform_before_fit(self, rgb_images):
        with pytest.raises(NotFittedError):
            BackbonePreprocessor().inverse_transform(rgb_images)

    def test_inverse_transform_stays_in_range(self, grey_images):
        fitted = preprocessor("inceptionv3").fit(grey_images)
        beyond = np.array([-3.0, 0.0, 3.0], np.float32).reshape(1, 1, 1, 3)
        assert fitted.inverse_transform(beyond).ravel().tolist() == [0, 128, 255]


class TestPreprocessor:
    @pytest.mark.parametrize("name", KERAS_MODULES)
    def test_the_size_is_the_backbones_own(self, name):
        side = get_backbone(name).image_size
        fitted = BackbonePreprocessor(name).fit(np.zeros((1, 4, 4), np.uint8))
        assert fitted.image_size_ == (side, side)
        assert fitted.backbone_ == get_backbone(name)
        prepared = fitted.transform(np.zeros((1, 4, 4), np.uint8))
        assert prepared.shape == (1, side, side, 3)

    def test_another_size(self, grey_images):
        fitted = BackbonePreprocessor("vgg19", image_size=(7, 9)).fit(grey_images)
        assert fitted.transform(grey_images[:, :5]).shape == (6, 7, 9, 3)

    def test_a_backbone_object_in_place_of_a_name(self, grey_images):
        backbone = Backbone("mine", "VGG16", 20, "raw", -1)
        prepared = BackbonePreprocessor(backbone).fit_transform(grey_images)
        assert prepared.shape == (6, 20, 20, 3)

    def test_an_unknown_name_is_an_error_with_a_suggestion(self, grey_images):
        with pytest.raises(ValueError, match="Did you mean 'resnet50'"):
            BackbonePreprocessor("resnet-50").fit(grey_images)

    @pytest.mark.parametrize("method", ["fit", "transform"])
    @pytest.mark.parametrize("kind", [list, np.array])
    def test_paths_are_an_error_that_names_the_reader(
        self, method, kind, grey_paths, grey_images
    ):
        fitted = preprocessor("vgg19").fit(grey_images)
        with pytest.raises(ValueError, match="RadiographReader"):
            getattr(fitted, method)(kind(grey_paths))

    def test_preprocessed_images_are_an_error(self, grey_images):
        fitted = preprocessor("inceptionv3").fit(grey_images)
        with pytest.raises(ValueError, match="already normalised"):
            fitted.transform(fitted.transform(grey_images))
        with pytest.raises(ValueError, match="uint8"):
            fitted.transform(fitted.transform(LazyImages.from_array(grey_images)))

    @pytest.mark.parametrize("name", ONE_A_MODE.values(), ids=ONE_A_MODE)
    @pytest.mark.parametrize("size", [OWN_SIZE, 9])
    def test_arrays_in_any_layout(self, name, size, rgb_images, tmp_path):
        expected = preprocessor(name, size).fit_transform(rgb_images)
        for layout, same in all_layouts(rgb_images, tmp_path).items():
            prepared = preprocessor(name, size).fit_transform(same)
            np.testing.assert_array_equal(prepared, expected, err_msg=layout)


@pytest.mark.parametrize(
    ("estimator", "parameter", "value"),
    [
        (RadiographReader, "image_size", 0),
        (RadiographReader, "image_size", -3),
        (RadiographReader, "image_size", 8.0),
        (RadiographReader, "image_size", "8"),
        (RadiographReader, "image_size", [8, 8]),
        (RadiographReader, "channels", "gray"),
        (RadiographReader, "channels", 3),
        (RadiographReader, "channels", None),
        (RadiographReader, "lazy", "no"),
        (RadiographReader, "lazy", None),
        (RadiographReader, "n_jobs", 0),
        (RadiographReader, "n_jobs", -1),
        (RadiographReader, "n_jobs", 1.5),
        (RadiographReader, "n_jobs", None),
        (BackbonePreprocessor, "backbone", None),
        (BackbonePreprocessor, "backbone", 50),
        (BackbonePreprocessor, "image_size", 0),
        (BackbonePreprocessor, "image_size", 8.0),
        (BackbonePreprocessor, "image_size", [8, 8]),
    ],
)
def test_wrong_parameters_are_named(estimator, parameter, value, grey_images):
    with pytest.raises(InvalidParameterError) as error:
        estimator(**{parameter: value}).fit(grey_images)
    message = str(error.value)
    assert f"The {parameter!r} parameter of {estimator.__name__}" in message
    assert repr(value) in message


@pytest.mark.parametrize("estimator", [RadiographReader, BackbonePreprocessor])
@pytest.mark.parametrize("size", [(8,), (8, 8, 3), (8, 0), (8, 8.0), ("8", 8), ()])
def test_a_wrong_tuple_is_an_error(estimator, size, grey_images):
    with pytest.raises(ValueError, match=r"image_size.*\(height, width\)"):
        estimator(image_size=size).fit(grey_images)


@pytest.mark.parametrize("step", TRANSFORMERS, ids=lambda step: type(step).__name__)
class TestScikitLearn:
    def test_fit_returns_the_estimator_and_fit_transform_is_both(
        self, step, grey_images
    ):
        step = clone(step)
        assert step.fit(grey_images, None) is step
        both = clone(step).fit_transform(grey_images, None)
        np.testing.assert_array_equal(step.transform(grey_images), both)

    def test_transform_before_fit(self, step, grey_images):
        with pytest.raises(NotFittedError):
            clone(step).transform(grey_images)

    def test_parameters_are_stored_cloned_and_set(self, step):
        parameters = step.get_params()
        assert clone(step.fit(np.zeros((1, 4, 4), np.uint8))).get_params() == parameters
        assert vars(clone(step)).keys() == parameters.keys()
        assert clone(step).set_params(image_size=99).get_params() == (
            {**parameters, "image_size": 99}
        )
        assert type(step).__name__ in repr(step)
        assert "image_size" in repr(step)

    def test_fit_changes_no_parameter(self, step, grey_images):
        step = clone(step)
        before = dict(step.get_params())
        step.fit(grey_images).transform(grey_images)
        assert step.get_params() == before

    def test_transform_changes_no_fitted_state(self, step, grey_images):
        step = clone(step).fit(grey_images)
        before = dict(vars(step))
        step.transform(grey_images[:2, :5, :5])
        assert vars(step) == before

    def test_pickling_keeps_what_was_fitted(self, step, grey_images):
        step = clone(step).fit(grey_images)
        restored = pickle.loads(pickle.dumps(step))
        np.testing.assert_array_equal(
            restored.transform(grey_images), step.transform(grey_images)
        )

    def test_lazy_output_can_be_pickled(self, step, grey_images):
        images = clone(step).fit_transform(LazyImages.from_array(grey_images))
        restored = pickle.loads(pickle.dumps(images))
        np.testing.assert_array_equal(np.asarray(restored), np.asarray(images))
        np.testing.assert_array_equal(restored.keys, images.keys)

    def test_output_does_not_share_or_change_the_input(self, step, grey_images):
        before = grey_images.copy()
        for image_size in (5, OWN_SIZE):
            output = clone(step).set_params(image_size=image_size)
            output = output.fit_transform(grey_images)
            assert not np.shares_memory(output, grey_images)
        np.testing.assert_array_equal(grey_images, before)

    def test_an_image_does_not_depend_on_the_others(self, step, grey_images):
        step = clone(step).fit(grey_images)
        np.testing.assert_array_equal(
            step.transform(grey_images[2:3])[0], step.transform(grey_images)[2]
        )

    def test_tags(self, step):
        tags = get_tags(step)
        assert not tags.input_tags.two_d_array
        assert tags.input_tags.three_d_array
        assert not tags.target_tags.required

    def test_pandas_output_is_not_forced_on_images(self, step, grey_images):
        from sklearn import config_context

        with config_context(transform_output="pandas"):
            output = clone(step).fit_transform(grey_images)
        assert type(output) is np.ndarray


def test_reading_never_writes_to_the_files(grey_paths):
    before = [Path(path).read_bytes() for path in grey_paths]
    np.asarray(RadiographReader(8).fit_transform(grey_paths))
    assert [Path(path).read_bytes() for path in grey_paths] == before


def test_opencvs_thread_count_is_unchanged(grey_paths):
    threads = cv2.getNumThreads()
    np.asarray(RadiographReader(8).fit_transform(grey_paths))
    assert cv2.getNumThreads() == threads


@pytest.mark.parametrize("n_channels", [3, 4])
def test_one_image_with_channels_is_not_a_batch(n_channels):
    image = np.full((16, 16, n_channels), 100, dtype=np.uint8)
    reader = RadiographReader(image_size=8).fit(image[..., 0][np.newaxis])
    with pytest.raises(ValueError, match=r"\(16, 16, .\).*images\[:1\].*np\.newaxis"):
        reader.transform(image)
    assert reader.transform(image[np.newaxis, ..., :3]).shape == (1, 8, 8, 3)
