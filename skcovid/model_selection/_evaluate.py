"""The evaluation protocols: every image predicted by a model that never saw it."""

import copy
import os
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import (
    BaseCrossValidator,
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skcovid._base._compatibility import StrOptions, safe_indexing, validate_params
from skcovid.metrics._estimates import Estimate
from skcovid.metrics._proportions import estimate_share
from skcovid.model_selection._checkpoint import describe_evaluation, open_checkpoint
from skcovid.model_selection._folds import Split, run_folds
from skcovid.model_selection._result import EvaluationResult, Fold
from skcovid.preprocessing._reader import RadiographReader

__all__ = ["evaluate", "split"]

Protocol = Literal["cross_val_predict", "paper"]


@validate_params(
    {
        "pipeline": [BaseEstimator],
        "X": "no_validation",
        "y": ["array-like"],
        "cv": ["cv_object"],
        "groups": ["array-like", None],
        "protocol": [StrOptions({"cross_val_predict", "paper"})],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "checkpoint": [str, os.PathLike, None],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=False,
)
def evaluate(
    pipeline: Any,
    X: Any,
    y: ArrayLike,
    *,
    cv: int | BaseCrossValidator = 5,
    groups: ArrayLike | None = None,
    protocol: Protocol = "cross_val_predict",
    random_state: int | np.random.RandomState | None = 0,
    n_jobs: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    verbose: int = 1,
) -> EvaluationResult:
    """Cross-validate a classifier and report it as the paper does, with intervals.

    Parameters
    ----------
    pipeline : estimator
        A classifier, a pipeline that ends in one, or :class:`HoldoutPipeline`, which
        is also given the groups, within an ensemble or a search too. A fresh clone is
        fitted in every fold.
    X : array-like of shape (n_samples, ...)
        Paths or images: whatever `pipeline` takes.
    y : array-like of shape (n_samples,)
        Class labels.
    cv : int or cross-validator, default=5
        A number of folds stands for shuffled ``StratifiedKFold``, or
        ``StratifiedGroupKFold`` where there are groups (the paper: "Stratified K-fold
        Cross Validation … K equals to 5"). Test folds must not overlap.
    groups : array-like of shape (n_samples,), default=None
        Patients: pass the ``groups`` that :func:`skcovid.datasets.load_radiographs`
        found, which are None where it found none. No patient is then on two sides of a
        split, intervals allow for images of one patient being alike, and the report
        says what plain folds would have leaked.
    protocol : {"cross_val_predict", "paper"}, default="cross_val_predict"
        "cross_val_predict": every image is predicted once. "paper" (section 4): each
        test fold is halved at random; one half is the validation data of the training,
        which makes its accuracy no measure of anything, the other half is predicted. A
        pipeline that takes no validation data is fitted without.
    random_state : int, RandomState instance or None, default=0
        Seed of the folds and halves; the pipeline has its own.
    n_jobs : int, default=None
        Folds that run at once: None is 1, or what ``joblib.parallel_config`` says,
        which may send them to a cluster. A network uses all cores by itself.
    checkpoint : path-like, default=None
        Folder, created if needed, that keeps each fold as it ends and the state of a
        :class:`TransferLearningClassifier` after every epoch. The same call with the
        same folder goes on after a stop of any kind, and ends with the predictions of
        a run that was never stopped. Needs seeds: no `random_state` of skcovid's own
        may be None.
    verbose : int, default=1
        0 hides the bar over the folds; the pipeline has its own `verbose`.

    Returns
    -------
    EvaluationResult
        Out-of-fold predictions, confusion matrices, per-class table, accuracy, ROC AUC,
        histories and timings.

    Raises
    ------
    FileNotFoundError
        If image files are missing (all are listed), before anything is fitted.
    ValueError
        If image files can't be read (all are listed), a class has fewer images or
        patients than there are folds, there is one class only, lengths differ, test
        folds overlap, an image or patient is on two sides of a split, or a
        ``StackingClassifier`` can't pass the groups to its estimators; or if
        `checkpoint` holds another evaluation (all that differs is named), or something
        is not seeded.
    BlockingIOError
        If another evaluation is at work on `checkpoint`.
    FileExistsError
        If `checkpoint` holds files of something else.
    OSError
        If `checkpoint` can't be written to, or the disk is full; what was written
        stays.

    Warns
    -----
    UserWarning
        If the training part of a fold lacks a class, or a trained network predicts one
        class for all test images of a fold.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from skcovid import evaluate
    >>> X, y = [[0]] * 12, ["COVID-19"] * 5 + ["NORMAL"] * 7
    >>> result = evaluate(DummyClassifier(), X, y, cv=5, verbose=0)
    >>> result.confusion_matrix
    array([[0, 5],
           [0, 7]])
    >>> f"{result.accuracy.value:.3f}"
    '0.583'
    """
    y = _check_target(X, y, groups)
    plain_random_state = copy.deepcopy(random_state)
    cv = _check_cv(cv, y, groups, random_state)
    _check_readable(pipeline, X)
    splits = list(
        split(y, cv=cv, groups=groups, protocol=protocol, random_state=random_state)
    )
    _check_disjoint(splits, cv, groups)
    _warn_of_absent_classes(splits, y)
    run = partial(
        run_folds, pipeline, X, y, groups, splits, n_jobs=n_jobs, verbose=verbose
    )
    if checkpoint is None:
        folds = run()
    else:
        _check_folds_seeded(cv, protocol, random_state)
        description = describe_evaluation(pipeline, X, y, groups, splits, protocol)
        with open_checkpoint(Path(checkpoint), description) as opened:
            folds = run(checkpoint=opened)
    _warn_of_constant_predictions(folds)
    return EvaluationResult(
        y_true=y,
        folds=folds,
        protocol=protocol,
        cv=repr(cv),
        pipeline=repr(pipeline),
        groups=None if groups is None else np.asarray(groups),
        patient_overlap=(
            None
            if groups is None
            else _find_overlap(y, groups, len(splits), protocol, plain_random_state)
        ),
    )


def split(
    y: ArrayLike,
    *,
    cv: BaseCrossValidator,
    groups: ArrayLike | None = None,
    protocol: Protocol = "cross_val_predict",
    random_state: int | np.random.RandomState | None = 0,
) -> Iterator[Split]:
    """Split rows as a protocol does.

    Parameters
    ----------
    y, groups
        As for :func:`skcovid.evaluate`.
    cv : cross-validator
        Makes the folds.
    protocol : {"cross_val_predict", "paper"}, default="cross_val_predict"
        Whether test folds are halved into validation and test.
    random_state : int, RandomState instance or None, default=0
        Seed of the halves.

    Yields
    ------
    Split
        Arrays `train`, `validation` and `test` of row indices.

    Raises
    ------
    ValueError
        If protocol "paper" is to halve a test fold of a single patient.

    Examples
    --------
    The paper's numbers: training folds of 2,324, test folds of 581, halved.

    >>> import numpy as np
    >>> from sklearn.model_selection import StratifiedKFold
    >>> from skcovid.model_selection import split
    >>> y = np.repeat(["COVID-19", "NORMAL", "Viral Pneumonia"], [219, 1341, 1345])
    >>> rows = next(split(y, cv=StratifiedKFold(5), protocol="paper"))
    >>> [len(part) for part in rows]
    [2324, 291, 290]
    """
    labels = np.asarray(y)
    nothing = np.empty(0, dtype=np.intp)
    for train, test in cv.split(np.empty(len(labels)), labels, groups):
        if protocol == "cross_val_predict":
            yield Split(train, nothing, test)
            continue
        # "The test split is further divided into 50%": not stratified, as the 19
        # COVID-19 images of the paper's testing halves show.
        halver = ShuffleSplit if groups is None else GroupShuffleSplit
        patients = None if groups is None else safe_indexing(groups, test)
        if patients is not None and len(np.unique(patients)) < 2:
            raise ValueError(
                "protocol='paper' halves every test fold, but one holds a single "
                "patient. Use fewer folds or protocol='cross_val_predict'."
            )
        first, second = next(
            halver(n_splits=1, test_size=0.5, random_state=random_state).split(
                test, groups=patients
            )
        )
        larger, smaller = sorted((first, second), key=len, reverse=True)
        yield Split(train, np.sort(test[larger]), np.sort(test[smaller]))


def _find_overlap(
    y: NDArray,
    groups: ArrayLike,
    n_folds: int,
    protocol: Protocol,
    random_state: int | np.random.RandomState | None,
) -> Estimate | None:
    """Share of test images whose patient plain folds would have trained on."""
    if not 2 <= n_folds <= np.unique(y, return_counts=True)[1].min():
        return None
    patients = np.asarray(groups)
    plain = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    tests, shared = [], []
    for rows in split(y, cv=plain, protocol=protocol, random_state=random_state):
        tests.append(rows.test)
        shared.append(np.isin(patients[rows.test], patients[rows.train]))
    return estimate_share(np.concatenate(shared), patients[np.concatenate(tests)])


def _check_target(X: Any, y: ArrayLike, groups: ArrayLike | None) -> NDArray:
    check_consistent_length(X, y, groups)
    check_classification_targets(y)
    labels: NDArray = column_or_1d(y)
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"y holds one class only, {labels.tolist()[0]!r}; evaluation needs two."
        )
    return labels


def _check_cv(
    cv: int | BaseCrossValidator,
    y: NDArray,
    groups: ArrayLike | None,
    random_state: int | np.random.RandomState | None,
) -> BaseCrossValidator:
    if not isinstance(cv, int | np.integer):
        return check_cv(cv, y, classifier=True)
    _check_class_sizes(int(cv), y, groups)
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    return splitter(n_splits=cv, shuffle=True, random_state=random_state)


def _check_class_sizes(n_folds: int, y: NDArray, groups: ArrayLike | None) -> None:
    for label in np.unique(y).tolist():
        members = np.flatnonzero(y == label)
        n_units = len(members)
        unit = "images"
        if groups is not None:
            n_units, unit = len(set(safe_indexing(groups, members))), "patients"
        if n_units < n_folds:
            raise ValueError(
                f"Class {label!r} has {n_units} {unit}, fewer than cv={n_folds} folds. "
                "Lower cv or add images."
            )


def _check_readable(pipeline: Any, X: Any) -> None:
    """Meet unreadable files now rather than in the last fold."""
    first = pipeline.steps[0][1] if isinstance(pipeline, Pipeline) else pipeline
    if isinstance(first, RadiographReader):
        clone(first).set_params(lazy=True).fit_transform(X)


def _check_folds_seeded(
    cv: BaseCrossValidator,
    protocol: Protocol,
    random_state: int | np.random.RandomState | None,
) -> None:
    shuffled = getattr(cv, "shuffle", True) and hasattr(cv, "random_state")
    unseeded = random_state is None and protocol == "paper"
    if unseeded or (shuffled and cv.random_state is None):
        raise ValueError(
            f"checkpoint needs folds that are the same after a stop, but cv={cv!r} "
            f"with random_state={random_state!r} draws others in every run. Pass an "
            "integer as random_state, to evaluate or to the cross-validator."
        )


def _warn_of_absent_classes(splits: list[Split], y: NDArray) -> None:
    for number, rows in enumerate(splits, start=1):
        for label in np.setdiff1d(y, y[rows.train]).tolist():
            warnings.warn(
                f"The training part of fold {number} has no image of class {label!r}: "
                f"its {np.sum(y[rows.test] == label)} test images there can't be "
                "predicted right.",
                stacklevel=4,
            )


def _warn_of_constant_predictions(folds: list[Fold]) -> None:
    for number, fold in enumerate(folds, start=1):
        found = np.unique(fold.predictions)
        # Of a training: a baseline that knows no images says the same of all.
        if fold.history and len(fold.predictions) > 1 and len(found) == 1:
            warnings.warn(
                f"All {len(fold.predictions)} test images of fold {number} are "
                f"predicted as {found.tolist()[0]!r}: its network has not learned to "
                "tell classes apart. Look at the result's histories: more epochs or a "
                "lower learning_rate may help.",
                stacklevel=4,
            )


def _check_disjoint(
    splits: list[Split], cv: BaseCrossValidator, groups: ArrayLike | None
) -> None:
    held_out = np.concatenate([[*rows.validation, *rows.test] for rows in splits])
    if len(np.unique(held_out)) != len(held_out):
        raise ValueError(
            f"cv={cv!r} tests some images more than once; take a partition, such as "
            "StratifiedKFold."
        )
    unit = "image" if groups is None else "patient"
    n_samples = 1 + max(part.max(initial=0) for rows in splits for part in rows)
    units = np.arange(n_samples) if groups is None else np.asarray(groups)
    for rows in splits:
        for first, second in combinations(rows, 2):
            shared = np.intersect1d(units[first], units[second]).tolist()
            if shared:
                raise ValueError(
                    f"cv={cv!r} has {unit} {shared[0]!r} on two sides of a split; take "
                    "a number of folds, or a cross-validator that keeps groups whole, "
                    "such as StratifiedGroupKFold."
                )
