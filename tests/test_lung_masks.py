"""Lung masks that lie beside the images, as in the Radiography Database."""

import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import skcovid
from skcovid import RadiographReader, audit, evaluate, predict_archive
from skcovid.datasets import load_radiographs

SIDE = 30
# Rows 12 to 20 and columns 6 to 23 of an image hold lungs, in two fields.
INSIDE = np.zeros((SIDE, SIDE), bool)
INSIDE[12:21, 6:12] = INSIDE[12:21, 18:24] = True
OPERATIONS = ["crop", "only", "remove"]


def flatten(images):
    return np.asarray(images).reshape(len(images), -1)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return str(path)


def mask_of(path):
    return path.replace("images", "masks")


@pytest.fixture
def root(tmp_path):
    """Twelve images of two classes, with masks of two thirds of their size."""
    rng = np.random.default_rng(0)
    for label in ("COVID", "Normal"):
        for number in range(6):
            name = f"{label}-{number}.png"
            level = 40 if label == "COVID" else 200
            noise = rng.integers(-20, 20, (SIDE, SIDE))
            pixels = (128 + noise + (level - 128) * INSIDE).astype(np.uint8)
            write(tmp_path / "set" / label / "images" / name, pixels)
            # As in the release, of three equal channels.
            mask = np.repeat(np.kron(255 * INSIDE[1::3, 1::3], np.ones((2, 2))), 3)
            mask = mask.reshape(20, 20, 3).astype(np.uint8)
            write(tmp_path / "set" / label / "masks" / name, mask)
    return tmp_path / "set"


@pytest.fixture
def data(root):
    return load_radiographs(root)


@pytest.fixture
def paths(data):
    return data.paths.tolist()


def pixels_of(paths):
    return np.stack([cv2.imread(path, cv2.IMREAD_GRAYSCALE) for path in paths])


def make_model(lungs, classifier=None):
    return Pipeline(
        [
            ("read", RadiographReader(16, lungs=lungs)),
            ("flatten", FunctionTransformer(flatten)),
            ("classify", classifier or RidgeClassifier()),
        ]
    )


class TestPixels:
    @pytest.mark.parametrize("channels", ["grey", "rgb"])
    @pytest.mark.parametrize(("lungs", "kept"), [("only", INSIDE), ("remove", ~INSIDE)])
    def test_all_but_the_lungs_or_the_lungs_are_black(
        self, paths, lungs, kept, channels
    ):
        reader = RadiographReader(SIDE, channels=channels, lungs=lungs)
        images = np.asarray(reader.fit_transform(paths))
        expected = pixels_of(paths) * kept
        if channels == "rgb":
            expected = np.repeat(expected[..., np.newaxis], 3, axis=-1)
        np.testing.assert_array_equal(images, expected)

    def test_a_crop_holds_the_lungs_and_a_margin(self, paths):
        # 5 % of 9 rows and of 18 columns, rounded, is 0 and 1 pixels.
        reader = RadiographReader((9, 20), lungs="crop")
        images = np.asarray(reader.fit_transform(paths))
        np.testing.assert_array_equal(images, pixels_of(paths)[:, 12:21, 5:25])

    def test_a_crop_ends_at_the_edge(self, paths):
        cv2.imwrite(mask_of(paths[0]), np.full((20, 20), 255, np.uint8))
        images = RadiographReader(SIDE, lungs="crop").fit_transform(paths[:1])
        np.testing.assert_array_equal(np.asarray(images), pixels_of(paths[:1]))

    def test_the_size_without_image_size(self, paths):
        images = RadiographReader(lungs="only").fit_transform(paths)
        assert images.shape == (12, SIDE, SIDE)
        images = RadiographReader(lungs="crop").fit_transform(paths)
        assert images.shape == (12, SIDE, SIDE)

    @pytest.mark.parametrize("white", [1, 2, 255])
    def test_white_may_be_any_level(self, paths, white):
        cv2.imwrite(mask_of(paths[0]), (white * INSIDE).astype(np.uint8))
        images = RadiographReader(SIDE, lungs="only").fit_transform(paths[:1])
        np.testing.assert_array_equal(np.asarray(images), pixels_of(paths[:1]) * INSIDE)

    def test_a_mask_whose_sides_were_rounded_is_taken(self, tmp_path):
        path = write(tmp_path / "images" / "1.png", np.full((333, 299), 9, np.uint8))
        write(tmp_path / "masks" / "1.png", np.full((256, 230), 255, np.uint8))
        assert np.all(RadiographReader(8, lungs="only").fit_transform([path])[0] == 9)

    def test_an_archive_gives_the_same_images(self, root, paths):
        archive = shutil.make_archive(str(root), "zip", root)
        inside = load_radiographs(archive).paths
        for lungs in OPERATIONS:
            reader = RadiographReader(16, lungs=lungs)
            here, there = reader.fit_transform(paths), reader.transform(inside)
            np.testing.assert_array_equal(np.asarray(here), np.asarray(there))
            np.testing.assert_array_equal(here.keys, there.keys)


class TestKeys:
    def test_they_hold_operation_and_mask(self, paths):
        def keys(lungs):
            return RadiographReader(16, lungs=lungs).fit_transform(paths[:1]).keys[0]

        operations = [None, *OPERATIONS]
        before = [keys(lungs) for lungs in operations]
        assert len(set(before)) == 4
        cv2.imwrite(mask_of(paths[0]), 255 * INSIDE.T.astype(np.uint8))
        after = [keys(lungs) for lungs in operations]
        assert before[0] == after[0]
        assert set(before[1:]).isdisjoint(after[1:])

    def test_a_mask_that_changes_after_transform_is_an_error(self, paths):
        images = RadiographReader(16, lungs="only").fit_transform(paths)
        cv2.imwrite(mask_of(paths[0]), 255 * INSIDE.T.astype(np.uint8))
        with pytest.raises(ValueError, match=r"COVID-0.*lung mask has changed"):
            images[0]

    def test_lazy_images_can_be_pickled(self, paths):
        images = RadiographReader(16, lungs="crop").fit_transform(paths)
        copy = pickle.loads(pickle.dumps(images))
        np.testing.assert_array_equal(np.asarray(copy), np.asarray(images))


class TestErrors:
    @pytest.mark.parametrize(
        ("mask", "kind", "message"),
        [
            (None, FileNotFoundError, r"masks\S*COVID-1.png: no such.*lungs=None"),
            (b"", ValueError, r"can't be read.*masks\S*COVID-1.png.*empty"),
            (np.zeros((20, 20)), ValueError, r"masks\S*COVID-1.png is all black"),
            (np.ones((20, 25)), ValueError, "30×30.*20×25, of another aspect"),
        ],
    )
    @pytest.mark.parametrize("lungs", OPERATIONS)
    def test_masks_that_cannot_be_used_are_listed(
        self, root, paths, mask, kind, message, lungs
    ):
        path = root / "COVID" / "masks" / "COVID-1.png"
        path.unlink()
        if isinstance(mask, bytes):
            path.write_bytes(mask)
        elif mask is not None:
            cv2.imwrite(str(path), mask)
        reader = RadiographReader(16, lungs=lungs).fit(paths)
        with pytest.raises(
            kind, match=r"1 of 12 .*\n.*images\S*COVID-1.png: "
        ) as error:
            reader.transform(paths)
        assert error.match(message)

    def test_all_are_listed_together(self, paths):
        for path in paths[:2]:
            Path(mask_of(path)).write_bytes(b"")
        Path(paths[2]).write_bytes(b"")
        with pytest.raises(ValueError, match="3 of 12"):
            RadiographReader(16, lungs="only").fit_transform(paths)

    def test_an_image_outside_of_a_folder_images(self, write_image):
        path = write_image("1.png", np.zeros((8, 8), np.uint8))
        write(path.parent.parent / "masks" / "1.png", np.ones((8, 8), np.uint8))
        with pytest.raises(ValueError, match=r"1.png: has no lung mask.*images/NAME"):
            RadiographReader(8, lungs="only").fit_transform([path])

    @pytest.mark.parametrize("wrap", [np.asarray, skcovid.LazyImages.from_array])
    def test_pixels(self, wrap, grey_images, paths):
        new, fitted = (RadiographReader(8, lungs="crop") for _ in range(2))
        for method in (new.fit, fitted.fit(paths).transform):
            with pytest.raises(ValueError, match=r"lungs='crop' needs paths.*=None"):
                method(wrap(grey_images))

    def test_an_unknown_operation(self, paths):
        with pytest.raises(ValueError, match="'lungs' parameter"):
            RadiographReader(8, lungs="blank").fit(paths)


class TestLoader:
    def test_masks_are_aligned_with_paths(self, root, paths):
        (root / "Normal" / "masks" / "Normal-5.png").unlink()
        data = load_radiographs(root)
        assert data.masks.tolist() == [*map(mask_of, paths[:-1]), None]
        assert "Normal: images 6, patients not known, masks 5" in data.DESCR

    def test_no_masks(self, root):
        for label in ("COVID", "Normal"):
            shutil.rmtree(root / label / "masks")
        assert load_radiographs(root).masks is None


class TestPipelines:
    def test_the_lungs_hold_the_classes_and_the_rest_does_not(self, data):
        search = GridSearchCV(
            make_model(None), {"read__lungs": [None, *OPERATIONS]}, cv=2
        ).fit(data.paths, data.target)
        scores = dict(
            zip([None, *OPERATIONS], search.cv_results_["mean_test_score"], strict=True)
        )
        assert scores["crop"] == scores["only"] == 1 > scores["remove"]
        result = evaluate(
            clone(search.estimator).set_params(read__lungs="crop"),
            data.paths,
            data.target,
            cv=2,
            verbose=0,
        )
        assert result.accuracy.value == 1

    def test_save_clone_and_repr(self, data, tmp_path):
        reader = RadiographReader(16, lungs="only").fit(data.paths)
        assert repr(clone(reader)) == "RadiographReader(image_size=16, lungs='only')"
        skcovid.save(reader, tmp_path / "reader.skcovid")
        loaded = skcovid.load(tmp_path / "reader.skcovid")
        images, again = reader.transform(data.paths), loaded.transform(data.paths)
        assert images.keys.tolist() == again.keys.tolist()
        np.testing.assert_array_equal(np.asarray(images), np.asarray(again))

    def test_an_audit_blanks_images_that_are_masked(self, data, small_forests):
        report = audit(
            make_model("only", DummyClassifier()),
            data.paths,
            data.target,
            cv=2,
            fractions=[0.9],
            n_permutations=19,
            verbose=0,
        )
        [check] = [one for one in report.checks if one.name == "blanked lungs"]
        assert check.status == "passed"

    def test_a_resumed_evaluation_notices_another_mask(self, data, tmp_path):
        def run():
            model = make_model("crop", DummyClassifier())
            return evaluate(
                model,
                data.paths,
                data.target,
                cv=2,
                verbose=0,
                checkpoint=tmp_path / "kept",
            )

        run()
        cv2.imwrite(mask_of(data.paths[0]), 255 * INSIDE.T.astype(np.uint8))
        with pytest.raises(ValueError, match="1 of 12 digests diffe"):
            run()

    def test_an_archive_reports_masks_and_notices_their_changes(self, data, tmp_path):
        pytest.importorskip("pyarrow")
        model = make_model("crop").fit(data.paths, data.target)
        Path(mask_of(data.paths[0])).write_bytes(b"")

        def run():
            return predict_archive(
                model, data.paths, tmp_path / "out", resume=True, verbose=0
            )

        assert run().n_errors == 1
        assert run().n_resumed == 12
        shutil.copy(mask_of(data.paths[1]), mask_of(data.paths[0]))
        with pytest.warns(UserWarning, match="images have changed"):
            assert run().n_errors == 0
