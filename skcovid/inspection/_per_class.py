"""The per-class table as dots with their intervals."""

from collections.abc import Hashable, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import confusion_matrix
from sklearn.utils.multiclass import unique_labels

from skcovid.inspection._plotting import (
    COLOURS,
    Axes,
    Display,
    ResultMixin,
    describe_axes,
    errors_of,
    legend_outside,
    wrap_labels,
)
from skcovid.metrics._confusion_matrix import patient_confusion_matrices
from skcovid.metrics._per_class import per_class_table
from skcovid.metrics._tables import PerClassTable
from skcovid.model_selection._result import EvaluationResult

# Field of ClassMetrics, its name in the legend, its marker.
_METRICS = (
    ("recall", "Recall", "o"),
    ("precision", "Precision", "s"),
    ("f1", "F1", "D"),
    ("one_vs_rest_accuracy", "One-vs-rest accuracy", "^"),
)
# Distance between the dots of one class; classes are 1 apart.
_STEP = 0.18


class PerClassTableDisplay(ResultMixin, Display):
    """Every metric of the per-class table as a dot, its interval as a line.

    Parameters
    ----------
    table : PerClassTable
        The table, as :func:`~skcovid.metrics.per_class_table` returns it.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where `plot` drew.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skcovid.inspection import PerClassTableDisplay
    >>> from skcovid.metrics import per_class_table
    >>> table = per_class_table([[18, 2], [1, 79]], ["COVID-19", "Normal"])
    >>> display = PerClassTableDisplay(table).plot()
    >>> display.ax_.get_xlabel()
    'Percent, with 95 % confidence interval'
    >>> plt.close(display.figure_)
    """

    def __init__(self, table: PerClassTable) -> None:
        self.table = table

    def _layout(self) -> tuple[tuple[float, float], tuple[int, ...]]:
        return (8.5, 2 + 0.8 * len(self.table)), ()

    def _draw(self, ax: "Axes") -> None:
        rows = [*self.table.rows, self.table.means]
        for index, (field, name, marker) in enumerate(_METRICS):
            offset = (index - (len(_METRICS) - 1) / 2) * _STEP
            values, errors = errors_of(getattr(row, field) for row in rows)
            positions = np.arange(len(rows)) + offset
            ax.errorbar(
                100 * values,
                positions,
                xerr=100 * errors,
                fmt=marker,
                color=COLOURS[index],
                markersize=6,
                elinewidth=1.6,
                capsize=3,
                label=name,
            )
            for position in positions[np.isnan(values)]:
                ax.text(
                    0.01,
                    position,
                    "n/a",
                    color=COLOURS[index],
                    va="center",
                    fontsize="small",
                    transform=ax.get_yaxis_transform(),
                )
        names = wrap_labels(self.table.labels, 24)
        ticks = [
            f"{name}\n(n = {row.support:,})"
            for name, row in zip(names, self.table.rows, strict=True)
        ]
        ax.set_yticks(range(len(rows)), [*ticks, "Mean over\nclasses"])
        for number in range(len(ticks)):
            colour = "0.3" if number == len(ticks) - 1 else "0.85"
            ax.axhline(number + 0.5, color=colour, linewidth=0.8, zorder=0)
        ax.set_ylim(len(ticks) + 0.5, -0.5)
        ax.grid(axis="x", color="0.9")
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
        describe_axes(
            ax,
            f"Percent, with {100 * self.table.confidence_level:g} % "
            "confidence interval",
            "Class",
            "Recall, precision, F1 and one-vs-rest accuracy of each class",
        )
        legend_outside(ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        labels: Sequence[Hashable] | None = None,
        groups: ArrayLike | None = None,
        confidence_level: float = 0.95,
        ax: "Axes | None" = None,
    ) -> Self:
        """Compute the table from true and predicted labels and plot it.

        Parameters
        ----------
        y_true, y_pred, labels : array-like
            As for :func:`sklearn.metrics.confusion_matrix`.
        groups : array-like of shape (n_samples,), default=None
            Patient of each image. By default images count as independent.
        confidence_level : float, default=0.95
            Confidence level of every interval, in (0, 1).
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        PerClassTableDisplay
        """
        classes = unique_labels(y_true, y_pred) if labels is None else labels
        if groups is None:
            counts = confusion_matrix(y_true, y_pred, labels=classes)
        else:
            counts = patient_confusion_matrices(y_true, y_pred, groups, labels=classes)
        table = per_class_table(counts, classes, confidence_level=confidence_level)
        return cls(table).plot(ax=ax)

    @classmethod
    def _from_result(cls, result: EvaluationResult, ax: "Axes | None") -> Self:
        return cls(result.per_class).plot(ax)
