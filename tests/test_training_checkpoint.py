"""A training that is stopped goes on after its last whole epoch, to the last bit."""

import json

import checkpoint_run
import numpy as np
import pytest
import tiny_backbone
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV

import skcovid
from skcovid import _training_state

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


def make_classifier(checkpoint=None, *, recipe="paper", **parameters):
    settings = {
        "weights": None,
        "epochs": 3,
        "batch_size": 8,
        "dense_units": 6,
        # Plateaus and early stopping at once, so that they are part of the state.
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
    """Stop trainings before they write their state for the n-th time."""
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
    """Epochs that were trained: states that were written."""
    phases = []
    write = _training_state.TrainingState.write

    def count(self, phase, *arguments):
        phases.append(phase)
        write(self, phase, *arguments)

    monkeypatch.setattr(_training_state.TrainingState, "write", count)
    return phases


@pytest.fixture(scope="module")
def expected():
    """What trainings give that were never stopped."""
    found = {}
    for recipe in RECIPES:
        classifier = fit(make_classifier(recipe=recipe))
        found[recipe] = classifier.predict_proba(X_NEW), classifier.history_
    return found


@pytest.mark.parametrize(
    ("recipe", "n_written"), [("paper", 2), ("paper", 4), ("fast", 1), ("fast", 5)]
)
def test_goes_on_to_the_last_bit(
    tmp_path, stop_at, count_epochs, expected, recipe, n_written
):
    stop_at(n_written)
    with pytest.raises(KeyboardInterrupt):
        fit(make_classifier(tmp_path, recipe=recipe))
    n_begun = len(count_epochs)
    stop_at(None)
    classifier = fit(make_classifier(tmp_path, recipe=recipe))
    probabilities, history = expected[recipe]
    assert classifier.predict_proba(X_NEW).tobytes() == probabilities.tobytes()
    assert json.dumps(classifier.history_) == json.dumps(history)
    # The epoch that was not written was trained twice; the end is a state too.
    assert len(count_epochs) - n_begun == len(history["loss"]) + 1 - n_written
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


def test_a_training_that_has_ended_is_found(tmp_path, count_epochs, expected):
    fit(make_classifier(tmp_path))
    count_epochs.clear()
    again = fit(make_classifier(tmp_path, verbose=1, n_jobs=2))
    assert not count_epochs
    probabilities, history = expected["paper"]
    assert again.predict_proba(X_NEW).tobytes() == probabilities.tobytes()
    assert json.dumps(again.history_) == json.dumps(history)
    trained = [layer.trainable for layer in again.model_.layers]
    assert trained == [
        layer.trainable for layer in fit(make_classifier()).model_.layers
    ]


@pytest.mark.parametrize(
    "parameters",
    [{"random_state": 1}, {"epochs": 1}, {"labels": np.roll(Y, 1)}],
    ids=lambda parameters: next(iter(parameters)),
)
def test_another_training_begins_anew(tmp_path, count_epochs, parameters):
    labels = parameters.pop("labels", Y)
    fit(make_classifier(tmp_path, **{"epochs": 2, **parameters}), labels)
    fit(make_classifier(tmp_path, epochs=2))
    assert count_epochs.count(3) == len(list(tmp_path.iterdir())) == 2


def test_a_damaged_state_begins_anew(tmp_path, stop_at, expected):
    stop_at(2)
    with pytest.raises(KeyboardInterrupt):
        fit(make_classifier(tmp_path))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-500])
    stop_at(None)
    with pytest.warns(UserWarning, match=f"{path.name} is damaged"):
        classifier = fit(make_classifier(tmp_path))
    probabilities, _ = expected["paper"]
    assert classifier.predict_proba(X_NEW).tobytes() == probabilities.tobytes()


def test_needs_a_seed(tmp_path):
    with pytest.raises(ValueError, match="needs a random_state, got None"):
        fit(make_classifier(tmp_path, random_state=None))


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        fit(make_classifier(tmp_path / "file", epochs=1))


def test_fits_of_one_fold_are_told_apart(tmp_path):
    ensemble = VotingClassifier(
        [
            ("first", make_classifier(epochs=1)),
            ("second", make_classifier(epochs=1, random_state=1)),
        ],
        voting="soft",
    )
    search = GridSearchCV(ensemble, {"first__dropout": [0.0, 0.5]}, cv=2, refit=False)
    checkpoint = {f"{name}__checkpoint": tmp_path for name in ("first", "second")}
    search.set_params(
        **{f"estimator__{key}": value for key, value in checkpoint.items()}
    )
    plain = clone(search).set_params(
        **{f"estimator__{key}": None for key in checkpoint}
    )
    scores = search.fit(X, Y).cv_results_["mean_test_score"]
    # Two folds of two settings of the first; the second is the same in both.
    assert len(list(tmp_path.glob("*.npz"))) == 6
    np.testing.assert_array_equal(
        plain.fit(X, Y).cv_results_["mean_test_score"], scores
    )


def test_killed_in_an_evaluation(tmp_path):
    process = checkpoint_run.start("fast-kept", tmp_path, cv=2, kill_at=150)
    process.communicate()
    assert process.returncode == -9
    result = checkpoint_run.evaluate("fast-kept", tmp_path, cv=2)
    expected = checkpoint_run.evaluate("fast-kept", tmp_path / "other", cv=2)
    assert checkpoint_run.outcome(result) == checkpoint_run.outcome(expected)
    names = {path.name for path in (tmp_path / "checkpoint").iterdir()}
    assert names == {"evaluation.json", "lock", "fold-1.npz", "fold-2.npz"}
