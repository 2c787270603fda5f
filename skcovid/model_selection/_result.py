"""`EvaluationResult`: what an evaluation found, as tables, text, HTML and plots."""

import json
import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skcovid._base._atomic_files import atomic_write
from skcovid.metrics._bootstrap import BootstrapIntervals, bootstrap_intervals
from skcovid.metrics._confusion_matrix import estimate_cell_shares
from skcovid.metrics._estimates import Estimate
from skcovid.metrics._per_class import (
    multiclass_accuracy,
    patient_confusion_matrices,
    per_class_table,
    pooled_confusion_matrix,
)
from skcovid.metrics._predictive_values import PredictiveValues, predictive_values
from skcovid.metrics._roc_auc import roc_auc_table
from skcovid.metrics._tables import PerClassTable, RocAucTable
from skcovid.model_selection._result_text import to_dict, to_markdown

if TYPE_CHECKING:
    from skcovid.inspection._confusion_matrix import PooledConfusionMatrixDisplay
    from skcovid.inspection._training_history import TrainingHistoryDisplay

__all__ = ["EvaluationResult", "Fold"]


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
        Wall time; of the last run, where a fit was stopped and went on.
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
    groups : ndarray of shape (n_samples,) or None, default=None
        Patient of each image, kept on one side of every split. Intervals then allow for
        images of one patient being alike.
    patient_overlap : Estimate or None, default=None
        Share of test images that would have shared their patient with training images
        under as many plain ``StratifiedKFold`` of the same seed. None without patients,
        or where a class has fewer images than there are folds.

    Notes
    -----
    All intervals have a confidence level of 95 %; an estimate's `method` says how its
    interval was made.
    """

    y_true: NDArray
    folds: list[Fold]
    protocol: str
    cv: str
    pipeline: str
    groups: NDArray | None = None
    patient_overlap: Estimate | None = None

    @property
    def grouped(self) -> bool:
        """Whether images of one patient were kept on one side of every split."""
        return self.groups is not None

    @property
    def n_patients(self) -> int | None:
        """Number of patients with predicted images, if patients are known."""
        patients = self._test_groups
        return None if patients is None else len(np.unique(patients))

    @property
    def _test_groups(self) -> NDArray | None:
        return None if self.groups is None else self.groups[self.test_indices]

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
    def confusion_shares(self) -> list[list[Estimate]]:
        """Share of each true class (rows) given each label (columns)."""
        return estimate_cell_shares(self._counts)

    @property
    def per_class(self) -> PerClassTable:
        """Recall, precision, F1 and one-vs-rest accuracy (the paper's Table 4)."""
        return per_class_table(self._counts, self.classes.tolist())

    @property
    def accuracy(self) -> Estimate:
        """Multi-class accuracy of the pooled confusion matrix."""
        return multiclass_accuracy(self._counts)

    @property
    def _counts(self) -> NDArray[np.int64]:
        """Confusion matrix of each patient, or of all images."""
        if self._test_groups is None:
            return self.confusion_matrix
        return patient_confusion_matrices(
            self.y_true[self.test_indices],
            self.predictions,
            self._test_groups,
            labels=self.classes,
        )

    @property
    def balanced_accuracy(self) -> Estimate:
        """Mean of the classes' recalls."""
        return self.per_class.means.recall

    @property
    def roc_auc(self) -> RocAucTable | None:
        """Area under the ROC curve of each class, if there are probabilities."""
        probabilities = self.probabilities
        if probabilities is None:
            return None
        return roc_auc_table(
            self.y_true[self.test_indices],
            probabilities,
            self.classes,
            groups=self._test_groups,
        )

    def predictive_values(
        self, prevalence: Mapping[Hashable, float]
    ) -> dict[Hashable, PredictiveValues]:
        """Predictive values where classes are as frequent as you say.

        How many images of a class were collected says nothing of how many will come.

        Parameters
        ----------
        prevalence : mapping of label to float
            For each class that is asked about, the share of images that will be of it,
            in (0, 1). The other classes keep the mix that they have in the data.

        Returns
        -------
        dict of label to PredictiveValues
            Positive and negative predictive value, with 95 % intervals: see
            :func:`skcovid.metrics.predictive_values`.

        Raises
        ------
        KeyError
            If a label is no class.
        ValueError
            If a prevalence is not between 0 and 1.
        """
        table = self.per_class
        return {
            label: predictive_values(
                table[label].recall, table[label].specificity, share
            )
            for label, share in prevalence.items()
        }

    def bootstrap(self, **parameters: Any) -> BootstrapIntervals:
        """Intervals of accuracy, F1 and ROC AUC by resampling patients.

        Images are resampled where no patients are known.

        Parameters
        ----------
        **parameters
            `method`, `n_resamples`, `confidence_level` and `random_state` of
            :func:`skcovid.metrics.bootstrap_intervals`.

        Returns
        -------
        BootstrapIntervals
        """
        return bootstrap_intervals(
            self.y_true[self.test_indices],
            self.predictions,
            self.probabilities,
            labels=self.classes,
            groups=self._test_groups,
            **parameters,
        )

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
            Estimates are dicts of value, low, high and method. Patients are counted,
            not named.
        """
        return to_dict(self)

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
            with atomic_write(Path(path)) as file:
                file.write(text.encode())
        return text

    def to_markdown(self) -> str:
        """Return the report: scores, Tables 3 and 4, timings, and how it was made.

        Returns
        -------
        str
            Markdown.
        """
        return to_markdown(self)

    def to_html(self, path: str | os.PathLike, **parameters: Any) -> Path:
        """Write the report as one self-contained HTML file.

        Parameters
        ----------
        path : path-like
            The file, which is replaced if it exists.
        **parameters
            `pipeline`, `audit`, `X`, `saliency`, `title` and `description` of
            :func:`skcovid.write_report`.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ImportError
            If a package of the ``report`` extra is not installed.
        ValueError
            As :func:`skcovid.write_report` does.
        """
        from skcovid.report._report import write_report

        return write_report(path, self, **parameters)

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
        from skcovid.inspection._confusion_matrix import PooledConfusionMatrixDisplay

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
        from skcovid.inspection._training_history import TrainingHistoryDisplay

        if not self.histories:
            raise ValueError("The evaluated classifier keeps no training history.")
        return TrainingHistoryDisplay(self.histories).plot(ax=ax)
