"""Baselines: classifiers that cannot see the disease, scored on the model's folds."""

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from skcovid._base._document import Table
from skcovid.auditing._check import AuditFigure
from skcovid.auditing._subject import Subject
from skcovid.metrics._estimates import Estimate, mean_estimate
from skcovid.metrics._proportions import estimate_share
from skcovid.metrics._tables import RocAucTable
from skcovid.model_selection._result import EvaluationResult

# Significance level: the probability that data without a shortcut are flagged.
ALPHA = 0.05
# A class is told apart if its balanced accuracy, 50 % for guessing, is significantly
# above this. Training sets of a cross-validation overlap, so its predictions vary more
# than the interval says, and with thousands of images any trace of a difference is
# significant: the distance of ten points keeps both from being flagged. It is half the
# distance of 70 %, the lowest area under the curve that is conventionally acceptable
# (Hosmer and Lemeshow, 2000, Applied Logistic Regression, section 5.2.4); the balanced
# accuracy approaches that area from below.
MIN_TOLD_APART = 0.6
# Headers, thumbnails and blanked lungs compare every class with the rest.
_N_CHECKS = 3
THRESHOLD = (
    "a class is told from the others with a balanced accuracy above "
    f"{100 * MIN_TOLD_APART:.0f} % (chance: 50 %), by the lower bound of an "
    f"interval whose error of {100 * ALPHA:.0f} % is shared by all classes and checks"
)
NOT_TOLD_APART = "No class can be told apart from the others."
# Without this share of its skill, an accuracy of 95 % at a chance of 46 % becomes 83 %,
# which changes the conclusion.
MAX_RATIO = 0.25


def shortcut_ratio(baseline: float, model: float, chance: float) -> float:
    """Share of a model's skill that a baseline has as well.

    Parameters
    ----------
    baseline, model : float
        Accuracies, in [0, 1].
    chance : float
        Accuracy of guessing: the share of the largest class.

    Returns
    -------
    float
        ``(baseline - chance) / (model - chance)``: 0 for a baseline no better than
        chance, above 1 for one better than the model. NaN for a model no better than
        chance: it has no skill to share.

    Examples
    --------
    >>> from skcovid.auditing import shortcut_ratio
    >>> shortcut_ratio(baseline=0.75, model=1.0, chance=0.5)
    0.5
    >>> shortcut_ratio(baseline=0.4, model=1.0, chance=0.5)
    0.0
    >>> shortcut_ratio(baseline=0.9, model=0.5, chance=0.5)
    nan
    """
    if model <= chance:
        return math.nan
    return max(0.0, baseline - chance) / (model - chance)


class ClassSeparation(NamedTuple):
    """How well one class is told from the others."""

    label: Hashable
    sensitivity: Estimate
    specificity: Estimate
    balanced_accuracy: Estimate
    lower_bound: float


@dataclass(frozen=True)
class Baseline:
    """Scores of a classifier that cannot see the disease."""

    name: str
    rows: NDArray[np.intp]
    hits: NDArray[np.bool_]
    chance: float
    accuracy: Estimate
    separations: tuple[ClassSeparation, ...]
    roc_auc: RocAucTable | None

    @property
    def best(self) -> ClassSeparation:
        """The class with the largest lower bound."""
        return max(self.separations, key=lambda one: one.lower_bound)

    @property
    def told_apart(self) -> list[ClassSeparation]:
        """The classes that are told apart, the largest lower bound first."""
        found = sorted(self.separations, key=lambda one: -one.lower_bound)
        return [one for one in found if one.lower_bound > MIN_TOLD_APART]

    @property
    def outcome(self) -> str:
        """A sentence on the classes that are told apart."""
        found = self.told_apart
        if not found:
            return NOT_TOLD_APART
        labels = " and ".join(str(one.label) for one in found)
        values = " and ".join(one.balanced_accuracy.format_percent(1) for one in found)
        return f"{labels} can be told apart, with a balanced accuracy of {values}."

    @property
    def decision(self) -> str:
        """The bound that is compared with the threshold."""
        return (
            f"lower bound for {self.best.label} {100 * self.best.lower_bound:.1f} %, "
            f"flagged above {100 * MIN_TOLD_APART:.0f} %"
        )

    @property
    def figures(self) -> tuple[AuditFigure, ...]:
        """Balanced accuracy of the classes told apart, or of the best; the accuracy."""
        figures = []
        for one in self.told_apart or [self.best]:
            name = f"{self.name}, {one.label} against the rest, balanced accuracy"
            figures.append(AuditFigure(name, one.balanced_accuracy, 0.5))
        accuracy = AuditFigure(f"{self.name}, accuracy", self.accuracy, self.chance)
        return (*figures, accuracy)

    @property
    def table(self) -> Table:
        """Every class against the rest."""
        return Table(
            ["class", "sensitivity", "specificity", "balanced accuracy", "lower bound"],
            [
                [
                    str(one.label),
                    one.sensitivity.format_percent(1),
                    one.specificity.format_percent(1),
                    one.balanced_accuracy.format_percent(1),
                    f"{100 * one.lower_bound:.1f} %",
                ]
                for one in self.separations
            ],
            caption=f"Each class against the rest, by {self.name}",
        )


def make_forest(random_state: int) -> RandomForestClassifier:
    """Make the classifier of file properties and thumbnails."""
    # With leaves of five images, probabilities are not just 0 and 1.
    return RandomForestClassifier(
        n_estimators=50, min_samples_leaf=5, random_state=random_state
    )


def cross_validate(
    subject: Subject,
    name: str,
    classifier: Any,
    X: Any,
    *,
    rows: NDArray[np.intp] | None = None,
) -> Baseline:
    """Evaluate a baseline on the model's folds."""
    rows = np.arange(len(subject.y)) if rows is None else rows
    result = subject.evaluate(classifier, X, rows=rows)
    tested = rows[result.test_indices]
    hits = result.predictions == subject.y[tested]
    _, counts = np.unique(subject.y[tested], return_counts=True)
    return Baseline(
        name=name,
        rows=tested,
        hits=hits,
        chance=float(counts.max() / counts.sum()),
        accuracy=subject.estimate_share(hits, tested),
        separations=tuple(_separate(result, subject.patients(tested))),
        roc_auc=result.roc_auc,
    )


def best_balanced_accuracy(result: EvaluationResult) -> float:
    """Balanced accuracy of the class that is best told from the rest."""
    return max(
        float(hits[members].mean() + hits[~members].mean()) / 2
        for _, members, hits in _list_class_hits(result)
    )


def _list_class_hits(
    result: EvaluationResult,
) -> Iterator[tuple[Hashable, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Label, members and hits of each class that was tested, against the rest.

    A class is predicted where its probability exceeds its share of the images, so that
    a rare class is predicted too. Without probabilities, the predicted labels count.
    """
    is_class = result.y_true[result.test_indices][:, None] == result.classes
    if result.probabilities is None:
        predicted = result.predictions[:, None] == result.classes
    else:
        predicted = result.probabilities > is_class.mean(axis=0)
    for label, members, positive in zip(
        result.classes.tolist(), is_class.T, predicted.T, strict=True
    ):
        if members.any():
            yield label, members, positive == members


def _separate(
    result: EvaluationResult, groups: NDArray[Any] | None
) -> Iterator[ClassSeparation]:
    # Intervals are two-sided: half of the error is on the lower side.
    corrected = 1 - 2 * ALPHA / (len(result.classes) * _N_CHECKS)
    for label, members, hits in _list_class_hits(result):
        (sensitivity, specificity), bounds = (
            [
                estimate_share(
                    hits[side], None if groups is None else groups[side], level
                )
                for side in (members, ~members)
            ]
            for level in (0.95, corrected)
        )
        yield ClassSeparation(
            label,
            sensitivity,
            specificity,
            balanced_accuracy=mean_estimate([sensitivity, specificity], np.eye(2)),
            lower_bound=mean_estimate(bounds, np.eye(2)).low,
        )
