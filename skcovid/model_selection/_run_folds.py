"""Run the folds of an evaluation: fit on some rows, predict others."""

import time
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier
from sklearn.metrics import confusion_matrix
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import has_fit_parameter
from tqdm.auto import tqdm

from skcovid._base._compatibility import safe_indexing
from skcovid._base._kept_features import keep_features_of_predictions
from skcovid._base._predictions import predict
from skcovid.model_selection._checkpoint import EvaluationCheckpoint, own_parameters
from skcovid.model_selection._result import Fold
from skcovid.model_selection._splits import Split


def run_folds(
    pipeline: Any,
    X: Any,
    y: NDArray[Any],
    groups: ArrayLike | None,
    splits: list[Split],
    *,
    n_jobs: int | None,
    verbose: int,
    checkpoint: EvaluationCheckpoint | None = None,
) -> list[Fold]:
    """Evaluate a classifier on every fold that the checkpoint does not hold."""
    numbers = range(1, len(splits) + 1)
    done: dict[int, Fold] = {}
    if checkpoint is not None:
        found = ((number, checkpoint.read(number)) for number in numbers)
        done = {number: fold for number, fold in found if fold is not None}
    left = [number for number in numbers if number not in done]
    run = delayed(_run_fold)
    # joblib sends array arguments ahead to one worker of a cluster and loses them with
    # it; arrays within a tuple are sent with each fold.
    folds = Parallel(n_jobs=n_jobs, return_as="generator")(
        run((pipeline, X, y, groups, splits[number - 1], number, checkpoint))
        for number in left
    )
    progress = tqdm(
        zip(left, folds, strict=True),
        initial=len(done),
        total=len(splits),
        desc="folds",
        unit="fold",
        disable=not verbose,
    )
    for number, fold in progress:
        # Read from the file, to return what a resumed run would.
        done[number] = fold if checkpoint is None else checkpoint.check_written(number)
    return [done[number] for number in numbers]


def _run_fold(task: tuple[Any, ...]) -> Fold:
    pipeline, X, y, groups, rows, number, checkpoint = task
    estimator = clone(pipeline)
    if checkpoint is None:
        return _evaluate_fold(estimator, X, y, groups, rows)
    folders = own_parameters(estimator, "checkpoint")
    unset = [name for name, value in folders.items() if value is None]
    estimator.set_params(**dict.fromkeys(unset, checkpoint.training_folder(number)))
    fold = _evaluate_fold(estimator, X, y, groups, rows)
    checkpoint.write(number, fold)
    return fold


@keep_features_of_predictions()
def _evaluate_fold(
    estimator: Any, X: Any, y: NDArray[Any], groups: ArrayLike | None, rows: Split
) -> Fold:
    params: dict[str, Any] = {}
    if len(rows.validation) and has_fit_parameter(estimator, "X_val"):
        params["X_val"] = safe_indexing(X, rows.validation)
        params["y_val"] = y[rows.validation]
    routed = groups is not None and _routes_groups(estimator)
    if routed or (groups is not None and has_fit_parameter(estimator, "groups")):
        params["groups"] = safe_indexing(groups, rows.train)
    started = time.perf_counter()
    X_train, y_train = safe_indexing(X, rows.train), y[rows.train]
    with config_context(enable_metadata_routing=True) if routed else nullcontext():
        fitted = estimator.fit(X_train, y_train, **params)
    fit_ended = time.perf_counter()
    predictions, found = predict(fitted, safe_indexing(X, rows.test))
    labels = np.unique(y)
    probabilities = None
    if found is not None:
        # A column for every label, even without training images in this fold.
        probabilities = np.zeros((len(found), len(labels)), dtype=found.dtype)
        probabilities[:, np.searchsorted(labels, fitted.classes_)] = found
    predict_ended = time.perf_counter()
    last = fitted.steps[-1][1] if isinstance(fitted, Pipeline) else fitted
    return Fold(
        train_indices=rows.train,
        validation_indices=rows.validation,
        test_indices=rows.test,
        predictions=predictions,
        probabilities=probabilities,
        confusion_matrix=confusion_matrix(y[rows.test], predictions, labels=labels),
        history=dict(getattr(last, "history_", {})),
        fit_seconds=fit_ended - started,
        predict_seconds=predict_ended - fit_ended,
    )


def _routes_groups(pipeline: Any) -> bool:
    """Whether groups go to parts of a pipeline only, such as those of an ensemble."""
    if has_fit_parameter(pipeline, "groups") or not _consumes_groups(pipeline):
        return False
    # It passes all metadata to the final estimator, even if that takes none.
    if isinstance(pipeline, StackingClassifier):
        final = pipeline.final_estimator
        if final is None or not _consumes_groups(final):
            raise ValueError(
                "StackingClassifier passes the groups, which its estimators need to "
                f"keep patients whole, to final_estimator={final!r} as well, which "
                "takes none. Use one that chooses a parameter on whole patients, such "
                "as GridSearchCV(LogisticRegression(), {'C': [0.1, 1, 10]}, "
                "cv=StratifiedGroupKFold())."
            )
    return True


def _consumes_groups(estimator: Any) -> bool:
    try:
        return bool(estimator.get_metadata_routing().consumes("fit", {"groups"}))
    except NotImplementedError:
        return False
