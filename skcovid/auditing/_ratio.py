"""The check "shortcut ratio": how much of the model's skill needs no lungs."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skcovid.auditing._baseline import Baseline, proportion
from skcovid.auditing._check import AuditCheck, AuditFigure, AuditTable
from skcovid.auditing._subject import Subject
from skcovid.metrics._estimates import Estimate

__all__ = ["MAX_RATIO", "check_shortcut_ratio", "shortcut_ratio"]

QUESTION = "How much of what the model does beyond chance needs no lungs?"
# With this share of its skill gone, a model of 95 % over a chance of 46 % is one of
# 83 %: enough to change what is concluded from it.
MAX_RATIO = 0.25
_N_RESAMPLES = 2000


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
        ``(baseline - chance) / (model - chance)``. 0 for a baseline no better than
        chance. Above 1 for one better than the model. NaN for a model no better than
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


class _Compared(NamedTuple):
    """A baseline beside the model, on the images that both predicted."""

    baseline: Baseline
    model: Estimate
    ratio: Estimate
    shows_lungs: bool


def check_shortcut_ratio(
    subject: Subject, without_lungs: Sequence[Baseline], with_lungs: Sequence[Baseline]
) -> AuditCheck:
    """Compare baselines with the model."""
    found = [
        _compare(subject, baseline, shows_lungs=shows_lungs)
        for shows_lungs, baselines in ((False, without_lungs), (True, with_lungs))
        for baseline in baselines
    ]
    table = AuditTable(
        "Baselines beside the model, on the same images",
        ["baseline", "its accuracy", "the model's", "chance", "shortcut ratio"],
        [
            [
                f"{one.baseline.name}{' (shows lungs)' if one.shows_lungs else ''}",
                one.baseline.accuracy.format_percent(1),
                one.model.format_percent(1),
                f"{100 * one.baseline.chance:.1f} %",
                one.ratio.format_percent(1),
            ]
            for one in found
        ],
    )
    decisive = [one for one in found if not one.shows_lungs]
    known = [one for one in decisive if not math.isnan(one.ratio.value)]
    largest = max(known or decisive, key=lambda one: one.ratio.value)
    flagged = largest.ratio.low > MAX_RATIO
    return AuditCheck(
        name="shortcut ratio",
        question=QUESTION,
        status="flagged" if flagged else "passed",
        verdict=_verdict(subject, largest),
        threshold=(
            f"without lungs, a ratio whose interval lies above {100 * MAX_RATIO:.0f} %."
        ),
        advice=(
            "Report the ratio beside the accuracy, wherever the accuracy is reported, "
            "and act on the flagged checks."
            if flagged
            else ""
        ),
        figures=(
            AuditFigure(f"shortcut ratio, {largest.baseline.name}", largest.ratio),
            AuditFigure(
                "the model's accuracy", subject.result.accuracy, subject.chance
            ),
        ),
        tables=(table,),
    )


def _compare(subject: Subject, baseline: Baseline, *, shows_lungs: bool) -> _Compared:
    result = subject.result
    places = np.searchsorted(result.test_indices, baseline.rows)
    model_hits = result.predictions[places] == subject.y[baseline.rows]
    patients = subject.patients(baseline.rows)
    ratio = _estimate(
        baseline.hits, model_hits, baseline.chance, patients, subject.random_state
    )
    return _Compared(baseline, proportion(model_hits, patients), ratio, shows_lungs)


def _estimate(
    baseline: NDArray[np.bool_],
    model: NDArray[np.bool_],
    chance: float,
    groups: NDArray | None,
    random_state: int,
) -> Estimate:
    """Ratio with 95 % bootstrap percentiles, patients being drawn and chance fixed.

    NaN if the model is not surely better than chance: the ratio could be anything.
    """
    units = np.arange(len(model)) if groups is None else groups
    _, patients = np.unique(units, return_inverse=True)
    per_patient = np.stack(
        [np.bincount(patients, weights=values) for values in (baseline, model)]
        + [np.bincount(patients)],
        axis=1,
    )
    n_patients = len(per_patient)
    generator = np.random.default_rng(random_state)
    ratios = np.empty(_N_RESAMPLES)
    for number in range(_N_RESAMPLES):
        drawn = generator.integers(n_patients, size=n_patients)
        baseline_hits, model_hits, total = per_patient[drawn].sum(axis=0)
        ratios[number] = shortcut_ratio(
            baseline_hits / total, model_hits / total, chance
        )
    if np.isnan(ratios).mean() > 0.025:
        return Estimate(math.nan, math.nan, math.nan)
    low, high = np.nanpercentile(ratios, [2.5, 97.5])
    value = shortcut_ratio(float(baseline.mean()), float(model.mean()), chance)
    return Estimate(value, float(low), float(high))


def _verdict(subject: Subject, largest: _Compared) -> str:
    accuracy = subject.result.accuracy.format_percent(1)
    if math.isnan(largest.ratio.value):
        return (
            f"The model's accuracy of {accuracy} is not surely better than chance "
            f"({100 * subject.chance:.1f} %): there is no skill to explain."
        )
    return (
        f"The model's accuracy is {accuracy}, chance {100 * subject.chance:.1f} %. Of "
        "what it does beyond chance, "
        f"{largest.ratio.format_percent(1)} can be had from "
        f"{largest.baseline.name}, without lungs."
    )
