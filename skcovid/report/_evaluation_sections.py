"""Sections on what the evaluation found."""

from typing import TYPE_CHECKING

import numpy as np

from skcovid.inspection._calibration import OneVsRestCalibrationDisplay
from skcovid.inspection._class_distribution import ClassDistributionDisplay
from skcovid.inspection._confusion_matrix import PooledConfusionMatrixDisplay
from skcovid.inspection._per_class import PerClassTableDisplay
from skcovid.inspection._training_history import TrainingHistoryDisplay
from skcovid.metrics._tables import ClassMetrics
from skcovid.model_selection._document import (
    PROTOCOLS,
    describe_headline,
    list_versions,
)
from skcovid.model_selection._result import EvaluationResult
from skcovid.report._parts import Details, Paragraph, Part, Section, Table, draw

if TYPE_CHECKING:
    from skcovid.auditing._report import AuditReport

__all__ = [
    "calibration",
    "class_distribution",
    "confusion_matrix",
    "data_summary",
    "headline",
    "how_it_was_made",
    "per_class",
    "training_history",
]


def headline(result: EvaluationResult, audit: "AuditReport | None") -> Section:
    """Show the scores over all classes, the shortcut ratio beside the accuracy."""
    means, areas = result.per_class.means, result.roc_auc
    rows = [["Multi-class accuracy", str(result.accuracy)]]
    if audit is not None:
        rows.append(
            [
                "Shortcut ratio: share of the skill that can be had without lungs",
                audit.shortcut_ratio.format_percent(),
            ]
        )
    rows += [
        ["Balanced accuracy (mean recall)", str(result.balanced_accuracy)],
        ["F1, mean over the classes", str(means.f1)],
        [
            "One-vs-rest accuracy, mean (the paper's ACC)",
            str(means.one_vs_rest_accuracy),
        ],
    ]
    if areas is not None:
        rows.append(["ROC AUC, mean over the classes", areas.mean.format_fraction()])
    parts: list[Part] = [
        Table("", ["figure", "value [95 % interval]"], rows),
        Paragraph(describe_headline(result.per_class, areas).parts[1].text),
    ]
    if audit is None:
        not_audited = (
            "Not audited: whether the score rests on lungs, or on what else tells the "
            "sources of the images apart, was not examined."
        )
        parts.insert(0, Paragraph(not_audited, emphasised=True))
    else:
        parts.insert(0, Paragraph(audit.headline, emphasised=True))
    return Section("headline", "Headline figures", parts)


def data_summary(result: EvaluationResult) -> Section:
    """Say how many images, patients and folds there are."""
    patients = "not known; images were taken to be independent"
    if result.grouped:
        patients = f"{result.n_patients}, kept on one side of every split"
    rows = [
        ["Images", str(len(result.y_true))],
        ["Images predicted", str(len(result.test_indices))],
        ["Classes", ", ".join(map(str, result.classes.tolist()))],
        ["Patients", patients],
        ["Folds", f"{len(result.folds)}: {PROTOCOLS[result.protocol]}"],
    ]
    if result.patient_overlap is not None:
        rows.append(
            [
                "Test images that would have shared their patient with training "
                "images under plain stratified folds",
                str(result.patient_overlap),
            ]
        )
    return Section("data", "Data", [Table("", ["", ""], rows)])


def class_distribution(result: EvaluationResult) -> Section:
    """Show how many images each class has."""
    classes, counts = np.unique(result.y_true, return_counts=True)
    rows = [
        [str(label), str(count)]
        for label, count in zip(classes.tolist(), counts.tolist(), strict=True)
    ]
    image = draw(
        ClassDistributionDisplay.from_labels(result.y_true).figure_,
        "Bars of the number of images of each class; the table has the numbers.",
    )
    return Section(
        "classes", "Class distribution", [image, Table("", ["class", "images"], rows)]
    )


def confusion_matrix(result: EvaluationResult) -> Section:
    """Show the counts of all folds, and their shares of the true class."""
    classes = [str(label) for label in result.classes.tolist()]
    rows = [
        [
            f"{label} ({sum(counts)} images)",
            *(
                f"{count}: {share.format_percent(1)}"
                for count, share in zip(counts, shares, strict=True)
            ),
        ]
        for label, counts, shares in zip(
            classes,
            result.confusion_matrix.tolist(),
            result.confusion_shares,
            strict=True,
        )
    ]
    image = draw(
        PooledConfusionMatrixDisplay(
            result.confusion_matrix, display_labels=result.classes
        )
        .plot()
        .figure_,
        "Confusion matrix of all folds; the table has its counts and shares.",
    )
    table = Table(
        "Images, and their share of the true class [95 % interval]",
        ["true class", *(f"predicted {label}" for label in classes)],
        rows,
    )
    return Section(
        "confusion-matrix",
        "Confusion matrix",
        [Paragraph("All folds together (the paper's Table 3)."), image, table],
    )


def per_class(result: EvaluationResult) -> Section:
    """Show recall, precision and the rest of every class."""
    table, areas = result.per_class, result.roc_auc
    rows = [[str(label), *_per_class_cells(row)] for label, row in table.items()]
    rows.append(["mean", *_per_class_cells(table.means)])
    header = ["class", "recall", "precision", "F1", "specificity"]
    header += ["one-vs-rest accuracy", "images"]
    if areas is not None:
        header.insert(-1, "ROC AUC")
        for row, area in zip(rows, (*areas.values(), areas.mean), strict=True):
            row.insert(-1, area.format_fraction())
    image = draw(
        PerClassTableDisplay(table).plot().figure_,
        "Figures of each class as dots with their intervals; the table has the values.",
    )
    return Section(
        "per-class",
        "Per class",
        [
            Paragraph("Each class against the rest (the paper's Table 4)."),
            image,
            Table("Values [95 % interval]", header, rows),
        ],
    )


def _per_class_cells(row: ClassMetrics) -> list[str]:
    figures = (
        row.recall,
        row.precision,
        row.f1,
        row.specificity,
        row.one_vs_rest_accuracy,
    )
    return [*(figure.format_percent() for figure in figures), str(row.support)]


def calibration(result: EvaluationResult) -> Section | None:
    """Show whether probabilities are as frequent as they say, where there are any."""
    if result.probabilities is None:
        return None
    image = draw(
        OneVsRestCalibrationDisplay.from_predictions(
            result.y_true[result.test_indices],
            result.probabilities,
            labels=result.classes.tolist(),
        ).figure_,
        "Calibration curve of each class: the share of images that are of it, with "
        "its interval, against the probability it was given.",
    )
    text = (
        "On the diagonal, a class is as frequent as its probability says. Every "
        "probability is of a model that did not see the image."
    )
    return Section("calibration", "Calibration", [Paragraph(text), image])


def training_history(result: EvaluationResult) -> Section | None:
    """Show loss and accuracy over the epochs, where the classifier records them."""
    if not result.histories:
        return None
    image = draw(
        TrainingHistoryDisplay(result.histories).plot().figure_,
        f"Loss and accuracy over the epochs of {len(result.histories)} folds, and "
        "where fine-tuning begins.",
    )
    return Section("training", "Training history", [image])


def how_it_was_made(result: EvaluationResult) -> Section:
    """Name folds, versions, time and the pipeline as it describes itself."""
    seconds = sum(result.timings["fit"]) + sum(result.timings["predict"])
    versions = ", ".join(f"{name} {found}" for name, found in list_versions().items())
    rows = [
        ["Cross-validator", result.cv],
        ["Versions", versions],
        ["Wall time", f"{seconds / 60:.1f} minutes"],
    ]
    return Section(
        "making",
        "How it was made",
        [
            Table("", ["", ""], rows),
            Details("The evaluated pipeline", [Paragraph(result.pipeline)]),
        ],
    )
