"""Display of an audit: baselines beside the model, and accuracy by visible area."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from skcovid.inspection._plotting import (
    COLOURS,
    Axes,
    Display,
    describe_axes,
    errors_of,
    percent_ticks,
    wrap_labels,
)
from skcovid.metrics._estimates import Estimate


class _Report(Protocol):
    """What is drawn of an :class:`skcovid.auditing.AuditReport`."""

    @property
    def accuracy(self) -> Estimate: ...
    @property
    def chance(self) -> float: ...
    @property
    def threshold(self) -> float: ...
    @property
    def visible_curve(self) -> Sequence[Any]: ...
    @property
    def visible_chance(self) -> float | None: ...
    def values(self) -> Collection[Any]: ...


class AuditDisplay(Display):
    """Accuracy of the model and of baselines, and accuracy by visible area.

    Parameters
    ----------
    accuracies : mapping of str to Estimate
        Accuracy of the model and of each baseline, in [0, 1], from top to bottom.
    chance : float
        Accuracy of guessing, in [0, 1].
    threshold : float, default=None
        Accuracy that a baseline without lungs should not exceed, in [0, 1]; not drawn
        by default.
    flagged : sequence of str, default=()
        Which of `accuracies` belong to flagged checks; they get another colour.
    visible_curve : sequence of (float, Estimate), default=()
        Shares of the image's area that were visible, in (0, 1], and the accuracy with
        each. Without any, the curve is left out.
    visible_chance : float, default=None
        Accuracy of guessing on the images of the curve; `chance` by default.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        The bars.
    ax_, figure_ : ndarray of matplotlib Axes, and Figure
        Where `plot` drew: axes for the bars and, if there is one, for the curve.

    Raises
    ------
    ValueError
        If `accuracies` is empty or `flagged` holds other names.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skcovid.inspection import AuditDisplay
    >>> from skcovid.metrics import Estimate
    >>> display = AuditDisplay(
    ...     {
    ...         "Model": Estimate.from_counts(95, 100),
    ...         "File properties": Estimate.from_counts(80, 100),
    ...     },
    ...     chance=0.46,
    ...     flagged=["File properties"],
    ... ).plot()
    >>> display.ax_[0].get_xlabel()
    'Accuracy, with 95 % confidence interval'
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        accuracies: Mapping[str, Estimate],
        chance: float,
        *,
        threshold: float | None = None,
        flagged: Sequence[str] = (),
        visible_curve: Sequence[tuple[float, Estimate]] = (),
        visible_chance: float | None = None,
    ) -> None:
        if not accuracies:
            raise ValueError("accuracies is empty; give at least the model's.")
        unknown = [name for name in flagged if name not in accuracies]
        if unknown:
            raise ValueError(
                f"flagged must be among accuracies ({', '.join(accuracies)}), got "
                f"{', '.join(map(repr, unknown))}."
            )
        self.accuracies = accuracies
        self.chance = chance
        self.threshold = threshold
        self.flagged = flagged
        self.visible_curve = visible_curve
        self.visible_chance = visible_chance

    def _layout(self) -> tuple[tuple[float, float], tuple[int, ...]]:
        n_panels = 2 if self.visible_curve else 1
        return (1.5 + 5 * n_panels, 1.6 + 0.55 * len(self.accuracies)), (n_panels,)

    def _draw(self, axes: NDArray[np.object_]) -> None:
        self._draw_bars(axes[0])
        if len(axes) == 2:
            self._draw_curve(axes[1])

    def _draw_bars(self, ax: "Axes") -> None:
        from matplotlib.patches import Patch

        positions = range(len(self.accuracies))
        values, errors = errors_of(self.accuracies.values())
        colours = [COLOURS[name in self.flagged] for name in self.accuracies]
        whiskers = {"ecolor": "0.15", "capsize": 3}
        self.bars_ = ax.barh(
            positions, values, 0.6, color=colours, xerr=errors, error_kw=whiskers
        )
        percents = [f"{100 * value:.1f} %" for value in values]
        ax.bar_label(self.bars_, percents, padding=5)
        ax.axvline(self.chance, color="0.35", linestyle="--", label="Chance")
        if self.threshold is not None:
            ax.axvline(self.threshold, color="0.35", linestyle=":", label="Threshold")
        ax.set_yticks(positions, wrap_labels(self.accuracies, 22))
        ax.invert_yaxis()
        # Room for the text beside a bar of 100 %.
        ax.set_xlim(0, 1.18)
        ax.set_xticks(np.linspace(0, 1, 6))
        percent_ticks(ax.xaxis)
        describe_axes(
            ax,
            "Accuracy, with 95 % confidence interval",
            "Model or baseline",
            "Baselines beside the model",
        )
        handles = ax.get_legend_handles_labels()[0]
        if self.flagged:
            handles.append(Patch(color=COLOURS[1], label="Flagged check"))
        # Below the axis label, where no bar is.
        ax.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16),
            ncols=len(handles),
            frameon=False,
        )

    def _draw_curve(self, ax: "Axes") -> None:
        shares = np.array([share for share, _ in self.visible_curve])
        values, errors = errors_of(accuracy for _, accuracy in self.visible_curve)
        ax.errorbar(
            shares, values, yerr=errors, marker="o", color=COLOURS[0], capsize=3
        )
        chance = self.chance if self.visible_chance is None else self.visible_chance
        ax.axhline(chance, color="0.35", linestyle="--")
        ax.set_xlim(1.04, 0)
        ax.set_ylim(0, 1.04)
        percent_ticks(ax.xaxis, ax.yaxis)
        ax.grid(color="0.9")
        ax.set_axisbelow(True)
        describe_axes(
            ax,
            "Visible area, with the centre blanked",
            "Accuracy, with 95 % interval",
            "Accuracy against the visible area",
        )

    @classmethod
    def from_report(
        cls, report: _Report, *, ax: "Axes | Sequence[Axes] | None" = None
    ) -> Self:
        """Plot what an audit found.

        Parameters
        ----------
        report : AuditReport
            What :func:`skcovid.audit` returned.
        ax : matplotlib Axes or sequence of them, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        AuditDisplay
        """
        accuracies, flagged = {"model": report.accuracy}, []
        for check in report.values():
            accuracies |= check.accuracies
            if check.flagged:
                flagged += list(check.accuracies)[:1]
        return cls(
            accuracies,
            report.chance,
            threshold=report.threshold,
            flagged=flagged,
            visible_curve=[
                (point.visible_share, point.accuracy) for point in report.visible_curve
            ],
            visible_chance=report.visible_chance,
        ).plot(ax=ax)
