"""The check "source": whether the class can be told from where an image came from."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency
from scipy.stats.contingency import association, crosstab

from skcovid.auditing._baseline import ALPHA, Baseline, proportion
from skcovid.auditing._check import AuditCheck, AuditFigure, AuditTable
from skcovid.auditing._refit import Refit
from skcovid.auditing._subject import Subject
from skcovid.datasets._metadata import enumerate_some
from skcovid.metrics._estimates import Estimate

__all__ = ["MAX_CRAMERS_V", "check_source"]

QUESTION = "Does where an image comes from tell its class?"
# A medium effect (Cohen, 1988, Statistical Power Analysis, section 7.2.4).
MAX_CRAMERS_V = 0.3
_THRESHOLD = (
    f"Cramér's V surely above {MAX_CRAMERS_V}, or sources that were not trained on "
    "scored worse than in cross-validation, intervals apart."
)
_N_RESAMPLES = 1000


class _LeftOut(NamedTuple):
    """A source that was left out of training, or why it could not be."""

    source: str
    rows: NDArray[np.intp]
    hits: NDArray[np.bool_] | None
    reason: str


def check_source(
    subject: Subject,
    source: NDArray | None,
    refit: Refit | None,
    full_view: Baseline | None,
) -> AuditCheck:
    """Compare source and class, and score sources that were not trained on."""
    if source is None:
        reason = "No source was given; pass one for every image, such as its hospital."
        return AuditCheck("source", QUESTION, "not run", reason, _THRESHOLD)
    names = np.unique(source).tolist()
    if len(names) > len(source) / 2:
        reason = (
            f"source names {len(names)} sources for {len(source)} images: those are "
            "names of images or patients, not of where they come from."
        )
        return AuditCheck("source", QUESTION, "not run", reason, _THRESHOLD)
    crosstable = _crosstab_table(source, subject.y)
    if len(names) == 1:
        verdict = (
            f"All images come from {names[0]}, which can't tell their class. A score "
            "on them is not external."
        )
        return AuditCheck(
            "source", QUESTION, "passed", verdict, _THRESHOLD, tables=(crosstable,)
        )
    v = _cramers_v(source, subject)
    p_value = float(chi2_contingency(crosstab(source, subject.y).count).pvalue)
    left_out = [] if refit is None else list(_leave_out(subject, source, refit))
    transfer = _compare(subject, left_out, full_view)
    associated = v.low > MAX_CRAMERS_V and p_value <= ALPHA
    flagged = associated or transfer.drops
    return AuditCheck(
        name="source",
        question=QUESTION,
        status="flagged" if flagged else "passed",
        verdict=f"{_verdict(source, subject.y, v, associated)} {transfer.verdict}",
        threshold=_THRESHOLD,
        advice=(
            "Collect every class from every source, or at least test on a source that "
            "holds all classes and none of whose images were trained on. Until then "
            "state with the score which class came from where."
            if flagged
            else ""
        ),
        figures=(
            AuditFigure("Cramér's V of source and class", v, as_percent=False),
            *transfer.figures,
        ),
        tables=(crosstable, *([_left_out_table(left_out)] if left_out else [])),
        details={"p_value": p_value, "n_sources": len(names)},
    )


def _verdict(source: NDArray, y: NDArray, v: Estimate, associated: bool) -> str:
    value = f"Cramér's V is {v.value:.2f}"
    if v.value > 1 - 1e-9:
        return (
            f"Source and class coincide ({value}): {_who_comes_from_where(source, y)}. "
            "No score on these images may be called external, whatever the split: what "
            "tells the sources apart tells the classes apart."
        )
    if associated:
        return (
            f"Source and class go together ({value}): a model can gain by telling the "
            "sources apart."
        )
    return f"Source and class hardly go together ({value})."


def _who_comes_from_where(source: NDArray, y: NDArray) -> str:
    parts = []
    for label in np.unique(y).tolist():
        origins = map(str, np.unique(source[y == label]).tolist())
        parts.append(f"{label} comes from {enumerate_some(list(origins))} alone")
    return "; ".join(parts)


def _cramers_v(source: NDArray, subject: Subject) -> Estimate:
    """Cramér's V with its 95 % bootstrap percentiles."""
    counts = crosstab(source, subject.y).count
    generator = np.random.default_rng(subject.random_state)
    resampled = generator.multinomial(
        counts.sum(), counts.ravel() / counts.sum(), size=_N_RESAMPLES
    ).reshape(-1, *counts.shape)
    values = []
    for table in resampled:
        # A row or column that was not drawn has no expected count.
        drawn = table[table.any(axis=1)][:, table.any(axis=0)]
        if min(drawn.shape) > 1:
            values.append(association(drawn, method="cramer"))
    value = float(association(counts, method="cramer"))
    low, high = np.percentile(values, [2.5, 97.5])
    # The statistic can't be negative, which makes its resamples larger than itself.
    return Estimate(value, min(float(low), value), max(float(high), value))


def _crosstab_table(source: NDArray, y: NDArray) -> AuditTable:
    (names, classes), counts = crosstab(source, y)
    return AuditTable(
        "Images of each source and class",
        ["source", *map(str, classes)],
        [
            [str(name), *map(str, row)]
            for name, row in zip(names.tolist(), counts.tolist(), strict=True)
        ],
    )


def _leave_out(subject: Subject, source: NDArray, refit: Refit) -> Iterator[_LeftOut]:
    """Train without each source that holds more than one class, and score it."""
    sources, y = source[refit.rows], subject.y[refit.rows]
    groups = subject.patients(refit.rows)
    for name in np.unique(sources).tolist():
        test = np.flatnonzero(sources == name)
        others = sources != name
        if groups is not None:
            others &= ~np.isin(groups, groups[test])
        train = np.flatnonzero(others)
        labels = np.unique(y[test]).tolist()
        unknown = np.setdiff1d(labels, y[train]).tolist()
        if len(labels) == 1:
            yield _LeftOut(name, refit.rows[test], None, f"holds {labels[0]} alone")
        elif unknown:
            yield _LeftOut(
                name,
                refit.rows[test],
                None,
                f"is the only one with {', '.join(map(str, unknown))}",
            )
        elif len(np.unique(y[train])) < 2:
            yield _LeftOut(name, refit.rows[test], None, "leaves one class to train on")
        else:
            result = subject.evaluate(
                refit.classifier, refit.X, rows=refit.rows, splits=[(train, test)]
            )
            tested = result.test_indices
            yield _LeftOut(
                name, refit.rows[tested], result.predictions == y[tested], ""
            )


class _Transfer(NamedTuple):
    """What sources that were not trained on scored, beside cross-validation."""

    verdict: str
    figures: tuple[AuditFigure, ...]
    drops: bool


def _compare(
    subject: Subject, left_out: list[_LeftOut], full_view: Baseline | None
) -> _Transfer:
    scored = [one for one in left_out if one.hits is not None]
    if not scored:
        return _Transfer(
            "No source holds classes that the others hold too, so none could be left "
            "out of training and scored.",
            (),
            False,
        )
    rows = np.concatenate([one.rows for one in scored])
    hits = np.concatenate([one.hits for one in scored if one.hits is not None])
    outside = proportion(hits, subject.patients(rows))
    figures = [AuditFigure("accuracy on sources that were not trained on", outside)]
    verdict = (
        f"Trained without them, {len(scored)} sources are scored at "
        f"{outside.format_percent(1)}"
    )
    if full_view is None:
        return _Transfer(f"{verdict}.", tuple(figures), False)
    within = np.isin(full_view.rows, rows)
    inside = proportion(
        full_view.hits[within], subject.patients(full_view.rows[within])
    )
    figures.append(AuditFigure("accuracy on the same images, cross-validated", inside))
    verdict = f"{verdict}, against {inside.format_percent(1)} in cross-validation."
    return _Transfer(verdict, tuple(figures), outside.high < inside.low)


def _left_out_table(left_out: list[_LeftOut]) -> AuditTable:
    return AuditTable(
        "Sources that were left out of training",
        ["source", "images", "accuracy"],
        [
            [
                str(one.source),
                str(len(one.rows)),
                (
                    f"not scored: {one.reason}"
                    if one.hits is None
                    else proportion(one.hits).format_percent(1)
                ),
            ]
            for one in left_out
        ],
    )
