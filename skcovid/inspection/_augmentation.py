"""Images beside the copies that augmentation makes of them."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from skcovid.augmentation._balancer import AugmentationBalancer
from skcovid.images._checks import check_images
from skcovid.inspection._plotting import (
    check_matplotlib_support,
    make_grid,
    show_radiograph,
    wrap_labels,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["AugmentationDisplay"]


class AugmentationDisplay:
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
    ax_ : ndarray of shape (n_rows, 1 + n_copies) of matplotlib Axes
        Axes of the originals and the copies.
    figure_ : matplotlib Figure
        Figure the axes are in.

    Raises
    ------
    ValueError
        If the three are not of one length or have no valid shape.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skcovid.datasets import make_radiographs
    >>> from skcovid.inspection import AugmentationDisplay
    >>> X, y = make_radiographs(12, image_size=32, random_state=0, return_X_y=True)
    >>> display = AugmentationDisplay.from_images(X, y, n_copies=4, random_state=0)
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

    def plot(self, ax: "Axes | Sequence[Axes] | None" = None) -> "AugmentationDisplay":
        """Draw a row for each original: itself, and its copies.

        Parameters
        ----------
        ax : sequence of n_rows × (1 + n_copies) matplotlib Axes, default=None
            Where to draw, row by row; a new figure by default.

        Returns
        -------
        AugmentationDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `ax` does not hold as many axes as there are images and copies.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        n_rows, n_copies = self.copies.shape[:2]
        axes = make_grid(ax, n_rows, 1 + n_copies)
        for row, image, copies in zip(axes, self.images, self.copies, strict=True):
            for panel, shown in zip(row, [image, *copies], strict=True):
                show_radiograph(panel, shown)
        for panel, label in zip(axes[:, 0], wrap_labels(self.labels, 20), strict=True):
            panel.set_ylabel(label)
        axes[0, 0].set_title("Original")
        for number, panel in enumerate(axes[0, 1:], start=1):
            panel.set_title(f"Copy {number}")
        self.ax_ = axes
        self.figure_ = axes[0, 0].figure
        return self

    @classmethod
    def from_sampler(
        cls,
        sampler: AugmentationBalancer,
        X: Any,
        y: ArrayLike,
        *,
        n_copies: int = 3,
        ax: "Axes | Sequence[Axes] | None" = None,
    ) -> "AugmentationDisplay":
        """Draw the copies that a sampler makes of the first image of each class.

        With a `random_state` of its own they are those that training is given.

        Parameters
        ----------
        sampler : AugmentationBalancer
            The sampler, as a step of a pipeline or alone. It is not changed.
        X : LazyImages or array-like of shape (n_samples, height, width[, 3])
            Grey or RGB pixels in [0, 255]. Paths are read by a RadiographReader.
        y : array-like of shape (n_samples,)
            Class labels, of two classes at least.
        n_copies : int, default=3
            Copies of each image.
        ax : sequence of matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        AugmentationDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `X` holds no valid images or `y` one class only.
        """
        check_matplotlib_support(f"{cls.__name__}.from_sampler")
        labels, first = np.unique(np.asarray(y), return_index=True)
        images = check_images(X)[first]
        # One image a class, so that factor is the number of copies of each.
        one_each = clone(sampler).set_params(
            sampling_strategy="all", factor=n_copies, include_originals=False
        )
        copies, _ = one_each.fit_resample(images, labels)
        copies = np.asarray(copies)
        return cls(
            np.asarray(images),
            copies.reshape(len(labels), n_copies, *copies.shape[1:]),
            labels.tolist(),
        ).plot(ax=ax)

    @classmethod
    def from_images(
        cls,
        X: Any,
        y: ArrayLike,
        *,
        n_copies: int = 3,
        random_state: int | np.random.RandomState | None = None,
        ax: "Axes | Sequence[Axes] | None" = None,
    ) -> "AugmentationDisplay":
        """Augment the first image of each class as the paper does, and draw it.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width[, 3])
            Grey or RGB pixels in [0, 255]. Paths are read by a RadiographReader.
        y : array-like of shape (n_samples,)
            Class labels, of two classes at least.
        n_copies : int, default=3
            Copies of each image.
        random_state : int, RandomState instance or None, default=None
            Seed of the copies.
        ax : sequence of matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        AugmentationDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `X` holds no valid images or `y` one class only.
        """
        sampler = AugmentationBalancer(random_state=random_state)
        return cls.from_sampler(sampler, X, y, n_copies=n_copies, ax=ax)
