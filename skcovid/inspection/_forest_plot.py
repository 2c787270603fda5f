"""Forest plot: a figure of each source, their mean, and what to expect of a new one."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length

from skcovid.inspection._plotting import (
    COLOURS,
    Axes,
    Display,
    bounds_of,
    describe_axes,
    wrap_labels,
)
from skcovid.metrics._estimates import Estimate, unknown_estimate
from skcovid.metrics._heterogeneity import Heterogeneity, heterogeneity
from skcovid.metrics._tables import RocAucTable
from skcovid.model_selection._result import EvaluationResult

# Area in square points of the box with the largest weight, and the least of a box.
_LARGEST, _SMALLEST = 150.0, 9.0
# Height of a line of text in inches; a row has its lines and this part of one more.
_LINE, _BETWEEN = 0.17, 0.5


class ForestPlotDisplay(Display):
    """A row for each source with its figure and interval, and below them their mean.

    A box marks a source's figure; its area is the source's weight in the mean. The
    mean of a random-effects analysis is a diamond as wide as its interval, and the
    line below it shows where the figure of a new source would lie.

    Parameters
    ----------
    labels : sequence of length n_rows
        Names of the sources, from top to bottom.
    estimates : sequence of n_rows Estimate
        Their figures. A row whose figure is NaN has its note in place of one.
    summary : Heterogeneity, default=None
        What :func:`~skcovid.metrics.heterogeneity` returned for `estimates`. By
        default no mean is drawn, and boxes are of equal size.
    n_images, n_patients : sequence of n_rows int, default=None
        Counts of each source, written beside its figure. Patients that are not known
        are None.
    notes : sequence of n_rows str, default=None
        Why a row has no figure; "n/a" by default.
    compared : mapping of str to Estimate, default=None
        Figures to compare with the sources, such as that of an external set. They are
        drawn at the bottom and are not in the mean.
    metric : str, default="ROC AUC"
        What the figures are.
    reference : float or None, default=0.5
        Where to draw a dashed line: the figure of guessing.
    title : str, default=None
        Title of the axes; by default it is made from `metric`.
    confidence_level : float, default=0.95
        Confidence level of the intervals, in (0, 1).

    Attributes
    ----------
    boxes_ : matplotlib PathCollection
        The boxes of the rows that have a figure.
    ax_, figure_ : matplotlib Axes and Figure
        Where `plot` drew.

    Raises
    ------
    ValueError
        If `labels` is empty, or the sequences differ in length.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skcovid.inspection import ForestPlotDisplay
    >>> from skcovid.metrics import Estimate
    >>> display = ForestPlotDisplay.from_estimates(
    ...     {
    ...         "Hannover": Estimate(0.71, 0.61, 0.79),
    ...         "Radiopaedia": Estimate(0.62, 0.55, 0.69),
    ...         "Eurorad": Estimate(0.48, 0.35, 0.61),
    ...     }
    ... )
    >>> display.ax_.get_title()
    'ROC AUC by source'
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        labels: Sequence[Hashable],
        estimates: Sequence[Estimate],
        summary: Heterogeneity | None = None,
        *,
        n_images: Sequence[int] | None = None,
        n_patients: Sequence[int | None] | None = None,
        notes: Sequence[str] | None = None,
        compared: Mapping[str, Estimate] | None = None,
        metric: str = "ROC AUC",
        reference: float | None = 0.5,
        title: str | None = None,
        confidence_level: float = 0.95,
    ) -> None:
        if not len(labels):
            raise ValueError("labels is empty; give at least one source.")
        weights = None if summary is None else summary.weights
        check_consistent_length(labels, estimates, n_images, n_patients, notes, weights)
        self.labels = labels
        self.estimates = estimates
        self.summary = summary
        self.n_images = n_images
        self.n_patients = n_patients
        self.notes = notes
        self.compared = compared
        self.metric = metric
        self.reference = reference
        self.title = title
        self.confidence_level = confidence_level

    def _rows(self) -> tuple[list[str], list[Estimate], NDArray[np.float64]]:
        """Return names, broken into lines, figures, and heights in lines of text."""
        labels, estimates = list(self.labels), list(self.estimates)
        if self.summary is not None:
            labels += [
                f"Mean of {self.summary.n_sources} sources",
                "A new source (prediction)",
            ]
            estimates += [self.summary.mean, self.summary.prediction]
        labels += self.compared or {}
        estimates += (self.compared or {}).values()
        names = wrap_labels(labels, 30, break_long_words=True)
        heights = np.array([1 + name.count("\n") + _BETWEEN for name in names])
        return names, estimates, heights

    def _layout(self) -> tuple[tuple[float, float], tuple[int, ...]]:
        return (8.5, 1.1 + _LINE * (self._rows()[2].sum() + 1.5)), ()

    def _draw(self, ax: "Axes") -> None:
        names, estimates, heights = self._rows()
        n_sources = len(self.labels)
        bottoms = heights.cumsum()
        positions = bottoms - heights / 2
        values, lows, highs = bounds_of(estimates)
        is_pooled = np.zeros(len(names), dtype=bool)
        sizes = np.full(len(names), _LARGEST / 3)
        if self.summary is not None:
            is_pooled[n_sources : n_sources + 2] = True
            weights = np.asarray(self.summary.weights)
            sizes[:n_sources] = _LARGEST * weights / (weights.max() or 1)
        is_box = ~np.isnan(values) & ~is_pooled
        colours = [COLOURS[int(pooled)] for pooled in is_pooled]
        ax.hlines(positions, lows, highs, colors=colours, linewidth=1.4)
        self.boxes_ = ax.scatter(
            values[is_box],
            positions[is_box],
            np.maximum(sizes[is_box], _SMALLEST),
            COLOURS[0],
            marker="s",
            zorder=3,
        )
        if self.summary is not None:
            (at, below), middle = positions[is_pooled], self.summary.mean.value
            (low, first), (high, last) = lows[is_pooled], highs[is_pooled]
            diamond = [low, middle, high, middle], [at, at - 0.4, at, at + 0.4]
            ax.fill(*diamond, color=COLOURS[1], zorder=3)
            ax.scatter([first, last], [below, below], 60, COLOURS[1], marker="|")
        for end in {n_sources, n_sources + is_pooled.sum()}:
            if end < len(names):
                ax.axhline(bottoms[end - 1], color="0.7", linewidth=0.8)
        if self.reference is not None:
            ax.axvline(self.reference, color="0.35", linestyle="--", zorder=0)
        self._limit(ax, [*lows, *highs], bottoms[-1])
        ax.set_yticks(positions, names)
        ax.tick_params(axis="y", length=0)
        self._write_columns(ax, positions, estimates)
        percent = f"{100 * self.confidence_level:g} %"
        xlabel = f"{self.metric}, with {percent} confidence interval"
        if self.summary is not None and not math.isnan(self.summary.q):
            pvalue = self.summary.pvalue
            xlabel += (
                f"\nI² = {100 * self.summary.i_squared:.0f} %, τ = "
                f"{self.summary.tau:.2f}, "
                f"p {'< 0.001' if pvalue < 0.001 else f'= {pvalue:.3f}'}"
            )
        (title,) = wrap_labels([self.title or f"{self.metric} by source"], 70)
        describe_axes(ax, xlabel, "", title)
        ax.spines["left"].set_visible(False)

    def _limit(self, ax: "Axes", ends: Any, bottom: float) -> None:
        """Set the limits so that every interval and the reference are inside."""
        shown = [end for end in (*ends, self.reference) if end is not None]
        shown = [end for end in shown if not math.isnan(end)] or [0.0, 1.0]
        low, high = math.floor(10 * min(shown)) / 10, math.ceil(10 * max(shown)) / 10
        if low == high:
            low, high = low - 0.1, high + 0.1
        margin = 0.02 * (high - low)
        ax.set(xlim=(low - margin, high + margin), ylim=(bottom, -1.5))

    def _write_columns(
        self, ax: "Axes", positions: Any, estimates: Sequence[Estimate]
    ) -> None:
        """Write figures and counts in columns to the right of the axes."""
        figures = [estimate.format_fraction() for estimate in estimates]
        for row, note in enumerate(self.notes or ()):
            if math.isnan(estimates[row].value):
                figures[row] = note
        title = f"{self.metric} [{100 * self.confidence_level:g} %]"
        columns: dict[str, Sequence[str]] = {title: figures}
        for name, counts in (("Images", self.n_images), ("Patients", self.n_patients)):
            if counts is not None and any(count is not None for count in counts):
                columns[name] = [
                    "n/a" if count is None else f"{count:,}" for count in counts
                ]
        left: Any = "axes fraction"
        for name, texts in columns.items():
            alignment = "left" if texts is figures else "right"
            header = ax.annotate(
                name,
                (1, -0.75),
                xycoords=(left, "data"),
                xytext=(12, 0),
                textcoords="offset points",
                va="center",
                weight="bold",
            )
            for text, position in zip(texts, positions, strict=False):
                ax.annotate(
                    text,
                    (alignment == "right", position),
                    xycoords=(header, "data"),
                    ha=alignment,
                    va="center",
                    annotation_clip=False,
                )
            left = header

    @classmethod
    def from_estimates(
        cls,
        estimates: Mapping[Any, Estimate],
        *,
        n_images: Mapping[Any, int] | None = None,
        n_patients: Mapping[Any, int | None] | None = None,
        notes: Mapping[Any, str] | None = None,
        confidence_level: float = 0.95,
        ax: "Axes | None" = None,
        **options: Any,
    ) -> Self:
        """Sort sources by their figure, summarise them and plot all.

        Parameters
        ----------
        estimates : mapping of source to Estimate
            A proportion, such as an area or a recall, of each source, in [0, 1].
        n_images, n_patients, notes : mapping by source, default=None
            As for the display.
        confidence_level : float, default=0.95
            Confidence level of all intervals, in (0, 1).
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        **options
            `compared`, `metric`, `reference` and `title` of the display.

        Returns
        -------
        ForestPlotDisplay

        Raises
        ------
        ValueError
            If `estimates` is empty.
        KeyError
            If the counts lack a source.
        """

        def worst_last(label: Hashable) -> tuple[bool, float]:
            value = estimates[label].value
            return math.isnan(value), -value

        labels = sorted(estimates, key=worst_last)
        found = [estimates[label] for label in labels]
        return cls(
            labels,
            found,
            heterogeneity(found, confidence_level=confidence_level),
            n_images=None if n_images is None else [n_images[k] for k in labels],
            n_patients=None if n_patients is None else [n_patients[k] for k in labels],
            notes=[(notes or {}).get(label, "n/a") for label in labels],
            confidence_level=confidence_level,
            **options,
        ).plot(ax)

    @classmethod
    def from_result(
        cls,
        result: EvaluationResult,
        *,
        label: Hashable,
        ax: "Axes | None" = None,
    ) -> Self:
        """Plot the ROC AUC of a class by source, or inside beside outside.

        Parameters
        ----------
        result : EvaluationResult
            What :func:`skcovid.evaluate` returned for `source`, `test` or both. With
            both, the external set is compared with the sources.
        label : label
            The class, against the rest.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        ForestPlotDisplay

        Raises
        ------
        ValueError
            If the evaluation has no probabilities, or neither sources nor an external
            set.
        """
        sides, sources = result._sides(), result.by_source
        if sources is None and result.external is None:
            raise ValueError(
                "The evaluation has neither sources nor an external set; pass `source` "
                "or `test` to evaluate."
            )

        result._known_probabilities()

        def find(areas: RocAucTable | None) -> Estimate:
            return (
                unknown_estimate("no probabilities") if areas is None else areas[label]
            )

        if sources is None:
            return cls(
                ["Inside", "External set"],
                [find(side.roc_auc) for side in sides.values()],
                n_images=[len(side._scored.y_true) for side in sides.values()],
                n_patients=[side.n_patients for side in sides.values()],
                title=f"ROC AUC of {label} inside and outside",
            ).plot(ax)
        compared = {"All, pairs within sources": find(result.within_source_roc_auc)}
        if result.external is not None:
            compared["External set"] = find(result.external.roc_auc)
        return cls.from_estimates(
            {name: find(one.roc_auc) for name, one in sources.items()},
            n_images={name: one.n_images for name, one in sources.items()},
            n_patients={name: one.n_patients for name, one in sources.items()},
            notes={
                name: "one class"
                if max(one.class_counts.values()) == one.n_images
                else "class absent"
                for name, one in sources.items()
            },
            compared=compared,
            title=f"ROC AUC of {label} by source",
            ax=ax,
        )
