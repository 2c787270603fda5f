"""The public names of skcovid: the one table that the API pages are made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["API_REFERENCE", "Section", "write_api_pages"]


class Section(NamedTuple):
    """Names of one module that belong together, and what they are for."""

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
        "Where to start: reader, balancer, preprocessor and classifier, composed.",
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
        "The steps, which work alone and in any pipeline of imbalanced-learn.",
        (
            "RadiographReader",
            "AugmentationBalancer",
            "BackbonePreprocessor",
            "TransferLearningClassifier",
            "BackboneFeatures",
        ),
    ),
    Section(
        "Evaluation",
        "skcovid",
        "Cross-validation without a leak, and what may have made the score.",
        ("evaluate", "compare", "audit", "write_report"),
    ),
    Section(
        "Saved models",
        "skcovid",
        "A fitted pipeline in one file, as ONNX, described, and over an archive.",
        ("save", "load", "export", "model_card", "predict_archive"),
    ),
    Section(
        "Radiographs",
        "skcovid.datasets",
        "Those of a folder, an archive or a table, and synthetic ones.",
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
        "Augmentation of one image",
        "skcovid",
        "",
        ("augment",),
    ),
    Section(
        "Transforms",
        "skcovid.augmentation",
        "The six of section 3.2 of the paper, and the bases of one's own.",
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
        "A network of one's own",
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
        "What lazy images are made with.",
        ("image_key", "read_ahead"),
    ),
    Section(
        "The feature store",
        "skcovid.networks",
        "Where features of the frozen layers are kept.",
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
        "Figures in the manner of scikit-learn's displays, and what a prediction "
        "rests on.",
        (
            "ClassDistributionDisplay",
            "AugmentationDisplay",
            "TrainingHistoryDisplay",
            "PooledConfusionMatrixDisplay",
            "PerClassTableDisplay",
            "OneVsRestCalibrationDisplay",
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
        "Per-class evidence, every figure with its interval.",
        (
            "per_class_table",
            "PerClassTable",
            "ClassMetrics",
            "Estimate",
            "multiclass_accuracy",
            "roc_auc_table",
            "RocAucTable",
            "predictive_values",
            "PredictiveValues",
            "pooled_confusion_matrix",
            "patient_confusion_matrices",
            "confusion_matrix_to_markdown",
            "check_confusion_matrix",
            "wilson_interval",
        ),
    ),
    Section(
        "Results of an evaluation",
        "skcovid.model_selection",
        "What :func:`skcovid.evaluate` returns.",
        ("EvaluationResult", "Fold"),
    ),
    Section(
        "Splits of a protocol",
        "skcovid.model_selection",
        "",
        ("split",),
    ),
    Section(
        "Comparison",
        "skcovid.model_selection",
        "What :func:`skcovid.compare` returns.",
        ("Comparison",),
    ),
    Section(
        "Bootstrap",
        "skcovid.metrics",
        "Intervals by resampling patients.",
        ("bootstrap_intervals", "BootstrapIntervals"),
    ),
    Section(
        "The audit's parts",
        "skcovid.auditing",
        "What :func:`skcovid.audit` returns, and what it measures with.",
        (
            "AuditReport",
            "AuditCheck",
            "AuditFigure",
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
        "Model files",
        "skcovid.persistence",
        "What :func:`skcovid.save` has written.",
        ("describe", "fingerprint_model", "ModelFileError"),
    ),
    Section(
        "Archives",
        "skcovid.persistence",
        "What :func:`skcovid.predict_archive` returns.",
        ("ArchivePredictions",),
    ),
)


def write_api_pages(folder: Path) -> None:
    """Write the index of the API, from which autosummary makes a page a name."""
    lines = [
        "API reference",
        "=============",
        "",
        "What is not listed here may change with any release.",
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
    # A file that is written again is read again, and all pages below it.
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        folder.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
