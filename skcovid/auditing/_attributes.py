"""The check "attributes": classes told apart by age, sex, machine and the like."""

from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from datetime import date
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from skcovid._base._document import Table
from skcovid._base._label_checks import is_missing
from skcovid.auditing._baseline import ALPHA, MIN_TOLD_APART, NOT_TOLD_APART
from skcovid.auditing._check import AuditCheck, AuditFigure
from skcovid.auditing._subject import Subject
from skcovid.metrics._estimates import Estimate, unknown_estimate
from skcovid.metrics._roc_auc import find_areas
from skcovid.model_selection._leave_one_source_out import explain_too_many

_QUESTION = "Do age, sex, machine or other attributes tell the classes apart?"
_THRESHOLD = (
    f"by one attribute or all, a class has a ROC AUC above {MIN_TOLD_APART}, and above "
    "chance (0.5) by the lower bound of an interval whose error of "
    f"{100 * ALPHA:.0f} % is shared by all attributes and classes."
)
# A rarer text is told by no level of its own.
_MIN_IMAGES = 5


class _Score(NamedTuple):
    """ROC AUC of a class against the rest, by some attributes alone."""

    name: str
    label: Hashable
    area: Estimate
    lower_bound: float


def check_attributes(
    subject: Subject,
    attributes: Mapping[str, NDArray[Any]],
    source: NDArray[Any] | None,
) -> AuditCheck:
    """Classify images by what is known of them, without their pixels."""
    encoded = {name: _encode(values) for name, values in attributes.items()}
    sets = {name: X for name, X in encoded.items() if np.ptp(X, axis=0).any()}
    note = ""
    if unused := [name for name in encoded if name not in sets]:
        note = (
            f" Left out, as values do not differ or none is shared by {_MIN_IMAGES} "
            f"images: {', '.join(unused)}."
        )
    if not sets:
        reason = (
            "No attribute that differs between images was given; pass attributes, a "
            "mapping of names to a value for every image, such as the attributes of "
            f"load_radiographs.{note}"
        )
        return AuditCheck("attributes", _QUESTION, "not run", reason, _THRESHOLD)
    single, together = list(sets), np.column_stack(list(sets.values()))
    if len(single) > 1:
        sets["all attributes"] = together
    n_decisive = len(sets)
    if source is not None and not explain_too_many(source):
        # Not decisive: the check "source" is of what the source alone tells.
        sets["attributes and source"] = np.column_stack([together, _encode(source)])
    scores = [list(_score(subject, name, X, n_decisive)) for name, X in sets.items()]
    decisive = [one for row in scores[:n_decisive] for one in row]
    decisive.sort(key=lambda one: -one.lower_bound)
    best, alone = decisive[0], next(one for one in decisive if one.name in single)
    decides = max(
        decisive,
        key=lambda one: min(one.area.value - MIN_TOLD_APART, one.lower_bound - 0.5),
    )
    found = dict.fromkeys(
        str(one.label)
        for one in decisive
        if one.area.value > MIN_TOLD_APART and one.lower_bound > 0.5
    )
    told_apart = f"{' and '.join(found)} can be told apart."
    model: Mapping[Hashable, Estimate] = subject.result.roc_auc or dict.fromkeys(
        [one.label for one in scores[0]], unknown_estimate("no probabilities")
    )
    return AuditCheck(
        name="attributes",
        question=_QUESTION,
        status="flagged" if found else "passed",
        verdict=(
            f"{told_apart if found else NOT_TOLD_APART} By {best.name}, {best.label} "
            f"has a ROC AUC of {best.area.format_fraction(2)}, by the model "
            f"{model[best.label].format_fraction(2)}. Of single attributes, "
            f"{alone.name} does best: {alone.label} "
            f"{alone.area.format_fraction(2)}.{note}"
        ),
        threshold=_THRESHOLD,
        advice=(
            "A model that reads these attributes from the image gains what they give. "
            "Train on images whose classes have them in the same shares, by matching "
            "or balancing, and report figures within their sub-groups."
        ),
        decision=f"ROC AUC of {decides.label} {decides.area.value:.2f}, flagged above "
        f"{MIN_TOLD_APART} if its lower bound is above 0.5: {decides.lower_bound:.2f}",
        figures=tuple(
            AuditFigure(
                f"ROC AUC of {best.label} by {name}", area, 0.5, as_percent=False
            )
            for name, area in ((best.name, best.area), ("the model", model[best.label]))
        ),
        tables=(
            Table(
                ["by", *map(str, model)],
                [
                    *(
                        [row[0].name, *(one.area.format_fraction(2) for one in row)]
                        for row in scores
                    ),
                    ["the model", *(one.format_fraction(2) for one in model.values())],
                ],
                caption="ROC AUC of each class against the rest",
            ),
        ),
    )


def _encode(values: NDArray[Any]) -> NDArray[np.float64]:
    """Make columns of ranks of numbers and dates, or frequent texts, and missing."""
    known = np.array([not is_missing(value) for value in values])
    found = values[known]
    with suppress(ValueError):
        dates = [date.fromisoformat(str(value)[:10]) for value in found]
        found = np.array([one.toordinal() for one in dates], dtype=object)
    is_number = all(isinstance(value, Number) for value in found)
    names, places = np.unique(
        found.astype(float if is_number else str), return_inverse=True
    )
    if is_number:
        rank = np.zeros(len(values))
        rank[known] = 2 * places / max(len(names) - 1, 1) - 1
        return np.column_stack([rank, rank**2, known])
    levels = np.full(len(values), len(names))
    levels[known] = places
    frequent = np.flatnonzero(np.bincount(levels) >= _MIN_IMAGES)
    columns: NDArray[np.bool_] = levels[:, np.newaxis] == frequent
    return columns.astype(np.float64)


def _score(
    subject: Subject, name: str, X: NDArray[Any], n_sets: int
) -> Iterator[_Score]:
    """Score logistic regression on the model's folds."""
    result = subject.evaluate(LogisticRegression(C=0.1, max_iter=1000), X)
    rows, classes = result.test_indices, result.classes
    areas = find_areas(
        subject.y[rows][:, np.newaxis] == classes,
        np.asarray(result.probabilities),
        subject.patients(rows),
    )
    level = 1 - ALPHA / (n_sets * len(classes))
    for label, area, bound in zip(
        classes.tolist(), areas.estimate(0.95), areas.estimate(level), strict=True
    ):
        # A class that was not tested has no area.
        yield _Score(name, label, area, float(np.nan_to_num(bound.low)))
