"""Bootstrap intervals: patients are resampled, or images if patients are unknown."""

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import DegenerateDataWarning, bootstrap
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from skcovid._base._compatibility import Interval, StrOptions, validate_params
from skcovid._base._label_checks import check_groups
from skcovid._base._random import draw_seed
from skcovid.metrics._confusion_matrix import patient_confusion_matrices, read_sample
from skcovid.metrics._estimates import Estimate, JsonMixin
from skcovid.metrics._per_class import per_class_table
from skcovid.metrics._proportions import find_class_ratios
from skcovid.metrics._roc_auc import find_areas, roc_auc_table
from skcovid.metrics._wilson import CONFIDENCE_LEVEL

# With fewer patients behind a figure's variance, bootstrap intervals are too narrow.
# Found by simulation, see docs/evaluation.md.
_MIN_EFFECTIVE_PATIENTS = 30
_RESAMPLES_PER_BATCH = 200

# Takes how often each patient is drawn, (n_resamples, n_patients), and returns figures,
# (n_figures, n_resamples).
Statistic = Callable[[NDArray[np.intp]], NDArray[np.float64]]


@dataclass(frozen=True)
class BootstrapIntervals(JsonMixin):
    """What :func:`bootstrap_intervals` returns.

    Parameters
    ----------
    accuracy : Estimate
        Multi-class accuracy.
    f1 : dict of label to Estimate
        F1 of each class.
    f1_macro : Estimate
        Unweighted mean of the classes' F1.
    roc_auc : dict of label to Estimate, or None
        Area under the ROC curve of each class against the rest; None without
        probabilities.
    roc_auc_macro : Estimate or None
        Unweighted mean of the classes' areas.
    n_resamples : int
        Number of resamples.
    confidence_level : float
        Confidence level of every interval.
    """

    accuracy: Estimate
    f1: dict[Hashable, Estimate]
    f1_macro: Estimate
    roc_auc: dict[Hashable, Estimate] | None
    roc_auc_macro: Estimate | None
    n_resamples: int
    confidence_level: float


@validate_params(
    {
        "y_true": ["array-like"],
        "y_pred": ["array-like"],
        "probabilities": ["array-like", None],
        "labels": ["array-like", None],
        "groups": ["array-like", None],
        "method": [StrOptions({"BCa", "percentile"})],
        "n_resamples": [Interval(Integral, 99, None, closed="left")],
        "confidence_level": CONFIDENCE_LEVEL,
        "random_state": ["random_state"],
    }
)
def bootstrap_intervals(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    probabilities: ArrayLike | None = None,
    *,
    labels: Sequence[Hashable] | NDArray[Any] | None = None,
    groups: ArrayLike | None = None,
    method: Literal["BCa", "percentile"] = "BCa",
    n_resamples: int = 1999,
    confidence_level: float = 0.95,
    random_state: int | np.random.RandomState | None = 0,
) -> BootstrapIntervals:
    """Intervals of accuracy, F1 and ROC AUC by resampling whole patients.

    Patients are resampled within strata, one for each patient's rarest class, so that
    every resample has every class.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        True and predicted labels of the images.
    probabilities : array-like of shape (n_samples, n_classes), default=None
        Predicted probabilities; without them there is no ROC AUC.
    labels : sequence of length n_classes, default=None
        The classes, in the order of the columns of `probabilities`; by default all that
        occur, sorted.
    groups : array-like of shape (n_samples,), default=None
        Patient of each image. By default images are resampled.
    method : {"BCa", "percentile"}, default="BCa"
        Method of :func:`scipy.stats.bootstrap`.
    n_resamples : int, default=1999
        Number of resamples, 99 or more.
    confidence_level : float, default=0.95
        Confidence level of every interval.
    random_state : int, RandomState instance or None, default=0
        Seed of the resampling.

    Returns
    -------
    BootstrapIntervals
        An estimate's `method` says "bootstrap", unless fewer than 30 patients are
        behind the figure's variance (roughly those with mistakes). A bootstrap interval
        would then be too narrow, or a point; the estimate has the interval and method
        of :func:`skcovid.metrics.per_class_table` or
        :func:`skcovid.metrics.roc_auc_table` instead.

    Raises
    ------
    ValueError
        If lengths differ, `labels` lack one that occurs, or a class has one patient
        only.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.metrics import bootstrap_intervals
    >>> rng = np.random.default_rng(0)
    >>> y_true = np.repeat(["COVID-19", "Normal"], [200, 600])
    >>> y_pred = np.where(rng.random(800) < 0.8, y_true, "Normal")
    >>> intervals = bootstrap_intervals(y_true, y_pred, groups=np.arange(800) // 2)
    >>> intervals.f1["COVID-19"].method
    'bootstrap (BCa)'
    """
    check_consistent_length(y_true, y_pred, probabilities, groups)
    check_groups(groups)
    classes = unique_labels(y_true, y_pred) if labels is None else np.asarray(labels)
    units = np.arange(len(column_or_1d(y_true))) if groups is None else groups
    patients = np.unique(units, return_inverse=True)[1]
    matrices = patient_confusion_matrices(y_true, y_pred, patients, labels=classes)
    # Without patients, images are independent in the intervals without resampling.
    counts = matrices.sum(axis=0) if groups is None else matrices
    table = per_class_table(counts, classes, confidence_level=confidence_level)
    estimates = [table.accuracy, *(row.f1 for row in table.values()), table.means.f1]
    ratios = find_class_ratios(*read_sample(matrices))
    # Of accuracy; of each class, and their minimum, which counts for their mean.
    of_f1 = ratios["jaccard"].effective_n_patients()
    n_effective = [*ratios["accuracy"].effective_n_patients(), *of_f1, of_f1.min()]
    statistics: list[Statistic] = [partial(_accuracy_and_f1, matrices)]
    if probabilities is not None:
        scores = check_array(probabilities, input_name="probabilities")
        table_of_areas = roc_auc_table(
            y_true, scores, classes, groups=groups, confidence_level=confidence_level
        )
        estimates += [*table_of_areas.values(), table_of_areas.mean]
        true = column_or_1d(y_true)[:, np.newaxis] == classes
        of_areas = find_areas(true, scores, patients).effective_n_patients()
        n_effective += [*of_areas, of_areas.min()]
        statistics.append(partial(_areas, true, scores, patients))
    enough = np.array(n_effective) >= _MIN_EFFECTIVE_PATIENTS
    strata = _stratify(matrices.sum(axis=2), classes)
    generator = np.random.default_rng(draw_seed(random_state))
    if enough.any():
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            # A figure that never varies keeps its plain interval.
            warnings.simplefilter("ignore", DegenerateDataWarning)
            interval = bootstrap(
                strata,
                partial(_evaluate, statistics, len(matrices)),
                n_resamples=n_resamples,
                batch=_RESAMPLES_PER_BATCH,
                vectorized=True,
                axis=-1,
                confidence_level=confidence_level,
                method=method,
                random_state=generator,
            ).confidence_interval
        enough &= np.isfinite(interval.low) & np.isfinite(interval.high)
        for index in np.flatnonzero(enough):
            low, high = interval.low[index].item(), interval.high[index].item()
            estimates[index] = replace(
                estimates[index], low=low, high=high, method=f"bootstrap ({method})"
            )
    accuracy, *of_classes = estimates
    f1, roc_auc = of_classes[: len(classes) + 1], of_classes[len(classes) + 1 :]
    return BootstrapIntervals(
        accuracy=accuracy,
        f1=dict(zip(table.labels, f1[:-1], strict=True)),
        f1_macro=f1[-1],
        roc_auc=dict(zip(table.labels, roc_auc[:-1], strict=True)) if roc_auc else None,
        roc_auc_macro=roc_auc[-1] if roc_auc else None,
        n_resamples=int(n_resamples),
        confidence_level=float(confidence_level),
    )


def _stratify(
    supports: NDArray[np.int64], classes: NDArray[Any]
) -> tuple[NDArray[np.intp], ...]:
    """Return rows of patients by rarest class, given their images of each class."""
    has = supports > 0
    n_patients = has.sum(axis=0)
    unassigned = np.ones(len(has), dtype=bool)
    strata = []
    for index in np.argsort(n_patients, kind="stable"):
        rows = np.flatnonzero(has[:, index] & unassigned)
        # A single patient cannot be resampled: it joins another of its classes.
        if len(rows) > 1:
            strata.append(rows)
            unassigned[rows] = False
    if unassigned.any():
        alone = classes[has[unassigned].any(axis=0)].tolist()
        raise ValueError(
            f"Class {', '.join(map(repr, alone))} has one patient only; resampling "
            "patients needs two. Leave the class out, or use per_class_table, which "
            "does not resample."
        )
    return tuple(strata)


def _evaluate(
    statistics: Sequence[Statistic],
    n_patients: int,
    *strata: NDArray[np.intp],
    axis: int,
) -> NDArray[np.float64]:
    """Return the figures of resamples, whose patients are along the last axis."""
    leading = np.broadcast_shapes(*(rows.shape[:-1] for rows in strata))
    n_resamples = int(np.prod(leading))
    first = np.arange(n_resamples)[:, np.newaxis] * n_patients
    cells = [
        np.broadcast_to(rows, (*leading, rows.shape[-1])).reshape(n_resamples, -1)
        + first
        for rows in strata
    ]
    weights = np.bincount(
        np.concatenate(cells, axis=1).ravel(), minlength=n_resamples * n_patients
    ).reshape(n_resamples, n_patients)
    figures = np.concatenate([statistic(weights) for statistic in statistics])
    return figures.reshape(-1, *leading)


def _accuracy_and_f1(
    matrices: NDArray[np.int64], weights: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return accuracy, F1 of every class and their mean, each (n_resamples,)."""
    cells = matrices.reshape(len(matrices), -1).astype(float)
    pooled = (weights @ cells).reshape(-1, *matrices.shape[1:])
    hits = np.diagonal(pooled, axis1=1, axis2=2)
    with np.errstate(invalid="ignore"):
        f1 = 2 * hits / (pooled.sum(axis=1) + pooled.sum(axis=2))
    accuracy = hits.sum(axis=1) / pooled.sum(axis=(1, 2))
    return np.array([accuracy, *f1.T, f1.mean(axis=1)])


def _areas(
    true: NDArray[np.bool_],
    scores: NDArray[np.floating],
    patients: NDArray[np.intp],
    weights: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Return areas of every class and their mean, each (n_resamples,)."""
    areas = []
    for is_class, score in zip(true.T, scores.T, strict=True):
        order = np.argsort(score, kind="stable")
        starts = np.unique(score[order], return_index=True)[1]
        drawn = weights[:, patients[order]].astype(float)
        positive, negative = (
            np.add.reduceat(drawn * side[order], starts, axis=1)
            for side in (is_class, ~is_class)
        )
        # Ties count half.
        beaten = np.cumsum(negative, axis=1) - negative / 2
        with np.errstate(invalid="ignore"):
            areas.append(
                (positive * beaten).sum(axis=1)
                / (positive.sum(axis=1) * negative.sum(axis=1))
            )
    return np.array([*areas, np.mean(areas, axis=0)])
