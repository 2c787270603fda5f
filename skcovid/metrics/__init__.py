"""Figures of a classifier with confidence intervals that respect patients."""

from skcovid.metrics._association import cramers_v
from skcovid.metrics._bootstrap import BootstrapIntervals, bootstrap_intervals
from skcovid.metrics._calibration import (
    CalibrationMetrics,
    CalibrationTable,
    calibration_table,
)
from skcovid.metrics._compare_roc_auc import RocAucComparison, compare_roc_auc
from skcovid.metrics._confusion_matrix import (
    confusion_matrix_to_markdown,
    patient_confusion_matrices,
    pooled_confusion_matrix,
)
from skcovid.metrics._decision_curve import DecisionCurve, decision_curve
from skcovid.metrics._estimates import Estimate
from skcovid.metrics._heterogeneity import Heterogeneity, heterogeneity
from skcovid.metrics._operating_point import OperatingPoint, operating_point
from skcovid.metrics._per_class import multiclass_accuracy, per_class_table
from skcovid.metrics._predictive_values import PredictiveValues, predictive_values
from skcovid.metrics._roc_auc import roc_auc_table
from skcovid.metrics._sample_size import sample_size
from skcovid.metrics._subgroups import SubgroupMetrics, SubgroupTable, subgroup_table
from skcovid.metrics._tables import ClassMetrics, PerClassTable, RocAucTable
from skcovid.metrics._wilson import wilson_interval

__all__ = [
    "BootstrapIntervals",
    "CalibrationMetrics",
    "CalibrationTable",
    "ClassMetrics",
    "DecisionCurve",
    "Estimate",
    "Heterogeneity",
    "OperatingPoint",
    "PerClassTable",
    "PredictiveValues",
    "RocAucComparison",
    "RocAucTable",
    "SubgroupMetrics",
    "SubgroupTable",
    "bootstrap_intervals",
    "calibration_table",
    "compare_roc_auc",
    "confusion_matrix_to_markdown",
    "cramers_v",
    "decision_curve",
    "heterogeneity",
    "multiclass_accuracy",
    "operating_point",
    "patient_confusion_matrices",
    "per_class_table",
    "pooled_confusion_matrix",
    "predictive_values",
    "roc_auc_table",
    "sample_size",
    "subgroup_table",
    "wilson_interval",
]
