"""Displays of data, training and results, in the manner of scikit-learn's."""

from skcovid.inspection._audit import AuditDisplay
from skcovid.inspection._class_distribution import ClassDistributionDisplay
from skcovid.inspection._confusion_matrix import PooledConfusionMatrixDisplay
from skcovid.inspection._per_class import PerClassTableDisplay
from skcovid.inspection._training_history import TrainingHistoryDisplay

__all__ = [
    "AuditDisplay",
    "ClassDistributionDisplay",
    "PerClassTableDisplay",
    "PooledConfusionMatrixDisplay",
    "TrainingHistoryDisplay",
]
