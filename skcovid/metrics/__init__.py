"""Figures of a classifier with confidence intervals that respect patients."""

from skcovid.metrics._association import cramers_v
from skcovid.metrics._bootstrap import BootstrapIntervals, bootstrap_intervals
from skcovid.metrics._confusion_matrix import (
    confusion_matrix_to_markdown,
    patient_confusion_matrices,
    pooled_confusion_matrix,
)
from skcovid.metrics._estimates import Estimate
from skcovid.metrics._per_class import multiclass_accuracy, per_class_table
from skcovid.metrics._predictive_values import PredictiveValues, predictive_values
from skcovid.metrics._roc_auc import roc_auc_table
from skcovid.metrics._tables import ClassMetrics, PerClassTable, RocAucTable
from skcovid.metrics._wilson import wilson_interval

__all__ = [
    "BootstrapIntervals",
    "ClassMetrics",
    "Estimate",
    "PerClassTable",
    "PredictiveValues",
    "RocAucTable",
    "bootstrap_intervals",
    "confusion_matrix_to_markdown",
    "cramers_v",
    "multiclass_accuracy",
    "patient_confusion_matrices",
    "per_class_table",
    "pooled_confusion_matrix",
    "predictive_values",
    "roc_auc_table",
    "wilson_interval",
]
