"""`EvaluationResult`: what an evaluation found, as tables, JSON, Markdown and plots."""

import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skcovid.metrics import (
    Estimate,
    PerClassTable,
    confusion_matrix_to_markdown,
    multiclass_accuracy,
    per_class_table,
    pooled_confusion_matrix,
)

if TYPE_CHECKING:
    from skcovid.inspection import PooledConfusionMatrixDisplay, TrainingHistoryDisplay

__all__ = ["EvaluationResult", "Fold"]

_PROTOCOLS = {
    "cross_val_predict": "every image predicted once, by a model that never saw it",
    "paper": (
        "the paper's half-folds: half of each test fold steers the training, the other "
        "half is predicted"
    ),
}
_PACKAGES = ("skcovid", "scikit-learn", "imbalanced-learn", "keras", "scikeras")


@dataclass(frozen=True)
class Fold:
    """What one fold gave.

    Parameters
    ----------
    train_indices, validation_indices, test_indices : ndarray of int
        Rows that were trained on, monitored (protocol "paper" only) and predicted.
    predictions : ndarray of shape (n_test,)
        Predicted labels.
    probabilities : ndarray of shape (n_test, n_classes) or None
        Predicted probabilities in [0, 1], if the classifier has them.
    confusion_matrix : ndarray of shape (n_classes, n_classes), int
        Rows are true classes, columns predicted ones.
    history : dict of str to list
        Training history; empty where the classifier keeps none.
    fit_seconds, predict_seconds : float
        Wall time.
    """

    train_indices: NDArray[np.intp]
    validation_indices: NDArray[np.intp]
    test_indices: NDArray[np.intp]
    predictions: NDArray
    probabilities: NDArray[np.floating] | None
    confusion_matrix: NDArray[np.int64]
    history: dict[str, list]
    fit_seconds: float
    predict_seconds: float


@dataclass(frozen=True)
class EvaluationResult:
    """What :func:`skcovid.evaluate` returns.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        True labels of all images.
    folds : list of Fold
        What each fold gave.
    protocol : {"cross_val_predict", "paper"}
        How the folds were used.
    cv, pipeline : str
        The cross-validator and the pipeline, as they describe themselves.
    grouped : bool
        Whether images of one patient were kept on one side of every split.
    """

    y_true: NDArray
    folds: list[Fold]
    protocol: str
    cv: str
    pipeline: str
    grouped: bool

    @property
    def classes(self) -> NDArray:
        """Class labels, sorted: ndarray of shape (n_classes,)."""
        return np.unique(self.y_true)

    @property
    def test_indices(self) -> NDArray[np.intp]:
        """Rows that were predicted, sorted: all of them, or the paper's halves."""
        return np.sort(np.concatenate([fold.test_indices for fold in self.folds]))

    @property
    def predictions(self) -> NDArray:
        """Out-of-fold label of each row of `test_indices`."""
        return self._in_order([fold.predictions for fold in self.folds])

    @property
    def probabilities(self) -> NDArray[np.floating] | None:
        """Out-of-fold probabilities of each row of `test_indices`, in [0, 1]."""
        parts = [fold.probabilities for fold in self.folds]
        return None if any(part is None for part in parts) else self._in_order(parts)

    def _in_order(self, parts: list) -> NDArray:
        rows = np.concatenate([fold.test_indices for fold in self.folds])
        return np.concatenate(parts)[np.argsort(rows)]

    @property
    def fold_confusion_matrices(self) -> list[NDArray[np.int64]]:
        """One confusion matrix a fold."""
        return [fold.confusion_matrix for fold in self.folds]

    @property
    def confusion_matrix(self) -> NDArray[np.int64]:
        """The folds' confusion matrices added up (the paper's Table 3)."""
        return pooled_confusion_matrix(self.fold_confusion_matrices)

    @property
    def per_class(self) -> PerClassTable:
        """Recall, precision, F1 and one-vs-rest accuracy (the paper's Table 4)."""
        return per_class_table(self.confusion_matrix, self.classes.tolist())

    @property
    def accuracy(self) -> Estimate:
        """Multi-class accuracy of the pooled confusion matrix."""
        return multiclass_accuracy(self.confusion_matrix)

    @property
    def histories(self) -> list[dict[str, list]]:
        """Training history of each fold that has one."""
        return [fold.history for fold in self.folds if fold.history]

    @property
    def timings(self) -> dict[str, list[float]]:
        """Wall time of each fold, in seconds: "fit" and "predict"."""
        return {
            "fit": [fold.fit_seconds for fold in self.folds],
            "predict": [fold.predict_seconds for fold in self.folds],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as what JSON knows.

        Returns
        -------
        dict
        """
        folds = [
            {
                "n_train": len(fold.train_indices),
                "n_validation": len(fold.validation_indices),
                "test_indices": fold.test_indices.tolist(),
                "confusion_matrix": fold.confusion_matrix.tolist(),
                "history": fold.history,
                "fit_seconds": fold.fit_seconds,
                "predict_seconds": fold.predict_seconds,
            }
            for fold in self.folds
        ]
        probabilities = self.probabilities
        return {
            "protocol": self.protocol,
            "cv": self.cv,
            "grouped": self.grouped,
            "pipeline": self.pipeline,
            "versions": _versions(),
            "classes": self.classes.tolist(),
            "accuracy": self.accuracy.to_dict(),
            "per_class": self.per_class.to_dict(),
            "confusion_matrix": self.confusion_matrix.tolist(),
            "test_indices": self.test_indices.tolist(),
            "y_true": self.y_true[self.test_indices].tolist(),
            "predictions": self.predictions.tolist(),
            "probabilities": None if probabilities is None else probabilities.tolist(),
            "folds": folds,
        }

    def to_json(self, path: str | os.PathLike | None = None) -> str:
        """Write everything as JSON.

        Parameters
        ----------
        path : path-like, default=None
            A file to write it to as well.

        Returns
        -------
        str
            The JSON text.
        """
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def to_markdown(self) -> str:
        """Return the report: accuracy, Tables 3 and 4, timings, and how it was made.

        Returns
        -------
        str
            Markdown.
        """
        table = self.per_class
        patients = (
            "patients kept whole" if self.grouped else "patients not taken into account"
        )
        one_vs_rest = table.means.one_vs_rest_accuracy.format_percent()
        seconds = sum(self.timings["fit"]) + sum(self.timings["predict"])
        versions = ", ".join(f"{name} {found}" for name, found in _versions().items())
        return "\n".join(
            [
                f"{len(self.folds)} folds, {len(self.test_indices)} images predicted: "
                f"{_PROTOCOLS[self.protocol]}; {patients}. Intervals are 95 %.",
                "",
                f"- multi-class accuracy: {self.accuracy.format_percent()}",
                f"- one-vs-rest accuracy, mean (the paper's ACC): {one_vs_rest}",
                f"- wall time: {seconds / 60:.1f} minutes",
                "",
                "Confusion matrix, all folds (the paper's Table 3):",
                "",
                confusion_matrix_to_markdown(
                    self.confusion_matrix, self.classes.tolist()
                ),
                "",
                "Per class (the paper's Table 4):",
                "",
                table.to_markdown(),
                "",
                f"Made with `{self.cv}`; {versions}.",
            ]
        )

    def plot_confusion_matrix(self, ax: Any = None) -> "PooledConfusionMatrixDisplay":
        """Draw the pooled confusion matrix.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure if None.

        Returns
        -------
        PooledConfusionMatrixDisplay
        """
        from skcovid.inspection import PooledConfusionMatrixDisplay

        return PooledConfusionMatrixDisplay(
            self.confusion_matrix, display_labels=self.classes
        ).plot(ax=ax)

    def plot_history(self, ax: Any = None) -> "TrainingHistoryDisplay":
        """Draw loss and accuracy over the epochs of every fold.

        Parameters
        ----------
        ax : sequence of matplotlib Axes, default=None
            Where to draw; a new figure if None.

        Returns
        -------
        TrainingHistoryDisplay

        Raises
        ------
        ValueError
            If the classifier keeps no history.
        """
        from skcovid.inspection import TrainingHistoryDisplay

        if not self.histories:
            raise ValueError("The evaluated classifier keeps no training history.")
        return TrainingHistoryDisplay(self.histories).plot(ax=ax)


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {
        name: version(name) for name in _PACKAGES
    }
