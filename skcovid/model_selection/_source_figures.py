"""`SourceFigures`: the figures of the images of one source."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skcovid.model_selection._predictions import Predictions, Scored


@dataclass(frozen=True, repr=False)
class SourceFigures(Predictions):
    """The figures of the predicted images of one source, such as a hospital.

    ``result.by_source`` holds one for each. What the source gives no figure of is NaN:
    the recall of a class that it lacks, and every ROC AUC if it has one class only.

    Parameters
    ----------
    y_true, predictions : ndarray of shape (n_images,)
        True and predicted labels of its images.
    probabilities : ndarray of shape (n_images, n_classes) or None
        Predicted probabilities in [0, 1], if the classifier has them.
    classes : ndarray of shape (n_classes,)
        Labels of all sources, sorted.
    groups : ndarray of shape (n_images,) or None
        Patient of each image.
    """

    y_true: NDArray[Any]
    predictions: NDArray[Any]
    probabilities: NDArray[np.floating] | None
    classes: NDArray[Any]
    groups: NDArray[Any] | None

    @property
    def _scored(self) -> Scored:
        return Scored(
            self.y_true,
            self.predictions,
            self.probabilities,
            self.classes,
            self.groups,
            np.arange(self.n_images),
            self.n_images,
        )

    @property
    def n_images(self) -> int:
        """Number of predicted images."""
        return len(self.y_true)

    @property
    def class_counts(self) -> dict[Hashable, int]:
        """Number of predicted images of each class, 0 for those that it lacks."""
        counts = Counter(self.y_true.tolist())
        return {label: counts[label] for label in self.classes.tolist()}

    def to_dict(self) -> dict[str, Any]:
        """Return counts and figures as a dict, ready for JSON.

        Returns
        -------
        dict
            As of :meth:`EvaluationResult.to_dict`, without single images.
        """
        figures = self._figures()
        for of_images in ("y_true", "predictions", "probabilities"):
            del figures[of_images]
        counts = {str(label): count for label, count in self.class_counts.items()}
        return {"n_images": self.n_images, "class_counts": counts, **figures}
