"""Folds of an evaluation share features, in a folder that is removed afterwards."""

import tempfile

import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV

from _helpers import tiny_backbone
from skcovid import evaluate, make_transfer_pipeline
from skcovid.model_selection import _run_folds as folds_module
from skcovid.networks import _feature_store as stores

tiny_backbone.register()

X, Y = tiny_backbone.make_images(24)


def linear(**parameters):
    return make_transfer_pipeline(
        "tiny", recipe="linear", weights=None, random_state=0, verbose=0, **parameters
    )


@pytest.fixture
def computed(monkeypatch):
    """Count the images that pass through a network."""
    counts = []

    def predict_batches(*args, original=stores.predict_batches, **kwargs):
        for rows, outputs in original(*args, **kwargs):
            counts.append(len(outputs[0]))
            yield rows, outputs

    monkeypatch.setattr(stores, "predict_batches", predict_batches)
    return counts


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Temporary files of a test lie in its own folder, and none must be left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("nested", ["pipeline", "search", "vote"])
def test_each_image_passes_through_the_network_once(computed, nested):
    pipeline = linear().set_params(classify__cv=2)
    if nested == "search":
        pipeline = GridSearchCV(pipeline, {"scale__with_mean": [True]}, cv=2)
    if nested == "vote":
        pipeline = VotingClassifier([("one", pipeline)], voting="soft")
    before = repr(pipeline.get_params())
    evaluate(pipeline, X, Y, cv=3, verbose=0)
    assert sum(computed) == len(X)
    assert repr(pipeline.get_params()) == before


def test_a_folder_of_the_user_is_used_and_stays(computed, tmp_path):
    evaluate(linear(memory=str(tmp_path / "mine")), X, Y, cv=3, verbose=0)
    assert sum(computed) == len(X)
    assert list((tmp_path / "mine").rglob("*.npy"))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_after_an_interruption(error, checkpoint, computed, tmp_path, monkeypatch):
    folder = tmp_path / "checkpoint" if checkpoint else None
    settings = {"cv": 3, "verbose": 0, "checkpoint": folder}
    expected = evaluate(linear(), X, Y, cv=3, verbose=0)

    def stop(*args, original=folds_module.predict):
        original(*args)
        raise error

    computed.clear()
    with monkeypatch.context() as patch:
        patch.setattr(folds_module, "predict", stop)
        with pytest.raises(error):
            evaluate(linear(), X, Y, **settings)
    assert sum(computed) == len(X)
    result = evaluate(linear(), X, Y, **settings)
    assert sum(computed) == len(X) * (1 if checkpoint else 2)
    for found, fold in zip(result.folds, expected.folds, strict=True):
        np.testing.assert_array_equal(found.probabilities, fold.probabilities)
    assert not checkpoint or not list(folder.rglob("*.npy"))
