"""The check "source": whether the source of an image predicts its class."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats.contingency import crosstab

from skcovid._base._document import Table
from skcovid.auditing._baseline import ALPHA, Baseline
from skcovid.auditing._check import AuditCheck, AuditFigure
from skcovid.auditing._refit import Refit
from skcovid.auditing._subject import Subject
from skcovid.datasets._metadata import enumerate_some
from skcovid.metrics._association import cramers_v
from skcovid.metrics._estimates import Estimate
from skcovid.metrics._roc_auc import roc_auc_table
from skcovid.metrics._tables import RocAucTable
from skcovid.model_selection._leave_one_source_out import (
    explain_too_many,
    leave_out_each,
)
from skcovid.model_selection._result import EvaluationResult

_QUESTION = "Does the source of an image predict its class?"
# A medium effect (Cohen, 1988, Statistical Power Analysis, section 7.2.4).
_MAX_CRAMERS_V = 0.3
_THRESHOLD = (
    f"source and class coincide, or Cramér's V is significantly above {_MAX_CRAMERS_V} "
    f"(lower bound; permutation p ≤ {ALPHA}), or accuracy on sources that were not "
    "trained on is lower than in cross-validation, with separate intervals."
)


class _LeftOut(NamedTuple):
    """A source that was left out of training, or why it could not be."""

    source: str
    rows: NDArray[np.intp]
    result: EvaluationResult | None
    reason: str


def check_source(
    subject: Subject,
    source: NDArray[Any] | None,
    refit: Refit,
    full_view: Baseline | None,
) -> tuple[AuditCheck, RocAucTable | None]:
    """Compare source and class, and score sources that were not trained on.

    The areas are those within such sources.
    """
    if source is None:
        reason = "No source was given; pass one for every image, such as its hospital."
        return AuditCheck("source", _QUESTION, "not run", reason, _THRESHOLD), None
    (names, classes), counts = crosstab(source, subject.y)
    if reason := explain_too_many(source):
        return AuditCheck("source", _QUESTION, "not run", reason, _THRESHOLD), None
    crosstable = Table(
        ["source", *map(str, classes)],
        [[str(name), *map(str, row)] for name, row in zip(names, counts, strict=True)],
        caption="Images of each source and class",
    )
    if len(names) == 1:
        verdict = (
            f"All images come from {names[0]}, so the source cannot predict their "
            "class. A score on them is not external."
        )
        check = AuditCheck(
            "source", _QUESTION, "passed", verdict, _THRESHOLD, tables=(crosstable,)
        )
        return check, None
    v, p_value = cramers_v(
        source, subject.y, groups=subject.groups, random_state=subject.random_state
    )
    coincide = v.value > 1 - 1e-9
    associated = bool(coincide or (v.low > _MAX_CRAMERS_V and p_value <= ALPHA))
    left_out = list(_leave_out(subject, source, refit))
    transfer, figures = _compare(subject, left_out, full_view)
    rows = []
    for one in left_out:
        accuracy = f"not scored: {one.reason}"
        if one.result is not None:
            hits = one.result.predictions == subject.y[one.rows]
            accuracy = subject.estimate_share(hits, one.rows).format_percent(1)
        rows.append([one.source, str(len(one.rows)), accuracy])
    drops = len(figures) == 2 and figures[0].estimate.high < figures[1].estimate.low
    decision = (
        f"lower bound of V {v.low:.2f}, flagged above {_MAX_CRAMERS_V} if p ≤ {ALPHA}: "
        f"p = {p_value:.3f}"
    )
    if len(figures) == 2:
        high, low = figures[0].estimate.high, figures[1].estimate.low
        decision += (
            f"; or accuracy on other sources at most {100 * high:.1f} %, flagged below "
            f"{100 * low:.1f} %"
        )
    check = AuditCheck(
        name="source",
        question=_QUESTION,
        status="flagged" if associated or drops else "passed",
        verdict=f"{_verdict(source, subject.y, v, coincide, associated)} {transfer}",
        threshold=_THRESHOLD,
        advice=(
            "Collect every class from every source, or at least test on a source that "
            "holds all classes and was not trained on. Until then state with the score "
            "which class came from which source."
        ),
        decision=decision,
        figures=(
            AuditFigure("Cramér's V of source and class", v, as_percent=False),
            *figures,
        ),
        tables=(
            crosstable,
            Table(
                ["source", "images", "accuracy"],
                rows,
                caption="Sources that were left out of training",
            ),
        ),
        details={"p_value": p_value, "n_sources": len(names), "associated": associated},
    )
    return check, _find_areas(subject, left_out, source)


def _verdict(
    source: NDArray[Any],
    y: NDArray[Any],
    v: Estimate,
    coincide: bool,
    associated: bool,
) -> str:
    value = f"Cramér's V is {v.format_fraction(2)}"
    if coincide:
        origins = "; ".join(
            f"{label} comes from "
            f"{enumerate_some([*map(str, np.unique(source[y == label]))])} alone"
            for label in np.unique(y)
        )
        return (
            f"Source and class coincide ({value}): {origins}. No score on these images "
            "may be called external, with any split: the features that tell the "
            "sources apart tell the classes apart."
        )
    if associated:
        return (
            f"Source and class are associated ({value}): a model can gain by telling "
            "the sources apart."
        )
    return f"{value}, which is not significantly above {_MAX_CRAMERS_V}."


def _leave_out(
    subject: Subject, source: NDArray[Any], refit: Refit
) -> Iterator[_LeftOut]:
    """Train without each source that holds more than one class, and score it."""
    sources, y = source[refit.rows], subject.y[refit.rows]
    groups = subject.patients(refit.rows)
    for name, train, test in leave_out_each(sources, groups):
        labels = np.unique(y[test])
        unknown = np.setdiff1d(labels, y[train])
        reason = ""
        if len(labels) == 1:
            reason = f"holds {labels[0]} alone"
        elif len(unknown):
            reason = f"is the only one with {', '.join(map(str, unknown))}"
        elif len(np.unique(y[train])) < 2:
            reason = "leaves one class to train on"
        result = None
        if not reason:
            result = subject.evaluate(
                refit.classifier, refit.X, rows=refit.rows, splits=[(train, test)]
            )
        yield _LeftOut(str(name), refit.rows[test], result, reason)


def _find_areas(
    subject: Subject, left_out: list[_LeftOut], source: NDArray[Any]
) -> RocAucTable | None:
    """Areas within the sources that were left out, by models that know all classes."""
    scored = [
        (one.rows, one.result.probabilities)
        for one in left_out
        if one.result is not None
        and one.result.probabilities is not None
        and np.array_equal(one.result.classes, subject.result.classes)
    ]
    if not scored:
        return None
    rows, probabilities = (np.concatenate(part) for part in zip(*scored, strict=True))
    return roc_auc_table(
        subject.y[rows],
        probabilities,
        subject.result.classes,
        groups=subject.patients(rows),
        source=source[rows],
    )


def _compare(
    subject: Subject, left_out: list[_LeftOut], full_view: Baseline | None
) -> tuple[str, list[AuditFigure]]:
    """Compare accuracy on sources that were left out with cross-validation."""
    scored = [
        (one.rows, one.result.predictions == subject.y[one.rows])
        for one in left_out
        if one.result is not None
    ]
    if not scored:
        return (
            "No source holds classes that the others hold too, so none could be left "
            "out of training and scored.",
            [],
        )
    rows, hits = (np.concatenate(parts) for parts in zip(*scored, strict=True))
    outside = subject.estimate_share(hits, rows)
    figures = [AuditFigure("accuracy on sources that were not trained on", outside)]
    verdict = (
        f"On {len(scored)} sources that were not trained on, accuracy is "
        f"{outside.format_percent(1)}"
    )
    if full_view is None:
        return f"{verdict}.", figures
    within = np.isin(full_view.rows, rows)
    inside = subject.estimate_share(full_view.hits[within], full_view.rows[within])
    figures.append(AuditFigure("accuracy on the same images, cross-validated", inside))
    return f"{verdict}, in cross-validation {inside.format_percent(1)}.", figures
