"""The check "attributes": classes told apart by age, sex, machine and the like."""

from collections.abc import Hashable, Iterator, Mapping
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skcovid._base._document import Table
from skcovid._base._label_checks import is_missing
from skcovid.auditing._baseline import (
    ALPHA,
    MIN_TOLD_APART,
    NOT_TOLD_APART,
    make_forest,
    shared_level,
)
from skcovid.auditing._check import AuditCheck, AuditFigure
from skcovid.auditing._subject import Subject
from skcovid.metrics._estimates import Estimate, unknown_estimate
from skcovid.metrics._roc_auc import find_areas
from skcovid.model_selection._leave_one_source_out import explain_too_many

_QUESTION = "Do age, sex, machine or other attributes tell the classes apart?"
_THRESHOLD = (
    f"by one attribute or all, a class has a ROC AUC above {MIN_TOLD_APART} (chance: "
    f"0.5), by the lower bound of an interval whose error of {100 * ALPHA:.0f} % is "
    "shared by all attributes, classes and checks."
)


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
    numbered = {name: _number(values) for name, values in attributes.items()}
    sets = {name: column for name, column in numbered.items() if np.ptp(column)}
    if not sets:
        reason = (
            "No attribute that differs between images was given; pass attributes, a "
            "mapping of names to a value for every image, such as the attributes of "
            "load_radiographs."
        )
        return AuditCheck("attributes", _QUESTION, "not run", reason, _THRESHOLD)
    single, together = list(sets), np.column_stack(list(sets.values()))
    if len(single) > 1:
        sets["all attributes"] = together
    n_decisive = len(sets)
    if source is not None and not explain_too_many(source):
        # Not decisive: the check "source" is of what the source alone tells.
        sets["attributes and source"] = np.column_stack([together, _number(source)])
    scores = [
        list(_score(subject, name, X.reshape(len(X), -1), n_decisive))
        for name, X in sets.items()
    ]
    decisive = sorted(
        (one for row in scores[:n_decisive] for one in row),
        key=lambda one: -one.lower_bound,
    )
    best, alone = decisive[0], next(one for one in decisive if one.name in single)
    found = [one for one in decisive if one.lower_bound > MIN_TOLD_APART]
    told_apart = " and ".join(dict.fromkeys(str(one.label) for one in found))
    areas = subject.result.roc_auc
    unknown = unknown_estimate("the model has no probabilities")
    model = {
        one.label: unknown if areas is None else areas[one.label] for one in scores[0]
    }
    return AuditCheck(
        name="attributes",
        question=_QUESTION,
        status="flagged" if found else "passed",
        verdict=(
            f"{f'{told_apart} can be told apart.' if found else NOT_TOLD_APART} By "
            f"{best.name}, {best.label} has a ROC AUC of "
            f"{best.area.format_fraction(2)}, by the model "
            f"{model[best.label].format_fraction(2)}. Of single attributes, "
            f"{alone.name} does best: {alone.label} {alone.area.format_fraction(2)}."
        ),
        threshold=_THRESHOLD,
        advice=(
            "A model that reads these attributes from the image gains what they give. "
            "Train on images whose classes have them in the same shares, by matching "
            "or balancing, and report figures within their sub-groups."
        ),
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


def _number(values: NDArray[Any]) -> NDArray[np.intp]:
    """Replace values by their places in order, of numbers or text; 0 if missing."""
    known = np.array([not is_missing(value) for value in values])
    found, places = values[known], np.zeros(len(values), dtype=np.intp)
    kind = float if all(isinstance(value, Number) for value in found) else str
    places[known] = 1 + np.unique(found.astype(kind), return_inverse=True)[1]
    return places


def _score(
    subject: Subject, name: str, X: NDArray[Any], n_sets: int
) -> Iterator[_Score]:
    """Score a random forest on the model's folds."""
    result = subject.evaluate(make_forest(subject.random_state), X)
    rows, classes = result.test_indices, result.classes
    areas = find_areas(
        subject.y[rows][:, np.newaxis] == classes,
        np.asarray(result.probabilities),
        subject.patients(rows),
    )
    level = shared_level(n_sets * len(classes))
    for label, area, bound in zip(
        classes.tolist(), areas.estimate(0.95), areas.estimate(level), strict=True
    ):
        # A class that was not tested has no area.
        yield _Score(name, label, area, float(np.nan_to_num(bound.low)))
