"""Radiographs beside their saliency."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skcovid._base._requirements import require
from skcovid.inspection._grad_cam import grad_cam
from skcovid.inspection._occlusion import occlusion_sensitivity
from skcovid.inspection._plotting import Axes, Display, label_rows, show_radiograph
from skcovid.inspection._saliency_inputs import (
    Target,
    check_target,
    predictor_and_images,
    quiet_copy,
)
from skcovid.inspection._score_cam import score_cam

# Name of the method, its function, and what its values mean.
_METHODS: dict[str, tuple[str, Any, str]] = {
    "grad_cam": ("Grad-CAM", grad_cam, "Share of the image's largest value"),
    "score_cam": ("Score-CAM", score_cam, "Share of the image's largest value"),
    "occlusion_sensitivity": (
        *("Occlusion sensitivity", occlusion_sensitivity),
        "Fall of the probability when hidden",
    ),
}


class SaliencyDisplay(Display):
    """Radiographs, and beside each its saliency drawn over it.

    Parameters
    ----------
    images : array-like of shape (n_samples, height, width[, 3])
        The images; uint8 is drawn from 0 to 255, anything else over its own range.
    saliency : array-like of shape (n_samples, rows, columns)
        Saliency of the images, at their size or any other.
    labels : sequence of length n_samples, default=None
        What is written beside each image, such as the class that is explained.
    method : str, default="Saliency"
        Title of the saliency.
    unit : str, default="Saliency"
        What its values mean, written at the colour bar.

    Attributes
    ----------
    im_ : list of matplotlib AxesImage
        The saliencies drawn, all with the same colours: from 0 to the largest value,
        or, if there are negative ones, as far to either side of 0.
    ax_, figure_ : ndarray of shape (n_samples, 2) of matplotlib Axes, and Figure
        Where `plot` drew.

    Raises
    ------
    ValueError
        If `images`, `saliency` and `labels` differ in length or have another shape, or
        the saliency is not finite.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from skcovid.inspection import SaliencyDisplay
    >>> image = np.full((1, 8, 8), 100, dtype=np.uint8)
    >>> saliency = np.linspace(0, 1, 64).reshape(1, 8, 8)
    >>> display = SaliencyDisplay(image, saliency, ["COVID-19"], method="Grad-CAM")
    >>> display.plot().ax_[0, 1].get_title()
    'Grad-CAM'
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        images: ArrayLike,
        saliency: ArrayLike,
        labels: Sequence[Hashable] | None = None,
        *,
        method: str = "Saliency",
        unit: str = "Saliency",
    ) -> None:
        self.images = np.asarray(images)
        self.saliency = np.asarray(saliency)
        self.labels = labels
        self.method = method
        self.unit = unit
        n_labels = len(self.images) if labels is None else len(labels)
        if (
            self.images.ndim not in (3, 4)
            or self.saliency.ndim != 3
            or not 0 < len(self.images) == len(self.saliency) == n_labels
        ):
            raise ValueError(
                "images must have shape (n_samples, height, width[, 3]), saliency "
                "(n_samples, rows, columns) and labels length n_samples, got "
                f"{self.images.shape}, {self.saliency.shape} and {n_labels}."
            )
        if not np.isfinite(self.saliency).all():
            raise ValueError("saliency holds NaN or infinite values.")

    def _layout(self) -> tuple[tuple[float, float], tuple[int, ...]]:
        return (6.0, 0.5 + 2.1 * len(self.images)), (len(self.images), 2)

    def _draw(self, axes: NDArray[np.object_]) -> None:
        largest = np.abs(self.saliency).max() or 1
        colours: dict[str, Any] = {"cmap": "inferno", "vmin": 0, "vmax": largest}
        if self.saliency.min() < 0:
            colours |= {"cmap": "RdBu_r", "vmin": -largest}
        self.im_: list[Any] = []
        for row, image, values in zip(axes, self.images, self.saliency, strict=True):
            for panel in row:
                extent = show_radiograph(panel, image).get_extent()
            overlay = row[1].imshow(values, alpha=0.5, extent=extent, **colours)
            self.im_.append(overlay)
        if self.labels is not None:
            label_rows(axes, self.labels)
        axes[0, 0].set_title("Radiograph")
        axes[0, 1].set_title(self.method)
        bar = self.figure_.colorbar(
            self.im_[0], ax=list(axes[:, 1]), label=self.unit, fraction=0.05
        )
        if bar.solids is not None:
            bar.solids.set_alpha(1)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        target: Target = None,
        method: Literal["grad_cam", "score_cam", "occlusion_sensitivity"] = "grad_cam",
        ax: "Axes | Sequence[Axes] | None" = None,
        **options: Any,
    ) -> Self:
        """Explain predictions of a fitted classifier and plot the images.

        The class that is explained and its probability are written beside each image.

        Parameters
        ----------
        estimator, X, target
            As the function of `method` takes them.
        method : {"grad_cam", "score_cam", "occlusion_sensitivity"}, \
                default="grad_cam"
            The function of :mod:`skcovid.inspection` that explains.
        ax : sequence of 2 × n_samples matplotlib Axes, default=None
            Where to draw; a new figure by default.
        **options
            Other parameters of the function.

        Returns
        -------
        SaliencyDisplay

        Raises
        ------
        TypeError, ValueError
            If `method` is not known, or as its function raises.
        """
        require("matplotlib", extra="plot", caller=f"{cls.__name__}.from_estimator")
        if method not in _METHODS:
            raise ValueError(
                f"method={method!r} is not known; choose one of "
                f"{', '.join(map(repr, _METHODS))}."
            )
        title, explain, unit = _METHODS[method]
        predictor, images = predictor_and_images(estimator, X)
        quiet = quiet_copy(predictor)
        probabilities = quiet.predict_proba(images)
        classes = estimator.classes_
        columns = check_target(target, classes, len(images))
        if columns is None:
            columns = np.searchsorted(classes, quiet.predict(images))
        labels = [
            f"{classes[column]}: {row[column]:.2f}"
            for column, row in zip(columns, probabilities, strict=True)
        ]
        saliency = explain(estimator, X, target=classes[columns], **options)
        return cls(images, saliency, labels, method=title, unit=unit).plot(ax=ax)
