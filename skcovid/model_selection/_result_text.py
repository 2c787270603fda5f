"""What `EvaluationResult` says, as what JSON knows and in Markdown."""

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from skcovid._base._version import __version__
from skcovid.metrics._estimates import MOVER
from skcovid.metrics._per_class import confusion_matrix_to_markdown

if TYPE_CHECKING:
    from skcovid.model_selection._result import EvaluationResult

__all__ = [
    "PROTOCOLS",
    "describe_intervals",
    "package_versions",
    "to_dict",
    "to_markdown",
]

PROTOCOLS = {
    "cross_val_predict": "every image predicted once, by a model that never saw it",
    "paper": (
        "the paper's half-folds: half of each test fold steers the training, the other "
        "half is predicted"
    ),
}
_PACKAGES = ("scikit-learn", "imbalanced-learn", "keras", "scikeras")


def to_dict(result: "EvaluationResult") -> dict[str, Any]:
    """Return everything as what JSON knows."""
    folds = [
        {
            "n_train": len(fold.train_indices),
            "n_validation": len(fold.validation_indices),
            "test_indices": fold.test_indices.tolist(),
            "confusion_matrix": fold.confusion_matrix.tolist(),
            "history": fold.history,
            "fit_seconds": fold.fit_seconds,
            "predict_seconds": fold.predict_seconds,
        }
        for fold in result.folds
    ]
    areas, overlap = result.roc_auc, result.patient_overlap
    probabilities = result.probabilities
    return {
        "protocol": result.protocol,
        "cv": result.cv,
        "grouped": result.grouped,
        "n_patients": result.n_patients,
        "patient_overlap": None if overlap is None else overlap.to_dict(),
        "pipeline": result.pipeline,
        "versions": package_versions(),
        "classes": result.classes.tolist(),
        "accuracy": result.accuracy.to_dict(),
        "balanced_accuracy": result.balanced_accuracy.to_dict(),
        "per_class": result.per_class.to_dict(),
        "roc_auc": None if areas is None else areas.to_dict(),
        "confusion_matrix": result.confusion_matrix.tolist(),
        "test_indices": result.test_indices.tolist(),
        "y_true": result.y_true[result.test_indices].tolist(),
        "predictions": result.predictions.tolist(),
        "probabilities": None if probabilities is None else probabilities.tolist(),
        "folds": folds,
    }


def to_markdown(result: "EvaluationResult") -> str:
    """Write scores, Tables 3 and 4, timings, and how it was made."""
    table = result.per_class
    images = f"{len(result.test_indices)} images predicted"
    patients = "patients not taken into account"
    if result.grouped:
        images = f"{images}, of {result.n_patients} patients"
        patients = "patients kept whole"
    versions = ", ".join(
        f"{name} {found}" for name, found in package_versions().items()
    )
    return "\n".join(
        [
            f"{len(result.folds)} folds, {images}: {PROTOCOLS[result.protocol]}; "
            f"{patients}. Intervals are 95 %: {describe_intervals(result)}.",
            "",
            *(f"- {line}" for line in _score_lines(result)),
            "",
            "Confusion matrix, all folds (the paper's Table 3):",
            "",
            confusion_matrix_to_markdown(
                result.confusion_matrix, result.classes.tolist()
            ),
            "",
            "Per class (the paper's Table 4):",
            "",
            table.to_markdown(),
            "",
            f"Made with `{result.cv}`; {versions}.",
        ]
    )


def _score_lines(result: "EvaluationResult") -> list[str]:
    means = result.per_class.means
    seconds = sum(result.timings["fit"]) + sum(result.timings["predict"])
    lines = [
        f"multi-class accuracy: {result.accuracy}",
        f"balanced accuracy (mean recall): {result.balanced_accuracy}",
        f"one-vs-rest accuracy, mean (the paper's ACC): {means.one_vs_rest_accuracy}",
    ]
    areas = result.roc_auc
    if areas is not None:
        by_class = "; ".join(
            f"{label} {area.format_fraction()}" for label, area in areas.items()
        )
        lines.append(
            f"one-vs-rest ROC AUC: mean {areas.mean.format_fraction()}; {by_class}"
        )
    if result.patient_overlap is not None:
        lines.append(
            "test images that would have shared their patient with training images "
            f"under plain stratified folds: {result.patient_overlap}"
        )
    return [*lines, f"wall time: {seconds / 60:.1f} minutes"]


def describe_intervals(result: "EvaluationResult") -> str:
    """Say how the intervals of each kind of figure were made."""
    of_shares, areas = result.accuracy.method, result.roc_auc
    made = f"{of_shares} for shares of images and F1"
    if areas is not None:
        of_areas = areas.rows[0].method
        made += ", and" if of_areas == of_shares else f", {of_areas}"
        made += " for ROC AUC"
    return f"{made}; {MOVER} from these for means"


def package_versions() -> dict[str, str]:
    """Versions of Python and of what the result depends on."""
    return {
        "python": platform.python_version(),
        "skcovid": __version__,
        **{name: version(name) for name in _PACKAGES},
    }
