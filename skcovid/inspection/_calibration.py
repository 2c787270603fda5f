"""Calibration curves of predicted probabilities, one for each class."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.calibration import calibration_curve
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skcovid._base._label_checks import check_groups
from skcovid._base._requirements import require
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
from skcovid.metrics._proportions import estimate_ratio
from skcovid.model_selection._result import EvaluationResult

_MARKERS = "osD^vP"


class OneVsRestCalibrationDisplay(ResultMixin, Display):
    """Calibration curve of every class against the rest, with intervals.

    :class:`sklearn.calibration.CalibrationDisplay` draws the curve of a binary
    classifier. This one draws a curve for each class, and around every dot the 95 %
    interval of the frequency: a bin of a rare class often holds few images. With
    patients it allows for images of one patient being alike.

    Parameters
    ----------
    n_true : sequence of n_classes array-like of shape ([n_patients, ]n_bins), int
        Images of the class in each bin of its predicted probability, of each patient
        or of all.
    n_images : sequence of n_classes array-like of shape ([n_patients, ]n_bins), int
        All images in each bin, at least 1 in all.
    prob_pred : sequence of n_classes array-like of shape (n_bins,), float in [0, 1]
        Mean predicted probability in each bin.
    labels : sequence of length n_classes
        Names of the classes. The number of bins may differ between them.

    Attributes
    ----------
    lines_ : list of n_classes matplotlib ErrorbarContainer
        The curves.
    ax_, figure_ : matplotlib Axes and Figure
        Where `plot` drew.

    Raises
    ------
    ValueError
        If the sequences differ in length.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skcovid.inspection import OneVsRestCalibrationDisplay
    >>> display = OneVsRestCalibrationDisplay.from_predictions(
    ...     ["COVID-19", "Normal", "Normal", "Normal"],
    ...     [[0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.7, 0.3]],
    ...     labels=["COVID-19", "Normal"],
    ...     n_bins=2,
    ... )
    >>> display.n_true[0], display.n_images[0]
    (array([0, 1]), array([2, 2]))
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        n_true: Sequence[ArrayLike],
        n_images: Sequence[ArrayLike],
        prob_pred: Sequence[ArrayLike],
        labels: Sequence[Hashable],
    ) -> None:
        check_consistent_length(n_true, n_images, prob_pred, labels)
        for true, images, means in zip(n_true, n_images, prob_pred, strict=True):
            check_consistent_length(np.transpose(true), np.transpose(images), means)
        self.n_true = n_true
        self.n_images = n_images
        self.prob_pred = prob_pred
        self.labels = labels

    def _layout(self) -> tuple[tuple[float, float], tuple[int, ...]]:
        return (6.5, 4.2), ()

    def _draw(self, ax: "Axes") -> None:
        ax.plot([0, 1], [0, 1], color="0.5", linestyle=":", label="Perfect calibration")
        self.lines_ = []
        for index, name in enumerate(wrap_labels(self.labels, 24)):
            true, images = (
                np.asarray(counts[index]).T for counts in (self.n_true, self.n_images)
            )
            bins = zip(true, images, strict=True)
            shares, errors = errors_of([estimate_ratio(*one) for one in bins])
            self.lines_.append(
                ax.errorbar(
                    self.prob_pred[index],
                    shares,
                    yerr=errors,
                    color=COLOURS[index % len(COLOURS)],
                    marker=_MARKERS[index % len(_MARKERS)],
                    capsize=3,
                    linewidth=1.2,
                    label=name,
                )
            )
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        describe_axes(
            ax,
            "Mean predicted probability of the class",
            "Share of images of the class",
            "Calibration of each class against the rest",
        )
        legend_outside(ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike,
        *,
        labels: Sequence[Hashable],
        groups: ArrayLike | None = None,
        n_bins: int = 5,
        strategy: Literal["uniform", "quantile"] = "uniform",
        ax: "Axes | None" = None,
    ) -> Self:
        """Bin predicted probabilities as scikit-learn does and plot the curves.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels.
        y_prob : array-like of shape (n_samples, n_classes), float in [0, 1]
            Predicted probabilities.
        labels : sequence of length n_classes
            The classes, in the order of the columns.
        groups : array-like of shape (n_samples,), default=None
            Patient of each image. By default images count as independent.
        n_bins : int, default=5
            Number of bins; those without an image are not drawn.
        strategy : {"uniform", "quantile"}, default="uniform"
            Whether the bins are of equal width or hold equally many images.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        OneVsRestCalibrationDisplay

        Raises
        ------
        ValueError
            If `y_prob` is not of shape (n_samples, n_classes) and in [0, 1], or
            `y_true` holds a class that `labels` does not.
        """
        y_true, y_prob = np.asarray(y_true), np.asarray(y_prob)
        if y_prob.shape != (len(y_true), len(labels)):
            raise ValueError(
                f"y_prob must have shape ({len(y_true)}, {len(labels)}), a row for "
                f"each image and a column for each class, got {y_prob.shape}."
            )
        unknown = np.setdiff1d(y_true, np.asarray(labels))
        if len(unknown):
            raise ValueError(f"y_true holds classes not in labels: {unknown.tolist()}.")
        check_consistent_length(y_true, groups)
        check_groups(groups)
        units = np.zeros(len(y_true), dtype=np.intp)
        if groups is not None:
            units = np.unique(column_or_1d(groups), return_inverse=True)[1]
        n_true, n_images, prob_pred = [], [], []
        for label, column in zip(labels, y_prob.T, strict=True):
            _, means = calibration_curve(
                y_true == label, column, n_bins=n_bins, strategy=strategy
            )
            # calibration_curve does not return which images its bins hold.
            edges = np.linspace(0, 1, n_bins + 1)
            if strategy == "quantile":
                edges = np.percentile(column, 100 * edges)
            used, bins = np.unique(
                np.searchsorted(edges[1:-1], column), return_inverse=True
            )
            counts = np.zeros((2, units.max() + 1, len(used)), dtype=np.intp)
            np.add.at(counts, ((y_true == label).astype(int), units, bins), 1)
            true, images = counts[1], counts.sum(axis=0)
            n_true.append(true[0] if groups is None else true)
            n_images.append(images[0] if groups is None else images)
            prob_pred.append(means)
        return cls(n_true, n_images, prob_pred, labels).plot(ax)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: ArrayLike, **options: Any
    ) -> Self:
        """Predict with a fitted classifier and plot the curves.

        Parameters
        ----------
        estimator : estimator
            A fitted classifier with ``predict_proba``, or pipeline that ends in one.
        X : array-like of shape (n_samples, ...)
            Images or paths, as `estimator` takes them, that it was not fitted on.
        y : array-like of shape (n_samples,)
            True labels.
        **options
            `groups`, `n_bins`, `strategy` and `ax` of :meth:`from_predictions`.

        Returns
        -------
        OneVsRestCalibrationDisplay

        Raises
        ------
        ValueError
            If `y` holds a class that `estimator` does not know.
        """
        require("matplotlib", extra="plot", caller=f"{cls.__name__}.from_estimator")
        y_prob = estimator.predict_proba(X)
        labels = estimator.classes_.tolist()
        return cls.from_predictions(y, y_prob, labels=labels, **options)

    @classmethod
    def _from_result(cls, result: EvaluationResult, ax: "Axes | None") -> Self:
        return cls.from_predictions(
            result._scored.y_true,
            result._known_probabilities(),
            labels=result.classes.tolist(),
            groups=result._scored.groups,
            ax=ax,
        )
