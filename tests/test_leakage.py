"""No classifier is trained on an augmented copy of a validation or test image.

Every image has a number of its own that survives augmentation; a recording classifier
records which numbers each fold trained on and monitored.
"""

from itertools import combinations

import numpy as np
import pytest
from imblearn.pipeline import Pipeline

from _helpers.recording import RecordingClassifier, numbered_images, numbers_of
from skcovid import AugmentationBalancer, HoldoutPipeline, RadiographReader, evaluate
from skcovid.augmentation import Elastic, Rotation, Translation, Zoom

N_IMAGES = 72
LABELS = np.repeat(["COVID-19", "NORMAL", "Viral Pneumonia"], [12, 24, 36])
PATIENTS = np.arange(N_IMAGES) // 2


class BalancesBeforeItSplits(HoldoutPipeline):
    """The mistake: the validation images are drawn from the augmented ones."""

    def fit(self, X, y, **params):
        X, y = balancer().fit_resample(X, y)
        return super().fit(X, y, **params)


def balancer():
    # Numbers are grey levels, so all transforms only move pixels.
    return AugmentationBalancer(
        transforms=[Elastic(), Zoom(), Translation(), Rotation()],
        factor=1,
        random_state=0,
    )


def make_pipeline(kind, lazy):
    steps = [
        ("read", RadiographReader(lazy=lazy)),
        ("balance", balancer()),
        ("classify", RecordingClassifier()),
    ]
    if kind is Pipeline:
        return Pipeline(steps)
    return kind(steps, validation_fraction=0.2, random_state=0)


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.setattr(RecordingClassifier, "calls", [])
    return RecordingClassifier.calls


def numbers(images):
    return set(numbers_of(images).tolist())


def check_sides(call, test_numbers, patients=None):
    """Fail if images (or patients) of two sides of a split are the same."""
    sides = [numbers(call.X), set(test_numbers)]
    if call.X_val is not None:
        sides.append(numbers(call.X_val))
    if patients is not None:
        sides = [{patients[number] for number in side} for side in sides]
    for first, second in combinations(sides, 2):
        assert not first & second


def check_folds(result, calls, patients=None):
    assert len(calls) == len(result.folds)
    for call, fold in zip(calls, result.folds, strict=True):
        check_sides(call, fold.test_indices.tolist(), patients)


def test_copies_keep_their_number():
    images = numbered_images(N_IMAGES)
    sampler = balancer()
    copies, _ = sampler.fit_resample(images, LABELS)
    assert not np.array_equal(copies, images[sampler.sample_indices_])
    np.testing.assert_array_equal(numbers_of(copies), sampler.sample_indices_)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("groups", [None, PATIENTS], ids=["images", "patients"])
@pytest.mark.parametrize("protocol", ["cross_val_predict", "paper"])
@pytest.mark.parametrize("kind", [HoldoutPipeline, Pipeline])
def test_nothing_leaks_in_a_cross_validation(calls, kind, protocol, groups, lazy):
    result = evaluate(
        make_pipeline(kind, lazy),
        numbered_images(N_IMAGES),
        LABELS,
        groups=groups,
        protocol=protocol,
        verbose=0,
    )
    check_folds(result, calls, groups)
    for call, fold in zip(calls, result.folds, strict=True):
        train = set(fold.train_indices.tolist())
        monitored = set() if call.X_val is None else numbers(call.X_val)
        if kind is Pipeline:
            assert call.X_val is None
            assert numbers(call.X) == train
        elif protocol == "paper":
            assert monitored == set(fold.validation_indices.tolist())
            assert numbers(call.X) == train
        else:
            assert numbers(call.X) == train - monitored
            assert monitored < train


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("groups", [None, PATIENTS], ids=["images", "patients"])
def test_validation_images_are_the_untouched_originals(calls, groups, lazy):
    images = numbered_images(N_IMAGES)
    pipeline = make_pipeline(HoldoutPipeline, lazy).fit(images, LABELS, groups=groups)
    held_out = pipeline.validation_indices_
    (call,) = calls
    np.testing.assert_array_equal(np.asarray(call.X_val), images[held_out])
    np.testing.assert_array_equal(call.y_val, LABELS[held_out])
    check_sides(call, test_numbers=[], patients=groups)
    assert numbers(call.X) | numbers(call.X_val) == set(range(N_IMAGES))


def test_given_validation_images_are_used_unchanged(calls):
    images = numbered_images(N_IMAGES)
    part = np.arange(N_IMAGES) % 4 == 0
    make_pipeline(HoldoutPipeline, lazy=False).fit(
        images[~part], LABELS[~part], X_val=images[part], y_val=LABELS[part]
    )
    np.testing.assert_array_equal(calls[0].X_val, images[part])
    assert numbers(calls[0].X) == set(np.flatnonzero(~part).tolist())


# The same checks must find the two kinds of leaks.


def test_balancing_before_the_split_into_validation_is_found(calls):
    pipeline = make_pipeline(BalancesBeforeItSplits, lazy=False)
    pipeline.fit(numbered_images(N_IMAGES), LABELS)
    with pytest.raises(AssertionError):
        check_sides(calls[0], test_numbers=[])


@pytest.mark.parametrize("kind", [HoldoutPipeline, Pipeline])
def test_balancing_before_the_cross_validation_is_found(calls, kind):
    images, labels = balancer().fit_resample(numbered_images(N_IMAGES), LABELS)
    result = evaluate(make_pipeline(kind, lazy=False), images, labels, verbose=0)
    test_numbers = numbers_of(images)[result.folds[0].test_indices]
    with pytest.raises(AssertionError):
        check_sides(calls[0], test_numbers.tolist())


def test_splitting_patients_is_found(calls):
    result = evaluate(
        make_pipeline(HoldoutPipeline, lazy=False),
        numbered_images(N_IMAGES),
        LABELS,
        verbose=0,
    )
    with pytest.raises(AssertionError):
        check_folds(result, calls, PATIENTS)
