"""Compare two results: the corrected resampled t-test, and McNemar's test."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, t
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    roc_auc_score,
)

from skcovid._base._compatibility import StrOptions, validate_params
from skcovid.metrics._compare_roc_auc import RocAucComparison, compare_roc_auc
from skcovid.metrics._estimates import Estimate, JsonMixin
from skcovid.metrics._wilson import CONFIDENCE_LEVEL
from skcovid.model_selection._result import EvaluationResult

Scoring = Literal["accuracy", "balanced_accuracy", "f1_macro", "roc_auc_ovr", "roc_auc"]

CORRECTED_T = "Nadeau-Bengio corrected resampled t"

# Functions of the true and the predicted labels of a fold.
_SCORES: dict[str, Callable[..., float]] = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "f1_macro": partial(f1_score, average="macro"),
}


@dataclass(frozen=True)
class Comparison(JsonMixin):
    """What :func:`skcovid.compare` returns.

    Parameters
    ----------
    scoring : str
        The score that was compared.
    difference : Estimate
        Mean over the folds of the first result's score minus the second's, in [-1, 1].
        Its bounds are NaN if every fold has the same difference.
    pvalue : float
        Two-sided p-value of the corrected resampled t-test for equal scores; NaN if
        every fold has the same difference.
    fold_differences : tuple of float
        The difference in each fold.
    unit : {"patients", "images"}
        What the exact test counts: patients if they are known.
    n_only_a_better, n_only_b_better : int
        Units of which one pipeline predicted more images correctly than the other.
    exact_pvalue : float
        Two-sided p-value of the exact sign test of those numbers, which is McNemar's
        exact test if every unit is one image.
    confidence_level : float
        Confidence level of the intervals.
    roc_auc : RocAucComparison or None, default=None
        For `scoring` "roc_auc", the areas of all folds' predictions together.
    """

    scoring: str
    difference: Estimate
    pvalue: float
    fold_differences: tuple[float, ...]
    unit: Literal["patients", "images"]
    n_only_a_better: int
    n_only_b_better: int
    exact_pvalue: float
    confidence_level: float
    roc_auc: RocAucComparison | None = None

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.fold_differences)

    def to_dict(self) -> dict[str, Any]:
        """Return all, ready for JSON: NaN becomes None."""
        differences = list(self.fold_differences)
        added = {"fold_differences": differences, "n_folds": self.n_folds}
        return super().to_dict() | added

    def __str__(self) -> str:
        return (
            f"{self.scoring}, difference over {self.n_folds} folds: {self.difference}, "
            f"p = {self.pvalue:.3g} ({self.difference.method}); "
            f"{self.unit} that only one predicted better: {self.n_only_a_better} "
            f"against {self.n_only_b_better}, p = {self.exact_pvalue:.3g} (exact)"
            + (f"; {self.roc_auc}" if self.roc_auc else "")
        )


@validate_params(
    {
        "result_a": [EvaluationResult],
        "result_b": [EvaluationResult],
        "scoring": [StrOptions({*_SCORES, "roc_auc_ovr", "roc_auc"})],
        "pos_label": "no_validation",
        "confidence_level": CONFIDENCE_LEVEL,
    }
)
def compare(
    result_a: EvaluationResult,
    result_b: EvaluationResult,
    *,
    scoring: Scoring = "accuracy",
    pos_label: Hashable = None,
    confidence_level: float = 0.95,
) -> Comparison:
    """Compare two pipelines that were evaluated on the same folds.

    Parameters
    ----------
    result_a, result_b : EvaluationResult
        Two results of :func:`skcovid.evaluate` on the same data, with the same `cv`,
        `groups`, `protocol` and `random_state`.
    scoring : {"accuracy", "balanced_accuracy", "f1_macro", "roc_auc_ovr", "roc_auc"}, \
            default="accuracy"
        Score of each fold. "roc_auc_ovr" is the mean over classes of the area of each
        against the rest; "roc_auc" is that of `pos_label`, and adds DeLong's test.
    pos_label : object, default=None
        The class that "roc_auc" is for. Other scores take none.
    confidence_level : float, default=0.95
        Confidence level of the interval.

    Returns
    -------
    Comparison
        Difference, its interval and p-values.

    Raises
    ------
    ValueError
        If the results have different folds, labels or groups, there is one fold only,
        a result has no probabilities for "roc_auc_ovr" or "roc_auc", a fold tests no
        image of some class and `scoring` is not "accuracy", or `pos_label` is not a
        class, is missing for "roc_auc" or is given for another score.

    Notes
    -----
    The training sets of the folds overlap, so the differences of `k` folds vary less
    than those of independent data sets would. The corrected resampled t-test [1]_
    multiplies their variance by ``1 / k + n_test / n_train`` in place of ``1 / k``,
    with ``k - 1`` degrees of freedom. With few folds it misses small differences.

    The exact test takes the pooled predictions: of the patients that one pipeline
    predicted better than the other, it tests whether more are on one side than by
    chance. With one image a patient, or without patients, it is McNemar's [2]_. It does
    not account for how the models would differ with other training data; nor does
    DeLong's test of :func:`skcovid.metrics.compare_roc_auc`.

    References
    ----------
    .. [1] Nadeau, C., and Bengio, Y. (2003). Inference for the generalization error.
       Machine Learning, 52, 239-281.
    .. [2] McNemar, Q. (1947). Note on the sampling error of the difference between
       correlated proportions or percentages. Psychometrika, 12, 153-157.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skcovid import compare, evaluate
    >>> X, y = load_iris(return_X_y=True)
    >>> bayes = evaluate(GaussianNB(), X, y, verbose=0)
    >>> constant = evaluate(DummyClassifier(), X, y, verbose=0)
    >>> comparison = compare(bayes, constant)
    >>> print(comparison.difference)
    62.67 % [59.89, 65.44]
    >>> comparison.n_only_a_better, comparison.n_only_b_better
    (94, 0)
    """
    _check_same_folds(result_a, result_b)
    if (scoring == "roc_auc") != (pos_label is not None):
        raise ValueError(
            f"scoring={scoring!r} with pos_label={pos_label!r}: scoring='roc_auc' "
            "needs the class as pos_label, other scores take none."
        )
    if pos_label is not None and pos_label not in result_a.classes.tolist():
        raise ValueError(
            f"pos_label={pos_label!r} is not a class; classes are "
            f"{', '.join(map(repr, result_a.classes.tolist()))}."
        )
    differences = _score(result_a, scoring, pos_label) - _score(
        result_b, scoring, pos_label
    )
    n_test = sum(len(fold.test_indices) for fold in result_a.folds)
    n_train = sum(len(fold.train_indices) for fold in result_a.folds)
    inflation = 1 / len(differences) + n_test / n_train
    error = np.sqrt(inflation * differences.var(ddof=1))
    mean = float(differences.mean())
    low = high = pvalue = np.nan
    # Rounding errors are not a spread.
    if error > 1e-12:
        distribution = t(len(differences) - 1)
        half_width = error * distribution.ppf((1 + confidence_level) / 2)
        low, high = max(mean - half_width, -1), min(mean + half_width, 1)
        pvalue = 2 * distribution.sf(abs(mean) / error)
    rows = result_a.test_indices
    correct_a, correct_b = (
        (result.predictions == result.y_true[rows]).astype(int)
        for result in (result_a, result_b)
    )
    units = rows if result_a.groups is None else result_a.groups[rows]
    patients = np.unique(units, return_inverse=True)[1]
    lead = np.bincount(patients, weights=correct_a - correct_b)
    n_only_a, n_only_b = int((lead > 0).sum()), int((lead < 0).sum())
    n_differing = n_only_a + n_only_b
    exact = binomtest(n_only_a, n_differing).pvalue if n_differing else 1.0
    areas = None
    if scoring == "roc_auc":
        areas = compare_roc_auc(
            result_a.y_true[rows],
            result_a._probability_of(pos_label),
            result_b._probability_of(pos_label),
            pos_label=pos_label,
            groups=result_a._scored.groups,
            confidence_level=confidence_level,
        )
    return Comparison(
        scoring=scoring,
        difference=Estimate(mean, float(low), float(high), CORRECTED_T),
        pvalue=float(pvalue),
        fold_differences=tuple(differences.tolist()),
        unit="images" if result_a.groups is None else "patients",
        n_only_a_better=n_only_a,
        n_only_b_better=n_only_b,
        exact_pvalue=float(exact),
        confidence_level=float(confidence_level),
        roc_auc=areas,
    )


def _check_same_folds(result_a: EvaluationResult, result_b: EvaluationResult) -> None:
    advice = "evaluate both pipelines with the same data, cv, groups and random_state"
    if not np.array_equal(result_a.y_true, result_b.y_true):
        raise ValueError(f"result_a and result_b have different labels; {advice}.")
    n_folds = len(result_a.folds)
    if n_folds != len(result_b.folds):
        raise ValueError(
            f"result_a has {n_folds} folds, result_b {len(result_b.folds)}; {advice}."
        )
    if n_folds < 2:
        raise ValueError("The results have one fold; compare needs at least two.")
    for number, pair in enumerate(zip(result_a.folds, result_b.folds, strict=True)):
        for rows in ("train_indices", "test_indices", "validation_indices"):
            if not np.array_equal(*(getattr(fold, rows) for fold in pair)):
                raise ValueError(
                    f"Fold {number} of result_b has other {rows} than that of "
                    f"result_a; {advice}."
                )
    patients_a, patients_b = (
        np.empty(0)
        if result.groups is None
        else np.unique(result.groups, return_inverse=True)[1]
        for result in (result_a, result_b)
    )
    if not np.array_equal(patients_a, patients_b):
        raise ValueError(f"result_a and result_b have different groups; {advice}.")


def _score(
    result: EvaluationResult, scoring: str, pos_label: Hashable
) -> NDArray[np.float64]:
    """Return the score of each fold."""
    if scoring not in _SCORES and result.probabilities is None:
        raise ValueError(
            f"scoring={scoring!r} needs probabilities, which one of the evaluated "
            "classifiers does not give."
        )
    scores = []
    for number, fold in enumerate(result.folds):
        true = result.y_true[fold.test_indices]
        missing = np.setdiff1d(result.classes, true).tolist()
        if missing and scoring != "accuracy":
            raise ValueError(
                f"scoring={scoring!r} needs every class in every fold, but fold "
                f"{number} tests no image of {missing[0]!r}; use 'accuracy'."
            )
        if fold.probabilities is not None and scoring not in _SCORES:
            columns = result.classes == pos_label
            if scoring == "roc_auc_ovr":
                columns[:] = True
            is_class = true[:, np.newaxis] == result.classes[columns]
            scores.append(roc_auc_score(is_class, fold.probabilities[:, columns]))
        else:
            scores.append(_SCORES[scoring](true, fold.predictions))
    return np.array(scores)
