"""The tables of figures per class: mappings from class to row."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from skcovid._base._document import Overview, Table, render_table
from skcovid.metrics._estimates import MOVER, Estimate, JsonMixin, as_json

Row = TypeVar("Row")


@dataclass(frozen=True)
class _ByClass(Mapping[Hashable, Row], Generic[Row]):
    """A mapping from class to row."""

    labels: tuple[Hashable, ...]
    rows: tuple[Row, ...]

    # What the rows are of: one, and several.
    _ROW: ClassVar[tuple[str, str]] = "class", "classes"

    def __getitem__(self, label: Hashable) -> Row:
        try:
            return self.rows[self.labels.index(label)]
        except ValueError:
            raise KeyError(
                f"{label!r} is not a {self._ROW[0]} of this table; its "
                f"{self._ROW[1]} are {', '.join(map(repr, self.labels))}."
            ) from None

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Return the table as nested dicts, ready for JSON: NaN becomes None."""
        others = {k: v for k, v in vars(self).items() if k not in ("labels", "rows")}
        return {self._ROW[1]: as_json(dict(self)), **as_json(others)}


@dataclass(frozen=True)
class ClassMetrics(JsonMixin):
    """One row of :class:`PerClassTable`.

    Parameters
    ----------
    recall : Estimate
        TP / (TP + FN), also called sensitivity.
    precision : Estimate
        TP / (TP + FP), also called positive predictive value.
    f1 : Estimate
        Harmonic mean of recall and precision.
    one_vs_rest_accuracy : Estimate
        (TP + TN) / all, which Table 4 of the paper calls accuracy. It is close to one
        for any rare class, as the other classes' images count as right.
    specificity : Estimate
        TN / (TN + FP): the share of other classes' images not predicted as this class.
    support : int
        Number of images of this true class; of all images for the means.
    """

    recall: Estimate
    precision: Estimate
    f1: Estimate
    one_vs_rest_accuracy: Estimate
    specificity: Estimate
    support: int


@dataclass(frozen=True, repr=False)
class PerClassTable(Overview, _ByClass[ClassMetrics]):
    """Recall, precision, F1 and one-vs-rest accuracy of every class, with intervals.

    Table 4 of the paper for one model, as a mapping from label to row:
    ``table["COVID-19"].recall``. :func:`per_class_table` makes it.

    Parameters
    ----------
    labels : tuple
        The classes, in the order of the confusion matrix.
    rows : tuple of ClassMetrics
        One row per class.
    means : ClassMetrics
        Unweighted means over the classes, the paper's row MEAN.
    accuracy : Estimate
        Multi-class accuracy: the share of images predicted as their own class.
    confidence_level : float
        Confidence level of every interval in the table.
    """

    means: ClassMetrics
    accuracy: Estimate
    confidence_level: float

    def to_markdown(self, decimals: int = 2) -> str:
        """Write the table in Markdown, laid out as Table 4 of the paper.

        Parameters
        ----------
        decimals : int, default=2
            Number of decimals of the percentages.

        Returns
        -------
        str
            The table, then a line with the multi-class accuracy.
        """
        header = ["", "recall", "precision", "F1", "one-vs-rest accuracy", "support"]
        lines = []
        for label, row in (*self.items(), ("MEAN", self.means)):
            figures = row.recall, row.precision, row.f1, row.one_vs_rest_accuracy
            percents = [figure.format_percent(decimals) for figure in figures]
            lines.append([str(label), *percents, str(row.support)])
        return (
            f"{render_table(header, lines)}\n\n"
            f"Multi-class accuracy: {self.accuracy.format_percent(decimals)}. "
            f"In brackets: {100 * self.confidence_level:g} % confidence intervals "
            f"({self.accuracy.method}; of means, {MOVER})."
        )

    def __str__(self) -> str:
        return self.to_markdown()

    def _overview(self) -> tuple[str, Table]:
        level = f"{100 * self.confidence_level:g} % intervals"
        rows = [
            [
                *(str(label), str(row.support), row.recall.format_percent(0)),
                *(row.specificity.format_percent(0), row.precision.format_percent(0)),
            ]
            for label, row in (*self.items(), ("MEAN", self.means))
        ]
        header = ["class", "images", "recall", "specificity", "precision"]
        text = f"accuracy {self.accuracy.format_percent(1)}; {level}"
        return text, Table(header, rows)


@dataclass(frozen=True)
class RocAucTable(_ByClass[Estimate]):
    """Area under the ROC curve of every class against the rest, with intervals.

    A mapping from label to estimate: ``table["COVID-19"]``.
    :func:`skcovid.metrics.roc_auc_table` makes it.

    Parameters
    ----------
    labels : tuple
        The classes, in the order of the columns of the probabilities.
    rows : tuple of Estimate
        One area per class, in [0, 1].
    mean : Estimate
        Unweighted mean over the classes.
    confidence_level : float
        Confidence level of every interval in the table.
    """

    mean: Estimate
    confidence_level: float
