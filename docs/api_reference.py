"""The public names of skcovid: the one table that the API pages are made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["API_REFERENCE", "Section", "write_api_pages"]


class Section(NamedTuple):
    """Names of one module, with a title and a sentence."""

    title: str
    module: str
    text: str
    names: tuple[str, ...]
    # Constants have no docstrings of their own: name to description.
    constants: Mapping[str, str] = {}


API_REFERENCE = (
    Section(
        "Pipelines",
        "skcovid",
        "Reader, balancer, preprocessor and classifier in one estimator.",
        ("make_transfer_pipeline", "HoldoutPipeline"),
        {"__version__": "Version of the package, as text."},
    ),
    Section(
        "Recipes",
        "skcovid.pipeline",
        "What :func:`skcovid.make_transfer_pipeline` composes; see :doc:`../recipes`.",
        (),
        {
            "RECIPES": "Constructor parameters of the steps of each recipe: a mapping "
            "of recipe to step to parameter."
        },
    ),
    Section(
        "Estimators",
        "skcovid",
        "The steps. They work alone and in any pipeline of imbalanced-learn.",
        (
            "RadiographReader",
            "AugmentationBalancer",
            "BackbonePreprocessor",
            "TransferLearningClassifier",
            "BackboneFeatures",
            "NoveltyDetector",
            "SourceStandardScaler",
            "CellOverSampler",
            "MatchingUnderSampler",
        ),
    ),
    Section(
        "Evaluation",
        "skcovid",
        "Cross-validation without leaks, and checks of its score.",
        (
            "evaluate",
            "LeaveOneSourceOut",
            "compare",
            "audit",
            "write_report",
            "write_reviewer_pack",
        ),
    ),
    Section(
        "Saved models",
        "skcovid",
        "Save a fitted pipeline, export it to ONNX, describe it, predict an archive.",
        ("save", "load", "export", "model_card", "atlas_card", "predict_archive"),
    ),
    Section(
        "Radiographs",
        "skcovid.datasets",
        "Load a folder, an archive or a table, or make synthetic radiographs.",
        (
            "load_radiographs",
            "make_radiographs",
            "save_radiographs",
            "cohen_patients",
            "kermany_patient",
            "nih_patient",
        ),
    ),
    Section(
        "The command",
        "skcovid.command",
        "The ``skcovid`` command as a function; see :doc:`../command_line`.",
        ("main",),
    ),
    Section(
        "Augmentation of one image",
        "skcovid",
        "",
        ("augment",),
    ),
    Section(
        "Transforms",
        "skcovid.augmentation",
        "The six of section 3.2 of the paper, and base classes for your own.",
        (
            "Brightness",
            "Gamma",
            "Elastic",
            "Zoom",
            "Translation",
            "Rotation",
            "IntensityTransform",
            "GeometricTransform",
        ),
        {"PAPER_TRANSFORMS": "The six transforms with the paper's ranges."},
    ),
    Section(
        "Your own network",
        "skcovid",
        "",
        ("register_backbone",),
    ),
    Section(
        "Networks",
        "skcovid.networks.backbones",
        "Tables 1 and 2 of the paper, and further networks.",
        ("Backbone", "get_backbone", "list_backbones"),
    ),
    Section(
        "Images computed on access",
        "skcovid",
        "",
        ("LazyImages",),
    ),
    Section(
        "Keys and reading ahead",
        "skcovid.images",
        "Building blocks of lazy images.",
        ("image_key", "read_ahead"),
    ),
    Section(
        "The feature store",
        "skcovid.networks",
        "Stored outputs of frozen layers.",
        ("FeatureStore", "StoredFeatures", "feature_bytes"),
    ),
    Section(
        "Reading",
        "skcovid.reading",
        "From files to pixels.",
        ("read_radiograph",),
    ),
    Section(
        "Displays and saliency",
        "skcovid.inspection",
        "Displays like scikit-learn's, and the pixels that a prediction depends on.",
        (
            "ClassDistributionDisplay",
            "AugmentationDisplay",
            "TrainingHistoryDisplay",
            "PooledConfusionMatrixDisplay",
            "PerClassTableDisplay",
            "OneVsRestCalibrationDisplay",
            "ForestPlotDisplay",
            "DecisionCurveDisplay",
            "FlowDiagramDisplay",
            "AuditDisplay",
            "SaliencyDisplay",
            "grad_cam",
            "score_cam",
            "occlusion_sensitivity",
            "central_share",
            "randomization_check",
            "RandomizationCheck",
        ),
    ),
    Section(
        "Metrics",
        "skcovid.metrics",
        "Scores per class, with confidence intervals.",
        (
            "per_class_table",
            "PerClassTable",
            "ClassMetrics",
            "Estimate",
            "multiclass_accuracy",
            "roc_auc_table",
            "RocAucTable",
            "compare_roc_auc",
            "RocAucComparison",
            "heterogeneity",
            "Heterogeneity",
            "predictive_values",
            "PredictiveValues",
            "calibration_table",
            "CalibrationTable",
            "CalibrationMetrics",
            "decision_curve",
            "DecisionCurve",
            "operating_point",
            "OperatingPoint",
            "subgroup_table",
            "SubgroupTable",
            "SubgroupMetrics",
            "sample_size",
            "pooled_confusion_matrix",
            "patient_confusion_matrices",
            "confusion_matrix_to_markdown",
            "wilson_interval",
            "cramers_v",
            "bootstrap_intervals",
            "BootstrapIntervals",
        ),
    ),
    Section(
        "Results of an evaluation",
        "skcovid.model_selection",
        "What :func:`skcovid.evaluate` and :func:`skcovid.compare` return, and the "
        "splits of a protocol.",
        (
            "EvaluationResult",
            "ExternalResult",
            "Predictions",
            "Fold",
            "SourceFigures",
            "Comparison",
            "split",
        ),
    ),
    Section(
        "The audit's parts",
        "skcovid.auditing",
        "What :func:`skcovid.audit` returns, and its measures.",
        (
            "AuditReport",
            "AuditCheck",
            "AuditFigure",
            "DisputedLabel",
            "VisiblePoint",
            "FileProperties",
            "read_properties",
            "blank_centre",
            "visible_share",
            "shortcut_ratio",
        ),
        {
            "MAX_RATIO": "Shortcut ratio above which the audit's check is flagged; a "
            "convention of skcovid's."
        },
    ),
    Section(
        "Reports",
        "skcovid.report",
        "What reports begin with; see :doc:`../reviewers`.",
        ("headline",),
    ),
    Section(
        "Model files and archives",
        "skcovid.persistence",
        "Describe and compare model files; the results of an archive.",
        ("describe", "fingerprint_model", "ModelFileError", "ArchivePredictions"),
    ),
)


def write_api_pages(folder: Path) -> None:
    """Write the API index, from which autosummary makes one page per name."""
    lines = [
        "API reference",
        "=============",
        "",
        "Names that are not listed here may change in any release.",
        "",
    ]
    described = set()
    for section in API_REFERENCE:
        lines += [section.title, "-" * len(section.title), ""]
        directive = "currentmodule" if section.module in described else "module"
        described.add(section.module)
        lines += [f".. {directive}:: {section.module}", ""]
        if section.text:
            lines += [section.text, ""]
        if section.names:
            lines += [".. autosummary::", "   :toctree: .", "   :nosignatures:", ""]
            lines += [f"   {name}" for name in section.names]
            lines.append("")
        for name, description in section.constants.items():
            lines += [f".. py:data:: {name}", "", f"   {description}", ""]
    text = "\n".join(lines)
    path = folder / "index.rst"
    # Sphinx reads a file again when its time changes, and all pages below it.
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        folder.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
