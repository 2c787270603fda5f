import os
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from imblearn.base import is_sampler
from imblearn.pipeline import Pipeline, make_pipeline
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.utils import check_random_state, get_tags
from sklearn.utils._param_validation import InvalidParameterError

from skcovid import AugmentationBalancer, LazyImages, RadiographReader
from skcovid.augmentation import (
    Brightness,
    IntensityTransform,
    Rotation,
    Translation,
)
from skcovid.augmentation._augment import augment_batch
from skcovid.images import image_key

SIDE = 16
LABELS = {
    "str": ["COVID-19", "NORMAL", "VIRAL"],
    "int": [7, -1, 30],
    "float": [0.0, 1.0, 2.0],
}


@dataclass(frozen=True)
class Invert(IntensityTransform):
    """Invert levels without randomness, so that the source can be recognised."""

    def draw(self, rng, levels):
        return 255.0 - levels


def random_images(n_images, *, seed=0, channels=()):
    shape = (n_images, SIDE, SIDE, *channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(name="X")
def ten_images():
    return random_images(10)


@pytest.fixture
def y():
    """Classes of 5, 3 and 2 images, interleaved."""
    return np.array(["b", "a", "b", "c", "a", "b", "a", "b", "c", "b"])


def copies(X, y, rows=None, **parameters):
    """Return the pixels of every copy by (source's row in `X`, copy number)."""
    rows = np.arange(len(y)) if rows is None else np.asarray(rows)
    balancer = AugmentationBalancer(**{"random_state": 0, **parameters})
    images, _ = balancer.fit_resample(X[rows], np.asarray(y)[rows])
    sources = rows[balancer.sample_indices_]
    return {
        (int(source), int(copy)): image.tobytes()
        for source, copy, image in zip(
            sources, balancer.copy_numbers_, np.asarray(images), strict=True
        )
    }


class TestCounts:
    def test_the_papers_classes(self):
        sizes = {"COVID-19": 219, "NORMAL": 1341, "VIRAL": 1345}
        y = np.repeat(list(sizes), list(sizes.values()))
        keys = [image_key(number) for number in range(len(y))]
        images = LazyImages(
            np.zeros, [(4, 4)] * len(y), image_shape=(4, 4), keys=keys, dtype=float
        )
        images = images.map(np.uint8, "uint8", dtype=np.uint8)
        balancer = AugmentationBalancer(random_state=0)
        resampled, labels = balancer.fit_resample(images, y)
        assert Counter(labels) == dict.fromkeys(sizes, 2 * 1345)
        assert resampled.shape == (3 * 2690, 4, 4)
        # Cyclic, in order: 12 whole rounds of the smallest class and 62 more.
        first = balancer.sample_indices_[:2690]
        np.testing.assert_array_equal(first, np.arange(2690) % 219)
        copy_numbers = balancer.copy_numbers_[:2690]
        np.testing.assert_array_equal(copy_numbers, np.arange(2690) // 219)
        assert balancer.sampling_strategy_ == dict.fromkeys(sizes, 2690)

    def test_cycle_order_and_copy_numbers(self, X, y):
        balancer = AugmentationBalancer(factor=1.4, random_state=0)
        _, labels = balancer.fit_resample(X, y)
        assert "".join(labels) == "aaaaaaabbbbbbbccccccc"
        assert balancer.sample_indices_.tolist() == [
            *(1, 4, 6, 1, 4, 6, 1),
            *(0, 2, 5, 7, 9, 0, 2),
            *(3, 8, 3, 8, 3, 8, 3),
        ]
        assert balancer.copy_numbers_.tolist() == [
            *(0, 0, 0, 1, 1, 1, 2),
            *(0, 0, 0, 0, 0, 1, 1),
            *(0, 0, 1, 1, 2, 2, 3),
        ]

    @pytest.mark.parametrize(
        ("factor", "size"), [(0.2, 1), (0.5, 3), (1, 5), (1.5, 8), (2, 10), (3.0, 15)]
    )
    def test_factor(self, X, y, factor, size):
        _, labels = AugmentationBalancer(factor=factor).fit_resample(X, y)
        assert Counter(labels) == {"a": size, "b": size, "c": size}

    @pytest.mark.parametrize(
        ("strategy", "expected"),
        [
            ("all", {"a": 10, "b": 10, "c": 10}),
            ("auto", {"a": 10, "c": 10}),
            ("not majority", {"a": 10, "c": 10}),
            ("not minority", {"a": 10, "b": 10}),
            ("minority", {"c": 10}),
            ({"a": 4, "c": 2}, {"a": 4, "c": 2}),
            ({"b": 6}, {"b": 6}),
            (lambda y: {"c": 3 * Counter(y)["c"]}, {"c": 6}),
        ],
    )
    @pytest.mark.parametrize("include_originals", [False, True])
    def test_classes_outside_the_strategy_keep_their_images(
        self, X, y, strategy, expected, include_originals
    ):
        balancer = AugmentationBalancer(
            strategy, include_originals=include_originals, random_state=0
        )
        images, labels = balancer.fit_resample(X, y)
        assert balancer.sampling_strategy_ == expected
        assert Counter(labels) == {**Counter(y), **expected}
        for label in set("abc") - set(expected):
            np.testing.assert_array_equal(images[labels == label], X[y == label])
            assert (balancer.copy_numbers_[labels == label] == -1).all()

    @pytest.mark.parametrize(("ratio", "size"), [(0.5, 3), (0.75, 4), (1.0, 6)])
    def test_a_float_is_the_ratio_of_minority_to_majority(self, X, ratio, size):
        y = np.array([0] * 6 + [1] * 2)
        balancer = AugmentationBalancer(ratio, factor=9)
        _, labels = balancer.fit_resample(X[:8], y)
        assert Counter(labels.tolist()) == {0: 6, 1: size}
        assert balancer.sampling_strategy_ == {1: size}

    def test_originals_are_included_on_request(self, X, y):
        balancer = AugmentationBalancer(
            include_originals=True, random_state=0, transforms=[Invert()]
        )
        images, labels = balancer.fit_resample(X, y)
        assert Counter(labels) == {"a": 10, "b": 10, "c": 10}
        original = balancer.copy_numbers_ == -1
        assert sorted(balancer.sample_indices_[original]) == list(range(len(X)))
        sources = X[balancer.sample_indices_]
        np.testing.assert_array_equal(images[original], sources[original])
        np.testing.assert_array_equal(images[~original], 255 - sources[~original])
        # Class "a": its three images, then seven copies, counted from 0.
        assert balancer.copy_numbers_[:10].tolist() == [-1] * 3 + [0] * 3 + [1] * 3 + [
            2
        ]

    def test_every_combination_of_source_and_copy_occurs_once(self, X, y):
        balancer = AugmentationBalancer(factor=5, random_state=0)
        balancer.fit_resample(X, y)
        pairs = zip(balancer.sample_indices_, balancer.copy_numbers_, strict=True)
        assert max(Counter(pairs).values()) == 1

    def test_fit_determines_the_sizes_only(self, X, y):
        balancer = AugmentationBalancer()
        assert balancer.fit(X, y) is balancer
        assert balancer.sampling_strategy_ == {"a": 10, "b": 10, "c": 10}
        assert not hasattr(balancer, "sample_indices_")


class TestOutput:
    @pytest.mark.parametrize("channels", [(), (3,)])
    @pytest.mark.parametrize("wrap", [np.asarray, LazyImages.from_array])
    def test_every_output_is_made_from_its_source(self, y, channels, wrap):
        X = random_images(10, channels=channels)
        balancer = AugmentationBalancer(transforms=[Invert()], random_state=0)
        images, labels = balancer.fit_resample(wrap(X), y)
        images = np.asarray(images)
        assert images.dtype == np.uint8
        assert images.shape == (30, SIDE, SIDE, *channels)
        np.testing.assert_array_equal(images, 255 - X[balancer.sample_indices_])
        np.testing.assert_array_equal(labels, y[balancer.sample_indices_])

    def test_the_transforms_given_are_used(self, X, y):
        balancer = AugmentationBalancer(transforms=(Brightness(1.5, 1.5),))
        images, _ = balancer.fit_resample(X, y)
        brighter = np.minimum(np.rint(X[balancer.sample_indices_] * 1.5), 255)
        np.testing.assert_array_equal(images, brighter)

    @pytest.mark.parametrize("fill", [0, 93, 255])
    def test_fill(self, X, y, fill):
        balancer = AugmentationBalancer(transforms=[Translation(0.5, 0.5)], fill=fill)
        images, _ = balancer.fit_resample(X, y)
        # Shifted by half along the diagonal, the other two corners are uncovered.
        assert (images[:, :8, 8:] == fill).all()
        assert (images[:, 8:, :8] == fill).all()

    def test_uncovered_pixels_are_black_by_default(self, X, y):
        translation = [Translation(0.5, 0.5)]
        images, _ = AugmentationBalancer(transforms=translation).fit_resample(X, y)
        assert (images[:, :8, 8:] == 0).all()
        assert (
            augment_batch(X, range(10), transforms=translation)[:, :8, 8:] == 0
        ).all()

    def test_copies_differ_from_their_source_and_from_each_other(self, X, y):
        made = copies(X, y, factor=4)
        sources = {image.tobytes() for image in X}
        assert len({*made.values(), *sources}) == len(made) + len(X)

    def test_every_copy_has_its_own_draw(self, y):
        images = np.full((10, SIDE, SIDE), 200, dtype=np.uint8)
        images[:, 0, 0] = np.arange(10)
        balancer = AugmentationBalancer(
            transforms=[Brightness(0.1, 1.0)], random_state=0
        )
        resampled, _ = balancer.fit_resample(images, y)
        # 30 draws out of 180 levels: a few coincide by chance.
        assert len(set(resampled[:, -1, -1])) > 20

    @pytest.mark.parametrize("lazy", [False, True])
    def test_eager_in_eager_out_lazy_in_lazy_out(self, X, y, lazy):
        given = LazyImages.from_array(X) if lazy else X
        images, labels = AugmentationBalancer(random_state=0).fit_resample(given, y)
        assert type(images) is (LazyImages if lazy else np.ndarray)
        assert type(labels) is np.ndarray

    def test_lazy_copies_are_computed_on_access(self, X, y):
        loaded = []

        def load(number):
            loaded.append(number)
            return X[number]

        keys = [image_key(number) for number in range(10)]
        images = LazyImages(load, range(10), image_shape=(SIDE, SIDE), keys=keys)
        balancer = AugmentationBalancer(random_state=0)
        resampled, _ = balancer.fit_resample(images, y)
        assert loaded == []
        resampled[-1]
        assert loaded == [balancer.sample_indices_[-1]]

    def test_from_files(self, grey_paths):
        y = [0, 0, 0, 0, 1, 1]
        images = RadiographReader(SIDE).fit_transform(grey_paths)
        balancer = AugmentationBalancer(random_state=0, transforms=[Invert()])
        resampled, _ = balancer.fit_resample(images, y)
        expected = 255 - np.asarray(images)[balancer.sample_indices_]
        np.testing.assert_array_equal(np.asarray(resampled), expected)

    @pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
    def test_labels_of_any_kind_keep_it(self, X, labels):
        y = np.array([labels[position] for position in (0, 1, 1, 2, 0, 1, 1, 2, 1, 1)])
        _, resampled = AugmentationBalancer().fit_resample(X, y)
        assert resampled.dtype == y.dtype
        assert resampled.tolist() == np.repeat(sorted(labels), 12).tolist()

    def test_bool_labels_keep_their_kind(self, X):
        y = np.arange(10) > 7
        _, resampled = AugmentationBalancer("auto").fit_resample(X, y)
        assert resampled.dtype == bool
        assert Counter(resampled.tolist()) == {False: 8, True: 16}

    @pytest.mark.parametrize("kind", [list, tuple, lambda y: np.array(y, dtype=object)])
    def test_labels_in_any_container(self, X, y, kind):
        expected = AugmentationBalancer(random_state=0).fit_resample(X, y)[1]
        found = AugmentationBalancer(random_state=0).fit_resample(X, kind(y))[1]
        assert found.tolist() == expected.tolist()

    @pytest.mark.parametrize("dtype", ["str", "category", "object"])
    def test_labels_in_a_column_of_pandas(self, X, y, dtype):
        pandas = pytest.importorskip("pandas")
        column = pandas.Series(y, index=range(10, 0, -1)).astype(dtype)
        balancer = AugmentationBalancer({"c": 4}, random_state=0)
        _, labels = balancer.fit_resample(X, column)
        assert Counter(labels) == {"a": 3, "b": 5, "c": 4}
        np.testing.assert_array_equal(labels, y[balancer.sample_indices_])

    @pytest.mark.parametrize("wrap", [np.asarray, LazyImages.from_array])
    @pytest.mark.parametrize("include_originals", [False, True])
    def test_output_does_not_share_or_change_the_input(
        self, X, y, wrap, include_originals
    ):
        X_before, y_before = X.copy(), y.copy()
        balancer = AugmentationBalancer("auto", include_originals=include_originals)
        images, labels = balancer.fit_resample(wrap(X), y)
        resampled = np.asarray(images)
        assert not np.shares_memory(resampled, X)
        assert not np.shares_memory(labels, y)
        np.testing.assert_array_equal(X, X_before)
        np.testing.assert_array_equal(y, y_before)

    def test_read_only_and_fortran_ordered_images(self, X, y):
        expected = copies(X, y)
        X.flags.writeable = False
        assert copies(X, y) == expected
        assert copies(np.asfortranarray(X), y) == expected


class TestDeterminism:
    @pytest.mark.parametrize("random_state", [0, 1, 2**32 - 1, np.int64(5)])
    def test_the_same_seed_gives_the_same_copies(self, X, y, random_state):
        assert copies(X, y, random_state=random_state) == (
            copies(X, y, random_state=random_state)
        )

    def test_another_seed_gives_other_copies(self, X, y):
        first, second = copies(X, y, random_state=0), copies(X, y, random_state=1)
        assert first.keys() == second.keys()
        assert all(first[name] != second[name] for name in first)

    @pytest.mark.parametrize(
        "rows",
        [
            [0, 2, 5, 7, 9, 1, 4, 6, 3, 8],
            list(range(9, -1, -1)),
            [0, 1, 2, 3, 4],
            [1, 5, 8],
        ],
        ids=["by class", "reversed", "fold", "one a class"],
    )
    def test_copies_do_not_depend_on_other_images_or_their_order(self, X, y, rows):
        everywhere = copies(X, y, factor=8)
        fold = copies(X, y, rows, factor=3)
        assert len(fold) >= 9
        assert fold.items() <= everywhere.items()

    def test_every_fold_makes_the_same_copies(self, X, y):
        folds = StratifiedKFold(2, shuffle=True, random_state=0).split(X, y)
        whole = copies(X, y, factor=6)
        for train, test in folds:
            made = copies(X, y, train)
            assert made.items() <= whole.items()
            assert not {source for source, _ in made} & set(test)

    def test_a_changed_image_changes_only_its_own_copies(self, X, y):
        before = copies(X, y)
        X[4, 0, 0] ^= 255
        after = copies(X, y)
        changed = {
            source
            for source, copy in before
            if before[source, copy] != after[source, copy]
        }
        assert changed == {4}

    def test_equal_images_have_equal_copies(self, X, y):
        X[4] = X[1]
        made = copies(X, y)
        assert all(made[1, copy] == made[4, copy] for copy in range(3))

    def test_copies_do_not_depend_on_the_label_or_other_copies(self, X, y):
        usual = copies(X, y, factor=8)
        relabelled = np.where(y == "a", "z", y)
        assert copies(X, relabelled, factor=8) == usual
        alone = copies(X, y, sampling_strategy={"a": 7})
        with_originals = copies(X, y, include_originals=True)
        for made in (alone, with_originals):
            made = {name: image for name, image in made.items() if name[1] >= 0}
            assert made.items() <= usual.items()

    @pytest.mark.parametrize("n_jobs", [1, 4])
    def test_copies_do_not_depend_on_n_jobs(self, X, y, n_jobs):
        assert copies(X, y, n_jobs=n_jobs) == copies(X, y, n_jobs=2)

    def test_lazy_copies_are_the_eager_ones_in_any_order_of_access(self, X, y):
        eager, _ = AugmentationBalancer(random_state=0).fit_resample(X, y)
        lazy, _ = AugmentationBalancer(random_state=0).fit_resample(
            LazyImages.from_array(X), y
        )
        for row in [17, 3, 17, 0, 29]:
            np.testing.assert_array_equal(lazy[row], eager[row])
        np.testing.assert_array_equal(np.asarray(lazy[::-1]), eager[::-1])

    def test_another_process_makes_the_same_copies_and_keys(self):
        code = """
import hashlib
import numpy as np
from skcovid import AugmentationBalancer, LazyImages
X = np.arange(5 * 16 * 16).reshape(5, 16, 16) * 7 % 256
X = LazyImages.from_array(X.astype(np.uint8))
images, y = AugmentationBalancer(random_state=3).fit_resample(X, list("aabbb"))
digest = hashlib.sha256(np.asarray(images).tobytes())
digest.update(" ".join(images.keys).encode())
digest = digest.hexdigest()
"""
        here = {}
        exec(code, here)
        there = subprocess.run(
            [sys.executable, "-c", f"{code}\nprint(digest)"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": "7"},
        )
        assert there.stdout.strip() == here["digest"]

    def test_a_random_state_instance_advances(self, X, y):
        state = np.random.RandomState(0)
        first, second = (copies(X, y, random_state=state) for _ in range(2))
        assert first != second
        state = np.random.RandomState(0)
        assert copies(X, y, random_state=state) == first

    def test_random_state_none_gives_new_copies_every_time(self, X, y):
        assert copies(X, y, random_state=None) != copies(X, y, random_state=None)

    @pytest.mark.parametrize("random_state", [0, np.random.RandomState(0)])
    def test_the_global_state_is_unchanged(self, X, y, random_state):
        before = check_random_state(None).get_state()
        copies(X, y, random_state=random_state)
        after = check_random_state(None).get_state()
        np.testing.assert_array_equal(after[1], before[1])
        assert after[2:] == before[2:]

    def test_fit_does_not_advance_the_callers_generator(self, X, y):
        state = np.random.RandomState(0)
        AugmentationBalancer(random_state=state).fit(X, y)
        assert state.randint(10**6) == np.random.RandomState(0).randint(10**6)


class TestKeys:
    def keys(self, X, y, **parameters):
        balancer = AugmentationBalancer(**{"random_state": 0, **parameters})
        return balancer.fit_resample(LazyImages.from_array(X), y)[0].keys

    def test_every_copy_has_its_own_repeatable_key(self, X, y):
        keys = self.keys(X, y)
        assert len(set(keys)) == 30
        np.testing.assert_array_equal(self.keys(X, y), keys)

    @pytest.mark.parametrize(
        "parameters",
        [
            {"random_state": 1},
            {"fill": 7},
            {"transforms": [Rotation()]},
            {"transforms": [Rotation(-4, 4)]},
        ],
    )
    def test_parameters_that_change_pixels_change_keys(self, X, y, parameters):
        assert not set(self.keys(X, y)) & set(self.keys(X, y, **parameters))

    def test_other_parameters_keep_keys(self, X, y):
        more = set(self.keys(X, y, factor=4, n_jobs=1))
        assert set(self.keys(X, y)) < more
        assert set(self.keys(X[::-1], y[::-1])) < more

    def test_originals_keep_their_keys(self, X, y):
        keys = self.keys(X, y, sampling_strategy="minority")
        assert set(LazyImages.from_array(X[y != "c"]).keys) <= set(keys)


class TestErrors:
    @pytest.mark.parametrize("method", ["fit", "fit_resample"])
    @pytest.mark.parametrize(
        ("parameter", "value"),
        [
            ("sampling_strategy", "most"),
            ("sampling_strategy", 0),
            ("sampling_strategy", 1.5),
            ("sampling_strategy", ["a"]),
            ("sampling_strategy", None),
            ("factor", 0),
            ("factor", -1),
            ("factor", "2"),
            ("factor", None),
            ("factor", float("nan")),
            ("factor", float("inf")),
            ("include_originals", "no"),
            ("include_originals", None),
            ("transforms", "brightness"),
            ("transforms", Brightness()),
            ("fill", -1),
            ("fill", 256),
            ("fill", 0.5),
            ("fill", None),
            ("random_state", "seed"),
            ("random_state", -1),
            ("n_jobs", 0),
            ("n_jobs", -1),
            ("n_jobs", None),
        ],
    )
    def test_wrong_parameters_are_named(self, X, y, method, parameter, value):
        balancer = AugmentationBalancer(**{parameter: value})
        with pytest.raises(InvalidParameterError) as error:
            getattr(balancer, method)(X, y)
        assert f"The {parameter!r} parameter of AugmentationBalancer" in str(
            error.value
        )

    @pytest.mark.parametrize("method", ["fit", "fit_resample"])
    @pytest.mark.parametrize("wrap", [np.asarray, LazyImages.from_array])
    @pytest.mark.parametrize(
        "transforms", [[], ["brightness"], [Brightness], [Brightness(), None]]
    )
    def test_wrong_transforms_are_errors(self, X, y, method, wrap, transforms):
        balancer = AugmentationBalancer(transforms=transforms)
        with pytest.raises((TypeError, ValueError), match="transforms"):
            getattr(balancer, method)(wrap(X), y)

    @pytest.mark.parametrize("method", ["fit", "fit_resample"])
    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (["a"] * 10, "one class only, 'a'"),
            ([3] * 10, "one class only, 3"),
            (["a", "b"] * 4, r"numbers of samples.*\[10, 8\]"),
            ([], "numbers of samples"),
            (np.linspace(0, 1, 10), "continuous"),
            (np.eye(10), "1d array"),
            (None, "None"),
        ],
    )
    def test_wrong_labels(self, X, method, labels, message):
        with pytest.raises(ValueError, match=message):
            getattr(AugmentationBalancer(), method)(X, labels)

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            (np.full((10, 4, 4), 0.5), "already normalised"),
            (np.zeros((10, 16)), r"shape \(10, 16\)"),
            (["a.png"] * 10, "X must hold grey images"),
            (np.zeros((10, 4, 4), bool), "dtype bool"),
        ],
    )
    def test_wrong_images(self, y, images, message):
        with pytest.raises(ValueError, match=message):
            AugmentationBalancer().fit_resample(images, y)

    def test_a_factor_that_leaves_no_image_is_an_error(self, X, y):
        with pytest.raises(ValueError, match=r"factor=0.05.*0 images.*class 'a'"):
            AugmentationBalancer(factor=0.05).fit_resample(X, y)

    def test_more_originals_than_the_factor_allows_are_an_error(self, X, y):
        balancer = AugmentationBalancer(factor=0.8, include_originals=True)
        with pytest.raises(ValueError, match="include_originals") as error:
            balancer.fit_resample(X, y)
        for named in ("class 'b'", "4 images", "at least 5", "0.8"):
            assert named in str(error.value)

    @pytest.mark.parametrize(
        ("strategy", "message"),
        [
            ({"unknown": 9}, "unknown"),
            ({"b": 2}, "greater or equal"),
            (0.5, "binary"),
        ],
    )
    def test_strategies_that_do_not_suit_the_classes(self, X, y, strategy, message):
        with pytest.raises(ValueError, match=message):
            AugmentationBalancer(strategy).fit_resample(X, y)


class TestEcosystem:
    def test_a_pipeline_resamples_only_in_fit(self, X, y):
        pipeline = Pipeline(
            [
                ("read", RadiographReader(8)),
                ("balance", AugmentationBalancer(random_state=0)),
                ("classify", DummyClassifier(strategy="prior")),
            ]
        ).fit(X, y)
        assert pipeline[-1].class_prior_ == pytest.approx([1 / 3] * 3)
        assert len(pipeline.predict(X[:4])) == 4
        assert len(pipeline.named_steps["balance"].sample_indices_) == 30

    def test_cross_validation_and_parameters_by_name(self, X, y):
        pipeline = make_pipeline(AugmentationBalancer(), DummyClassifier())
        pipeline.set_params(augmentationbalancer__factor=1)
        predicted = cross_val_predict(pipeline, LazyImages.from_array(X), y, cv=2)
        assert len(predicted) == len(y)

    def test_is_a_sampler_of_images(self):
        balancer = AugmentationBalancer()
        assert is_sampler(balancer)
        assert not hasattr(balancer, "transform")
        tags = get_tags(balancer)
        assert tags.estimator_type == "sampler"
        assert tags.sampler_tags.sample_indices
        assert tags.input_tags.three_d_array
        assert not tags.input_tags.two_d_array
        assert not tags.input_tags.sparse
        assert tags.target_tags.required

    def test_parameters_are_stored_cloned_set_and_shown(self, X, y):
        parameters = {
            "sampling_strategy": "auto",
            "factor": 3,
            "include_originals": True,
            "transforms": [Brightness(1.2, 1.3)],
            "fill": 9,
            "random_state": 4,
            "n_jobs": 1,
        }
        balancer = AugmentationBalancer(**parameters)
        assert balancer.get_params() == parameters
        assert vars(balancer) == parameters
        balancer.fit_resample(X, y)
        assert balancer.get_params() == parameters
        assert clone(balancer).get_params() == parameters
        assert vars(clone(balancer)).keys() == parameters.keys()
        assert clone(balancer).set_params(fill=1).fill == 1
        shown = repr(balancer)
        assert "factor=3" in shown
        assert "Brightness(low=1.2, high=1.3)" in shown

    def test_a_clone_makes_the_same_copies(self, X, y):
        balancer = AugmentationBalancer(random_state=0)
        first, _ = balancer.fit_resample(X, y)
        second, _ = clone(balancer).fit_resample(X, y)
        np.testing.assert_array_equal(first, second)

    def test_pickling_the_sampler_and_its_lazy_output(self, X, y):
        balancer = AugmentationBalancer(random_state=0)
        images, _ = balancer.fit_resample(LazyImages.from_array(X), y)
        restored = pickle.loads(pickle.dumps(images))
        np.testing.assert_array_equal(np.asarray(restored), np.asarray(images))
        np.testing.assert_array_equal(restored.keys, images.keys)
        again = pickle.loads(pickle.dumps(balancer))
        assert vars(again).keys() == vars(balancer).keys()
        resampled, _ = again.fit_resample(X, y)
        np.testing.assert_array_equal(resampled, np.asarray(images))

    def test_a_second_fit_resample_starts_anew(self, X, y):
        balancer = AugmentationBalancer(random_state=0)
        balancer.fit_resample(X, y)
        balancer.fit_resample(X[:5], y[:5])
        assert balancer.sample_indices_.max() < 5
        assert len(balancer.sample_indices_) == len(balancer.copy_numbers_) == 12
