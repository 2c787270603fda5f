"""How many images each class has."""

from collections.abc import Hashable, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from skcovid.inspection._plotting import (
    COLOURS,
    Axes,
    Display,
    ResultMixin,
    describe_axes,
    wrap_labels,
)
from skcovid.model_selection._result import EvaluationResult


class ClassDistributionDisplay(ResultMixin, Display):
    """Bars of how many images each class has: Figure 3 of the paper.

    Parameters
    ----------
    counts : array-like of shape (n_classes,), int
        Number of images of each class.
    labels : sequence of length n_classes
        Names of the classes.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        The bars.
    ax_, figure_ : matplotlib Axes and Figure
        Where `plot` drew.

    Raises
    ------
    ValueError
        If `counts` are not integers of at least 0, or not as many as `labels`.

    Examples
    --------
    The database of the paper (section 3.1):

    >>> import matplotlib.pyplot as plt
    >>> from skcovid.inspection import ClassDistributionDisplay
    >>> display = ClassDistributionDisplay(
    ...     [219, 1341, 1345], ["COVID-19", "Normal", "Viral pneumonia"]
    ... ).plot()
    >>> display.ax_.texts[0].get_text()
    '219 (7.5 %)'
    >>> plt.close(display.figure_)
    """

    def __init__(self, counts: ArrayLike, labels: Sequence[Hashable]) -> None:
        numbers = np.asarray(counts)
        if (
            numbers.dtype.kind not in "iu"
            or numbers.shape != (len(labels),)
            or not numbers.size
            or numbers.min() < 0
        ):
            raise ValueError(
                f"counts must hold an integer of at least 0 for each of {len(labels)} "
                f"labels, got {counts!r}. from_labels counts the labels of images."
            )
        self.counts = numbers
        self.labels = labels

    def _layout(self) -> tuple[tuple[float, float], tuple[int, ...]]:
        return (7, 1.4 + 0.5 * len(self.labels)), ()

    def _draw(self, ax: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator, StrMethodFormatter

        total = self.counts.sum()
        positions = range(len(self.labels))
        self.bars_ = ax.barh(positions, self.counts, height=0.7, color=COLOURS[0])
        texts = [f"{n:,} ({100 * n / max(total, 1):.1f} %)" for n in self.counts]
        ax.bar_label(self.bars_, texts, padding=4)
        ax.set_yticks(positions, wrap_labels(self.labels, 24))
        ax.invert_yaxis()
        # Room for the text beside the longest bar.
        ax.set_xlim(0, 1.35 * max(self.counts.max(), 1))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        title = f"Class distribution ({total:,} images)"
        describe_axes(ax, "Number of images", "Class", title)

    @classmethod
    def from_labels(cls, y: ArrayLike, *, ax: "Axes | None" = None) -> Self:
        """Count the labels of images and plot them, classes sorted.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            The class of each image.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        ClassDistributionDisplay
        """
        labels, counts = np.unique(np.asarray(y), return_counts=True)
        return cls(counts, labels.tolist()).plot(ax)

    @classmethod
    def _from_result(cls, result: EvaluationResult, ax: "Axes | None") -> Self:
        return cls.from_labels(result.y_true, ax=ax)
