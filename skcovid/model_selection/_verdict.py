"""What a result says of the model in another hospital, in words to act on."""

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from skcovid.metrics._estimates import Estimate
from skcovid.metrics._heterogeneity import Heterogeneity
from skcovid.metrics._tables import RocAucTable
from skcovid.model_selection._predictions import Predictions
from skcovid.model_selection._source_figures import SourceFigures

# A figure holds where the data exclude a fall of more than this, as in a trial of
# non-inferiority: the choice of this package, in areas and in shares of images.
MARGIN = 0.05
# An ROC AUC of this tells nothing.
_CHANCE = 0.5


class Evidence(Protocol):
    """The parts of an evaluation's result that its verdict rests on."""

    @property
    def accuracy(self) -> Estimate: ...
    @property
    def roc_auc(self) -> RocAucTable | None: ...
    @property
    def external(self) -> SourceFigures | None: ...
    @property
    def within_source_roc_auc(self) -> RocAucTable | None: ...
    @property
    def folds_known(self) -> bool: ...
    @property
    def sources_left_out(self) -> bool: ...
    def heterogeneity(self, label: Hashable) -> Heterogeneity: ...
    def _compare_with(self, outside: Predictions) -> Iterator[tuple[Any, ...]]: ...


class Finding(NamedTuple):
    """What one kind of evidence says: "falls", "unclear" or "holds", and why."""

    outcome: str
    text: str


class _Comparison(NamedTuple):
    """A figure inside, the same outside, and how far it falls."""

    name: str
    is_area: bool
    inside: Estimate
    outside: Estimate
    fall: Estimate

    @property
    def outcome(self) -> str:
        if self.fall.low > 0 and self.fall.high > MARGIN:
            return "falls"
        if self.fall.high > MARGIN:
            return "unclear"
        # It holds, but it was never better than chance.
        useless = self.is_area and self.outside.low <= _CHANCE
        return "falls" if useless else "holds"

    def __str__(self) -> str:
        outside, inside = (
            estimate.format_fraction(2 if estimate.value < 0.995 else 3)
            if self.is_area
            else estimate.format_percent(1)
            for estimate in (self.outside, self.inside)
        )
        return f"the {self.name} was {outside} (inside: {inside})"


def find_verdict(result: Evidence) -> str:
    """Say what can be done with a model."""
    return " ".join(list_sentences(result))


def list_sentences(result: Evidence, *, distrust: Sequence[str] = ()) -> list[str]:
    """Say what can be done with a model; the accuracy inside never stands alone.

    The first sentence is the verdict. `distrust` are other reasons, as clauses.
    """
    accuracy = f"{100 * result.accuracy.value:.1f} %"
    findings = [*_examine_external(result), *_examine_sources(result)]
    falls, unclear, holds = (
        [finding.text for finding in findings if finding.outcome == outcome]
        for outcome in ("falls", "unclear", "holds")
    )
    reasons = [*distrust, *falls]
    unseen = result.sources_left_out
    outside = result.external is not None or unseen
    collection = "the collection that the model was"
    if not result.folds_known:
        collection = "a collection that the model may have been"
    inside = (
        f"the accuracy of {result.accuracy.format_percent(1)} was measured inside "
        f"{collection} trained on"
    )
    but = [f"But {text}." for text in holds]
    if reasons:
        sentences = [f"Do not rely on the {accuracy}: {', and '.join(reasons)}."]
        sentences += [f"It is not known whether it holds: {text}." for text in unclear]
        sentences += but
    elif unclear:
        sentences = [
            f"Do not rely on the {accuracy} yet, as it is not known whether it holds "
            f"outside: {', and '.join(unclear)}.",
            "Test the model on more patients, of more hospitals.",
            *but,
        ]
    elif holds:
        sentences = [
            f"The model held where it was tested: {', and '.join(holds)}; the accuracy "
            f"{'over all sources' if unseen else 'inside'} was {accuracy}.",
            "Other hospitals, machines and groups of patients were not tested: test it "
            "where it is to be used.",
        ]
    else:
        sentences = [
            f"Do not use the model elsewhere yet: {inside}, and nothing is known "
            "outside it."
        ]
    if (reasons or findings) and not outside:
        sentences.append(f"Nothing is known outside: {inside}.")
    return sentences


def describe_figures(scores: Predictions) -> str:
    """Write accuracy, and recall, specificity and ROC AUC of each class."""
    texts = []
    if not math.isnan(scores.accuracy.value):
        texts.append(f"accuracy {scores.accuracy.format_percent(1)}")
    for label, row in scores.per_class.items():
        text = (
            f"{label}: recall {row.recall.format_percent(1)}, specificity "
            f"{row.specificity.format_percent(1)}"
        )
        if scores.roc_auc is not None:
            text += f", ROC AUC {scores.roc_auc[label].format_fraction()}"
        texts.append(text)
    return f"{'; '.join(texts)}."


def _compare(inside: Evidence, outside: Predictions) -> Iterator[_Comparison]:
    """Pair the figures inside and outside that are known on both sides."""
    for figure, label, *estimates in inside._compare_with(outside):
        name = "ROC AUC" if figure == "roc_auc" else figure
        name += "" if label is None else f" for {label}"
        known = not math.isnan(estimates[-1].value)
        if known and figure != "balanced_accuracy":
            yield _Comparison(name, figure == "roc_auc", *estimates)


def _examine_external(result: Evidence) -> Iterator[Finding]:
    """Compare the figures of the folds with those of the external set."""
    external = result.external
    if external is None:
        return
    place = f"in the external set of {len(external.y_true)} images"
    if external.n_patients is not None:
        place += f" of {external.n_patients} patients"
    known = list(_compare(result, external))
    areas = [pair for pair in known if pair.is_area]
    worst = None
    # First the ranking, then the predicted labels.
    for pairs in (areas, [pair for pair in known if not pair.is_area]):
        for outcome in ("falls", "unclear", "holds"):
            found = [pair for pair in pairs if pair.outcome == outcome]
            # Labels count against a ranking that holds, and not for it.
            if found and (worst is None or outcome == "falls"):
                worst = max(found, key=lambda pair: pair.fall.value)
                break
        if worst is not None and worst.outcome != "holds":
            break
    if worst is not None and worst.outcome == "holds" and len({*external.y_true}) < 2:
        text = f"{place}, all are of one class, so that nothing is known of the others"
        yield Finding("unclear", text)
    elif worst is None:
        text = f"{place}, no figure can be compared with those inside"
        yield Finding("unclear", text)
    elif worst.outcome == "unclear":
        scale, decimals, unit = (1, 2, "") if worst.is_area else (100, 1, " points")
        low, high = (
            f"{scale * bound:.{decimals}f}"
            for bound in (worst.fall.low, worst.fall.high)
        )
        text = f"{place}, {worst}, a fall of between {low} and {high}{unit}"
        yield Finding("unclear", text)
    else:
        text = f"{place}, {worst}"
        if worst.outcome == "falls" and areas and not worst.is_area:
            text += ", although the ROC AUC did not fall"
        yield Finding(worst.outcome, text)


def _examine_sources(result: Evidence) -> Iterator[Finding]:
    """Look for skill within sources, and for what a new source would give."""
    within, pooled = result.within_source_roc_auc, result.roc_auc
    if within is None or pooled is None:
        return
    known = [label for label, area in within.items() if not math.isnan(area.value)]
    if not known:
        text = "no source has two classes, so that its ROC AUC is not known"
        yield Finding("unclear", text)
        return
    label = min(known, key=lambda known: within[known].value)
    area = within[label].format_fraction(2)
    sources = "the sources" + " that it was trained on" * result.folds_known
    if result.sources_left_out:
        sources = "sources that the model had not seen"
    text = f"within {sources}, the ROC AUC for {label} was {area}"
    if within[label].low <= _CHANCE:
        yield Finding("falls", f"{text}, which may be chance")
    elif within[label].high < pooled[label].low:
        other = pooled[label].format_fraction(2)
        yield Finding("falls", f"{text}, and {other} only across them")
    elif result.sources_left_out:
        new = result.heterogeneity(label).prediction
        if new.low <= _CHANCE:
            span = f"between {new.low:.2f} and {new.high:.2f}"
            yield Finding("unclear", f"{text}, but in a new source it may be {span}")
        else:
            yield Finding("holds", text)
