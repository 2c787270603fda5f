"""Axes, colours, labels and radiographs, which the displays share."""

import textwrap
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from skcovid._base._document import one_line
from skcovid._base._requirements import require
from skcovid.metrics._estimates import Estimate
from skcovid.model_selection._result import EvaluationResult

if TYPE_CHECKING:
    import matplotlib.axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# As text: matplotlib is imported where something is drawn.
Axes: TypeAlias = "matplotlib.axes.Axes"
AxesLike: TypeAlias = "Axes | Sequence[Axes] | NDArray[np.object_]"

# Okabe and Ito's palette, told apart with every common colour vision deficiency:
# blue, vermilion, bluish green, reddish purple, orange, sky blue.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


class Display:
    """Base class of displays, which state what axes they need and draw into them."""

    ax_: Any
    figure_: "Figure"

    def _layout(self) -> tuple[tuple[float, float], tuple[int, ...]]:
        """Return the size of a new figure in inches, and the shape of `ax_`."""
        raise NotImplementedError

    def _draw(self, axes: Any) -> None:
        raise NotImplementedError

    def plot(self, ax: "AxesLike | None" = None) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of them, default=None
            Where to draw: as many axes as `ax_` holds, row by row; a new figure by
            default.

        Returns
        -------
        Self
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `ax` holds another number of axes.
        """
        require("matplotlib", extra="plot", caller=f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        size, shape = self._layout()
        n_rows, n_columns = (1, 1, *shape)[-2:]
        if ax is None:
            _, ax = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained")
        axes = np.array(ax, dtype=object)
        if axes.size != n_rows * n_columns:
            raise ValueError(
                f"ax must hold {n_rows * n_columns} axes, {n_columns} in each of "
                f"{n_rows} rows, got {axes.size}."
            )
        self.ax_ = axes.reshape(shape)[()]
        self.figure_ = axes.flat[0].figure
        self._draw(self.ax_)
        return self


class ResultMixin:
    """Adds `from_result` to a display."""

    @classmethod
    def _from_result(cls, result: EvaluationResult, ax: Any) -> Any:
        raise NotImplementedError

    @classmethod
    def from_result(
        cls, result: EvaluationResult, *, ax: "AxesLike | None" = None
    ) -> Self:
        """Plot what an evaluation found, all folds together.

        Parameters
        ----------
        result : EvaluationResult
            What :func:`skcovid.evaluate` returned.
        ax : matplotlib Axes or sequence of them, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        Self
            The display, drawn.

        Raises
        ------
        ValueError
            If the evaluated classifier has no probabilities, or no training history,
            and the display draws them.
        """
        display: Self = cls._from_result(result, ax)
        return display


def wrap_labels(
    labels: Iterable[Hashable],
    width: int,
    *,
    break_long_words: bool = False,
    subsequent_indent: str = "",
) -> list[str]:
    """Break labels into lines of at most `width` characters, words only if asked."""

    def wrap(label: Hashable) -> str:
        text = textwrap.fill(
            one_line(label),
            width,
            break_long_words=break_long_words,
            subsequent_indent=subsequent_indent,
        )
        # matplotlib reads text between dollars as a formula, and leaves labels that
        # begin with an underscore out of legends.
        text = text.replace("$", r"\$")
        return f" {text}" if text.startswith("_") else text

    return list(map(wrap, labels))


def label_rows(axes: NDArray[np.object_], labels: Iterable[Hashable]) -> None:
    """Write a label to the left of each row of a grid of axes."""
    for panel, label in zip(axes[:, 0], wrap_labels(labels, 20), strict=True):
        panel.set_ylabel(label)


def describe_axes(ax: "Axes", xlabel: str, ylabel: str, title: str) -> None:
    """Write labels and title, and remove the frame's upper and right sides."""
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.spines[["top", "right"]].set_visible(False)


def legend_outside(ax: "Axes", *handles_and_labels: Any) -> None:
    """Put the legend to the right of the axes."""
    ax.legend(
        *handles_and_labels, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False
    )


def percent_ticks(*axes: "Axis") -> None:
    """Write shares from 0 to 1 as percent."""
    from matplotlib.ticker import PercentFormatter

    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def bounds_of(estimates: Iterable[Estimate]) -> NDArray[np.float64]:
    """Return values, lower and upper bounds, of shape (3, n_estimates)."""
    return np.array([(e.value, e.low, e.high) for e in estimates]).T


def errors_of(estimates: Iterable[Estimate]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return values, and how far below and above them their intervals reach."""
    values, low, high = bounds_of(estimates)
    return values, np.stack([values - low, high - values])


def show_radiograph(ax: "Axes", image: NDArray[Any]) -> "AxesImage":
    """Draw an image without ticks: uint8 from 0 to 255, others by their range."""
    if image.dtype != np.uint8:
        low, high = image.min(), image.max()
        image = (image - low) / ((high - low) or 1)
    ax.set(xticks=[], yticks=[])
    brightest = 255 if image.dtype == np.uint8 else 1
    return ax.imshow(image, cmap="gray", vmin=0, vmax=brightest)
