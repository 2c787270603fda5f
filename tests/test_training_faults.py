"""Errors and warnings of training name the cause and the cure."""

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import PredefinedSplit

from _helpers import tiny_backbone
from skcovid import TransferLearningClassifier, evaluate, make_transfer_pipeline
from skcovid.estimators._checks import warn_of_empty_statistics
from skcovid.images import LazyImages

tiny_backbone.register()
pytestmark = [
    pytest.mark.usefixtures("eager"),
    # TensorFlow warns where its functions run eagerly.
    pytest.mark.filterwarnings("ignore:Even though the .tf.config"),
]

IMAGES, Y = tiny_backbone.make_images(30)
X = tiny_backbone.prepare(IMAGES)
QUICK = {
    "weights": None,
    "epochs": 1,
    "dense_units": 4,
    "random_state": 0,
    "verbose": 0,
}


def lazy(load):
    return LazyImages(
        load,
        range(len(X)),
        image_shape=X.shape[1:],
        keys=[str(number) for number in range(len(X))],
        dtype=np.float32,
    )


def test_a_loss_that_becomes_nan_or_infinite(tmp_path):
    classifier = TransferLearningClassifier(
        "tiny", learning_rate=1e38, checkpoint=tmp_path, **QUICK
    )
    with pytest.raises(FloatingPointError, match=r"loss.*learning_rate"):
        classifier.fit(X, Y)


def test_a_refit_that_fails_leaves_no_fitted_classifier():
    classifier = TransferLearningClassifier("tiny", **QUICK).fit(X, Y)
    with pytest.raises(FloatingPointError):
        classifier.set_params(learning_rate=1e38).fit(X, Y)
    with pytest.raises(NotFittedError):
        classifier.predict(X)


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (MemoryError(), MemoryError, "batch_size=8.* lower"),
        (RuntimeError("CUDA out of memory."), MemoryError, "batch_size=8.* lower"),
        (RuntimeError("RESOURCE_EXHAUSTED: x"), MemoryError, "batch_size=8.* lower"),
        (RuntimeError("CUDA error: lost"), RuntimeError, "GPU failed.*CPU.*lost"),
        (RuntimeError("Something else"), RuntimeError, "^Something else"),
    ],
)
def test_errors_of_a_backend_are_explained(error, kind, advice):
    def fail(number):
        raise error

    with pytest.raises(kind, match=advice):
        TransferLearningClassifier("tiny", batch_size=8, **QUICK).fit(lazy(fail), Y)


LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from skcovid import BackboneFeatures, TransferLearningClassifier

X = np.zeros((64, 160, 160, 3), dtype=np.float32)
y = np.repeat(["COVID-19", "NORMAL"], 32)
given = dict(weights=None, batch_size=64, random_state=0, verbose=0)
classifier = TransferLearningClassifier(
    "mobilenetv2", pooling="avg", checkpoint=sys.argv[1], **given
)
features = BackboneFeatures("mobilenetv2", layers=[9], **given).fit(X[:2])
pages = int(Path("/proc/self/statm").read_text().split()[0])
used = pages * resource.getpagesize()
for estimator, arguments, room in (
    (classifier.fit, (X, y), 600),
    (features.transform, (X,), 120),
):
    limit = used + room * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        estimator(*arguments)
    except MemoryError as error:
        print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_batch_that_cannot_fit_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line in lines:
        assert line.startswith("A batch of batch_size=64 images takes at least ")
        assert "Lower batch_size or image_size" in line
    assert not list(Path(tmp_path).iterdir())


@pytest.mark.parametrize("recipe", ["paper", "linear"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_no_connection_is_one_error_before_the_folds(recipe, n_jobs, monkeypatch):
    def fail(include_top, weights, input_shape):
        raise Exception("URL fetch failure")  # as Keras does

    monkeypatch.setattr(keras.applications, "VGG19", fail)
    pipeline = make_transfer_pipeline("vgg19", recipe=recipe, verbose=0)
    paths = np.array([f"{number}.png" for number in range(len(Y))])
    for model in (pipeline, BaggingClassifier(pipeline)):
        with pytest.raises(OSError, match=r"KERAS_HOME.*=PATH.*=None") as info:
            evaluate(model, paths, Y, cv=2, n_jobs=n_jobs, verbose=0)
        assert info.value.__cause__ is None
        assert info.value.__suppress_context__


def test_weights_that_do_not_fit_are_an_error_before_the_folds(tmp_path):
    path = tmp_path / "other.weights.h5"
    path.write_bytes(b"nothing of the kind")
    pipeline = make_transfer_pipeline("tiny", weights=path, verbose=0)
    paths = np.array([f"{number}.png" for number in range(len(Y))])
    with pytest.raises(ValueError, match=r"other.*'tiny'"):
        evaluate(pipeline, paths, Y, cv=2, verbose=0)


@pytest.mark.parametrize("recipe", ["fast", "linear"])
def test_weights_are_loaded_before_images_are_read(recipe, tmp_path):
    pipeline = make_transfer_pipeline(
        "tiny", recipe=recipe, weights=tmp_path / "no.weights.h5", verbose=0
    )
    with pytest.raises(FileNotFoundError, match=r"no\.weights\.h5"):
        evaluate(pipeline, ["nowhere.png"] * 30, Y, cv=2, verbose=0)


def test_a_class_missing_from_a_fold():
    pipeline = make_transfer_pipeline(
        "tiny", recipe="linear", weights=None, image_size=32, verbose=0
    )
    fold = np.where(Y == "COVID-19", 0, np.arange(len(Y)) % 2)
    with pytest.warns(UserWarning, match=r"fold 1.*'COVID-19'.*10 test"):
        evaluate(pipeline, IMAGES, Y, cv=PredefinedSplit(fold), verbose=0)


@pytest.mark.parametrize("n_absent", [0, 1])
def test_too_few_validation_images_to_monitor(n_absent):
    there = ~np.isin(Y, ["COVID-19"][:n_absent])
    classifier = TransferLearningClassifier("tiny", **QUICK)
    with warnings.catch_warnings(record=True, action="always") as caught:
        classifier.fit(X, Y, X_val=X[there][:8], y_val=Y[there][:8])
    messages = [str(warning.message) for warning in caught]
    found = [message for message in messages if "too few to monitor" in message]
    assert len(found) == n_absent
    assert all("['COVID-19']" in message for message in found)


@pytest.mark.parametrize("monitored", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_moving_statistics_that_few_steps_do_not_fill(monitored, reset):
    classifier = TransferLearningClassifier("tiny", reset_batch_norm=reset, **QUICK)
    # Labels without a relation to the images: the loss is not better than a guess.
    validation = {"X_val": X, "y_val": np.roll(Y, 1)} if monitored else {}
    with warnings.catch_warnings(record=True, action="always") as caught:
        classifier.fit(X, Y, **validation)
    texts = [str(item.message) for item in caught]
    found = [text for text in texts if "moving statistics" in text]
    assert len(found) == reset
    for text in found:
        assert "2 training steps" in text
        assert "reset_batch_norm=False" in text
        assert "recipe='fast' or 'linear'" in text
        losses = classifier.history_.get("val_loss", [np.nan])
        assert (f"validation loss is {losses[-1]:.3g}" in text) == monitored


def test_moving_statistics_that_predict_well_enough():
    classifier = TransferLearningClassifier("tiny", **QUICK)
    predicted = classifier.fit(X, Y).predict(X)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*moving statistics")
        classifier.fit(X, Y, X_val=X, y_val=predicted)
    assert classifier.history_["val_loss"][-1] < np.log(3)


def test_moving_statistics_that_many_steps_fill():
    # Training as many steps would take seconds.
    layers = [keras.Input((2,)), keras.layers.BatchNormalization(momentum=0.9)]
    model = keras.Sequential([*layers, keras.layers.Dense(3)])
    history = {"phase": [2], "val_loss": [9.0]}
    with pytest.warns(UserWarning, match=r"After 43 .* lack 1\.1%.* loss is 9:"):
        warn_of_empty_statistics(model, history, 43)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*moving statistics")
        warn_of_empty_statistics(model, history, 44)


def test_a_constant_prediction():
    pipeline = make_transfer_pipeline(
        "tiny", image_size=32, validation_fraction=0.2, **QUICK
    )
    with pytest.warns(UserWarning, match=r"15 test images of fold 1.*reset_batch_norm"):
        evaluate(pipeline, np.repeat(IMAGES[:1], len(Y), axis=0), Y, cv=2, verbose=0)


@pytest.mark.skipif(
    not hasattr(os, "fork") or keras.backend.backend() != "tensorflow",
    reason="about forks of processes that use TensorFlow",
)
@pytest.mark.filterwarnings("ignore:.*fork")
@pytest.mark.parametrize("method", ["fit", "predict"])
def test_a_fork_after_a_fit_is_an_error(method):
    classifier = TransferLearningClassifier("tiny", **QUICK).fit(X, Y)
    if child := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == 0
    else:
        # A fork that hangs is ended.
        signal.alarm(20)
        try:
            getattr(classifier, method)(X, *([Y] if method == "fit" else []))
        except RuntimeError as error:
            os._exit("loky" not in str(error))
        finally:
            os._exit(2)
