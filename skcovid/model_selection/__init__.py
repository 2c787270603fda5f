"""Evaluation by cross-validation, its results, and their comparison."""

from skcovid.model_selection._compare import (
    Comparison,
    compare,
)
from skcovid.model_selection._evaluate import (
    evaluate,
    split,
)
from skcovid.model_selection._result import (
    EvaluationResult,
    Fold,
)

__all__ = [
    "Comparison",
    "EvaluationResult",
    "Fold",
    "compare",
    "evaluate",
    "split",
]
