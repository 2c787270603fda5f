"""`Predictions`: figures of predicted images, whatever predicted them."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skcovid._base._document import Overview, Table
from skcovid._base._label_checks import as_columns
from skcovid.metrics._bootstrap import BootstrapIntervals, bootstrap_intervals
from skcovid.metrics._calibration import CalibrationTable, calibration_table
from skcovid.metrics._confusion_matrix import (
    estimate_cell_shares,
    patient_confusion_matrices,
)
from skcovid.metrics._decision_curve import DecisionCurve, decision_curve
from skcovid.metrics._estimates import Estimate, as_json, difference_estimate
from skcovid.metrics._operating_point import OperatingPoint, operating_point
from skcovid.metrics._per_class import find_per_class
from skcovid.metrics._predictive_values import PredictiveValues, predictive_values
from skcovid.metrics._roc_auc import roc_auc_table
from skcovid.metrics._subgroups import SubgroupTable, subgroup_table
from skcovid.metrics._tables import PerClassTable, RocAucTable


class Scored(NamedTuple):
    """The predicted images: labels, predictions, classes and patients."""

    y_true: NDArray[Any]
    predictions: NDArray[Any]
    # A column for each class.
    probabilities: NDArray[np.floating] | None
    classes: NDArray[Any]
    groups: NDArray[Any] | None
    # Which of all images they are, and the number of all.
    rows: NDArray[np.intp]
    n_images: int


class Predictions(Overview, ABC):
    """Figures of predicted images, the base of all results of an evaluation.

    All intervals have a confidence level of 95 %; an estimate's `method` says how its
    interval was made. Each table is computed once, when it is first asked for.
    """

    @property
    @abstractmethod
    def _scored(self) -> Scored:
        """The predicted images, in order."""

    def __getstate__(self) -> dict[str, Any]:
        # Tables are not pickled: they are computed again when asked for.
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]  # subclasses are dataclasses

    @property
    def n_patients(self) -> int | None:
        """Number of patients with predicted images, if patients are known."""
        patients = self._scored.groups
        return None if patients is None else len(np.unique(patients))

    @cached_property
    def confusion_matrix(self) -> NDArray[np.int64]:
        """Numbers of images: a row for each of `labels`, a column for each class."""
        n_classes, n_labels = len(self._scored.classes), len(self.labels)
        total: NDArray[np.int64] = self._counts.reshape(-1, n_labels, n_labels).sum(0)
        return total[:, :n_classes]

    @cached_property
    def labels(self) -> NDArray[Any]:
        """The classes, then the true labels that the model lacks, each sorted."""
        y_true, classes = self._scored.y_true, self._scored.classes
        return np.concatenate([classes, np.setdiff1d(y_true, classes)])

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        """Square confusion matrix of each patient, or of all images."""
        y_true, predictions, _, _, groups, *_ = self._scored
        # Without patients, a matrix for all images.
        units = np.zeros(len(y_true)) if groups is None else groups
        counts = patient_confusion_matrices(
            y_true, predictions, units, labels=self.labels
        )
        return counts[0] if groups is None else counts

    @cached_property
    def confusion_shares(self) -> list[list[Estimate]]:
        """Shares of each row of `confusion_matrix`: of the images of a true label."""
        n_classes = len(self._scored.classes)
        return [row[:n_classes] for row in estimate_cell_shares(self._counts)]

    @cached_property
    def per_class(self) -> PerClassTable:
        """Recall, precision, F1 and one-vs-rest accuracy (the paper's Table 4).

        Images of a label that the model lacks are of the rest for every class. There is
        no multi-class accuracy then: it is NaN.
        """
        return find_per_class(self._counts, self.labels, len(self._scored.classes))

    @property
    def accuracy(self) -> Estimate:
        """Multi-class accuracy: share of images predicted as their own class."""
        return self.per_class.accuracy

    @property
    def balanced_accuracy(self) -> Estimate:
        """Mean of the classes' recalls."""
        return self.per_class.means.recall

    @cached_property
    def roc_auc(self) -> RocAucTable | None:
        """Area under the ROC curve of each class, if there are probabilities."""
        y_true, _, probabilities, classes, groups, *_ = self._scored
        if probabilities is None:
            return None
        return roc_auc_table(y_true, probabilities, classes, groups=groups)

    @cached_property
    def calibration(self) -> CalibrationTable | None:
        """Calibration of each class's probabilities, if there are any."""
        y_true, _, probabilities, classes, groups, *_ = self._scored
        if probabilities is None:
            return None
        return calibration_table(y_true, probabilities, classes, groups=groups)

    def _probability_of(self, label: Hashable) -> NDArray[np.floating]:
        """Return the probabilities of a class."""
        classes = self._scored.classes
        if label not in classes.tolist():
            raise KeyError(
                f"{label!r} is not a class of the model; its classes are "
                f"{', '.join(map(repr, classes.tolist()))}."
            )
        return self._known_probabilities()[:, classes.tolist().index(label)]

    def _known_probabilities(self) -> NDArray[np.floating]:
        """Return the probabilities of all classes, or raise if there are none."""
        if self._scored.probabilities is None:
            raise ValueError(
                "The evaluated classifier gave no probabilities; evaluate one that has "
                "predict_proba, or wrap it in CalibratedClassifierCV."
            )
        return self._scored.probabilities

    def decision_curve(
        self, label: Hashable, thresholds: ArrayLike | None = None
    ) -> DecisionCurve:
        """Net benefit of acting on the probability of a class.

        Parameters
        ----------
        label : object
            The class.
        thresholds : array-like of shape (n_thresholds,), default=None
            As for :func:`skcovid.metrics.decision_curve`.

        Returns
        -------
        DecisionCurve

        Raises
        ------
        KeyError
            If `label` is not a class of the model.
        ValueError
            If there are no probabilities, or a threshold is not between 0 and 1.
        """
        return decision_curve(
            self._scored.y_true,
            self._probability_of(label),
            pos_label=label,
            thresholds=thresholds,
            groups=self._scored.groups,
        )

    def operating_point(
        self,
        label: Hashable,
        *,
        threshold: float | None = None,
        sensitivity: float | None = None,
        specificity: float | None = None,
    ) -> OperatingPoint:
        """Sensitivity and specificity for a class at a threshold, given or chosen.

        Choose it on out-of-fold probabilities, and apply it to the external set:
        ``result.external.operating_point(label, threshold=chosen.threshold)``.

        Parameters
        ----------
        label : object
            The class.
        threshold, sensitivity, specificity : float, default=None
            As for :func:`skcovid.metrics.operating_point`; give one of them.

        Returns
        -------
        OperatingPoint

        Raises
        ------
        KeyError
            If `label` is not a class of the model.
        ValueError
            If there are no probabilities, not exactly one of the three is given, or no
            image is there to choose a threshold on.
        """
        return operating_point(
            self._scored.y_true,
            self._probability_of(label),
            pos_label=label,
            threshold=threshold,
            sensitivity=sensitivity,
            specificity=specificity,
            groups=self._scored.groups,
        )

    def subgroups(
        self, attributes: Mapping[str, ArrayLike], *, min_images: int = 30
    ) -> dict[str, SubgroupTable]:
        """Figures of the images of each sex, age, view or the like.

        Parameters
        ----------
        attributes : mapping of str to array-like of shape (n_samples,)
            Values for all images that were given to :func:`skcovid.evaluate` (for an
            external set all of `test`), such as ``attributes`` of
            :func:`skcovid.datasets.load_radiographs`.
        min_images : int, default=30
            As for :func:`skcovid.metrics.subgroup_table`.

        Returns
        -------
        dict of str to SubgroupTable

        Raises
        ------
        ValueError
            If an attribute does not have one value for each image.
        """
        y_true, predictions, probabilities, classes, groups, rows, n = self._scored
        return {
            name: subgroup_table(
                y_true,
                predictions,
                column[rows],
                probabilities=probabilities,
                labels=classes,
                groups=groups,
                name=name,
                min_images=min_images,
            )
            for name, column in as_columns(attributes, n).items()
        }

    def _overview(self) -> tuple[str, Table]:
        patients = "" if self.n_patients is None else f" of {self.n_patients} patients"
        text = (
            f"{len(self._scored.y_true)} predicted images{patients}; accuracy "
            f"{self.accuracy.format_percent(1)}, balanced accuracy "
            f"{self.balanced_accuracy.format_percent(1)}"
        )
        _, table = self.per_class._overview()
        *header, _ = table.header
        rows = [[*row[:-1]] for row in table.rows]
        if (areas := self.roc_auc) is not None:
            header.append("ROC AUC")
            for row, area in zip(rows, (*areas.values(), areas.mean), strict=True):
                row.append(area.format_fraction(2))
        return text, Table(header, rows)

    def _headline_figures(self) -> dict[tuple[str, Hashable], Estimate]:
        """Return the figures of all images (label None) and of each class."""
        found: dict[tuple[str, Hashable], Estimate] = {
            ("accuracy", None): self.accuracy,
            ("balanced_accuracy", None): self.balanced_accuracy,
        }
        for label, row in self.per_class.items():
            if self.roc_auc is not None:
                found["roc_auc", label] = self.roc_auc[label]
            found["recall", label] = row.recall
            found["specificity", label] = row.specificity
        return found

    def _compare_with(
        self, outside: "Predictions"
    ) -> Iterator[tuple[str, Hashable, Estimate, Estimate, Estimate]]:
        """Yield name and label of figures, here and outside, and what is lost there."""
        found = outside._headline_figures()
        for (name, label), figure in self._headline_figures().items():
            if (other := found.get((name, label))) is not None:
                yield name, label, figure, other, difference_estimate(figure, other)

    def _figures(self) -> dict[str, Any]:
        """Return figures and predictions, ready for JSON."""
        y_true, predictions, probabilities, classes, *_ = self._scored
        return {
            "n_patients": self.n_patients,
            "classes": classes.tolist(),
            "labels": self.labels.tolist(),
            "accuracy": self.accuracy.to_dict(),
            "balanced_accuracy": self.balanced_accuracy.to_dict(),
            "per_class": self.per_class.to_dict(),
            "roc_auc": as_json(self.roc_auc),
            "calibration": as_json(self.calibration),
            "confusion_matrix": self.confusion_matrix.tolist(),
            "y_true": y_true.tolist(),
            "predictions": predictions.tolist(),
            "probabilities": None if probabilities is None else probabilities.tolist(),
        }

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
            As of :func:`skcovid.metrics.predictive_values`.

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

        Raises
        ------
        ValueError
            If an image has a label that the model lacks, or as
            :func:`skcovid.metrics.bootstrap_intervals` does.
        """
        y_true, predictions, probabilities, classes, groups, *_ = self._scored
        return bootstrap_intervals(
            y_true,
            predictions,
            probabilities,
            labels=classes,
            groups=groups,
            **parameters,
        )
