"""Evaluation by cross-validation, its results, and their comparison."""

from skcovid.model_selection._compare import Comparison, compare
from skcovid.model_selection._evaluate import evaluate
from skcovid.model_selection._external_result import ExternalResult
from skcovid.model_selection._leave_one_source_out import LeaveOneSourceOut
from skcovid.model_selection._predictions import Predictions
from skcovid.model_selection._result import EvaluationResult, Fold
from skcovid.model_selection._source_figures import SourceFigures
from skcovid.model_selection._splits import split

__all__ = [
    "Comparison",
    "EvaluationResult",
    "ExternalResult",
    "Fold",
    "LeaveOneSourceOut",
    "Predictions",
    "SourceFigures",
    "compare",
    "evaluate",
    "split",
]
