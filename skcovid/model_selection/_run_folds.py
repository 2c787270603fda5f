"""Run the folds of an evaluation: fit on some rows, predict others."""

import functools
import multiprocessing
import os
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import confusion_matrix
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import has_fit_parameter

from skcovid._base._compatibility import safe_indexing, take_rows
from skcovid._base._kept_features import keep_features_of_predictions
from skcovid._base._network_estimator import NetworkEstimator
from skcovid._base._predictions import Predictions, predict
from skcovid._base._progress import Progress, format_duration
from skcovid._base._validation_splits import list_parameters, requests
from skcovid.model_selection._checkpoint import EvaluationCheckpoint, own_parameters
from skcovid.model_selection._external_set import ExternalSet
from skcovid.model_selection._result import Fold
from skcovid.model_selection._splits import Split, name_folds


def run_folds(
    pipeline: Any,
    X: Any,
    y: NDArray[Any],
    groups: ArrayLike | None,
    source: NDArray[Any] | None,
    attributes: Any,
    splits: list[Split],
    *,
    features: Path,
    n_jobs: int | None,
    verbose: int,
    test: ExternalSet | None = None,
    adapt: bool = False,
    checkpoint: EvaluationCheckpoint | None = None,
) -> list[Fold]:
    """Evaluate a classifier on every fold that the checkpoint does not hold.

    An external set is the last fold: all rows are trained on. `features` is the folder
    where the folds share features, unless the pipeline names another.
    """
    names = name_folds(splits, source)
    if test is not None:
        everything = Split(np.arange(len(y)), np.empty(0, dtype=np.intp), test.rows)
        splits, names = [*splits, everything], [*names, "the external set"]
    numbers = range(1, len(splits) + 1)
    done: dict[int, Fold] = {}
    if checkpoint is not None:
        found = ((number, checkpoint.read(number)) for number in numbers)
        done = {number: fold for number, fold in found if fold is not None}
    left = [number for number in numbers if number not in done]
    run = delayed(_run_fold)
    of_rows = {"groups": groups, "source": source, "attributes": attributes}
    shared = (pipeline, X, y, of_rows, adapt, checkpoint, features, os.getpid())
    # joblib sends array arguments ahead to one worker of a cluster and loses them with
    # it; arrays within a tuple are sent with each fold.
    folds = Parallel(n_jobs=n_jobs, return_as="generator")(
        run(
            (
                *shared,
                number,
                names[number - 1],
                splits[number - 1],
                # Sent with its own fold alone.
                test if number == len(splits) else None,
            )
        )
        for number in left
    )
    n_folds = len(splits) - (test is not None)
    with Progress("folds", len(splits), "fold", verbose, done=len(done)) as progress:
        for number, fold in zip(left, folds, strict=True):
            matrix, name = fold.confusion_matrix, names[number - 1]
            name = name.replace(f"fold {number}", f"fold {number} of {n_folds}", 1)
            seconds = fold.fit_seconds + fold.predict_seconds
            note = f"{name}: accuracy {100 * matrix.trace() / matrix.sum():.1f} %"
            progress.update(note=note, line=f"{note}, {format_duration(seconds)}")
            # Read from the file, to return what a resumed run would.
            if checkpoint is not None:
                fold = checkpoint.check_written(number)
            done[number] = fold
    return [done[number] for number in numbers]


def _run_fold(task: tuple[Any, ...]) -> Fold:
    pipeline, X, y, of_rows, adapt, checkpoint, features, caller, *numbered = task
    number, *last = numbered
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid == caller:
        _end_with(parent)
    estimator = clone(pipeline)
    if features.parent.is_dir():  # another computer of a cluster may not have it
        without = [
            name
            for name, value, owner in list_parameters(estimator)
            if name.endswith("memory")
            and value is None
            and isinstance(owner, NetworkEstimator)
        ]
        estimator.set_params(**dict.fromkeys(without, str(features)))
    if checkpoint is None:
        return _evaluate_fold(estimator, X, y, of_rows, adapt, *last)
    folders = own_parameters(estimator, "checkpoint")
    unset = [name for name, value in folders.items() if value is None]
    estimator.set_params(**dict.fromkeys(unset, checkpoint.training_folder(number)))
    with checkpoint.lock(number):
        fold: Fold | None = checkpoint.read(number)
        if fold is None:
            fold = _evaluate_fold(estimator, X, y, of_rows, adapt, *last)
            checkpoint.write(number, fold)
    return fold


@functools.cache
def _end_with(parent: Any) -> None:
    """Let this worker end when the process that started it has been killed."""

    def watch() -> None:
        if parent.sentinel:
            parent.join()
        else:  # joblib's workers know only its number, except on Windows
            while os.getppid() == parent.pid:
                time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@keep_features_of_predictions()
def _evaluate_fold(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    of_rows: Mapping[str, Any],
    adapt: bool,
    name: str,
    rows: Split,
    test: ExternalSet | None,
) -> Fold:
    X_test, y_test = (X, y) if test is None else (test.X, test.y)
    params: dict[str, Any] = {}
    if len(rows.validation) and has_fit_parameter(estimator, "X_val"):
        params["X_val"] = safe_indexing(X, rows.validation)
        params["y_val"] = y[rows.validation]
    routed = False
    for metadata, values in of_rows.items():
        taken = has_fit_parameter(estimator, metadata)
        if values is not None and (taken or requests(estimator, metadata)):
            params[metadata] = take_rows(values, rows.train)
            # To parts of it only, such as those of an ensemble.
            routed = routed or not taken
    started = time.perf_counter()
    X_train, y_train = safe_indexing(X, rows.train), y[rows.train]
    with config_context(enable_metadata_routing=True) if routed else nullcontext():
        fitted = estimator.fit(X_train, y_train, **params)
    fit_ended = time.perf_counter()
    try:
        predicted, found = _predict_parts(
            fitted, X_test, rows, of_rows["source"], adapt, test
        )
    except FloatingPointError as error:
        error.add_note(f"These are rows among the test images of {name}.")
        raise
    labels = np.unique(y)
    # In the type of y: a classifier may answer 1.0 for 1, or objects for text.
    predictions = labels[_find(labels, predicted, len(rows.test), "predict")]
    probabilities = None
    if found is not None:
        classes = getattr(fitted, "classes_", ())
        values = _check_probabilities(np.asarray(found), len(rows.test), len(classes))
        columns = _find(labels, classes, len(classes), "classes_")
        # A column for every label, even without training images in this fold.
        probabilities = np.zeros((len(values), len(labels)), dtype=values.dtype)
        probabilities[:, columns] = values
    predict_ended = time.perf_counter()
    last = fitted.steps[-1][1] if isinstance(fitted, Pipeline) else fitted
    return Fold(
        train_indices=rows.train,
        validation_indices=rows.validation,
        test_indices=rows.test,
        predictions=predictions,
        probabilities=probabilities,
        confusion_matrix=confusion_matrix(
            y_test[rows.test], predictions, labels=labels
        ),
        history=_read_history(getattr(last, "history_", {})),
        fit_seconds=fit_ended - started,
        predict_seconds=predict_ended - fit_ended,
    )


def _predict_parts(
    fitted: Any,
    X: Any,
    rows: Split,
    source: NDArray[Any] | None,
    adapt: bool,
    test: ExternalSet | None,
) -> Predictions:
    """Predict images after adapting to their source, or by it if it was trained on."""
    own = source if test is None else test.source
    own = np.zeros(len(rows.test)) if own is None else own[rows.test]
    kinds: NDArray[Any] = np.zeros(len(rows.test), dtype=bool)
    if adapt:
        kinds = own
    elif source is not None and test is None:
        steps = fitted.get_params().values()
        if any(requests(step, "source", "transform") for step in steps):
            kinds = np.isin(own, source[rows.train])
    parts = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    found = []
    for part in parts:
        images = safe_indexing(X, rows.test[part])
        if adapt:
            found.append(predict(fitted.adapt(images), images))
        else:
            known = own[part] if kinds[part[0]] else None
            found.append(predict(fitted, images, known))
    if len(found) == 1:
        return found[0]
    order = np.argsort(np.concatenate(parts))
    labels = np.concatenate([one.labels for one in found])[order]
    if found[0].probabilities is None:
        return Predictions(labels, None)
    return Predictions(
        labels, np.concatenate([one.probabilities for one in found])[order]
    )


def _find(labels: NDArray[Any], found: Any, n_expected: int, source: str) -> list[int]:
    """Return the place of each label that a classifier gives among the sorted ones."""
    values = np.asarray(found)
    if values.shape != (n_expected,):
        raise ValueError(
            f"{source} of the classifier has shape {values.shape}, expected "
            f"({n_expected},): one label each."
        )
    places = {label: place for place, label in enumerate(labels.tolist())}
    for value in values.tolist():
        if value not in places:
            raise ValueError(
                f"{source} of the classifier gives {value!r}, which is not in y; its "
                f"labels are {labels.tolist()}. The classifier must give them as y "
                "has them, of the same type."
            )
    return [places[value] for value in values.tolist()]


def _check_probabilities(
    values: NDArray[Any], n_rows: int, n_classes: int
) -> NDArray[Any]:
    """Require a distribution over the classes in each row."""
    if values.shape != (n_rows, n_classes):
        raise ValueError(
            f"predict_proba gives shape {values.shape} for {n_rows} images and the "
            f"{n_classes} labels in classes_."
        )
    wrong = (values < 0).any(axis=1) | (np.abs(values.sum(axis=1) - 1) > 0.01)
    if wrong.any():
        raise ValueError(
            f"predict_proba gives {values[wrong][0].tolist()}, which are not "
            "probabilities: in [0, 1], with the sum 1. End the network in a softmax, "
            "or calibrate the classifier, as CalibratedClassifierCV does."
        )
    return values


def _read_history(history: Any) -> dict[str, list[Any]]:
    """Return a history as a list for each name; skorch keeps a dict for each epoch."""
    if not isinstance(history, Mapping):
        if not all(isinstance(epoch, Mapping) for epoch in history):
            raise TypeError(
                f"history_={history!r:.60} of the classifier must be a dict of lists, "
                "or a list of dicts, one for each epoch."
            )
        names = dict.fromkeys(name for epoch in history for name in epoch)
        history = {name: [epoch.get(name) for epoch in history] for name in names}
    return {
        str(name): plain if isinstance(plain := _to_plain(values), list) else [plain]
        for name, values in history.items()
    }


def _to_plain(value: Any) -> Any:
    """Turn arrays, tensors and NumPy's numbers in a history into lists and numbers."""
    if hasattr(value, "__array__"):
        return np.asarray(value).tolist()
    if isinstance(value, Mapping):
        return {str(name): _to_plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(entry) for entry in value]
    return value
