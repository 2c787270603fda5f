"""How well a class is told apart by what should tell nothing about the disease."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from skcovid.auditing._check import AuditFigure, AuditTable
from skcovid.auditing._subject import Subject
from skcovid.metrics._estimates import Estimate, mean_estimate
from skcovid.model_selection._result import EvaluationResult

__all__ = [
    "ALPHA",
    "MIN_BALANCED_ACCURACY",
    "THRESHOLD",
    "Baseline",
    "ClassSeparation",
    "balanced_accuracies",
    "forest",
    "measure",
    "proportion",
]

# Probability with which data without a shortcut may be flagged, as in any test.
ALPHA = 0.05
# A class is told apart if its balanced accuracy, 50 % for guessing, is surely above
# this. Cross-validated predictions vary more than the interval knows, for their
# training sets overlap, and with thousands of images a trace of a difference is
# significant: the distance of ten points keeps both from being flagged. Half of what a
# balanced accuracy of 70 % has beyond chance, by convention the least that is called
# acceptable (Hosmer and Lemeshow, 2000, Applied Logistic Regression, section 5.2.4, of
# the area under the curve, which it approaches from below).
MIN_BALANCED_ACCURACY = 0.6
# Headers, thumbnails and blanked lungs compare every class with the rest.
_N_CHECKS = 3
THRESHOLD = (
    "a class is told from the others with a balanced accuracy above "
    f"{100 * MIN_BALANCED_ACCURACY:.0f} %, chance being 50 %, by the lower bound of an "
    f"interval that errs for {100 * ALPHA:.0f} % over all classes and checks"
)


@dataclass(frozen=True)
class ClassSeparation:
    """How well one class is told from the others."""

    label: Hashable
    sensitivity: Estimate
    specificity: Estimate
    balanced_accuracy: Estimate
    lower_bound: float


@dataclass(frozen=True)
class Baseline:
    """What a classifier reached that sees too little to know the disease."""

    name: str
    rows: NDArray[np.intp]
    hits: NDArray[np.bool_]
    chance: float
    accuracy: Estimate
    separations: tuple[ClassSeparation, ...]

    @property
    def best(self) -> ClassSeparation:
        """The class that is most surely told apart."""
        return max(self.separations, key=lambda found: found.lower_bound)

    @property
    def separates(self) -> bool:
        """Whether a class is told apart."""
        return bool(self.told_apart)

    @property
    def told_apart(self) -> list[ClassSeparation]:
        """The classes that are told apart, the most surely told first."""
        found = sorted(self.separations, key=lambda one: -one.lower_bound)
        return [one for one in found if one.lower_bound > MIN_BALANCED_ACCURACY]

    def describe_told_apart(self, phrase: str = "") -> str:
        """Enumerate the classes told apart, a phrase, and how well they are."""
        labels = _enumerated(str(found.label) for found in self.told_apart)
        values = _enumerated(
            found.balanced_accuracy.format_percent(1) for found in self.told_apart
        )
        return f"{labels}{phrase}, with a balanced accuracy of {values}"

    def figures(self) -> tuple[AuditFigure, ...]:
        """Return balanced accuracies of what is told apart, and the accuracy.

        Where no class is told apart, the best class's takes their place.
        """
        return (
            *(
                AuditFigure(
                    f"{self.name}, {found.label} against the rest, balanced accuracy",
                    found.balanced_accuracy,
                    0.5,
                )
                for found in self.told_apart or [self.best]
            ),
            AuditFigure(f"{self.name}, accuracy", self.accuracy, self.chance),
        )

    def table(self) -> AuditTable:
        """Set every class against the rest."""
        return AuditTable(
            f"Each class against the rest, by {self.name}",
            ["class", "sensitivity", "specificity", "balanced accuracy", "lower bound"],
            [
                [
                    str(found.label),
                    found.sensitivity.format_percent(1),
                    found.specificity.format_percent(1),
                    found.balanced_accuracy.format_percent(1),
                    f"{100 * found.lower_bound:.1f} %",
                ]
                for found in self.separations
            ],
        )


def _enumerated(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def forest(random_state: int) -> RandomForestClassifier:
    """Make the classifier of header properties and thumbnails.

    Leaves of five images keep its probabilities from being all or nothing.
    """
    return RandomForestClassifier(
        n_estimators=50, min_samples_leaf=5, random_state=random_state
    )


def measure(
    subject: Subject,
    name: str,
    classifier: Any,
    X: Any,
    *,
    rows: NDArray[np.intp] | None = None,
) -> Baseline:
    """Cross-validate a baseline on the model's folds."""
    rows = np.arange(len(subject.y)) if rows is None else rows
    result = subject.evaluate(classifier, X, rows=rows)
    tested = rows[result.test_indices]
    groups = subject.patients(tested)
    hits = result.predictions == result.y_true[result.test_indices]
    _, counts = np.unique(subject.y[tested], return_counts=True)
    return Baseline(
        name=name,
        rows=tested,
        hits=hits,
        chance=float(counts.max() / counts.sum()),
        accuracy=proportion(hits, groups),
        separations=_separate(result, groups),
    )


def balanced_accuracies(result: EvaluationResult) -> NDArray[np.float64]:
    """Balanced accuracy of every class that was tested, against the rest."""
    is_class, called = _calls(result)
    tested = is_class.any(axis=0)
    is_class, called = is_class[:, tested], called[:, tested]
    sensitivity = (is_class & called).sum(axis=0) / is_class.sum(axis=0)
    specificity = (~is_class & ~called).sum(axis=0) / (~is_class).sum(axis=0)
    return (sensitivity + specificity) / 2


def proportion(
    hits: NDArray[np.bool_],
    groups: NDArray | None = None,
    *,
    confidence_level: float = 0.95,
) -> Estimate:
    """Share of hits with its Wilson interval.

    Images of one patient count for less: as Kish's effective number of images,
    n² / Σ m² for patients of m images each, which is right where all images of a
    patient fare alike and too careful where they don't (Kish, 1965, Survey Sampling).
    """
    n_images, n_effective = len(hits), len(hits)
    if groups is not None and n_images:
        _, sizes = np.unique(groups, return_counts=True)
        n_effective = max(1, round(n_images**2 / int((sizes**2).sum())))
    if n_effective == n_images:
        return Estimate.from_counts(int(hits.sum()), n_images, confidence_level)
    share = float(hits.mean())
    about = Estimate.from_counts(
        round(share * n_effective), n_effective, confidence_level
    )
    return Estimate(share, min(about.low, share), max(about.high, share))


def _calls(result: EvaluationResult) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each image is of each class, and whether it is called it.

    A class is called where its probability exceeds its share of the images, so that a
    rare class is called as often as it occurs. Without probabilities, the prediction
    is the call.
    """
    is_class = result.y_true[result.test_indices][:, None] == result.classes
    if result.probabilities is None:
        return is_class, result.predictions[:, None] == result.classes
    return is_class, result.probabilities > is_class.mean(axis=0)


def _separate(
    result: EvaluationResult, groups: NDArray | None
) -> tuple[ClassSeparation, ...]:
    is_class, called = _calls(result)
    # Two-sided intervals: half of what one errs for is below it.
    corrected = 1 - 2 * ALPHA / (len(result.classes) * _N_CHECKS)
    separations = []
    for label, members, calls in zip(
        result.classes.tolist(), is_class.T, called.T, strict=True
    ):
        if not members.any():
            continue
        patients = [
            None if groups is None else groups[side] for side in (members, ~members)
        ]
        (sensitivity, specificity), bounds = (
            [
                proportion(calls[members], patients[0], confidence_level=level),
                proportion(~calls[~members], patients[1], confidence_level=level),
            ]
            for level in (0.95, corrected)
        )
        separations.append(
            ClassSeparation(
                label,
                sensitivity,
                specificity,
                balanced_accuracy=mean_estimate([sensitivity, specificity], np.eye(2)),
                lower_bound=mean_estimate(bounds, np.eye(2)).low,
            )
        )
    return tuple(separations)
