"""The section on what the audit found."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skcovid.inspection._audit import AuditDisplay
from skcovid.report._parts import (
    Details,
    Paragraph,
    Part,
    Section,
    Subheading,
    Table,
    draw,
)

if TYPE_CHECKING:
    from skcovid.auditing._check import AuditCheck, AuditTable
    from skcovid.auditing._report import AuditReport

__all__ = ["audit_checks"]

_MAX_ROWS = 20
_FIGURES = ["figure", "value [95 % interval]", "chance"]


def audit_checks(audit: "AuditReport") -> Section:
    """Show every check: figure, threshold, verdict and what to do."""
    silence = (
        "A passed check is no proof: a shortcut within the lungs, or one that all "
        "checks miss, goes unseen."
    )
    parts: list[Part] = [
        Paragraph(silence),
        draw(
            AuditDisplay.from_report(audit).figure_,
            "Accuracy of the model and of baselines that see less, with intervals; the "
            "tables below have the values.",
        ),
        Table(
            "Summary",
            ["check", "outcome", *_FIGURES],
            [
                [check.name, check.status, *(_figure_rows(check) or [["", "", ""]])[0]]
                for check in audit.checks
            ],
        ),
    ]
    for check in audit.checks:
        parts += _check_parts(check)
    return Section("audit", "Audit", parts)


def _check_parts(check: "AuditCheck") -> Iterator[Part]:
    yield Subheading(check.name.capitalize(), check.status)
    yield Paragraph(check.question)
    yield Paragraph(check.verdict)
    if check.figures:
        with_chance = any(figure.chance is not None for figure in check.figures)
        columns = slice(None if with_chance else -1)
        rows = [row[columns] for row in _figure_rows(check)]
        yield Table("", _FIGURES[columns], rows)
    yield Paragraph(f"Threshold: {check.threshold}")
    if check.advice:
        yield Paragraph(f"What to do: {check.advice}", emphasised=True)
    if check.tables:
        yield Details("Particulars", [_shorten(table) for table in check.tables])


def _figure_rows(check: "AuditCheck") -> list[list[str]]:
    return [
        [
            figure.name,
            figure.estimate.format_percent(1)
            if figure.as_percent
            else figure.estimate.format_fraction(2),
            "" if figure.chance is None else f"{100 * figure.chance:.1f} %",
        ]
        for figure in check.figures
    ]


def _shorten(table: "AuditTable") -> Table:
    more = len(table.rows) - _MAX_ROWS
    return Table(
        table.title,
        table.header,
        table.rows[:_MAX_ROWS],
        note="" if more <= 0 else f"… and {more} more, which the audit's JSON lists.",
    )
