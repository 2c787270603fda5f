"""Images beside their augmented copies."""

from collections.abc import Hashable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from skcovid.augmentation._balancer import AugmentationBalancer
from skcovid.images._checks import check_images
from skcovid.inspection._plotting import Axes, Display, label_rows, show_radiograph


class AugmentationDisplay(Display):
    """An image of each class and its augmented copies: Figure 4 of the paper.

    Parameters
    ----------
    images : array-like of shape (n_rows, height, width[, 3]), uint8
        The original images.
    copies : array-like of shape (n_rows, n_copies, height, width[, 3]), uint8
        Augmented copies of each.
    labels : sequence of length n_rows
        What is written beside each original: its class.

    Attributes
    ----------
    ax_, figure_ : ndarray of matplotlib Axes, and Figure
        Where `plot` drew: n_rows rows of 1 + n_copies axes.

    Raises
    ------
    ValueError
        If the three differ in length or have another shape.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skcovid import AugmentationBalancer
    >>> from skcovid.datasets import make_radiographs
    >>> from skcovid.inspection import AugmentationDisplay
    >>> X, y = make_radiographs(12, image_size=32, random_state=0, return_X_y=True)
    >>> sampler = AugmentationBalancer(random_state=0)
    >>> display = AugmentationDisplay.from_sampler(sampler, X, y, n_copies=4)
    >>> display.copies.shape
    (3, 4, 32, 32)
    >>> plt.close(display.figure_)
    """

    def __init__(
        self, images: ArrayLike, copies: ArrayLike, labels: Sequence[Hashable]
    ) -> None:
        self.images = np.asarray(images)
        self.copies = np.asarray(copies)
        self.labels = labels
        if (
            self.images.ndim not in (3, 4)
            or self.copies.ndim != self.images.ndim + 1
            or not self.copies.size
            or not len(self.images) == len(self.copies) == len(labels)
        ):
            raise ValueError(
                "images must have shape (n_rows, height, width[, 3]), copies (n_rows, "
                f"n_copies, height, width[, 3]) and labels length n_rows, got "
                f"{self.images.shape}, {self.copies.shape} and {len(labels)}."
            )

    def _layout(self) -> tuple[tuple[float, float], tuple[int, ...]]:
        n_rows, n_columns = len(self.copies), 1 + self.copies.shape[1]
        return (0.6 + 2.1 * n_columns, 0.5 + 2.1 * n_rows), (n_rows, n_columns)

    def _draw(self, axes: NDArray[np.object_]) -> None:
        for row, image, copies in zip(axes, self.images, self.copies, strict=True):
            for panel, shown in zip(row, [image, *copies], strict=True):
                show_radiograph(panel, shown)
        label_rows(axes, self.labels)
        axes[0, 0].set_title("Original")
        for number, panel in enumerate(axes[0, 1:], start=1):
            panel.set_title(f"Copy {number}")

    @classmethod
    def from_sampler(
        cls,
        sampler: AugmentationBalancer,
        X: Any,
        y: ArrayLike,
        *,
        n_copies: int = 3,
        ax: "Axes | Sequence[Axes] | None" = None,
    ) -> Self:
        """Plot a sampler's copies of the first image of each class.

        With an integer `random_state` they are the copies that are trained on.

        Parameters
        ----------
        sampler : AugmentationBalancer
            The sampler, as a step of a pipeline or alone. It is not changed.
        X : LazyImages or array-like of shape (n_samples, height, width[, 3])
            Grey or RGB pixels in [0, 255]; a RadiographReader turns paths into them.
        y : array-like of shape (n_samples,)
            Class labels, at least two classes.
        n_copies : int, default=3
            Copies of each image.
        ax : sequence of matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        AugmentationDisplay

        Raises
        ------
        ValueError
            If `X` holds no valid images or `y` only one class.
        """
        labels, first = np.unique(np.asarray(y), return_index=True)
        images = check_images(X)[first]
        # One image a class, so that factor is the number of copies of each.
        balancer = clone(sampler).set_params(
            sampling_strategy="all", factor=n_copies, include_originals=False
        )
        copies = np.asarray(balancer.fit_resample(images, labels)[0])
        return cls(
            np.asarray(images),
            copies.reshape(len(labels), n_copies, *copies.shape[1:]),
            labels.tolist(),
        ).plot(ax=ax)
