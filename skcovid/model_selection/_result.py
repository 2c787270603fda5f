"""`EvaluationResult`: the results of an evaluation, as tables, JSON and Markdown."""

import json
import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skcovid._base._atomic_files import atomic_write
from skcovid._base._document import Section, Table, render_markdown
from skcovid.metrics._bootstrap import BootstrapIntervals, bootstrap_intervals
from skcovid.metrics._confusion_matrix import (
    estimate_cell_shares,
    patient_confusion_matrices,
    pooled_confusion_matrix,
)
from skcovid.metrics._estimates import Estimate, as_json
from skcovid.metrics._per_class import per_class_table
from skcovid.metrics._predictive_values import PredictiveValues, predictive_values
from skcovid.metrics._roc_auc import roc_auc_table
from skcovid.metrics._tables import PerClassTable, RocAucTable
from skcovid.model_selection import _result_sections


@dataclass(frozen=True)
class Fold:
    """What :func:`skcovid.evaluate` keeps of one fold.

    Parameters
    ----------
    train_indices, validation_indices, test_indices : ndarray of int
        Rows that were trained on, used as validation data (protocol "paper" only) and
        predicted.
    predictions : ndarray of shape (n_test,)
        Predicted labels.
    probabilities : ndarray of shape (n_test, n_classes) or None
        Predicted probabilities in [0, 1], if the classifier has them.
    confusion_matrix : ndarray of shape (n_classes, n_classes), int
        Rows are true classes, columns predicted ones.
    history : dict of str to list
        Training history; empty if the classifier keeps none.
    fit_seconds, predict_seconds : float
        Wall time; only that of the last run if a fit was stopped and resumed.
    """

    train_indices: NDArray[np.intp]
    validation_indices: NDArray[np.intp]
    test_indices: NDArray[np.intp]
    predictions: NDArray[Any]
    probabilities: NDArray[np.floating] | None
    confusion_matrix: NDArray[np.int64]
    history: dict[str, list[Any]]
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
        Rows, predictions and times of each fold.
    protocol : {"cross_val_predict", "paper"}
        How the folds were used.
    cv, pipeline : str
        ``repr`` of the cross-validator and of the pipeline.
    groups : ndarray of shape (n_samples,) or None, default=None
        Patient of each image. No patient is on two sides of a split, and intervals
        allow for images of one patient being alike.
    patient_overlap : Estimate or None, default=None
        Share of test images that would have shared their patient with training images
        in as many folds of a plain ``StratifiedKFold`` of the same seed. None without
        patients, or if a class has fewer images than there are folds.

    Notes
    -----
    All intervals have a confidence level of 95 %; an estimate's `method` says how its
    interval was made. Each table is computed once, when it is first asked for.
    """

    y_true: NDArray[Any]
    folds: list[Fold]
    protocol: str
    cv: str
    pipeline: str
    groups: NDArray[Any] | None = None
    patient_overlap: Estimate | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Tables are not pickled: they are computed again when asked for.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def grouped(self) -> bool:
        """Whether images of one patient were kept on one side of every split."""
        return self.groups is not None

    @property
    def _test_groups(self) -> NDArray[Any] | None:
        return None if self.groups is None else self.groups[self.test_indices]

    @property
    def n_patients(self) -> int | None:
        """Number of patients with predicted images, if patients are known."""
        patients = self._test_groups
        return None if patients is None else len(np.unique(patients))

    @property
    def classes(self) -> NDArray[Any]:
        """Class labels, sorted: ndarray of shape (n_classes,)."""
        return np.unique(self.y_true)

    @property
    def test_indices(self) -> NDArray[np.intp]:
        """Rows that were predicted, sorted: all of them, or the paper's halves."""
        return np.sort(np.concatenate([fold.test_indices for fold in self.folds]))

    @property
    def predictions(self) -> NDArray[Any]:
        """Out-of-fold label of each row of `test_indices`."""
        return self._in_order([fold.predictions for fold in self.folds])

    @property
    def probabilities(self) -> NDArray[np.floating] | None:
        """Out-of-fold probabilities of each row of `test_indices`, in [0, 1]."""
        parts = [
            fold.probabilities for fold in self.folds if fold.probabilities is not None
        ]
        return None if len(parts) < len(self.folds) else self._in_order(parts)

    def _in_order(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        rows = np.concatenate([fold.test_indices for fold in self.folds])
        return np.concatenate(parts)[np.argsort(rows)]

    @property
    def fold_confusion_matrices(self) -> list[NDArray[np.int64]]:
        """Confusion matrix of each fold."""
        return [fold.confusion_matrix for fold in self.folds]

    @property
    def confusion_matrix(self) -> NDArray[np.int64]:
        """Sum of the folds' confusion matrices (the paper's Table 3)."""
        return pooled_confusion_matrix(self.fold_confusion_matrices)

    @cached_property
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

    @cached_property
    def confusion_shares(self) -> list[list[Estimate]]:
        """Share of each true class (rows) predicted as each label (columns)."""
        return estimate_cell_shares(self._counts)

    @cached_property
    def per_class(self) -> PerClassTable:
        """Recall, precision, F1 and one-vs-rest accuracy (the paper's Table 4)."""
        return per_class_table(self._counts, self.classes)

    @property
    def accuracy(self) -> Estimate:
        """Multi-class accuracy of the pooled confusion matrix."""
        return self.per_class.accuracy

    @property
    def balanced_accuracy(self) -> Estimate:
        """Mean of the classes' recalls."""
        return self.per_class.means.recall

    @cached_property
    def roc_auc(self) -> RocAucTable | None:
        """Area under the ROC curve of each class, if there are probabilities."""
        if self.probabilities is None:
            return None
        return roc_auc_table(
            self.y_true[self.test_indices],
            self.probabilities,
            self.classes,
            groups=self._test_groups,
        )

    def predictive_values(
        self, prevalence: Mapping[Hashable, float]
    ) -> dict[Hashable, PredictiveValues]:
        """Predictive values at given prevalences.

        Parameters
        ----------
        prevalence : mapping of label to float
            Share of images of a class where predictions will be made, in (0, 1). The
            other classes keep the mix that they have in the data.

        Returns
        -------
        dict of label to PredictiveValues
            As of :func:`skcovid.metrics.predictive_values`, with 95 % intervals.

        Raises
        ------
        KeyError
            If a label is not a class.
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
        """Intervals of accuracy, F1 and ROC AUC by resampling patients, or images.

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
    def histories(self) -> list[dict[str, list[Any]]]:
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
        """Return all figures and predictions as a dict, ready for JSON.

        Returns
        -------
        dict
            Estimates are dicts of value, low, high and method. Patients are counted,
            not named. NaN and infinite figures are None, as JSON has neither.
        """
        probabilities = self.probabilities
        return {
            "protocol": self.protocol,
            "cv": self.cv,
            "grouped": self.grouped,
            "n_patients": self.n_patients,
            "patient_overlap": as_json(self.patient_overlap),
            "pipeline": self.pipeline,
            "versions": _result_sections.list_versions(),
            "classes": self.classes.tolist(),
            "accuracy": self.accuracy.to_dict(),
            "balanced_accuracy": self.balanced_accuracy.to_dict(),
            "per_class": self.per_class.to_dict(),
            "roc_auc": as_json(self.roc_auc),
            "confusion_matrix": self.confusion_matrix.tolist(),
            "test_indices": self.test_indices.tolist(),
            "y_true": self.y_true[self.test_indices].tolist(),
            "predictions": self.predictions.tolist(),
            "probabilities": None if probabilities is None else probabilities.tolist(),
            "folds": [
                {
                    "n_train": len(fold.train_indices),
                    "n_validation": len(fold.validation_indices),
                    "test_indices": fold.test_indices.tolist(),
                    "confusion_matrix": fold.confusion_matrix.tolist(),
                    "history": as_json(fold.history),
                    "fit_seconds": fold.fit_seconds,
                    "predict_seconds": fold.predict_seconds,
                }
                for fold in self.folds
            ],
        }

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return what `to_dict` does as JSON.

        Parameters
        ----------
        path : path-like, default=None
            A file to write it to as well.

        Returns
        -------
        str
            The JSON text.
        """
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        if path is not None:
            with atomic_write(Path(path)) as file:
                file.write(text.encode())
        return text

    def to_markdown(self) -> str:
        """Return the report as Markdown: scores, Tables 3 and 4, data, and settings.

        :func:`skcovid.write_report` writes the same with figures, as HTML.

        Returns
        -------
        str
            Markdown, its headings of level 3.
        """
        return render_markdown(describe_result(self), level=3)


def describe_result(result: EvaluationResult) -> list[Section]:
    """Return the sections of the report on a result, without pictures."""
    table, areas = result.per_class, result.roc_auc
    labels = result.classes.tolist()
    sections = [
        _result_sections.describe_headline(table, areas),
        _describe_data(result),
        _result_sections.describe_confusion_matrix(
            labels, result.confusion_matrix, result.confusion_shares
        ),
        _result_sections.describe_per_class(table, areas),
    ]
    if result.histories:
        sections.append(_result_sections.describe_training(result.histories))
    seconds = sum(map(sum, result.timings.values()))
    return [
        *sections,
        _result_sections.describe_classes(result.y_true),
        _result_sections.describe_settings(result.cv, result.pipeline, seconds),
    ]


def _describe_data(result: EvaluationResult) -> Section:
    """Give the numbers of images, patients and folds."""
    patients = "not known; images were taken as independent"
    if result.n_patients is not None:
        patients = f"{result.n_patients}, each on one side of every split"
    protocol = _result_sections.PROTOCOLS[result.protocol]
    n_predicted = len(result.test_indices)
    if result.protocol == "cross_val_predict" and n_predicted < len(result.y_true):
        protocol = "some images predicted once, the others never"
    rows = [
        ["Images", str(len(result.y_true))],
        ["Images predicted", str(n_predicted)],
        ["Classes", ", ".join(map(str, result.classes.tolist()))],
        ["Patients", patients],
        ["Folds", f"{len(result.folds)}: {protocol}"],
    ]
    if result.patient_overlap is not None:
        overlap = (
            "Test images that would have shared their patient with training images "
            "under plain stratified folds"
        )
        rows.append([overlap, str(result.patient_overlap)])
    return Section("data", "Data", [Table(["", ""], rows)])
