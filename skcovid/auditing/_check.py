"""`AuditCheck`: the outcome of one check of the audit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from skcovid._base._document import (
    Details,
    Heading,
    Paragraph,
    Part,
    Table,
    render_parts,
)
from skcovid.metrics._estimates import Estimate, as_json

Status = Literal["flagged", "passed", "not run"]

_MAX_ROWS = 20


@dataclass(frozen=True)
class AuditFigure:
    """One figure of a check.

    Parameters
    ----------
    name : str
        What is measured.
    estimate : Estimate
        The figure with its interval.
    chance : float, default=None
        The value that guessing would have, if there is one.
    as_percent : bool, default=True
        Whether to write it in percent rather than as a decimal.
    interval : str, default="95 % interval"
        What the interval of `estimate` is.
    """

    name: str
    estimate: Estimate
    chance: float | None = None
    as_percent: bool = True
    interval: str = "95 % interval"

    @property
    def cells(self) -> list[str]:
        """Name, value with interval, and chance, as text."""
        if self.as_percent:
            value = self.estimate.format_percent(1)
            chance = "" if self.chance is None else f"{100 * self.chance:.1f} %"
        else:
            value = self.estimate.format_fraction(2)
            chance = "" if self.chance is None else f"{self.chance:.2f}"
        return [self.name, value, chance]

    def __str__(self) -> str:
        _, value, chance = self.cells
        return f"{value} (chance {chance})" if chance else value

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as a dict, ready for JSON: NaN becomes None."""
        return {"name": self.name, **self.estimate.to_dict(), "chance": self.chance}


@dataclass(frozen=True)
class VisiblePoint:
    """Accuracy where only a part of each image is visible.

    Parameters
    ----------
    visible_share : float
        Share of the image's area that is visible, in [0, 1].
    accuracy : Estimate
        Multi-class accuracy of a classifier that was refitted to it.
    """

    visible_share: float
    accuracy: Estimate


@dataclass(frozen=True)
class AuditCheck:
    """What one check of :func:`skcovid.audit` found.

    Parameters
    ----------
    name : str
        The check, such as "headers".
    question : str
        What it asks.
    status : {"flagged", "passed", "not run"}
        "flagged": it found a reason not to trust the score. "not run": something that
        it needs was not given.
    verdict : str
        What was found, or why the check was not run.
    threshold : str
        When the check is flagged.
    advice : str
        What to do if it is flagged.
    decision : str
        The figure or bound that was compared with the threshold, and the threshold.
    figures : tuple of AuditFigure
        What was measured, the first being the most important.
    accuracies : mapping of str to Estimate
        Accuracy of each baseline, by its name; the first decides.
    tables : tuple of table
        Particulars, each with a `caption`, a `header` and `rows` of text.
    details : mapping
        Further particulars, ready for JSON.
    """

    name: str
    question: str
    status: Status
    verdict: str
    threshold: str
    advice: str = ""
    decision: str = ""
    figures: tuple[AuditFigure, ...] = ()
    accuracies: Mapping[str, Estimate] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def flagged(self) -> bool:
        """Whether the check found a reason not to trust the score."""
        return self.status == "flagged"

    def to_markdown(self) -> str:
        """Return the check as Markdown, its heading of level 3."""
        return render_parts(describe_check(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the check as nested dicts, ready for JSON: NaN becomes None."""
        return asdict(self) | {
            "advice": self.advice if self.flagged else "",
            "figures": [figure.to_dict() for figure in self.figures],
            "accuracies": as_json(self.accuracies),
            "tables": [asdict(table) for table in self.tables],
        }


def describe_check(check: AuditCheck) -> list[Part]:
    """Describe a check: status, verdict, figures, threshold, advice and tables."""
    parts: list[Part] = [
        Heading(check.name.capitalize(), check.status),
        Paragraph(check.question),
        Paragraph(check.verdict),
    ]
    if check.figures:
        with_chance = any(figure.chance is not None for figure in check.figures)
        n_columns = 3 if with_chance else 2
        rows = [figure.cells[:n_columns] for figure in check.figures]
        header = ["figure", f"value [{check.figures[0].interval}]", "chance"]
        parts.append(Table(header[:n_columns], rows))
    parts.append(Paragraph(f"Threshold: {check.threshold}"))
    if check.decision:
        parts.append(Paragraph(f"Decided by: {check.decision}."))
    if check.flagged and check.advice:
        parts.append(Paragraph(f"What to do: {check.advice}", emphasised=True))
    if check.tables:
        parts.append(Details("Particulars", [_shorten(one) for one in check.tables]))
    return parts


def _shorten(table: Table) -> Table:
    more = len(table.rows) - _MAX_ROWS
    if more <= 0:
        return table
    note = f"… and {more} more, which the audit's JSON lists."
    return replace(table, rows=table.rows[:_MAX_ROWS], note=note)
