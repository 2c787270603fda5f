"""Loss and accuracy over the epochs of the two training phases."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skcovid.inspection._plotting import (
    COLOURS,
    Axes,
    Display,
    ResultMixin,
    describe_axes,
    legend_outside,
    percent_ticks,
)
from skcovid.model_selection._result import EvaluationResult

History = Mapping[str, Sequence[float]]

# Key of the history and label of its axis, one panel each.
_PANELS = (("loss", "Loss"), ("accuracy", "Accuracy"))
# Prefix of the key, name in the legend, colour and line style.
_CURVES = (("", "Training", COLOURS[0], "-"), ("val_", "Validation", COLOURS[1], "--"))
# Ratio of the largest and the smallest loss from which a linear axis shows one of them.
_LOG_FROM = 1000


class TrainingHistoryDisplay(ResultMixin, Display):
    """Loss and accuracy over the epochs, and where the second training phase begins.

    Parameters
    ----------
    history : dict or sequence of dict
        What training recorded, a list with an entry per epoch for each key: ``loss``
        and optionally ``accuracy``, ``val_loss``, ``val_accuracy`` (accuracies in
        [0, 1]) and ``phase`` (1 while the base is frozen, 2 while it is fine-tuned).
        Other keys, such as ``learning_rate``, are not drawn. A sequence holds one dict
        per fold; all folds are drawn into the same axes, with thin lines. Losses that
        differ a thousandfold have a logarithmic axis.

    Attributes
    ----------
    ax_, figure_ : ndarray of matplotlib Axes, and Figure
        Where `plot` drew: axes for the loss and, if any history has it, the accuracy.

    Raises
    ------
    ValueError
        If there is no history, or one has no ``loss``, no epoch, or lists of different
        lengths.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skcovid.inspection import TrainingHistoryDisplay
    >>> display = TrainingHistoryDisplay(
    ...     {"loss": [1.1, 0.7, 0.4], "val_loss": [1.0, 0.8, 0.6], "phase": [1, 1, 2]}
    ... ).plot()
    >>> display.ax_[0].get_ylabel()
    'Loss'
    >>> plt.close(display.figure_)
    """

    def __init__(self, history: History | Sequence[History]) -> None:
        self.history = history
        self._histories = [history] if isinstance(history, Mapping) else list(history)
        if not self._histories:
            raise ValueError("history is empty; give at least one dict.")
        for index, record in enumerate(self._histories):
            lengths = {key: len(values) for key, values in record.items()}
            if not lengths.get("loss") or len(set(lengths.values())) > 1:
                raise ValueError(
                    f"history {index} must record the loss of at least one epoch, and "
                    "one entry per epoch in every list; got lists of lengths "
                    f"{lengths}."
                )
        recorded = {key.removeprefix("val_") for one in self._histories for key in one}
        self._panels = [panel for panel in _PANELS if panel[0] in recorded]

    def _layout(self) -> tuple[tuple[float, float], tuple[int, ...]]:
        return (2.5 + 4 * len(self._panels), 3.8), (len(self._panels),)

    def _draw(self, axes: NDArray[np.object_]) -> None:
        for panel, (key, label) in zip(axes, self._panels, strict=True):
            self._draw_panel(panel, key, label)
        # One entry for each kind of line, of all panels and folds.
        lines = {line.get_label(): line for panel in axes for line in panel.lines}
        legend_outside(axes[-1], [*lines.values()], [*lines])

    def _draw_panel(self, ax: "Axes", key: str, label: str) -> None:
        from matplotlib.ticker import MaxNLocator

        n_folds = len(self._histories)
        folds = "" if n_folds == 1 else f" ({n_folds} folds)"
        linewidth = 1.8 if n_folds == 1 else 0.9
        for history in self._histories:
            epochs = np.arange(1, len(history["loss"]) + 1)
            for prefix, name, colour, style in _CURVES:
                if (values := history.get(f"{prefix}{key}")) is not None:
                    ax.plot(
                        *(epochs, values, style),
                        label=f"{name}{folds}",
                        color=colour,
                        linewidth=linewidth,
                        marker=".",
                        markersize=4,
                    )
            for boundary in np.flatnonzero(np.diff(history.get("phase", []))):
                # Epochs count from 1: between epoch `boundary + 1` and the next.
                ax.axvline(
                    boundary + 1.5,
                    label=f"Fine-tuning begins{folds}",
                    color="0.35",
                    linestyle=":",
                    linewidth=linewidth,
                    zorder=0,
                )
        longest = max(len(history["loss"]) for history in self._histories)
        ax.set_xlim(0.5, longest + 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if key == "accuracy":
            percent_ticks(ax.yaxis)
        elif ax.dataLim.ymax > _LOG_FROM * ax.dataLim.minposy:
            ax.set_yscale("log", nonpositive="clip")
        describe_axes(ax, "Epoch", label, f"{label} over the epochs")

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: "Axes | Sequence[Axes] | None" = None
    ) -> Self:
        """Plot the training history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted classifier with a ``history_``, or a pipeline whose final step is
            one.
        ax : matplotlib Axes or sequence of them, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        TrainingHistoryDisplay

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If it keeps no ``history_``.
        """
        final = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        if not hasattr(final, "history_"):
            check_is_fitted(final)
            raise ValueError(
                "estimator must keep its training history in `history_`, as "
                f"TransferLearningClassifier does; {type(final).__name__} does not."
            )
        return cls(final.history_).plot(ax=ax)

    @classmethod
    def _from_result(
        cls, result: EvaluationResult, ax: "Axes | Sequence[Axes] | None"
    ) -> Self:
        if not result.histories:
            raise ValueError(
                "The evaluated classifier keeps no training history in `history_`."
            )
        return cls(result.histories).plot(ax)
