"""The confusion matrix: counts, and under them the share of the true class."""

from collections.abc import Hashable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import ConfusionMatrixDisplay

from skcovid._base._requirements import require
from skcovid.inspection._plotting import Axes, ResultMixin, wrap_labels
from skcovid.metrics._confusion_matrix import check_confusion_matrix
from skcovid.model_selection._result import EvaluationResult


class PooledConfusionMatrixDisplay(ResultMixin, ConfusionMatrixDisplay):
    """Confusion matrix with counts and, under each, its share of the true class.

    A :class:`sklearn.metrics.ConfusionMatrixDisplay`, with its ``from_estimator`` and
    ``from_predictions``, that adds the shares and colours the cells by them: coloured
    by count, a class of 95 images looks empty beside one of 725. Table 3 of the paper
    as a plot.

    Parameters
    ----------
    confusion_matrix : ndarray of shape (n_classes, n_classes), int
        Counts of images: rows are true classes, columns predicted ones. Folds are
        added up by :func:`~skcovid.metrics.pooled_confusion_matrix`.
    display_labels : sequence of length n_classes, default=None
        Names of the classes; 0, 1, … by default.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The coloured cells: shares of the true class, in percent.
    text_ : ndarray of shape (n_classes, n_classes) of matplotlib Text
        The texts in the cells, or None with ``include_values=False``.
    ax_, figure_ : matplotlib Axes and Figure
        Where `plot` drew.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skcovid.inspection import PooledConfusionMatrixDisplay
    >>> display = PooledConfusionMatrixDisplay.from_predictions(
    ...     ["Normal", "COVID-19", "Normal", "Normal"],
    ...     ["Normal", "COVID-19", "COVID-19", "Normal"],
    ... )
    >>> print(display.text_[1, 1].get_text())
    2
    66.7 %
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        confusion_matrix: ArrayLike,
        *,
        display_labels: Sequence[Hashable] | None = None,
    ) -> None:
        # The base class has no types.
        super().__init__(confusion_matrix, display_labels=display_labels)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        xticks_rotation: float | str = "horizontal",
        values_format: str | None = None,
        text_kw: dict[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        xticks_rotation, values_format, text_kw, **options
            As for :meth:`sklearn.metrics.ConfusionMatrixDisplay.plot`. Horizontal
            labels are broken into lines, and counts written in full by default.

        Returns
        -------
        PooledConfusionMatrixDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `confusion_matrix` holds anything but counts.
        """
        require("matplotlib", extra="plot", caller=f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        counts = check_confusion_matrix(self.confusion_matrix)
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        super().plot(
            xticks_rotation=xticks_rotation,
            values_format="d" if values_format is None else values_format,
            ax=ax,
            text_kw=text_kw,
            **options,
        )
        with np.errstate(invalid="ignore"):
            shares = 100 * counts / counts.sum(axis=1, keepdims=True)
        self.im_.set_data(shares)
        self.im_.set_clim(0, 100)
        if self.im_.colorbar is not None:
            self.im_.colorbar.set_label("Share of the true class (%)")
        if self.text_ is not None:
            recolour = {"c", "color"}.isdisjoint(text_kw or {})
            for text, share in zip(self.text_.flat, shares.flat, strict=True):
                percent = "n/a" if np.isnan(share) else f"{share:.1f} %"
                text.set_text(f"{text.get_text()}\n{percent}")
                if recolour:
                    # A row without images has no share and stays white.
                    text.set_color(self.im_.cmap(1.0 if share < 50 else 0.0))
        labels = [tick.get_text() for tick in ax.get_yticklabels()]
        ax.set_yticks(range(len(counts)), wrap_labels(labels, 20))
        width = 12 if xticks_rotation == "horizontal" else 80
        ax.set_xticks(range(len(counts)), wrap_labels(labels, width))
        ax.set_title(f"Confusion matrix ({counts.sum():,} images)")
        return self

    @classmethod
    def _from_result(cls, result: EvaluationResult, ax: "Axes | None") -> Self:
        labels = result.classes.tolist()
        return cls(result.confusion_matrix, display_labels=labels).plot(ax)
