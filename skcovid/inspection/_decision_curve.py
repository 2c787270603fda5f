"""Decision curves: what is gained by acting on a probability."""

from collections.abc import Hashable, Mapping
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skcovid.inspection._plotting import (
    COLOURS,
    AxesLike,
    Display,
    bounds_of,
    describe_axes,
    legend_outside,
    percent_ticks,
    wrap_labels,
)
from skcovid.metrics._decision_curve import DecisionCurve, decision_curve
from skcovid.model_selection._result import EvaluationResult


class DecisionCurveDisplay(Display):
    """Net benefit of a model over threshold probabilities, with its interval.

    Net benefit counts true positives a patient, less false positives weighed by the
    odds of the threshold: a model helps where its curve is above both the line of
    treating all and that of treating none. Each curve has axes of its own, as net
    benefit depends on how common the class is.

    Parameters
    ----------
    curves : DecisionCurve or mapping of str to DecisionCurve
        The curve, as :func:`~skcovid.metrics.decision_curve` returns it, or several
        by name, such as inside and outside.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The models' curves.
    ax_, figure_ : ndarray of matplotlib Axes, and Figure
        Where `plot` drew: axes for each curve.

    Raises
    ------
    ValueError
        If `curves` is empty.

    References
    ----------
    .. [1] A. J. Vickers, E. B. Elkin, "Decision curve analysis: a novel method for
       evaluating prediction models", Medical Decision Making 26 (2006), 565-574.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skcovid.inspection import DecisionCurveDisplay
    >>> display = DecisionCurveDisplay.from_predictions(
    ...     ["COVID-19", "Normal", "COVID-19", "Normal"],
    ...     [0.9, 0.2, 0.6, 0.7],
    ...     pos_label="COVID-19",
    ... )
    >>> display.ax_[0].get_ylabel()
    'Net benefit'
    >>> plt.close(display.figure_)
    """

    def __init__(self, curves: DecisionCurve | Mapping[str, DecisionCurve]) -> None:
        if isinstance(curves, Mapping) and not curves:
            raise ValueError("curves is empty; give at least one decision curve.")
        self.curves = curves

    def _named(self) -> Mapping[str, DecisionCurve]:
        """Return the curves by name; a single one has none."""
        return self.curves if isinstance(self.curves, Mapping) else {"": self.curves}

    def _layout(self) -> tuple[tuple[float, float], tuple[int, ...]]:
        n_panels = len(self._named())
        return (2.4 + 3.8 * n_panels, 3.9), (n_panels,)

    def _draw(self, axes: NDArray[np.object_]) -> None:
        self.lines_ = []
        for ax, (name, curve) in zip(axes, self._named().items(), strict=True):
            values, lows, highs = bounds_of(curve.net_benefit)
            at, of_model, of_all = curve.thresholds, *COLOURS[:2]
            ax.axhline(0, color="0.35", linestyle=":", label="Treat none")
            ax.plot(at, curve.treat_all, "--", color=of_all, label="Treat all")
            ax.fill_between(at, lows, highs, color=of_model, alpha=0.2, linewidth=0)
            self.lines_ += ax.plot(at, values, color=of_model, label="Model")
            # Below zero lies what is worse than to treat none; how much hardly matters.
            top = max(np.nanmax([*highs, 0]), curve.prevalence) or 1.0
            ax.set(xlim=(0, max(at)), ylim=(-0.25 * top, 1.08 * top))
            percent_ticks(ax.xaxis)
            label, name = wrap_labels([curve.pos_label, name], 40)
            title = f"{label} ({100 * curve.prevalence:.1f} % of images)"
            title = f"{name}\n{title}" if name else title
            describe_axes(ax, "Threshold probability", "Net benefit", title)
        handles, labels = axes[-1].get_legend_handles_labels()
        legend_outside(axes[-1], handles[::-1], labels[::-1])

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        probability: ArrayLike,
        *,
        pos_label: Hashable,
        thresholds: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        confidence_level: float = 0.95,
        ax: "AxesLike | None" = None,
    ) -> Self:
        """Compute the decision curve of one class and plot it.

        Parameters
        ----------
        y_true, probability, pos_label, thresholds, groups, confidence_level
            As for :func:`~skcovid.metrics.decision_curve`.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        DecisionCurveDisplay
        """
        curve = decision_curve(
            y_true,
            probability,
            pos_label=pos_label,
            thresholds=thresholds,
            groups=groups,
            confidence_level=confidence_level,
        )
        return cls(curve).plot(ax)

    @classmethod
    def from_result(
        cls,
        result: EvaluationResult,
        *,
        label: Hashable,
        thresholds: ArrayLike | None = None,
        ax: "AxesLike | None" = None,
    ) -> Self:
        """Plot an evaluation: inside and, if it has an external set, outside.

        Parameters
        ----------
        result : EvaluationResult
            What :func:`skcovid.evaluate` returned.
        label : label
            The class that is acted on.
        thresholds : array-like of shape (n_thresholds,), default=None
            As for :func:`~skcovid.metrics.decision_curve`.
        ax : matplotlib Axes or sequence of them, default=None
            Where to draw, one for each curve; a new figure by default.

        Returns
        -------
        DecisionCurveDisplay

        Raises
        ------
        ValueError
            If the evaluated classifier has no probabilities.
        KeyError
            If `label` is not a class.
        """
        curves = {
            place.capitalize(): predictions.decision_curve(label, thresholds)
            for place, predictions in result._sides().items()
        }
        return cls(curves).plot(ax)
