"""Evaluate a classifier by cross-validation, and check its parameters."""

import copy
import os
import warnings
from collections.abc import Mapping
from functools import partial
from numbers import Integral
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import (
    BaseCrossValidator,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)
from sklearn.utils import get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    column_or_1d,
    has_fit_parameter,
)

from skcovid._base._compatibility import StrOptions, validate_params
from skcovid._base._label_checks import check_indices, check_samples
from skcovid._base._network_estimator import NetworkEstimator
from skcovid._base._validation_splits import (
    check_inner_sources,
    check_inner_splits,
    requests,
)
from skcovid.model_selection._checkpoint import describe_evaluation, open_checkpoint
from skcovid.model_selection._external_result import ExternalResult
from skcovid.model_selection._external_set import (
    check_external_set,
    check_files_of,
    leave_copies_out,
)
from skcovid.model_selection._leave_one_source_out import (
    LeaveOneSourceOut,
    explain_too_many,
)
from skcovid.model_selection._result import EvaluationResult, Fold
from skcovid.model_selection._run_folds import run_folds
from skcovid.model_selection._splits import (
    Protocol,
    Seed,
    Split,
    check_splits,
    find_patient_overlap,
    name_folds,
    split,
)


@validate_params(
    {
        "pipeline": [BaseEstimator],
        "X": "no_validation",
        "y": ["array-like"],
        "cv": ["cv_object", StrOptions({"leave-one-source-out"})],
        "groups": ["array-like", None],
        "source": ["array-like", None],
        "attributes": "no_validation",
        "test": [tuple, list, dict, None],
        "adapt": ["boolean"],
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
    cv: int | BaseCrossValidator | Literal["leave-one-source-out"] = 5,
    groups: ArrayLike | None = None,
    source: ArrayLike | None = None,
    attributes: Mapping[str, ArrayLike] | None = None,
    test: tuple[Any, ...] | Mapping[str, Any] | None = None,
    adapt: bool = False,
    protocol: Protocol = "cross_val_predict",
    random_state: Seed = 0,
    n_jobs: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    verbose: int = 1,
) -> EvaluationResult:
    """Cross-validate a classifier and report it as the paper does, with intervals.

    Parameters
    ----------
    pipeline : estimator
        A classifier, a pipeline that ends in one, or :class:`HoldoutPipeline`, which
        also receives the groups, even within an ensemble or a search. A clone is fitted
        in every fold.
    X : array-like of shape (n_samples, ...)
        Paths, images or other input of `pipeline`. Networks with ``memory=None``
        share their features between folds, in a folder that is removed at the end.
    y : array-like of shape (n_samples,)
        Class labels.
    cv : int, cross-validator or "leave-one-source-out", default=5
        A number of folds means shuffled ``StratifiedKFold``, or with groups
        ``StratifiedGroupKFold`` (the paper: "Stratified K-fold Cross Validation … K
        equals to 5"). "leave-one-source-out" makes a fold of each source, which is
        predicted by a model that saw none of it: :class:`LeaveOneSourceOut`. Test
        folds must not overlap.
    groups : array-like of shape (n_samples,), default=None
        Patient of each image, such as ``groups`` of
        :func:`skcovid.datasets.load_radiographs`. No patient is then on two sides of a
        split, intervals allow for images of one patient being alike, and the result
        has the share of test images that plain folds would have leaked.
    source : array-like of shape (n_samples,), default=None
        Source of each image, such as its hospital or collection. The result then has
        the ROC AUC within sources and the figures of each, with any `cv`. Parts of
        `pipeline` that request it, such as a search with ``cv=LeaveOneSourceOut()``,
        receive it.
    attributes : mapping of str to array-like of shape (n_samples,), default=None
        Attributes of the images, or a table of them, for parts of `pipeline` that
        request them, such as :class:`MatchingUnderSampler`.
    test : tuple or Bunch, default=None
        An external or later set: ``(X, y)``, ``(X, y, groups)``, or what
        :func:`skcovid.datasets.load_radiographs` returns. After the folds, a clone is
        fitted on all of `X` and predicts it; the result has both, and how they differ.
        Images that are in `X` too are left out, as are those of patients in `groups`.
        Labels that `y` lacks, such as "Other", count as the rest of every class.
    adapt : bool, default=False
        Whether a fitted clone is adapted to the images that it will predict, without
        their labels: what a hospital could do before it uses the model. Each fold must
        test one source, as with "leave-one-source-out". A Bunch of `test` with
        ``source`` is adapted to by source, any other as one. `pipeline` must have
        ``adapt``: one of :func:`make_transfer_pipeline` with a step that has it, such
        as :class:`SourceStandardScaler`.
    protocol : {"cross_val_predict", "paper"}, default="cross_val_predict"
        "cross_val_predict": every image is predicted once. "paper" (section 4): each
        test fold is halved at random; one half is the validation data of the training,
        the other half is predicted. A pipeline that takes no validation data is fitted
        without. So is the model for `test`, from which no validation data are taken:
        :class:`HoldoutPipeline` then sets its own `validation_fraction` aside.
    random_state : int, RandomState instance or None, default=0
        Seed of the folds and halves; the pipeline has its own.
    n_jobs : int, default=None
        Number of folds that run at once: None means 1, or what
        ``joblib.parallel_config`` says, which may send them to a cluster. A network
        alone uses all cores.
    checkpoint : path-like, default=None
        Folder, created if needed, that keeps each completed fold, the state of a
        :class:`TransferLearningClassifier` after every epoch and, until the last fold
        is complete, features. The same call resumes an
        evaluation that was stopped, with the predictions of one that was not. No
        `random_state` of skcovid's estimators may be None.
    verbose : int, default=1
        0 hides the progress bar over the folds; the pipeline has its own `verbose`.

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
        If image files can't be read (all are listed), `pipeline` is not a classifier,
        a class has fewer images or patients than there are folds, there is one class
        only, lengths or pandas indices differ, a label, group or source is missing or
        mixes text with numbers, labels or sources differ only by case or spaces, there
        are more sources than half the images, `cv` or a part of `pipeline` leaves
        sources out and `source` is not given, holds one only, or without one of them
        one class is left (or protocol is "paper"), a fold is empty, test
        folds overlap, an image or patient is on two sides of a split, or with
        `groups` a part of `pipeline` would split patients inside its ``fit``, such as a
        search with ``cv=3``; if the classifier predicts a label that `y` lacks, or its
        probabilities are not one row for each image that sums to 1; or if `checkpoint`
        belongs to another evaluation (the differences are listed), or a `random_state`
        is None with it. If `test` has no label in common with `y`, or one that differs
        by case, lengths or columns that differ, samples of another shape, unreadable
        files, or nothing but copies and patients of the training data. If `adapt` is
        True, and `pipeline` has no ``adapt`` or a fold tests several sources.
    TypeError
        If ``history_`` of the classifier is not a dict or a list of dicts.
    FloatingPointError
        If a classifier gives NaN probabilities; the fold and the rows are named.
    BlockingIOError
        If another evaluation uses `checkpoint`.
    FileExistsError
        If `checkpoint` holds files of something else.
    OSError
        If a network's weights can't be downloaded, before anything is fitted;
        if `checkpoint` is not writable, or the disk is full; completed folds are kept.
    ImportError
        If the package that holds a network's weights is missing, before anything is
        fitted.

    Warns
    -----
    UserWarning
        If the training part of a fold lacks a class, or a trained network predicts the
        same class for all test images of a fold; if images of `test` are left out
        because their patients are in `groups`.

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
    kind = get_tags(pipeline).estimator_type
    # Without a kind, it may be a classifier of the user's own.
    if kind != "classifier" and (kind or not hasattr(pipeline, "predict")):
        raise ValueError(
            f"pipeline={pipeline!r} is not a classifier; evaluate needs one, or a "
            "pipeline that ends in one."
        )
    check_samples(X, y, groups, source)
    check_classification_targets(y)
    labels: NDArray[Any] = column_or_1d(y)
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"y has one class only, {labels.tolist()[0]!r}; evaluate needs two."
        )
    if groups is not None:
        check_inner_splits(pipeline, len(labels))
    check_inner_sources(pipeline, source)
    if attributes is not None:
        if not requests(pipeline, "attributes"):
            raise ValueError(
                "No part of pipeline takes attributes; leave them out, and pass them "
                "to result.subgroups for figures of each."
            )
        check_indices(X=X, y=y, groups=groups, attributes=attributes)
        for name in getattr(attributes, "columns", attributes):
            check_consistent_length(X, attributes[name])
    sources: NDArray[Any] | None = None
    if source is not None:
        sources = np.asarray(source)
        if problem := explain_too_many(sources):
            raise ValueError(problem)
    plain_random_state = copy.deepcopy(random_state)
    cv = check_folds(cv, labels, groups, random_state)
    external = None
    if test is not None:
        external = check_external_set(test, pipeline, X, labels, groups)
        if adapt and isinstance(test, Mapping) and test.get("source") is not None:
            check_samples(test["paths"], test["target"], None, test["source"])
            external = external._replace(source=np.asarray(test["source"]))
    for part in (pipeline, *pipeline.get_params().values()):
        if isinstance(part, NetworkEstimator):
            # Report a failed download now, and do not download in every worker.
            part._check_weights()
    if adapt and not hasattr(pipeline, "adapt"):
        raise ValueError(
            "adapt=True needs a pipeline with a step that adapts, such as "
            "make_transfer_pipeline(recipe='linear').set_params("
            "scale=SourceStandardScaler())."
        )
    check_files_of(pipeline, X, external)
    splits = list(
        split(
            labels,
            cv=cv,
            groups=groups,
            source=sources,
            protocol=protocol,
            random_state=random_state,
        )
    )
    check_splits(splits, cv, groups)
    names = name_folds(splits, sources)
    for name, part in zip(names, splits, strict=True) if adapt else ():
        if sources is None or len(np.unique(sources[part.test])) > 1:
            raise ValueError(
                f"adapt=True needs folds that test one source each, and {name} tests "
                f"{'unknown ones' if sources is None else 'several'}. Pass source and "
                "cv='leave-one-source-out'."
            )
    _warn_of_absent_classes(splits, names, labels)
    if external is not None:
        external = leave_copies_out(external, pipeline, X, labels, verbose)
    run = partial(
        run_folds,
        pipeline,
        X,
        labels,
        groups,
        sources,
        attributes,
        splits,
        n_jobs=n_jobs,
        verbose=verbose,
        test=external,
        adapt=adapt,
    )
    if checkpoint is None:
        with TemporaryDirectory(
            prefix="skcovid-", ignore_cleanup_errors=True
        ) as folder:
            folds = run(features=Path(folder, "features"))
    else:
        _check_folds_seeded(cv, protocol, random_state)
        # To ask for figures of sources later, nothing needs to be fitted again.
        trained_by_source = requests(cv, "source", "split") or (
            requests(pipeline, "source") or has_fit_parameter(pipeline, "source")
        )
        description = describe_evaluation(
            pipeline,
            X,
            labels,
            groups,
            splits,
            protocol,
            external,
            sources if trained_by_source else None,
            attributes=attributes,
            adapt=adapt,
        )
        with open_checkpoint(Path(checkpoint), description) as opened:
            # It stays after an interruption: in batches of other images, the last
            # digits of the features would be others.
            features = opened.directory / "features"
            folds = run(checkpoint=opened, features=features)
            rmtree(features, ignore_errors=True)
    _warn_of_constant_predictions(folds, [*names, "the external set"])
    outside = None
    if external is not None:
        last, rows = folds.pop(), external.rows
        outside = ExternalResult(
            y_true=external.y[rows],
            predictions=last.predictions,
            probabilities=last.probabilities,
            classes=np.unique(labels),
            groups=None if external.groups is None else external.groups[rows],
            rows=rows,
            copies=external.copies,
            patients_in_training=external.patients_in_training,
            history=last.history,
            fit_seconds=last.fit_seconds,
            predict_seconds=last.predict_seconds,
        )
    overlap = None
    if groups is not None:
        groups = np.asarray(groups)
        overlap = find_patient_overlap(
            labels, groups, len(splits), protocol, plain_random_state
        )
    return EvaluationResult(
        y_true=labels,
        folds=folds,
        protocol=protocol,
        cv=repr(cv),
        pipeline=repr(pipeline),
        groups=groups,
        patient_overlap=overlap,
        external=outside,
        source=sources,
    )


def check_folds(
    cv: int | BaseCrossValidator | str,
    y: NDArray[Any],
    groups: ArrayLike | None,
    random_state: Seed,
) -> BaseCrossValidator:
    """Return the cross-validator that `cv` means; raise if a class is too small."""
    if isinstance(cv, str):
        return LeaveOneSourceOut()
    if not isinstance(cv, int | np.integer):
        return check_cv(cv, y, classifier=True)
    unit = "images" if groups is None else "patients"
    units = np.arange(len(y)) if groups is None else np.asarray(groups)
    for label in np.unique(y).tolist():
        n_units = len(np.unique(units[y == label]))
        if n_units < cv:
            raise ValueError(
                f"Class {label!r} has {n_units} {unit}, fewer than cv={cv} folds. "
                "Lower cv or add images."
            )
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    return splitter(n_splits=cv, shuffle=True, random_state=random_state)


def _check_folds_seeded(
    cv: BaseCrossValidator, protocol: Protocol, random_state: Seed
) -> None:
    shuffled = getattr(cv, "shuffle", True) and hasattr(cv, "random_state")
    unseeded = random_state is None and protocol == "paper"
    if unseeded or (shuffled and cv.random_state is None):
        raise ValueError(
            f"checkpoint needs the same folds in every run, but cv={cv!r} with "
            f"random_state={random_state!r} draws others. Pass an integer as "
            "random_state, to evaluate or to the cross-validator."
        )


def _warn_of_absent_classes(
    splits: list[Split], names: list[str], y: NDArray[Any]
) -> None:
    for name, rows in zip(names, splits, strict=True):
        for label in np.setdiff1d(y, y[rows.train]).tolist():
            warnings.warn(
                f"The training part of {name} has no image of class {label!r}; "
                f"its {np.sum(y[rows.test] == label)} test images of it will be "
                "predicted wrongly.",
                stacklevel=5,
            )


def _warn_of_constant_predictions(folds: list[Fold], names: list[str]) -> None:
    for fold, name in zip(folds, names, strict=False):
        found = np.unique(fold.predictions)
        # A baseline without a training history may predict one class on purpose.
        if fold.history and len(fold.predictions) > 1 and len(found) == 1:
            warnings.warn(
                f"All {len(fold.predictions)} test images of {name} are "
                f"predicted as {found.tolist()[0]!r}: its network has not learned to "
                "distinguish the classes. See the result's histories. If "
                "reset_batch_norm is True, as in recipe='paper', few images do not "
                "fill the moving statistics, which start at zero: set it to False, or "
                "use recipe='fast' or 'linear'.",
                stacklevel=5,
            )
