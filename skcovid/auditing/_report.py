"""`AuditReport`: all checks, as Markdown, JSON and a plot."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skcovid.auditing._check import AuditCheck, AuditTable
from skcovid.metrics._estimates import Estimate
from skcovid.model_selection._result import EvaluationResult

if TYPE_CHECKING:
    from skcovid.inspection._audit import AuditDisplay

__all__ = ["AuditReport"]


@dataclass(frozen=True, repr=False)
class AuditReport(Mapping[str, AuditCheck]):
    """What :func:`skcovid.audit` found: a mapping from the name of a check to it.

    Parameters
    ----------
    checks : tuple of AuditCheck
        The checks: headers, thumbnails, blanked lungs, shortcut ratio, duplicates,
        leakage, source.
    result : EvaluationResult
        What the model reached.
    chance : float
        Share of the largest class among the images that were predicted.
    settings : mapping
        How the audit was made.
    """

    checks: tuple[AuditCheck, ...]
    result: EvaluationResult
    chance: float
    settings: Mapping[str, Any]

    def __getitem__(self, name: str) -> AuditCheck:
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(
            f"{name!r} is no check; the checks are {', '.join(map(repr, self))}."
        )

    def __iter__(self) -> Iterator[str]:
        return (check.name for check in self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    @property
    def fired(self) -> tuple[str, ...]:
        """Names of the checks that fired."""
        return tuple(check.name for check in self.checks if check.fired)

    @property
    def accuracy(self) -> Estimate:
        """Multi-class accuracy of the model."""
        return self.result.accuracy

    @property
    def shortcut_ratio(self) -> Estimate:
        """Largest share of the model's skill that can be had without lungs."""
        return self["shortcut ratio"].figures[0].estimate

    @property
    def headline(self) -> str:
        """The model's accuracy beside chance and the shortcut ratio, and what fired."""
        fired = ", ".join(self.fired)
        return (
            f"Accuracy {self.accuracy.format_percent(1)}, chance "
            f"{100 * self.chance:.1f} %, shortcut ratio "
            f"{self.shortcut_ratio.format_percent(1)}. "
            + (
                f"{len(self.fired)} of {len(self)} checks fired: {fired}."
                if fired
                else f"None of {len(self)} checks fired."
            )
        )

    def to_markdown(self) -> str:
        """Return the report.

        Returns
        -------
        str
            Markdown.
        """
        summary = AuditTable(
            "Summary",
            ["check", "outcome", "figure", "95 % interval, chance"],
            [_summary_row(check) for check in self.checks],
        )
        silence = (
            "A silent check is no proof: a shortcut within the lungs, or one that all "
            "checks miss, goes unseen. Intervals are 95 %."
        )
        return "\n\n".join(
            [
                f"**{self.headline}**",
                silence,
                summary.to_markdown(),
                *(check.to_markdown() for check in self.checks),
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as what JSON knows.

        Returns
        -------
        dict
        """
        return {
            "headline": self.headline,
            "accuracy": self.accuracy.to_dict(),
            "chance": self.chance,
            "shortcut_ratio": self.shortcut_ratio.to_dict(),
            "fired": list(self.fired),
            "settings": dict(self.settings),
            "checks": {name: check.to_dict() for name, check in self.items()},
        }

    def to_json(self, path: str | os.PathLike | None = None) -> str:
        """Write the report as JSON.

        Parameters
        ----------
        path : path-like, default=None
            A file to write it to as well.

        Returns
        -------
        str
            The JSON text.
        """
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def plot(self, ax: Any = None) -> "AuditDisplay":
        """Draw the baselines beside the model, and accuracy against visible area.

        Parameters
        ----------
        ax : sequence of matplotlib Axes, default=None
            Where to draw; a new figure if None.

        Returns
        -------
        AuditDisplay
        """
        from skcovid.inspection._audit import AuditDisplay

        return AuditDisplay.from_report(self, ax=ax)

    def __repr__(self) -> str:
        outcomes = ", ".join(f"{check.name}: {check.status}" for check in self.checks)
        return f"AuditReport({outcomes})"


def _summary_row(check: AuditCheck) -> list[str]:
    if not check.figures:
        return [check.name, check.status, "", ""]
    figure = check.figures[0]
    return [check.name, check.status, figure.name, str(figure)]
