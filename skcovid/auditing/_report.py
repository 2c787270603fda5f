"""`AuditReport`: all checks, as Markdown and JSON."""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from skcovid._base._atomic_files import atomic_write
from skcovid._base._document import (
    Overview,
    Paragraph,
    Section,
    Table,
    one_line,
    render_parts,
)
from skcovid.auditing._baseline import MAX_RATIO
from skcovid.auditing._check import (
    AuditCheck,
    VisiblePoint,
    describe_check,
)
from skcovid.auditing._labels import DisputedLabel
from skcovid.metrics._estimates import Estimate
from skcovid.model_selection._result import EvaluationResult


@dataclass(frozen=True, repr=False)
class AuditReport(Overview, Mapping[str, AuditCheck]):
    """What :func:`skcovid.audit` found: a mapping from the name of a check to it.

    Parameters
    ----------
    checks : tuple of AuditCheck
        The checks: headers, thumbnails, blanked lungs, shortcut ratio, duplicates,
        leakage, source, attributes, source signal, labels, outside.
    result : EvaluationResult
        The evaluation of the model.
    chance : float
        Share of the largest class among the images that were predicted.
    settings : mapping
        Parameters of the audit, and its folds.
    visible_curve : tuple of VisiblePoint, default=()
        Accuracy against the visible share of the images: from the whole image to the
        border alone. Empty if the blanked lungs check was not run.
    visible_chance : float, default=None
        Share of the largest class among the images of `visible_curve`.
    label_queue : tuple of DisputedLabel, default=()
        Images whose label is disputed, the surest first: to be read again.
    """

    checks: tuple[AuditCheck, ...]
    result: EvaluationResult
    chance: float
    settings: Mapping[str, Any]
    visible_curve: tuple[VisiblePoint, ...] = ()
    visible_chance: float | None = None
    label_queue: tuple[DisputedLabel, ...] = ()

    def __getitem__(self, name: str) -> AuditCheck:
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(f"no check {name!r}; use one of {', '.join(map(repr, self))}.")

    def __iter__(self) -> Iterator[str]:
        return (check.name for check in self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    @property
    def flagged(self) -> tuple[str, ...]:
        """Names of the flagged checks."""
        return tuple(check.name for check in self.checks if check.flagged)

    @property
    def exit_code(self) -> int:
        """For scripts: 1 if a check is flagged, 0 if none is (or if none was run)."""
        return int(bool(self.flagged))

    @property
    def accuracy(self) -> Estimate:
        """Multi-class accuracy of the model."""
        return self.result.accuracy

    @property
    def threshold(self) -> float:
        """Accuracy of a baseline whose shortcut ratio is :data:`MAX_RATIO`, in [0, 1].

        A baseline without lungs should not exceed it.
        """
        return self.chance + MAX_RATIO * (self.accuracy.value - self.chance)

    @property
    def shortcut_ratio(self) -> Estimate:
        """Largest share of the model's skill that a baseline without lungs has."""
        return self["shortcut ratio"].figures[0].estimate

    @property
    def headline(self) -> str:
        """Accuracy, chance, shortcut ratio, and which checks are flagged or not run."""
        names = f": {', '.join(self.flagged)}" if self.flagged else ""
        absent = [check.name for check in self.checks if check.status == "not run"]
        more = f" Not run: {', '.join(absent)}." if absent else ""
        if not self.result.folds_known:
            more += (
                " The model may have been trained on these images; its accuracy is "
                "then too high, and the ratio too low."
            )
        return (
            f"Accuracy {self.accuracy.format_percent(1)}, chance "
            f"{100 * self.chance:.1f} %, shortcut ratio "
            f"{self.shortcut_ratio.format_percent(1)}. "
            f"{len(self.flagged)} of {len(self)} checks flagged{names}.{more}"
        )

    def to_markdown(self) -> str:
        """Return the report as Markdown, its headings of level 3."""
        return render_parts(describe_audit(self).parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as nested dicts, ready for JSON: NaN becomes None."""
        return {
            "headline": self.headline,
            "accuracy": self.accuracy.to_dict(),
            "chance": self.chance,
            "threshold": self.threshold,
            "shortcut_ratio": self.shortcut_ratio.to_dict(),
            "flagged": list(self.flagged),
            "settings": dict(self.settings),
            "visible_curve": [asdict(point) for point in self.visible_curve],
            "visible_chance": self.visible_chance,
            "checks": {name: check.to_dict() for name, check in self.items()},
        }

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the report as JSON.

        Parameters
        ----------
        path : path-like, default=None
            A file to write it to as well.

        Returns
        -------
        str
            The JSON text.

        Raises
        ------
        FileNotFoundError
            If the folder of `path` does not exist.
        OSError
            If the file cannot be written; an earlier one is then kept.
        """
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        if path is not None:
            with atomic_write(Path(path)) as file:
                file.write(text.encode())
        return text

    def write_label_queue(self, path: str | os.PathLike[str]) -> None:
        """Write `label_queue` as a CSV table for a reader's decisions.

        Its columns are image, given, suggested, score and decision, the last empty. An
        apostrophe is put before a text that a spreadsheet would take for a formula.

        Parameters
        ----------
        path : path-like
            The file, which is replaced if it exists.

        Raises
        ------
        FileNotFoundError
            If the folder of `path` does not exist.
        OSError
            If the file cannot be written; an earlier one is then kept.
        """
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow(["image", "given", "suggested", "score", "decision"])
        for one in self.label_queue:
            texts = map(one_line, (one.name, one.given, one.suggested))
            cells = [f"'{text}" if text[:1] in "=+-@" else text for text in texts]
            writer.writerow([*cells, f"{one.score:.3f}", ""])
        with atomic_write(Path(path)) as file:
            file.write(table.getvalue().encode())

    def _overview(self) -> tuple[str, Table]:
        rows = [[one.name, one.status, one.decision or "–"] for one in self.checks]
        return self.headline, Table(["check", "status", "decided by"], rows)


def describe_audit(audit: AuditReport) -> Section:
    """Describe an audit: its headline, a table of the checks, and each check."""
    headline, summary = audit._overview()
    return Section(
        "audit",
        "Audit",
        [
            Paragraph(headline, emphasised=True),
            Paragraph(
                "A passed check proves nothing: it cannot find a shortcut within the "
                "lungs, or one that it was not made for."
            ),
            replace(summary, caption="Summary"),
            *(part for check in audit.checks for part in describe_check(check)),
        ],
    )
