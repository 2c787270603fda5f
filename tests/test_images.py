import os
import pickle
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
    train_test_split,
)
from sklearn.utils import _safe_indexing, indexable

from skcovid import LazyImages
from skcovid.images import image_key, read_ahead
from skcovid.images._checks import check_images

N_IMAGES, HEIGHT, WIDTH = 6, 4, 5
EXPECTED = np.stack(
    [np.full((HEIGHT, WIDTH), 10 * number, np.uint8) for number in range(N_IMAGES)]
)


class CountingLoader:
    """Computes image number *i*, all pixels 10 · i, and records the call."""

    def __init__(self):
        self.loaded = []

    def __call__(self, number):
        self.loaded.append(int(number))
        return np.full((HEIGHT, WIDTH), 10 * number, dtype=np.uint8)


def plain(number, channels=()):
    return np.full((HEIGHT, WIDTH, *channels), 10 * number, dtype=np.uint8)


def brighter(image, by):
    return image + np.uint8(by)


def each_brighter(images, by):
    return np.stack(list(map(brighter, images, by)))


@pytest.fixture
def load():
    return CountingLoader()


@pytest.fixture
def images(load):
    keys = [image_key(number) for number in range(N_IMAGES)]
    return LazyImages(load, range(N_IMAGES), image_shape=(HEIGHT, WIDTH), keys=keys)


def test_describes_itself_like_an_array_and_computes_nothing(images, load):
    assert images.shape == EXPECTED.shape
    assert images.dtype == EXPECTED.dtype
    assert images.ndim == 3
    assert len(images) == N_IMAGES
    assert repr(images) == "LazyImages(shape=(6, 4, 5), dtype=uint8)"
    assert load.loaded == []


INDICES = {
    "slice": slice(1, 4),
    "step": slice(None, None, 2),
    "reversed": slice(None, None, -1),
    "empty slice": slice(3, 3),
    "list": [2, 0, 2],
    "negative": [-1, 1],
    "empty list": [],
    "index array": np.array([5, 3]),
    "unsigned": np.array([5, 3], dtype=np.uint8),
    "mask": np.arange(N_IMAGES) % 2 == 0,
    "list mask": [True, False, False, True, False, False],
    "ellipsis": ...,
    "scikit-learn's": (np.array([4, 1]), ...),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_indexing_rows_equals_an_array_and_computes_nothing(images, load, index):
    part = images[index]
    assert isinstance(part, LazyImages)
    assert part.shape == EXPECTED[index].shape
    assert len(part.keys) == len(part)
    assert load.loaded == []
    np.testing.assert_array_equal(np.asarray(part), EXPECTED[index])


@pytest.mark.parametrize("index", [0, 3, -1, np.int64(2), np.uint8(5), (1, ...)])
def test_an_integer_computes_one_image(images, load, index):
    image = images[index]
    assert type(image) is np.ndarray
    np.testing.assert_array_equal(image, EXPECTED[index])
    assert len(load.loaded) == 1


@pytest.mark.parametrize("index", [N_IMAGES, -N_IMAGES - 1, [0, N_IMAGES]])
def test_an_index_out_of_range_is_an_error(images, index):
    with pytest.raises(IndexError):
        images[index]


@pytest.mark.parametrize(
    "index",
    [
        (0, 0),
        (slice(None), slice(2)),
        (slice(None), ..., None),
        None,
        True,
        1.0,
        [0.0],
        "0",
        [[0, 1], [1, 0]],
        np.ones((N_IMAGES, HEIGHT, WIDTH), dtype=bool),
        [True, False],
    ],
    ids=str,
)
def test_other_indices_are_errors(images, load, index):
    with pytest.raises(IndexError):
        images[index]
    assert load.loaded == []


def test_asarray_computes_every_image_once(images, load):
    array = np.asarray(images)
    assert type(array) is np.ndarray
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, EXPECTED)
    assert load.loaded == list(range(N_IMAGES))


def test_asarray_with_another_dtype(images):
    array = np.asarray(images, dtype=np.float32)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, EXPECTED)


def test_an_array_without_a_copy_is_an_error(images):
    with pytest.raises(ValueError, match="copy=False"):
        images.__array__(copy=False)


def test_iteration_gives_one_image_after_another(images, load):
    iterator = iter(images)
    np.testing.assert_array_equal(next(iterator), EXPECTED[0])
    assert load.loaded == [0]
    np.testing.assert_array_equal(np.stack([EXPECTED[0], *iterator]), EXPECTED)


def test_colour_images_have_four_axes():
    images = LazyImages(
        partial(plain, channels=(3,)), [1, 2], image_shape=(HEIGHT, WIDTH, 3)
    )
    assert (images.ndim, np.asarray(images).shape) == (4, (2, HEIGHT, WIDTH, 3))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((WIDTH,), np.uint8),
        np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        np.zeros((HEIGHT, WIDTH), np.float32),
    ],
    ids=["broadcastable", "colour", "float"],
)
@pytest.mark.parametrize("access", [np.asarray, lambda images: images[0], list])
def test_an_image_of_another_shape_or_dtype_is_an_error(wrong, access):
    images = LazyImages(lambda item: wrong, [0, 1], image_shape=(HEIGHT, WIDTH))
    with pytest.raises(ValueError, match="must return") as error:
        access(images)
    assert str(wrong.shape) in str(error.value)
    assert str(wrong.dtype) in str(error.value)


def test_too_few_keys_are_an_error():
    with pytest.raises(ValueError, match=r"2 entries.*3 items"):
        LazyImages(plain, range(3), image_shape=(HEIGHT, WIDTH), keys=["a", "b"])


@pytest.mark.parametrize("items", [["a.png", "b.png"], [("a", 1), ("b", 2)], "ab"])
def test_items_reach_the_loader_unchanged(items):
    seen = []

    def load(item):
        seen.append(item)
        return np.zeros((2, 2), np.uint8)

    np.asarray(LazyImages(load, items, image_shape=(2, 2)))
    assert seen == list(items)


def test_from_array_shares_the_pixels(grey_images):
    images = LazyImages.from_array(grey_images)
    assert images.shape == grey_images.shape
    assert np.shares_memory(images[2], grey_images)
    np.testing.assert_array_equal(np.asarray(images), grey_images)


class TestScikitLearn:
    y = np.array(["a", "b"] * 3)

    @pytest.mark.parametrize(
        ("splitter", "groups"),
        [
            (StratifiedKFold(3), None),
            (StratifiedGroupKFold(3), [0, 0, 1, 1, 2, 2]),
        ],
    )
    def test_splitters_compute_nothing(self, images, load, splitter, groups):
        tested = [test for _, test in splitter.split(images, self.y, groups)]
        assert sorted(np.concatenate(tested)) == list(range(N_IMAGES))
        assert load.loaded == []

    def test_train_test_split_keeps_them_lazy(self, images, load):
        train, test = train_test_split(images, test_size=2, random_state=0)
        assert isinstance(train, LazyImages)
        assert isinstance(test, LazyImages)
        assert (len(train), len(test)) == (4, 2)
        assert load.loaded == []

    @pytest.mark.parametrize("rows", [[3, 0], np.array([3, 0]), slice(1, 3)])
    def test_safe_indexing_keeps_them_lazy(self, images, load, rows):
        part = _safe_indexing(*indexable(images), rows)
        assert isinstance(part, LazyImages)
        assert load.loaded == []
        np.testing.assert_array_equal(np.asarray(part), EXPECTED[rows])

    def test_cross_val_predict_computes_only_test_images(self, images, load):
        class Mean(ClassifierMixin, BaseEstimator):
            def fit(self, X, y):
                assert isinstance(X, LazyImages)
                self.classes_ = np.unique(y)
                return self

            def predict(self, X):
                return np.array([image.mean() for image in X])

        predicted = cross_val_predict(Mean(), images, self.y, cv=3)
        np.testing.assert_array_equal(predicted, EXPECTED.mean(axis=(1, 2)))
        assert sorted(load.loaded) == list(range(N_IMAGES))


class TestKeys:
    def test_keys_are_equal_exactly_where_pixels_are(self, grey_images):
        different = LazyImages.from_array(grey_images).keys
        assert len(set(different)) == len(grey_images)
        again = LazyImages.from_array(np.asfortranarray(grey_images.copy())).keys
        np.testing.assert_array_equal(again, different)

    @pytest.mark.parametrize(
        "change",
        [
            lambda image: image.T,
            lambda image: image.reshape(1, -1),
            lambda image: image.view(np.int8),
            lambda image: image.astype(np.float32),
        ],
        ids=["transposed", "reshaped", "int8", "float32"],
    )
    def test_same_bytes_or_values_in_another_shape_or_dtype_differ(
        self, grey_images, change
    ):
        image = grey_images[0]
        keys = [LazyImages.from_array(x[None]).keys[0] for x in (image, change(image))]
        assert keys[0] != keys[1]

    def test_one_pixel_changes_only_the_key_of_its_image(self, grey_images):
        before = LazyImages.from_array(grey_images).keys
        changed = grey_images.copy()
        changed[3, 0, 0] ^= 1
        same = LazyImages.from_array(changed).keys == before
        assert same.tolist() == [True, True, True, False, True, True]

    def test_rows_keep_their_keys(self, images):
        np.testing.assert_array_equal(images[[4, 1]].keys, images.keys[[4, 1]])

    def test_every_operation_becomes_part_of_the_key(self, images, load):
        by_5 = images.map(partial(brighter, by=5), "brighter(5)")
        by_6 = images.map(partial(brighter, by=6), "brighter(6)")
        twice = by_5.map(partial(brighter, by=5), "brighter(5)")
        all_keys = np.concatenate([x.keys for x in (images, by_5, by_6, twice)])
        assert len(set(all_keys)) == 4 * N_IMAGES
        again = images.map(partial(brighter, by=5), "brighter(5)")
        np.testing.assert_array_equal(again.keys, by_5.keys)
        assert load.loaded == []

    def test_parts_of_a_key_are_separated(self):
        assert image_key("ab", "c") != image_key("a", "bc")
        assert image_key("a") != image_key("a", "")

    def test_keys_are_the_same_in_another_process(self):
        code = """
import numpy as np
from skcovid import LazyImages
images = LazyImages.from_array(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
named = LazyImages(id, "ab", image_shape=(1, 1), keys=["a", "b"]).map(id, "f(1)")
keys = [*images.keys, *named.keys]
"""
        here = {}
        exec(code, here)
        there = subprocess.run(
            [sys.executable, "-c", f"{code}\nprint(*keys)"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": "7"},
        )
        assert there.stdout.split() == here["keys"]


class TestOperations:
    def test_map_applies_on_access(self, images, load):
        mapped = images.map(partial(brighter, by=5), "brighter(5)")
        assert load.loaded == []
        np.testing.assert_array_equal(np.asarray(mapped), EXPECTED + 5)
        np.testing.assert_array_equal(np.asarray(images), EXPECTED)

    def test_map_without_keys_computes_nothing(self, load):
        images = LazyImages(load, range(N_IMAGES), image_shape=(HEIGHT, WIDTH))
        mapped = images.map(partial(brighter, by=5), "brighter(5)")
        assert load.loaded == []
        expected = LazyImages.from_array(EXPECTED + 5).keys
        np.testing.assert_array_equal(mapped.keys, expected)

    def test_map_may_change_shape_and_dtype(self, images):
        mapped = images.map(
            lambda image: image[:2].astype(np.float32),
            "crop",
            image_shape=(2, WIDTH),
            dtype=np.float32,
        )
        assert (mapped.shape, mapped.dtype) == ((N_IMAGES, 2, WIDTH), np.float32)
        np.testing.assert_array_equal(np.asarray(mapped), EXPECTED[:, :2])

    def test_derive_makes_new_images_with_their_own_argument(self, images, load):
        derived = images.derive(
            each_brighter, np.array([4, 0, 4]), [1, 2, 3], list("xyz")
        )
        assert load.loaded == []
        assert derived.keys.tolist() == ["x", "y", "z"]
        by = np.array([1, 2, 3], np.uint8)[:, None, None]
        np.testing.assert_array_equal(np.asarray(derived), EXPECTED[[4, 0, 4]] + by)

    def test_derive_computes_many_images_at_once_or_one(self, images):
        sizes = []

        def operation(sources, by):
            sizes.append(len(sources))
            return each_brighter(sources, by)

        order = np.arange(150) % N_IMAGES
        derived = images.derive(operation, order, order, order.astype(str))
        expected = EXPECTED[order] + order[:, None, None].astype(np.uint8)
        np.testing.assert_array_equal(np.asarray(derived), expected)
        assert max(sizes) < 150
        assert len(sizes) < 20
        np.testing.assert_array_equal(derived[7], expected[7])
        negative = derived.map(np.invert, "invert")
        for rows, batch in negative.batches(20):
            np.testing.assert_array_equal(batch, np.invert(expected[rows]))

    @pytest.mark.parametrize("shape", [(2, HEIGHT, WIDTH + 1), (1, HEIGHT, WIDTH)])
    def test_derived_images_of_another_shape_are_an_error(self, images, shape):
        derived = images.derive(
            lambda *_: np.zeros(shape, np.uint8), np.arange(2), [0, 1], ["a", "b"]
        )
        with pytest.raises(ValueError, match="must return"):
            np.asarray(derived)

    def test_copies_keep_the_key_of_their_first_source(self, images):
        copies = images.derive(
            each_brighter, np.array([4, 0, 4]), [1, 2, 3], list("xyz")
        )
        again = copies.map(np.negative, "negative").derive(
            each_brighter, np.array([2, 1]), [1, 1], ["v", "w"]
        )
        assert images.origins.tolist() == images.keys.tolist()
        assert copies.origins.tolist() == images.keys[[4, 0, 4]].tolist()
        assert again[::-1].origins.tolist() == images.keys[[0, 4]].tolist()
        assert pickle.loads(pickle.dumps(again)).origins.tolist() == (
            images.keys[[4, 0]].tolist()
        )

    def test_pickling_keeps_pixels_and_keys(self):
        images = LazyImages(plain, range(N_IMAGES), image_shape=(HEIGHT, WIDTH))
        mapped = images.map(partial(brighter, by=5), "brighter(5)")
        derived = mapped.derive(each_brighter, np.array([1, 3]), [1, 2], ["x", "y"])
        for original in (images, mapped[::2], derived):
            restored = pickle.loads(pickle.dumps(original))
            np.testing.assert_array_equal(np.asarray(restored), np.asarray(original))
            np.testing.assert_array_equal(restored.keys, original.keys)


class TestBatches:
    @pytest.mark.parametrize("n_jobs", [1, 3])
    @pytest.mark.parametrize("batch_size", [1, 4, 6, 100])
    def test_batches_hold_all_images_in_order(self, batch_size, n_jobs, images):
        batches = list(images.batches(batch_size, n_jobs=n_jobs))
        for rows, pixels in batches:
            np.testing.assert_array_equal(pixels, EXPECTED[rows])
            assert len(pixels) == min(batch_size, N_IMAGES - rows.start)
        rows = np.concatenate([np.arange(N_IMAGES)[rows] for rows, _ in batches])
        assert rows.tolist() == list(range(N_IMAGES))

    def test_without_images_there_are_no_batches(self, images):
        assert list(images[:0].batches(2)) == []

    def test_close_does_not_wait_for_threads(self):
        goes_on = threading.Event()

        def load(rows):
            assert rows.start == 0 or goes_on.wait(timeout=30)
            return rows.start

        batches = read_ahead(load, 4, batch_size=1, n_jobs=2)
        next(batches)
        closing = threading.Thread(target=batches.close, daemon=True)
        closing.start()
        closing.join(timeout=10)
        is_waiting = closing.is_alive()
        goes_on.set()
        assert not is_waiting

    def test_order_is_kept_when_a_later_batch_is_ready_first(self):
        second_is_ready = threading.Event()

        def load(rows):
            if rows.start == 0:
                assert second_is_ready.wait(timeout=30)
            else:
                second_is_ready.set()
            return rows.start

        batches = read_ahead(load, 4, batch_size=1, n_jobs=2)
        assert [batch for _, batch in batches] == [0, 1, 2, 3]

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_read_ahead_is_bounded(self, n_jobs):
        started = []
        as_far_as_allowed = threading.Event()

        def load(rows):
            started.append(rows.start)
            if rows.start == 2 * n_jobs:
                as_far_as_allowed.set()

        batches = read_ahead(load, 50, batch_size=1, n_jobs=n_jobs)
        next(batches)
        assert as_far_as_allowed.wait(timeout=30)
        for taken, _ in enumerate(batches, start=2):
            assert len(started) <= taken + 2 * n_jobs
        assert sorted(started) == list(range(50))

    def test_an_error_is_raised_at_its_batch(self):
        def load(rows):
            if rows.start == 3:
                raise OSError("disk gone")
            return rows.start

        seen = []
        with pytest.raises(OSError, match="disk gone"):
            seen.extend(
                batch for _, batch in read_ahead(load, 9, batch_size=1, n_jobs=2)
            )
        batches = read_ahead(load, 9, batch_size=1, n_jobs=2)
        assert [next(batches)[1] for _ in range(3)] == [0, 1, 2]

    def test_close_leaves_the_rest_uncomputed(self):
        started = []
        batches = read_ahead(
            lambda rows: started.append(rows.start), 50, batch_size=1, n_jobs=2
        )
        next(batches)
        batches.close()
        assert len(started) <= 5


class TestCheckImages:
    @pytest.mark.parametrize("colour", [False, True])
    def test_uint8_is_returned_unchanged(self, grey_images, rgb_images, colour):
        images = rgb_images if colour else grey_images
        assert check_images(images) is images

    def test_lazy_images_are_returned_uncomputed(self, images, load):
        assert check_images(images) is images
        assert load.loaded == []

    @pytest.mark.parametrize("dtype", ["<u2", ">u2"])
    def test_uint16_is_scaled_by_its_full_range(self, dtype):
        levels = np.array([[[0, 128, 129, 257, 32768, 65535]]], dtype=dtype)
        checked = check_images(levels)
        assert checked.dtype == np.uint8
        assert checked.ravel().tolist() == [0, 0, 1, 1, 128, 255]

    @pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint32, np.int8])
    def test_other_integers_keep_their_levels(self, dtype):
        levels = np.array([[[0, 1, 100, 127]]], dtype=dtype)
        checked = check_images(levels)
        assert checked.dtype == np.uint8
        np.testing.assert_array_equal(checked, levels)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_floats_are_rounded(self, dtype):
        levels = np.array([[[0.0, 0.25, 1.5, 100.75, 255.0]]], dtype=dtype)
        assert check_images(levels).ravel().tolist() == [0, 0, 2, 101, 255]

    def test_black_floats_are_black(self):
        assert not check_images(np.zeros((1, 2, 2))).any()

    def test_nested_lists_and_object_arrays_of_equal_images(self, grey_images):
        as_objects = np.empty(len(grey_images), dtype=object)
        as_objects[:] = list(grey_images)
        for images in (list(grey_images), grey_images.tolist(), as_objects):
            np.testing.assert_array_equal(check_images(images), grey_images)

    @pytest.mark.parametrize(
        ("levels", "message"),
        [
            ([[[0.0, 0.5, 1.0]]], r"already normalised.*\[0, 1\]"),
            ([[[1.0, 1.0]]], "already normalised"),
            ([[[-1.0, 0.0, 1.0]]], r"already normalised.*\[-1, 1\]"),
            ([[[-123.68, 0.0, 151.061]]], "already normalised"),
            ([[[0.0, 256.0]]], r"\[0, 255\].*256"),
            ([[[0, 256]]], r"\[0, 255\].*256"),
            ([[[-1, 255]]], r"\[0, 255\].*-1"),
            ([[[0.0, np.nan]]], "NaN or infinite"),
            ([[[0.0, np.inf]]], "NaN or infinite"),
            ([[[True, False]]], "dtype bool"),
            ([[[1j, 2j]]], "dtype complex"),
            ([[["a", "b"]]], "dtype <U1"),
            (np.array([[[1, None]]], dtype=object), "dtype object"),
            ([np.zeros((2, 2)), np.zeros((2, 3))], "images of one shape"),
            ([], r"shape \(0,\)"),
            (np.array([], dtype=object), r"shape \(0,\)"),
            (3, r"shape \(\)"),
            ([1, 2], r"shape \(2,\)"),
            (np.zeros((4, 4), np.uint8), r"shape \(4, 4\)"),
            (np.zeros((2, 4, 4, 1), np.uint8), r"shape \(2, 4, 4, 1\)"),
            (np.zeros((2, 4, 4, 4), np.uint8), r"shape \(2, 4, 4, 4\)"),
            (np.zeros((2, 3, 4, 4), np.uint8), r"shape \(2, 3, 4, 4\)"),
            (np.zeros((2, 2, 4, 4, 3), np.uint8), r"shape \(2, 2, 4, 4, 3\)"),
            (np.zeros((0, 4, 4), np.uint8), "no pixels"),
            (np.zeros((2, 0, 4), np.uint8), "no pixels"),
        ],
    )
    def test_invalid_levels_are_errors(self, levels, message):
        with pytest.raises(ValueError, match=message) as error:
            check_images(levels, name="X_val")
        assert str(error.value).startswith("X_val")

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"dtype": np.float32}, "uint8"),
            ({"image_shape": (HEIGHT,)}, "shape"),
            ({"image_shape": (HEIGHT, WIDTH, 4)}, "shape"),
        ],
    )
    def test_lazy_images_are_checked_by_shape_and_dtype(self, parameters, message):
        images = LazyImages(
            plain, range(2), **{"image_shape": (HEIGHT, WIDTH), **parameters}
        )
        with pytest.raises(ValueError, match=message):
            check_images(images)

    def test_the_input_is_not_changed(self, grey_images):
        floats = grey_images.astype(np.float64) + 0.25
        floats = np.minimum(floats, 255)
        before = floats.copy()
        check_images(floats)
        np.testing.assert_array_equal(floats, before)
