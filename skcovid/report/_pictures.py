"""Pictures of a report: displays as images inside the page."""

import base64
from dataclasses import replace
from io import BytesIO
from typing import Any

from skcovid._base._compatibility import safe_indexing
from skcovid._base._document import Heading, Image, Paragraph, Part, Section, Table
from skcovid.auditing._report import AuditReport
from skcovid.images._pixels import read_pixels
from skcovid.inspection._calibration import OneVsRestCalibrationDisplay
from skcovid.inspection._class_distribution import ClassDistributionDisplay
from skcovid.inspection._confusion_matrix import PooledConfusionMatrixDisplay
from skcovid.inspection._forest_plot import ForestPlotDisplay
from skcovid.inspection._per_class import PerClassTableDisplay
from skcovid.inspection._plotting import show_radiograph, wrap_labels
from skcovid.inspection._training_history import TrainingHistoryDisplay
from skcovid.model_selection._result import EvaluationResult

_DPI = 130
# CSS has 96 pixels to the inch. Below 60, text of 10 points in a figure cannot be read,
# and the figure scrolls instead.
_PIXELS_PER_INCH = 96
_LEAST_PIXELS_PER_INCH = 60
# Pictures of disputed labels.
_N_DISPUTED = 12

# Display and description of the picture in each section.
_DISPLAYS: dict[str, tuple[Any, str]] = {
    "confusion-matrix": (
        PooledConfusionMatrixDisplay,
        "Confusion matrix of all folds; the table has its counts and shares.",
    ),
    "per-class": (
        PerClassTableDisplay,
        "Figures of each class as dots with their intervals; the table has the values.",
    ),
    "calibration": (
        OneVsRestCalibrationDisplay,
        "Calibration curve of each class: the share of images that are of it, with "
        "its interval, against the probability it was given.",
    ),
    "training": (
        TrainingHistoryDisplay,
        "Loss and accuracy over the epochs of each fold, and where fine-tuning begins.",
    ),
    "classes": (
        ClassDistributionDisplay,
        "Bars of the number of images of each class; the table has the numbers.",
    ),
}


def draw(figure: Any, alt: str) -> Image:
    """Turn a matplotlib figure into an image, and close it."""
    import matplotlib.pyplot as plt

    file = BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    plt.close(figure)
    inches = figure.get_figwidth()
    return Image(
        f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}",
        alt,
        width=round(_PIXELS_PER_INCH * inches),
        least_width=round(_LEAST_PIXELS_PER_INCH * inches),
    )


def draw_result(result: EvaluationResult, section: Section) -> Section:
    """Insert the picture that belongs to a section on a result, if there is one."""
    if section.anchor == "sources" and result.within_source_roc_auc is not None:
        for label in reversed(result.classes.tolist()):
            alt = (
                f"ROC AUC for {label} in each source, with intervals, and in a new one."
            )
            figure = ForestPlotDisplay.from_result(result, label=label).figure_
            section = insert_image(section, draw(figure, alt))
    if section.anchor not in _DISPLAYS:
        return section
    display, alt = _DISPLAYS[section.anchor]
    return insert_image(section, draw(display.from_result(result).figure_, alt))


def show_disputed(audit: AuditReport, X: Any) -> list[Part]:
    """Show the first images whose label the audit found disputed."""
    import matplotlib.pyplot as plt

    shown = audit.label_queue[:_N_DISPUTED]
    rows = [one.row for one in shown]
    images = read_pixels(safe_indexing(X, rows)).small
    figure, axes = plt.subplots(
        -(-len(shown) // 4), 4, squeeze=False, layout="constrained"
    )
    figure.set_size_inches(8.4, 2.6 * len(axes))
    for panel in axes.flat[len(shown) :]:
        panel.set_axis_off()
    for panel, image, one in zip(axes.flat, images, shown, strict=False):
        show_radiograph(panel, image)
        texts = one.name, f"given {one.given}", f"suggested {one.suggested}"
        lines = wrap_labels(texts, 26, break_long_words=True)
        panel.set_title("\n".join(lines), fontsize=8)
    text = f"The first {len(shown)} of {len(audit.label_queue)}, the surest first."
    alt = "Radiographs whose label is disputed, under their names and labels."
    return [Heading("Disputed labels"), Paragraph(text), draw(figure, alt)]


def insert_image(section: Section, image: Image) -> Section:
    """Insert an image before the first table of a section, or at its end."""
    parts = list(section.parts)
    tables = [place for place, part in enumerate(parts) if isinstance(part, Table)]
    parts.insert(tables[0] if tables else len(parts), image)
    return replace(section, parts=parts)
