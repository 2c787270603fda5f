"""Pictures of a report: displays as images inside the page."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skcovid._base._compatibility import safe_indexing
from skcovid._base._document import (
    Details,
    Heading,
    Image,
    Paragraph,
    Part,
    Section,
    Table,
)
from skcovid.auditing._report import AuditReport
from skcovid.images._pixels import name_images, read_pixels
from skcovid.inspection._calibration import OneVsRestCalibrationDisplay
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
# Pictures of disputed labels, and of mistakes; images of a class in a mean.
_N_SHOWN, _MOST_AVERAGED = 12, 200

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


def show_disputed(audit: AuditReport, X: Any, white_level: int | None) -> list[Part]:
    """Show the first images whose label the audit found disputed."""
    shown = audit.label_queue[:_N_SHOWN]
    images = _read(X, [one.row for one in shown], white_level)
    titles = [
        (one.name, f"given {one.given}", f"suggested {one.suggested}") for one in shown
    ]
    text = f"The first {len(shown)} of {len(audit.label_queue)}, the surest first."
    alt = "Radiographs whose label is disputed, under their names and labels."
    picture = _draw_radiographs(images, titles, alt)
    return [Heading("Disputed labels"), Paragraph(text), picture]


def show_mistakes(
    result: EvaluationResult, X: Any, white_level: int | None
) -> list[Part]:
    """Show the wrongly predicted images, those of the largest probability first."""
    rows, predictions = result.test_indices, result.predictions
    wrong = np.flatnonzero(predictions != result.y_true[rows])
    text = f"{len(wrong)} of {len(rows)} images were wrongly predicted."
    if not len(wrong):
        return [Paragraph(text)]
    sure = np.full(len(rows), np.nan)
    if result.probabilities is not None:
        columns = np.searchsorted(result.classes, predictions)
        sure = result.probabilities[np.arange(len(rows)), columns]
    shown = wrong[np.argsort(-sure[wrong], kind="stable")][:_N_SHOWN]
    names, true = name_images(X, rows[shown]), result.y_true[rows[shown]].tolist()
    shares = [f"{100 * share:.0f} %".replace("nan %", "n/a") for share in sure[shown]]
    cells = [
        [name, f"true {label}", f"predicted {said}: {share}"]
        for name, label, said, share in zip(
            names, true, predictions[shown].tolist(), shares, strict=True
        )
    ]
    alt = "Wrongly predicted radiographs, under their names, labels and predictions."
    picture = _draw_radiographs(_read(X, rows[shown], white_level), cells, alt)
    text += " Shown are those with the largest probability of the wrong class."
    table = Table(["image", "label", "prediction and its probability"], cells)
    return [Paragraph(text), picture, Details("Their names", [table])]


def show_means(result: EvaluationResult, X: Any, white_level: int | None) -> list[Part]:
    """Show the mean image of each class."""
    images, titles = [], []
    for label in result.classes.tolist():
        rows = np.flatnonzero(result.y_true == label)
        rows = rows[:: -(-len(rows) // _MOST_AVERAGED)]
        mean = _read(X, rows, white_level).mean(axis=0)
        images.append(mean.astype(np.uint8))
        titles.append((str(label), f"mean of {len(rows)} images"))
    text = (
        "If brightness, framing or marks differ, the model can tell classes apart by "
        "them instead of the disease. Images are resized to squares."
    )
    picture = _draw_radiographs(images, titles, "The mean image of each class.")
    return [Paragraph(text), picture]


def _read(X: Any, rows: Any, white_level: int | None) -> NDArray[np.uint8]:
    """Read some images, as small grey squares."""
    return read_pixels(safe_indexing(X, rows), white_level=white_level).small


def _draw_radiographs(
    images: Iterable[Any], titles: Sequence[Sequence[str]], alt: str
) -> Image:
    """Draw radiographs in rows of three, which fit a phone, under their titles."""
    import matplotlib.pyplot as plt

    n_rows = -(-len(titles) // 3)
    figure, axes = plt.subplots(n_rows, 3, squeeze=False, layout="constrained")
    figure.set_size_inches(5.7, 2.5 * n_rows)
    for panel in axes.flat[len(titles) :]:
        panel.set_axis_off()
    for panel, image, texts in zip(axes.flat, images, titles, strict=False):
        show_radiograph(panel, image)
        lines = wrap_labels(texts, 26, break_long_words=True)
        panel.set_title("\n".join(lines), fontsize=8)
    return draw(figure, alt)


def insert_image(section: Section, image: Image) -> Section:
    """Insert an image before the first table of a section, or at its end."""
    parts = list(section.parts)
    tables = [place for place, part in enumerate(parts) if isinstance(part, Table)]
    parts.insert(tables[0] if tables else len(parts), image)
    return replace(section, parts=parts)
