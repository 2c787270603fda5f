"""`EvaluationResult`: the results of an evaluation, as tables, JSON and Markdown."""

import json
import math
import os
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from skcovid._base._atomic_files import atomic_write
from skcovid._base._compatibility import HasMethods, validate_params
from skcovid._base._document import (
    Paragraph,
    Section,
    Table,
    render_markdown,
    render_parts,
)
from skcovid.metrics._estimates import Estimate, as_json
from skcovid.metrics._heterogeneity import Heterogeneity, heterogeneity
from skcovid.metrics._operating_point import OperatingPoint
from skcovid.metrics._roc_auc import roc_auc_table
from skcovid.metrics._tables import RocAucTable
from skcovid.model_selection import _result_sections
from skcovid.model_selection._external_result import ExternalResult
from skcovid.model_selection._prediction_columns import read_prediction_columns
from skcovid.model_selection._predictions import Predictions, Scored
from skcovid.model_selection._source_figures import SourceFigures
from skcovid.model_selection._verdict import find_verdict

# That thresholds are chosen for.
_SENSITIVITY = 0.95
# A table of predictions: a path, a mapping, or a frame of pandas or polars.
TABLE = [Mapping, str, os.PathLike, HasMethods(["to_numpy"])]


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


@dataclass(frozen=True, repr=False)
class EvaluationResult(Predictions):
    """What :func:`skcovid.evaluate` returns; `from_predictions` makes one of a table.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        True labels of all images.
    folds : list of Fold
        Rows, predictions and times of each fold.
    protocol : {"cross_val_predict", "paper", "table"}
        How the folds were used; "table" if predictions were read from one.
    cv, pipeline : str
        ``repr`` of the cross-validator and of the pipeline.
    groups : ndarray of shape (n_samples,) or None, default=None
        Patient of each image; intervals allow for images of one patient being alike.
        In :func:`skcovid.evaluate` no patient is on two sides of a split.
    patient_overlap : Estimate or None, default=None
        Share of test images that would have shared their patient with training images
        in as many folds of a plain ``StratifiedKFold`` of the same seed. None without
        patients, or if a class has fewer images than there are folds.
    external : ExternalResult or None, default=None
        Figures on the set `test`, of a model that was fitted on all images.
    source : ndarray of shape (n_samples,) or None, default=None
        Source of each image, such as its hospital.
    """

    y_true: NDArray[Any]
    folds: list[Fold]
    protocol: str
    cv: str
    pipeline: str
    groups: NDArray[Any] | None = None
    patient_overlap: Estimate | None = None
    external: ExternalResult | None = None
    source: NDArray[Any] | None = None

    @classmethod
    @validate_params({"table": TABLE}, prefer_skip_nested_validation=False)
    def from_predictions(cls, table: Any) -> "EvaluationResult":
        """Make a result of any model's predictions, from a table.

        Parameters
        ----------
        table : frame of pandas or polars, mapping of str to array-like, or path-like
            A row for each image; a path is of a CSV file. Columns: "path", in a CSV
            file relative to its folder; "label"; "prediction", or one
            ``probability_<class>`` or ``<class>`` for each class, or both, as
            :func:`skcovid.predict_archive` writes them; "patient" and "source", if
            known; and "fold", if each image was predicted by a model that was trained
            on the other folds. :func:`skcovid.audit` also takes "age", "sex", "view",
            "manufacturer", "model" and "acquisition_date". Other columns are ignored.

        Returns
        -------
        EvaluationResult
            Its predictions are those given, else the class of the largest probability.
            `folds_known` is False without "fold". Times are NaN.

        Raises
        ------
        FileNotFoundError
            If the CSV file does not exist.
        ValueError
            If a column or value is missing, an image has two rows, a prediction or a
            probability is of a class that no image has, or probabilities do not sum to
            1 (within 0.01).

        Warns
        -----
        UserWarning
            If a prediction, which is believed, is not of the largest probability.

        Examples
        --------
        >>> from skcovid.model_selection import EvaluationResult
        >>> table = {
        ...     "path": ["1.png", "2.png", "3.png"],
        ...     "label": ["COVID-19", "COVID-19", "NORMAL"],
        ...     "prediction": ["COVID-19", "NORMAL", "NORMAL"],
        ... }
        >>> EvaluationResult.from_predictions(table).per_class["COVID-19"].recall.value
        0.5
        >>> EvaluationResult.from_predictions(table)
        EvaluationResult: 3 predicted images; accuracy 66.7 % [20.8, 93.9], balanced
        accuracy 75.0 % [30.4, 95.3]; accuracy outside: not known. 95 % intervals.
        class     images  recall           specificity
        COVID-19  2       50 % [9, 91]     100 % [21, 100]
        NORMAL    1       100 % [21, 100]  50 % [9, 91]
        MEAN      3       75 % [30, 95]    75 % [30, 95]
        """
        return cls._from_columns(read_prediction_columns(table))

    @classmethod
    def _from_columns(cls, columns: Mapping[str, Any]) -> "EvaluationResult":
        """Make a result of what `read_prediction_columns` returns."""
        y, predictions, fold = (
            columns[name] for name in ("label", "prediction", "fold")
        )
        probabilities, rows = columns["probabilities"], np.arange(len(y))
        tests = [rows]
        if fold is not None:
            tests = [rows[fold == name] for name in np.unique(fold)]
        folds = [
            Fold(
                # None without folds, where it is not known.
                train_indices=np.setdiff1d(rows, test),
                validation_indices=rows[:0],
                test_indices=test,
                predictions=predictions[test],
                probabilities=None if probabilities is None else probabilities[test],
                confusion_matrix=confusion_matrix(
                    y[test], predictions[test], labels=np.unique(y)
                ),
                history={},
                fit_seconds=math.nan,
                predict_seconds=math.nan,
            )
            for test in tests
        ]
        return cls(
            y_true=y,
            folds=folds,
            protocol="table",
            cv="not known" if fold is None else "the column 'fold' of a table",
            pipeline="Not known: predictions were read from a table.",
            groups=columns["patient"],
            source=columns["source"],
        )

    @property
    def folds_known(self) -> bool:
        """Whether it is known which images the models were trained on."""
        return all(len(fold.train_indices) for fold in self.folds)

    @property
    def grouped(self) -> bool:
        """Whether images of one patient were kept on one side of every split."""
        return self.groups is not None and self._kept_whole(self.groups)

    def _kept_whole(self, units: NDArray[Any]) -> bool:
        """Whether no unit is in training and test of one fold, as far as is known."""
        return self.folds_known and not any(
            np.isin(
                units[fold.test_indices],
                units[[*fold.train_indices, *fold.validation_indices]],
            ).any()
            for fold in self.folds
        )

    @cached_property
    def _scored(self) -> Scored:
        rows = self.test_indices
        return Scored(
            y_true=self.y_true[rows],
            predictions=self.predictions,
            probabilities=self.probabilities,
            classes=self.classes,
            groups=None if self.groups is None else self.groups[rows],
            rows=rows,
            n_images=len(self.y_true),
        )

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

    def _overview(self) -> tuple[str, Table]:
        text, table = super()._overview()
        outside = "not known"
        if self.external is not None:
            n_images = len(self.external.rows)
            outside = f"{self.external.accuracy.format_percent(1)}, {n_images} images"
        return f"{text}; accuracy outside: {outside}. 95 % intervals.", table

    def _sides(self) -> dict[str, Predictions]:
        """Return the predictions of the folds and, if there are any, those outside."""
        sides: dict[str, Predictions] = {"inside": self}
        return sides if self.external is None else sides | {"outside": self.external}

    def _in_order(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        rows = np.concatenate([fold.test_indices for fold in self.folds])
        return np.concatenate(parts)[np.argsort(rows)]

    @property
    def fold_confusion_matrices(self) -> list[NDArray[np.int64]]:
        """Confusion matrix of each fold."""
        return [fold.confusion_matrix for fold in self.folds]

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

    @cached_property
    def differences(self) -> dict[str, Any] | None:
        """What is lost outside: figures inside minus those on the external set.

        A dict of "accuracy" and "balanced_accuracy", each an estimate, and of "recall",
        "specificity" and "roc_auc", each a dict of label to estimate. The images inside
        and outside are of other patients, so their intervals are combined as
        independent ones are. None without an external set.
        """
        if self.external is None:
            return None
        found: dict[str, Any] = {}
        for name, label, *_, lost in self._compare_with(self.external):
            if label is None:
                found[name] = lost
            else:
                found.setdefault(name, {})[label] = lost
        return found

    @property
    def sources_left_out(self) -> bool:
        """Whether no source is in training and test of one fold, if they are known."""
        return self.source is not None and self._kept_whole(self.source)

    @cached_property
    def within_source_roc_auc(self) -> RocAucTable | None:
        """ROC AUC of each class from pairs of images of one source.

        A model that only tells sources apart has an area of 0.5. NaN for a class
        without such a pair. None if sources or probabilities are not known.
        """
        y_true, _, probabilities, classes, groups, *_ = self._scored
        if self.source is None or probabilities is None:
            return None
        source = self.source[self.test_indices]
        return roc_auc_table(
            y_true, probabilities, classes, groups=groups, source=source
        )

    @cached_property
    def by_source(self) -> dict[Hashable, SourceFigures] | None:
        """The figures of each source with predicted images, None if not known."""
        if self.source is None:
            return None
        y_true, predictions, probabilities, classes, groups, *_ = self._scored
        source, found = self.source[self.test_indices], {}
        for name in np.unique(source).tolist():
            rows = source == name
            found[name] = SourceFigures(
                y_true=y_true[rows],
                predictions=predictions[rows],
                probabilities=None if probabilities is None else probabilities[rows],
                classes=classes,
                groups=None if groups is None else groups[rows],
            )
        return found

    def heterogeneity(self, label: Hashable) -> Heterogeneity:
        """Compare the ROC AUC of a class between sources.

        Parameters
        ----------
        label : label
            A class.

        Returns
        -------
        Heterogeneity
            As of :func:`skcovid.metrics.heterogeneity`.

        Raises
        ------
        KeyError
            If `label` is not a class.
        ValueError
            If the result has no sources or no probabilities.
        """
        if self.by_source is None:
            raise ValueError("The result has no sources; pass source to evaluate.")
        self._known_probabilities()
        tables = [one.roc_auc for one in self.by_source.values()]
        return heterogeneity([table[label] for table in tables if table is not None])

    @cached_property
    def operating_points(self) -> dict[Hashable, dict[str, OperatingPoint]]:
        """Thresholds for a sensitivity of 95 % inside, and what they give outside.

        A dict of class to "inside", where the threshold is chosen on the out-of-fold
        probabilities, and "outside", where it is applied to the external set. Empty
        without probabilities.
        """
        points: dict[Hashable, dict[str, OperatingPoint]] = {}
        if self.probabilities is None:
            return points
        for label in np.unique(self._scored.y_true).tolist():
            chosen = self.operating_point(label, sensitivity=_SENSITIVITY)
            points[label] = {
                place: side.operating_point(label, threshold=chosen.threshold)
                for place, side in self._sides().items()
            }
        return points

    def to_dict(self) -> dict[str, Any]:
        """Return all figures and predictions as a dict, ready for JSON.

        Returns
        -------
        dict
            Estimates are dicts of value, low, high and method. Patients are counted,
            not named. NaN and infinite figures are None, as JSON has neither.
        """
        source, areas = self.source, self.within_source_roc_auc
        return {
            "protocol": self.protocol,
            "cv": self.cv,
            "grouped": self.grouped,
            "patient_overlap": as_json(self.patient_overlap),
            "pipeline": self.pipeline,
            "versions": _result_sections.list_versions(),
            **self._figures(),
            "test_indices": self.test_indices.tolist(),
            "source": None if source is None else source[self.test_indices].tolist(),
            "sources_left_out": self.sources_left_out,
            "within_source_roc_auc": as_json(areas),
            "heterogeneity": as_json(
                areas and {label: self.heterogeneity(label) for label in areas}
            ),
            "by_source": as_json(self.by_source),
            "external": as_json(self.external),
            "differences": as_json(self.differences),
            "operating_points": as_json(self.operating_points),
            "folds": [
                {
                    "n_train": len(fold.train_indices),
                    "n_validation": len(fold.validation_indices),
                    "test_indices": fold.test_indices.tolist(),
                    "confusion_matrix": fold.confusion_matrix.tolist(),
                    "history": as_json(fold.history),
                    "fit_seconds": as_json(fold.fit_seconds),
                    "predict_seconds": as_json(fold.predict_seconds),
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

        It begins with what can be done with the model, from its figures inside and
        outside. :func:`skcovid.write_report` writes the same with figures, as HTML.

        Returns
        -------
        str
            Markdown, its headings of level 3.
        """
        verdict = render_parts([Paragraph(find_verdict(self), emphasised=True)])
        return f"{verdict}\n\n{render_markdown(describe_result(self), level=3)}"


def describe_result(result: EvaluationResult) -> list[Section]:
    """Return the sections of the report on a result, without pictures."""
    headline, others = _result_sections.describe_headline(result), []
    if (external := result.external) is not None:
        headline = _result_sections.describe_headline_outside(result, external)
        points = result.operating_points
        compared = result.groups is not None and external.groups is not None
        others.append(_result_sections.describe_external(external, points, compared))
    if result.by_source is not None:
        found = {}
        within, areas = result.within_source_roc_auc, result.roc_auc
        if within is not None and areas is not None:
            found = {label: result.heterogeneity(label) for label in within}
            leading = _result_sections.lead_with_sources(
                within,
                areas,
                found,
                result.sources_left_out if result.folds_known else None,
            )
            headline = replace(headline, parts=[*leading, *headline.parts])
        others.append(_result_sections.describe_sources(result.by_source, found))
    sections = [
        headline,
        *others,
        _describe_data(result),
        _result_sections.describe_confusion_matrix(result),
        _result_sections.describe_per_class(result),
    ]
    if result.histories:
        epochs = _result_sections.list_epochs(result.histories)
        text = Paragraph(f"Epochs in each fold: {epochs}.")
        sections.append(Section("training", "Training history", [text]))
    seconds = sum(map(sum, result.timings.values()))
    if external is not None:
        seconds += external.fit_seconds + external.predict_seconds
    settings = _result_sections.describe_settings(result.cv, result.pipeline, seconds)
    return [*sections, settings]


def _describe_data(result: EvaluationResult) -> Section:
    """Give the numbers of images, patients and folds."""
    patients = "not known; images were taken as independent"
    if result.n_patients is not None:
        sides = "each on one side of every split"
        if not result.grouped:
            sides = "some on two sides of a split"
        if not result.folds_known:
            sides = "it is not known which of them were trained on"
        patients = f"{result.n_patients}, {sides}"
    protocol = _result_sections.PROTOCOLS[result.protocol]
    n_predicted = len(result.test_indices)
    counts = sorted(Counter(result.y_true.tolist()).items())
    if result.protocol == "cross_val_predict" and n_predicted < len(result.y_true):
        protocol = "some images predicted once, the others never"
    rows = [
        ["Images", str(len(result.y_true))],
        ["Images predicted", str(n_predicted)],
        ["Images of each class", ", ".join(f"{label}: {n}" for label, n in counts)],
        ["Patients", patients],
        ["Folds", f"{len(result.folds) if result.folds_known else 'n/a'}: {protocol}"],
    ]
    if result.source is not None:
        names = np.unique(result.source).tolist()
        unpredicted = [name for name in names if name not in (result.by_source or ())]
        lacking = f"; none predicted: {', '.join(map(str, unpredicted))}"
        rows.append(["Sources", f"{len(names)}{lacking if unpredicted else ''}"])
    if result.sources_left_out and result.grouped:
        n_left_out = [
            len(result.y_true) - len(fold.train_indices) - len(fold.test_indices)
            for fold in result.folds
        ]
        left_out = (
            "Images that a fold does not train on, as their patient also has images in "
            "the source tested"
        )
        folds = sum(number > 0 for number in n_left_out)
        rows.append([left_out, f"{sum(n_left_out)}, in {folds} folds"])
    if result.patient_overlap is not None:
        overlap = (
            "Test images that would have shared their patient with training images "
            "under plain stratified folds"
        )
        rows.append([overlap, str(result.patient_overlap)])
    return Section("data", "Data", [Table(["", ""], rows)])
