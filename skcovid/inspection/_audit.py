"""The audit as a figure: baselines beside the model, and what is left to see."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skcovid.inspection._plotting import (
    COLOURS,
    check_matplotlib_support,
    wrap_labels,
)
from skcovid.metrics._estimates import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skcovid.auditing._report import AuditReport

__all__ = ["AuditDisplay"]


class AuditDisplay:
    """Accuracy of baselines beside the model's, and against what is left to see.

    Parameters
    ----------
    accuracies : mapping of str to Estimate
        Accuracy of the model and of each baseline, in [0, 1], from top to bottom.
    chance : float
        Accuracy of guessing, in [0, 1].
    threshold : float, default=None
        Accuracy that a baseline without lungs should not exceed, in [0, 1]; not drawn
        by default.
    suspects : sequence of str, default=()
        Which of `accuracies` are of flagged checks; they are drawn in another
        colour.
    visible_shares : sequence of float, default=()
        Share of the image's area that was left, in (0, 1], for each of
        `visible_accuracies`. Nothing is drawn against it if there are none.
    visible_accuracies : sequence of Estimate, default=()
        Accuracy where no more was left to see.
    visible_chance : float, default=None
        Accuracy of guessing there; `chance` by default.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        The bars.
    ax_ : ndarray of matplotlib Axes
        One for the bars and, if there is a curve, one for it.
    figure_ : matplotlib Figure
        Figure the axes are in.

    Raises
    ------
    ValueError
        If `accuracies` are empty, `suspects` are not among them, or the curve has not
        as many accuracies as shares.

    See Also
    --------
    skcovid.audit : Makes the report.

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
    ...     suspects=["File properties"],
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
        suspects: Sequence[str] = (),
        visible_shares: ArrayLike = (),
        visible_accuracies: Sequence[Estimate] = (),
        visible_chance: float | None = None,
    ) -> None:
        if not accuracies:
            raise ValueError("accuracies is empty; give at least the model's.")
        unknown = [name for name in suspects if name not in accuracies]
        if unknown:
            raise ValueError(
                f"suspects must be among accuracies ({', '.join(accuracies)}), got "
                f"{', '.join(map(repr, unknown))}."
            )
        if np.shape(visible_shares) != (len(visible_accuracies),):
            raise ValueError(
                "visible_shares must be one share for each of the "
                f"{len(visible_accuracies)} visible_accuracies, got an array of shape "
                f"{np.shape(visible_shares)}."
            )
        self.accuracies = accuracies
        self.chance = chance
        self.threshold = threshold
        self.suspects = suspects
        self.visible_shares = visible_shares
        self.visible_accuracies = visible_accuracies
        self.visible_chance = visible_chance

    def plot(self, ax: "Axes | Sequence[Axes] | None" = None) -> "AuditDisplay":
        """Draw bars and curve side by side.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of them, default=None
            Where to draw: one for the bars and, if there is a curve, one for it. A new
            figure by default.

        Returns
        -------
        AuditDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `ax` does not hold as many axes as are needed.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        n_panels = 2 if len(self.visible_accuracies) else 1
        if ax is None:
            _, grid = plt.subplots(
                ncols=n_panels,
                figsize=(1.5 + 5 * n_panels, 1.6 + 0.55 * len(self.accuracies)),
                layout="constrained",
                squeeze=False,
            )
            axes = grid.ravel()
        else:
            axes = np.array(ax, dtype=object).ravel()
        if len(axes) != n_panels:
            raise ValueError(
                f"ax must hold {n_panels} axes, for the bars"
                f"{' and the curve' if n_panels == 2 else ''}, got {len(axes)}."
            )
        self._plot_bars(axes[0])
        if n_panels == 2:
            self._plot_curve(axes[1])
        self.ax_ = axes
        self.figure_ = axes[0].figure
        return self

    def _plot_bars(self, ax: "Axes") -> None:
        from matplotlib.patches import Patch
        from matplotlib.ticker import PercentFormatter

        names = list(self.accuracies)
        positions = range(len(names))
        values, distances = _values_and_distances(list(self.accuracies.values()))
        colours = [
            COLOURS[1] if name in self.suspects else COLOURS[0] for name in names
        ]
        self.bars_ = ax.barh(positions, values, height=0.6, color=colours)
        ax.errorbar(
            values, positions, xerr=distances, fmt="none", ecolor="0.15", capsize=3
        )
        for position, value, to_high in zip(
            positions, values, distances[1], strict=True
        ):
            ax.annotate(
                f"{100 * value:.1f} %",
                (value + to_high, position),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
            )
        ax.axvline(self.chance, color="0.35", linestyle="--", label="Chance")
        if self.threshold is not None:
            ax.axvline(self.threshold, color="0.35", linestyle=":", label="Threshold")
        ax.set_yticks(positions, wrap_labels(names, 22))
        ax.invert_yaxis()
        # Room for the text beside a bar of 100 %.
        ax.set_xlim(0, 1.18)
        ax.set_xticks(np.linspace(0, 1, 6))
        ax.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        ax.spines[["top", "right"]].set_visible(False)
        ax.set(
            xlabel="Accuracy, with 95 % confidence interval",
            ylabel="What is seen",
            title="Baselines beside the model",
        )
        handles = ax.get_legend_handles_labels()[0]
        if self.suspects:
            handles.append(Patch(color=COLOURS[1], label="Its check is flagged"))
        # Below the axis label, where no bar is.
        ax.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16),
            ncols=len(handles),
            frameon=False,
        )

    def _plot_curve(self, ax: "Axes") -> None:
        from matplotlib.ticker import PercentFormatter

        values, distances = _values_and_distances(self.visible_accuracies)
        ax.errorbar(
            np.asarray(self.visible_shares, dtype=float),
            values,
            yerr=distances,
            marker="o",
            color=COLOURS[0],
            capsize=3,
        )
        chance = self.chance if self.visible_chance is None else self.visible_chance
        ax.axhline(chance, color="0.35", linestyle="--")
        ax.set_xlim(1.04, 0)
        ax.set_ylim(0, 1.04)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="0.9")
        ax.set_axisbelow(True)
        ax.set(
            xlabel="Visible area, the centre being blanked",
            ylabel="Accuracy, with 95 % interval",
            title="Accuracy against what is left to see",
        )

    @classmethod
    def from_report(
        cls, report: "AuditReport", *, ax: "Axes | Sequence[Axes] | None" = None
    ) -> "AuditDisplay":
        """Draw what an audit found.

        Parameters
        ----------
        report : AuditReport
            What :func:`skcovid.audit` returned.
        ax : matplotlib Axes or sequence of them, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        AuditDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib_support(f"{cls.__name__}.from_report")
        accuracies, suspects = {"model": report.accuracy}, []
        for check in report.values():
            accuracies |= check.accuracies
            if check.flagged:
                suspects += list(check.accuracies)[:1]
        return cls(
            accuracies,
            report.chance,
            threshold=report.threshold,
            suspects=suspects,
            visible_shares=[point.visible_share for point in report.visible_curve],
            visible_accuracies=[point.accuracy for point in report.visible_curve],
            visible_chance=report.visible_chance,
        ).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        ax: "Axes | Sequence[Axes] | None" = None,
        **audit_options: Any,
    ) -> "AuditDisplay":
        """Audit a classifier, and draw what was found.

        Parameters
        ----------
        estimator : estimator
            A classifier, or pipeline that ends in one; clones of it are fitted.
        X : array-like of shape (n_samples, ...)
            Images or paths.
        y : array-like of shape (n_samples,)
            Class labels.
        ax : matplotlib Axes or sequence of them, default=None
            Where to draw; a new figure by default.
        **audit_options
            Other parameters of :func:`skcovid.audit`.

        Returns
        -------
        AuditDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        from skcovid.auditing._audit import audit

        return cls.from_report(audit(estimator, X, y, **audit_options), ax=ax)


def _values_and_distances(estimates: Sequence[Estimate]) -> tuple[Any, Any]:
    """Values, and how far they are from their bounds, below and above."""
    values, low, high = np.array([(e.value, e.low, e.high) for e in estimates]).T
    return values, np.stack([values - low, high - values])
