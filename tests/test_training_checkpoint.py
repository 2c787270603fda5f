"""A stopped training resumes after its last full epoch, with identical results."""

import json
import threading
import time
from contextlib import nullcontext

import numpy as np
import pytest
from filelock import FileLock
from sklearn.ensemble import VotingClassifier

import skcovid
from _helpers import checkpoint_run, tiny_backbone
from skcovid.estimators import _checkpoint as _training_state

tiny_backbone.register()

IMAGES, Y = tiny_backbone.make_images(30)
X = tiny_backbone.prepare(IMAGES)
X_NEW = X[::3] + 0.1
RECIPES = {
    "paper": {},
    "fast": {
        "batch_norm": "frozen",
        "reset_batch_norm": False,
        "keep_features": True,
        "pooling": "avg",
    },
}

# One runs compiled, as for users; the other uncompiled, which is faster.
RUNNING = {"paper": tiny_backbone.eagerly, "fast": nullcontext}


def make_classifier(checkpoint=None, *, recipe="paper", **parameters):
    settings = {
        "weights": None,
        "epochs": 3,
        "batch_size": 16,
        "dense_units": 6,
        # With plateaus and early stopping, which are part of the state.
        "reduce_lr_patience": 1,
        "early_stopping_patience": 2,
        "n_jobs": 1,
        "random_state": 0,
        "verbose": 0,
        **RECIPES[recipe],
        **parameters,
    }
    return skcovid.TransferLearningClassifier("tiny", checkpoint=checkpoint, **settings)


def fit(classifier, labels=Y):
    return classifier.fit(X, labels, X_val=X[:9], y_val=labels[:9])


@pytest.fixture
def stop_at(monkeypatch):
    """Interrupt trainings before they write their n-th state."""
    write = _training_state.write_record

    def stop(n_written):
        written = []

        def write_or_stop(path, record):
            if len(written) == n_written:
                raise KeyboardInterrupt
            written.append(path)
            write(path, record)

        monkeypatch.setattr(_training_state, "write_record", write_or_stop)

    yield stop
    monkeypatch.setattr(_training_state, "write_record", write)


@pytest.fixture
def count_epochs(monkeypatch):
    """Count trained epochs by the states written."""
    phases = []
    write = _training_state.TrainingState.write

    def count(self, phase, *arguments):
        phases.append(phase)
        write(self, phase, *arguments)

    monkeypatch.setattr(_training_state.TrainingState, "write", count)
    return phases


@pytest.mark.parametrize(("recipe", "n_written"), [("paper", 4), ("fast", 1)])
def test_a_resumed_training_is_bit_identical(
    tmp_path, stop_at, count_epochs, expected, recipe, n_written
):
    with RUNNING[recipe]():
        check_resumes(
            tmp_path, stop_at, count_epochs, expected[recipe], recipe, n_written
        )


def check_resumes(tmp_path, stop_at, count_epochs, expected, recipe, n_written):
    stop_at(n_written)
    with pytest.raises(KeyboardInterrupt):
        fit(make_classifier(tmp_path, recipe=recipe))
    stop_at(None)
    count_epochs.clear()
    classifier = fit(make_classifier(tmp_path, recipe=recipe))
    # The end is also written as a state.
    n_epochs = len(expected.history_["loss"])
    assert len(count_epochs) == n_epochs - n_written + 1
    check_same(classifier, expected)
    kept = {path.suffix for path in tmp_path.iterdir()} - {".lock"}
    assert kept == {".npz"}

    count_epochs.clear()
    found = fit(make_classifier(tmp_path, recipe=recipe, n_jobs=2))
    assert not count_epochs
    check_same(found, expected)


@tiny_backbone.eagerly()
def test_a_resumed_training_remembers_plateaus_and_the_best_weights(tmp_path, stop_at):
    # The validation labels are wrong: their loss increases.
    labels = np.roll(Y, 1)[:9]
    rates = {"learning_rate": 0.01, "fine_tune_learning_rate": 0.01}

    def train(checkpoint):
        classifier = make_classifier(checkpoint, recipe="fast", **rates)
        return classifier.fit(X, Y, X_val=X[:9], y_val=labels)

    stop_at(4)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    stop_at(None)
    expected = train(None)
    losses = expected.history_["val_loss"][3:]
    assert np.argmin(losses) == 0
    is_label = labels[:, None] == expected.classes_
    loss = -np.log(expected.predict_proba(X[:9])[is_label]).mean()
    assert loss == pytest.approx(losses[0], abs=1e-3)
    assert expected.history_["learning_rate"][-1] < 0.01
    check_same(train(tmp_path), expected)


@pytest.fixture(scope="module")
def expected():
    """Classifiers whose training was not stopped."""
    classifiers = {}
    for recipe, running in RUNNING.items():
        with running():
            classifiers[recipe] = fit(make_classifier(recipe=recipe))
    return classifiers


def check_same(classifier, expected):
    probabilities = classifier.predict_proba(X_NEW), expected.predict_proba(X_NEW)
    assert probabilities[0].tobytes() == probabilities[1].tobytes()
    assert json.dumps(classifier.history_) == json.dumps(expected.history_)
    assert [layer.trainable for layer in classifier.model_.layers] == [
        layer.trainable for layer in expected.model_.layers
    ]


def test_needs_a_seed(tmp_path):
    with pytest.raises(ValueError, match=r"random_state.*None"):
        fit(make_classifier(tmp_path, random_state=None))


def test_a_folder_without_write_access(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        fit(make_classifier(tmp_path / "file", epochs=1))


@tiny_backbone.eagerly()
def test_fits_in_one_folder_have_their_own_files(tmp_path, count_epochs):
    def make_ensemble():
        members = [
            (name, make_classifier(tmp_path, epochs=1, random_state=seed))
            for seed, name in enumerate(["first", "second"])
        ]
        return VotingClassifier(members, voting="soft")

    first, second = make_ensemble().fit(X, Y).estimators_
    path, _ = tmp_path.glob("*.npz")
    assert not np.array_equal(first.predict_proba(X), second.predict_proba(X))

    # A damaged state is ignored; that of the other training is used.
    path.write_bytes(path.read_bytes()[:-500])
    count_epochs.clear()
    with pytest.warns(UserWarning, match=rf"{path.name}.*damaged"):
        again = make_ensemble().fit(X, Y).estimators_
    assert count_epochs == [1, 2, 3]
    for classifier, before in zip(again, (first, second), strict=True):
        np.testing.assert_array_equal(
            classifier.predict_proba(X), before.predict_proba(X)
        )


def test_other_trainings_have_other_files(tmp_path, monkeypatch):
    paths = []

    def stop(path):
        paths.append(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(_training_state, "read_record", stop)
    for parameters, weights in [
        ({}, None),
        ({"verbose": 1}, None),
        ({"learning_rate": 0.1}, None),
        ({}, np.arange(1, 31)),
    ]:
        with pytest.raises(KeyboardInterrupt):
            make_classifier(tmp_path, **parameters).fit(X, Y, sample_weight=weights)
    assert paths[0] == paths[1]
    assert len(set(paths)) == 3


@tiny_backbone.eagerly()
def test_the_same_training_in_another_process_is_awaited(tmp_path):
    def train():
        return fit(make_classifier(tmp_path, recipe="fast", epochs=1))

    train()
    [state] = tmp_path.glob("*.npz")
    state.unlink()
    holds, ended = threading.Event(), threading.Event()

    def train_elsewhere():
        with FileLock(state.with_suffix(".lock")):
            holds.set()
            time.sleep(1)
            ended.set()

    other = threading.Thread(target=train_elsewhere)
    other.start()
    holds.wait()
    train()
    assert ended.is_set()
    other.join()


@tiny_backbone.eagerly()
def test_killed_in_an_evaluation(tmp_path):
    process = checkpoint_run.start("fast-kept", tmp_path, cv=2, kill_at=150, eager=True)
    process.communicate()
    assert process.returncode == -9
    result = checkpoint_run.evaluate("fast-kept", tmp_path, cv=2)
    expected = checkpoint_run.evaluate("fast-kept", tmp_path / "other", cv=2)
    assert checkpoint_run.outcome(result) == checkpoint_run.outcome(expected)
    folders = [path for path in (tmp_path / "checkpoint").iterdir() if path.is_dir()]
    assert not folders
