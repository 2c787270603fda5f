"""Saliency of predictions, and displays of data, training and results."""

from skcovid.inspection._audit import AuditDisplay
from skcovid.inspection._augmentation import AugmentationDisplay
from skcovid.inspection._calibration import OneVsRestCalibrationDisplay
from skcovid.inspection._central_share import central_share
from skcovid.inspection._class_distribution import ClassDistributionDisplay
from skcovid.inspection._confusion_matrix import PooledConfusionMatrixDisplay
from skcovid.inspection._decision_curve import DecisionCurveDisplay
from skcovid.inspection._flow_diagram import FlowDiagramDisplay
from skcovid.inspection._forest_plot import ForestPlotDisplay
from skcovid.inspection._grad_cam import grad_cam
from skcovid.inspection._occlusion import occlusion_sensitivity
from skcovid.inspection._per_class import PerClassTableDisplay
from skcovid.inspection._randomization_check import (
    RandomizationCheck,
    randomization_check,
)
from skcovid.inspection._saliency import SaliencyDisplay
from skcovid.inspection._score_cam import score_cam
from skcovid.inspection._training_history import TrainingHistoryDisplay

__all__ = [
    "AuditDisplay",
    "AugmentationDisplay",
    "ClassDistributionDisplay",
    "DecisionCurveDisplay",
    "FlowDiagramDisplay",
    "ForestPlotDisplay",
    "OneVsRestCalibrationDisplay",
    "PerClassTableDisplay",
    "PooledConfusionMatrixDisplay",
    "RandomizationCheck",
    "SaliencyDisplay",
    "TrainingHistoryDisplay",
    "central_share",
    "grad_cam",
    "occlusion_sensitivity",
    "randomization_check",
    "score_cam",
]
