"""The check "shortcut ratio": the share of the model's skill that needs no lungs."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from skcovid._base._document import Table
from skcovid.auditing._baseline import MAX_RATIO, Baseline, shortcut_ratio
from skcovid.auditing._check import AuditCheck, AuditFigure
from skcovid.auditing._subject import Subject
from skcovid.metrics._estimates import Estimate

_N_RESAMPLES = 2000


class _Comparison(NamedTuple):
    """A baseline beside the model, on the images that both predicted."""

    baseline: Baseline
    model: Estimate
    ratio: Estimate
    shows_lungs: bool


def check_shortcut_ratio(
    subject: Subject, without_lungs: Sequence[Baseline], with_lungs: Sequence[Baseline]
) -> AuditCheck:
    """Compare baselines with the model; only those without lungs can be flagged."""
    decisive = [_compare(subject, one, shows_lungs=False) for one in without_lungs]
    others = [_compare(subject, one, shows_lungs=True) for one in with_lungs]
    known = [one for one in decisive if not math.isnan(one.ratio.value)]
    largest = max(known or decisive, key=lambda one: one.ratio.value)
    accuracy = subject.result.accuracy.format_percent(1)
    chance = f"{100 * subject.chance:.1f} %"
    verdict = (
        f"The model's accuracy is {accuracy}, chance {chance}. Of its skill beyond "
        f"chance, {largest.ratio.format_percent(1)} needs no lungs: the baseline on "
        f"{largest.baseline.name} has it too."
    )
    if not known:
        verdict = (
            f"The model's accuracy of {accuracy} is not significantly better than "
            f"chance ({chance}): there is no skill to explain."
        )
    return AuditCheck(
        name="shortcut ratio",
        question="How much of the model's skill beyond chance needs no lungs?",
        status="flagged" if largest.ratio.low > MAX_RATIO else "passed",
        verdict=verdict,
        threshold=(
            f"without lungs, a ratio whose interval lies above {100 * MAX_RATIO:.0f} %."
        ),
        advice=(
            "Report the ratio beside the accuracy, wherever the accuracy is reported, "
            "and act on the flagged checks."
        ),
        decision=f"lower bound {100 * largest.ratio.low:.1f} %, flagged above "
        f"{100 * MAX_RATIO:.0f} %"
        if known
        else "",
        figures=(
            AuditFigure(f"shortcut ratio, {largest.baseline.name}", largest.ratio),
            AuditFigure(
                "the model's accuracy", subject.result.accuracy, subject.chance
            ),
        ),
        tables=(
            Table(
                ["baseline", "its accuracy", "the model's", "chance", "shortcut ratio"],
                [
                    [
                        one.baseline.name
                        + (" (shows lungs)" if one.shows_lungs else ""),
                        one.baseline.accuracy.format_percent(1),
                        one.model.format_percent(1),
                        f"{100 * one.baseline.chance:.1f} %",
                        one.ratio.format_percent(1),
                    ]
                    for one in decisive + others
                ],
                caption="Baselines beside the model, on the same images",
            ),
        ),
    )


def _compare(subject: Subject, baseline: Baseline, *, shows_lungs: bool) -> _Comparison:
    """Estimate the ratio with 95 % bootstrap percentiles; chance is fixed.

    Patients are resampled. NaN if the model is not significantly better than chance,
    where the ratio could have any value.
    """
    result, rows = subject.result, baseline.rows
    places = np.searchsorted(result.test_indices, rows)
    hits = result.predictions[places] == subject.y[rows]
    model = subject.estimate_share(hits, rows)
    groups = subject.patients(rows)
    _, patients = np.unique(rows if groups is None else groups, return_inverse=True)
    columns = (baseline.hits, hits, np.ones(len(rows)))
    per_patient = np.stack([np.bincount(patients, one) for one in columns], axis=1)
    n_patients = len(per_patient)
    generator = np.random.default_rng(subject.random_state)
    ratios = []
    for _ in range(_N_RESAMPLES):
        drawn = generator.integers(n_patients, size=n_patients)
        baseline_hits, model_hits, total = per_patient[drawn].sum(axis=0)
        ratios.append(
            shortcut_ratio(baseline_hits / total, model_hits / total, baseline.chance)
        )
    ratio = Estimate(math.nan, math.nan, math.nan)
    if np.isnan(ratios).mean() <= 0.025:
        value = shortcut_ratio(baseline.accuracy.value, model.value, baseline.chance)
        low, high = np.nanpercentile(ratios, [2.5, 97.5])
        ratio = Estimate(value, float(low), float(high))
    return _Comparison(baseline, model, ratio, shows_lungs)
