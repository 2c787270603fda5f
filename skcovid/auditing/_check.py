"""`AuditCheck`, what every check of the audit comes to, and what it is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from skcovid.metrics._estimates import Estimate

__all__ = ["AuditCheck", "AuditFigure", "AuditTable", "Status", "VisiblePoint"]

Status = Literal["flagged", "passed", "not run"]


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
class AuditFigure:
    """One figure of a check.

    Parameters
    ----------
    name : str
        What is measured.
    estimate : Estimate
        The figure with its 95 % interval.
    chance : float, default=None
        What guessing comes to, where it comes to anything.
    as_percent : bool, default=True
        Whether it is written in percent rather than as a decimal.
    """

    name: str
    estimate: Estimate
    chance: float | None = None
    as_percent: bool = True

    def __str__(self) -> str:
        text = (
            self.estimate.format_percent(1)
            if self.as_percent
            else self.estimate.format_fraction(2)
        )
        chance = "" if self.chance is None else f" (chance {100 * self.chance:.1f} %)"
        return f"{text}{chance}"

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as a dict, ready for JSON: NaN becomes None.

        Returns
        -------
        dict
        """
        return {
            "name": self.name,
            **self.estimate.to_dict(),
            "chance": self.chance,
        }


@dataclass(frozen=True)
class AuditTable:
    """A table of a check, its cells written out.

    Parameters
    ----------
    title : str
        What the rows are.
    header : sequence of str
        Names of the columns.
    rows : sequence of sequence of str
        The cells.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_markdown(self, max_rows: int = 20) -> str:
        """Write the table in Markdown.

        Parameters
        ----------
        max_rows : int, default=20
            Rows that are written; of more, the rest is counted.

        Returns
        -------
        str
        """
        rule = [":--", *["--:"] * (len(self.header) - 1)]
        lines = [
            f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |"
            for line in (self.header, rule, *self.rows[:max_rows])
        ]
        text = "\n".join([f"{self.title}:", "", *lines])
        more = len(self.rows) - max_rows
        return text if more <= 0 else f"{text}\n\n… and {more} more."

    def to_dict(self) -> dict[str, Any]:
        """Return the table as a dict, ready for JSON.

        Returns
        -------
        dict
        """
        return {
            "title": self.title,
            "header": list(self.header),
            "rows": [list(row) for row in self.rows],
        }


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
        What to do about it.
    figures : tuple of AuditFigure
        What was measured, the first being the one that decides.
    accuracies : mapping of str to Estimate
        Accuracy of each baseline, by what it sees; the first decides.
    tables : tuple of AuditTable
        Particulars.
    details : mapping
        Further particulars, ready for JSON.
    """

    name: str
    question: str
    status: Status
    verdict: str
    threshold: str
    advice: str = ""
    figures: tuple[AuditFigure, ...] = ()
    accuracies: Mapping[str, Estimate] = field(default_factory=dict)
    tables: tuple[AuditTable, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def flagged(self) -> bool:
        """Whether the check found a reason not to trust the score."""
        return self.status == "flagged"

    def to_markdown(self) -> str:
        """Write the check as a section of a report.

        Returns
        -------
        str
        """
        parts = [
            f"### {self.name.capitalize()}: {self.status}",
            f"*{self.question}* {self.verdict}",
            "\n".join(f"- {figure.name}: {figure}" for figure in self.figures),
            *(table.to_markdown() for table in self.tables),
            f"Threshold: {self.threshold}",
            f"What to do: {self.advice}" if self.advice else "",
        ]
        return "\n\n".join(part for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """Return the check as nested dicts, ready for JSON: NaN becomes None.

        Returns
        -------
        dict
        """
        return {
            "name": self.name,
            "question": self.question,
            "status": self.status,
            "verdict": self.verdict,
            "threshold": self.threshold,
            "advice": self.advice,
            "figures": [figure.to_dict() for figure in self.figures],
            "accuracies": {
                name: accuracy.to_dict() for name, accuracy in self.accuracies.items()
            },
            "tables": [table.to_dict() for table in self.tables],
            "details": dict(self.details),
        }
