"""`ExternalResult`: the figures of a model on images from elsewhere."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skcovid.metrics._estimates import as_json
from skcovid.model_selection._predictions import Scored
from skcovid.model_selection._source_figures import SourceFigures


@dataclass(frozen=True, repr=False)
class ExternalResult(SourceFigures):
    """What a model that was fitted on all images says of images from elsewhere.

    :func:`skcovid.evaluate` makes it of its parameter `test`. Images that the model may
    have seen are left out. Images of a label that the model lacks count as the rest of
    every class; the multi-class accuracy is NaN then.

    Parameters
    ----------
    y_true, predictions, probabilities, classes, groups
        Of the images that were scored, as in :class:`SourceFigures`.
    rows : ndarray of shape (n_scored,), int
        Rows of `test` that were scored.
    copies : dict of int to int, or None
        Rows of `test` that were left out because the image also is in `X`, each with a
        row of `X`. None where copies were not searched for: features, texts, and files
        that the package does not read.
    patients_in_training : ndarray of int
        Rows of `test` that were left out because their patient is in `groups` of `X`.
    history : dict of str to list
        Training history; empty if the classifier keeps none.
    fit_seconds, predict_seconds : float
        Wall time of the fit on all images, and of the predictions.
    """

    rows: NDArray[np.intp]
    copies: dict[int, int] | None
    patients_in_training: NDArray[np.intp]
    history: dict[str, list[Any]]
    fit_seconds: float
    predict_seconds: float

    @property
    def _scored(self) -> Scored:
        n_all = len(self.rows) + self.n_left_out
        return super()._scored._replace(rows=self.rows, n_images=n_all)

    @property
    def n_left_out(self) -> int:
        """Number of images of `test` that were not scored."""
        return len({*(self.copies or ()), *self.patients_in_training.tolist()})

    def to_dict(self) -> dict[str, Any]:
        """Return all figures and predictions as a dict, ready for JSON.

        Returns
        -------
        dict
            As of :meth:`EvaluationResult.to_dict`.
        """
        return {
            **self._figures(),
            "n_left_out": self.n_left_out,
            "copies": as_json(self.copies),
            "patients_in_training": self.patients_in_training.tolist(),
            "rows": self.rows.tolist(),
            "history": as_json(self.history),
            "fit_seconds": self.fit_seconds,
            "predict_seconds": self.predict_seconds,
        }
