"""The check "outside": a forecast of the ROC AUC in another hospital."""

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from skcovid._base._document import Table
from skcovid.auditing._baseline import Baseline
from skcovid.auditing._check import AuditCheck, AuditFigure
from skcovid.auditing._subject import UNKNOWN_FOLDS, Subject
from skcovid.metrics._estimates import Estimate
from skcovid.metrics._tables import RocAucTable

_QUESTION = "What ROC AUC is to be expected in another hospital?"
# Nine of ten forecasts are nearer to the area outside (docs/audit.md, of 45 pairs of
# collections); examples/benchmarks/forecast_calibration.py measures it.
_HALF_WIDTH = 0.196
_HELD = "held in 42 of 45 pairs of collections"
# An area inside whose interval is wider than the forecast's says too little.
_MAX_WIDTH = 2 * _HALF_WIDTH
_CHANCE = 0.5
_THRESHOLD = (
    "the interval of the forecast of a class ends below the 95 % interval of its "
    "ROC AUC inside."
)


class Forecast(NamedTuple):
    """What is expected of one class outside, and what it rests on."""

    label: Hashable
    inside: Estimate
    without_lungs: Estimate
    baseline: str
    left_out: Estimate | None
    outside: Estimate

    @property
    def falls(self) -> bool:
        return self.outside.high < self.inside.low


def check_outside(
    subject: Subject, baselines: Sequence[Baseline], left_out: RocAucTable | None
) -> AuditCheck:
    """Forecast the ROC AUC of every class in hospitals that nothing is known of.

    `baselines` see no lungs; `left_out` are areas within sources, of models that were
    trained on the other sources.
    """
    if not subject.result.folds_known:
        return AuditCheck("outside", _QUESTION, "not run", UNKNOWN_FOLDS, _THRESHOLD)
    found = list(_forecast(subject, baselines, left_out))
    known = [one for one in found if one.inside.high - one.inside.low <= _MAX_WIDTH]
    if not known:
        reason = (
            "The ROC AUC inside is not known. Pass a classifier with predict_proba, or "
            "a table with probabilities."
        )
        if found:
            reason = (
                "The ROC AUC inside is not known well enough for a forecast: the "
                f"narrowest interval is {found[0].inside.format_fraction(2)}. Add "
                "patients."
            )
        return AuditCheck("outside", _QUESTION, "not run", reason, _THRESHOLD)
    known.sort(key=lambda one: one.outside.value - one.inside.value)
    worst = known[0]
    nearest = min(known, key=lambda one: one.outside.high - one.inside.low)
    rests_on = (
        f"without lungs ({worst.baseline}) it is "
        f"{worst.without_lungs.format_fraction(2)}"
    )
    if worst.left_out is not None:
        area = worst.left_out.format_fraction(2)
        rests_on += f", within sources that were not trained on {area}"
    expected = (
        f"In another hospital, where all classes come from one place, an ROC AUC for "
        f"{worst.label} of about {worst.outside.value:.2f} is to be expected, between "
        f"{worst.outside.low:.2f} and {worst.outside.high:.2f} (such intervals "
        f"{_HELD})."
    )
    return AuditCheck(
        name="outside",
        question=_QUESTION,
        status="flagged" if any(one.falls for one in known) else "passed",
        verdict=(
            f"For {worst.label} the ROC AUC inside is "
            f"{worst.inside.format_fraction(2)}; {rests_on}. {expected}"
        ),
        threshold=_THRESHOLD,
        advice=(
            "Test the model on images of another hospital, of all classes, before it "
            "is used there, and report the ROC AUC outside beside the one inside."
        ),
        decision=f"forecast for {nearest.label} at most {nearest.outside.high:.2f}, "
        f"flagged below {nearest.inside.low:.2f}, the lower bound inside",
        figures=tuple(
            AuditFigure(
                f"ROC AUC outside for {one.label}, forecast",
                one.outside,
                _CHANCE,
                as_percent=False,
                interval=f"interval that {one.outside.method}",
            )
            for one in known
        ),
        tables=(
            Table(
                ["class", "inside", "without lungs", "left-out sources", "forecast"],
                [
                    [
                        str(one.label),
                        one.inside.format_fraction(2),
                        f"{one.without_lungs.format_fraction(2)} ({one.baseline})",
                        "n/a"
                        if one.left_out is None
                        else one.left_out.format_fraction(2),
                        one.outside.format_fraction(2),
                    ]
                    for one in known
                ],
                caption="ROC AUC of each class, and its forecast for another hospital",
            ),
        ),
        details={
            "expected": expected,
            "forecasts": {
                str(one.label): {
                    "inside": one.inside.value,
                    "without_lungs": one.without_lungs.value,
                    "left_out": one.left_out and one.left_out.value,
                    "outside": one.outside.value,
                }
                for one in known
            },
        },
    )


def _forecast(
    subject: Subject, baselines: Sequence[Baseline], left_out: RocAucTable | None
) -> Iterator[Forecast]:
    """Add to chance what the lungs add to the best baseline; average with sources.

    The narrowest interval inside comes first.
    """
    areas = subject.result.roc_auc
    for label, inside in sorted(
        (areas or {}).items(), key=lambda item: item[1].high - item[1].low
    ):
        rivals = {
            one.name: one.roc_auc[label]
            for one in baselines
            if one.roc_auc and not math.isnan(one.roc_auc[label].value)
        }
        if math.isnan(inside.value) or not rivals:
            continue
        name, rival = max(rivals.items(), key=lambda item: item[1].value)
        expected = _CHANCE + max(0, inside.value - max(rival.value, _CHANCE))
        within = None if left_out is None else left_out[label]
        if within is not None and math.isnan(within.value):
            within = None
        if within is not None:
            expected = (expected + within.value) / 2
        outside = Estimate(
            expected,
            max(0.0, expected - _HALF_WIDTH),
            min(1.0, expected + _HALF_WIDTH),
            _HELD,
        )
        yield Forecast(label, inside, rival, name, within, outside)
