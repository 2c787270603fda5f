"""Sections on what a diagnostic study reports beside accuracy and ROC AUC."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skcovid._base._document import Heading, Paragraph, Part, Section, Table
from skcovid.inspection._decision_curve import DecisionCurveDisplay
from skcovid.metrics._proportions import estimate_share
from skcovid.model_selection._external_result import ExternalResult
from skcovid.model_selection._result import EvaluationResult
from skcovid.model_selection._result_sections import tabulate_thresholds
from skcovid.report._pictures import draw


def describe_flags(outside: ExternalResult, novelty: ArrayLike) -> list[Part]:
    """Give the share of external images that a novelty detector flags."""
    flags = np.asarray(novelty)
    n_images = len(outside.rows) + outside.n_left_out
    if flags.shape != (n_images,) or {*map(repr, flags.tolist())} - {"-1", "1"}:
        raise ValueError(
            f"novelty must be 1 or -1 for each of the {n_images} images of test, got "
            f"{np.unique(flags)[:5].tolist()} in shape {flags.shape}; pass what "
            "predict of the detector says of all images of test, in the same order."
        )
    flagged = flags[outside.rows] == -1
    text = (
        f"{np.count_nonzero(flagged)} of {len(flagged)} scored images are unlike the "
        "collection that the novelty detector was fitted on. Of images of that "
        "collection it flags about 1 %, if its flag_rate was not changed. Predictions "
        "of flagged images are extrapolations."
    )
    kinds = [("all", np.full(len(flagged), True))]
    labels = np.unique(outside.y_true)
    kinds += [(str(label), outside.y_true == label) for label in labels]
    rows = [
        [kind, str(among.sum()), share.format_percent(1)]
        for kind, among in kinds
        for share in [estimate_share(flagged, outside.groups, among=among)]
    ]
    header = ["true class", "images", "flagged"]
    return [Paragraph(text), Table(header, rows, "Values [95 % interval]")]


def describe_calibration(result: EvaluationResult) -> Section:
    """Compare probabilities with what was seen."""
    text = (
        "On the diagonal, a class is as frequent as its probability says. Every "
        "probability is of a model that was not trained on the image. A slope below 1 "
        "means probabilities too close to 0 and 1; an intercept above 0, a class more "
        "frequent than its probabilities say. Ideal are 1 and 0."
    )
    rows = [
        [
            f"{label}, {place}",
            row.slope.format_fraction(2),
            row.intercept.format_fraction(2),
            row.brier_score.format_fraction(),
            f"{row.observed.format_percent(1)}, predicted {100 * row.expected:.1f} %",
        ]
        for place, predictions in result._sides().items()
        for label, row in (predictions.calibration or {}).items()
    ]
    header = ["class", "slope", "intercept", "Brier score", "share of the images"]
    table = Table(header, rows, caption="Values [95 % interval]")
    return Section("calibration", "Calibration", [Paragraph(text), table])


def describe_decision_curves(result: EvaluationResult) -> Section:
    """Show the net benefit of acting on the probability of each class."""
    text = (
        "The net benefit of acting on a probability is the share of true positives, "
        "less that of false positives weighed by the odds of the threshold. A model is "
        "of use at a threshold where its curve lies above both lines: of treating all "
        "and of treating none. The share of each class is that of these images, which "
        "a clinic seldom has."
    )
    images = [
        draw(
            DecisionCurveDisplay.from_result(result, label=label).figure_,
            f"Net benefit for {label} against the threshold probability, beside "
            "treating all and treating none.",
        )
        for label in result.classes.tolist()
    ]
    return Section("decision-curves", "Decision curves", [Paragraph(text), *images])


def describe_thresholds(result: EvaluationResult) -> Section:
    """Give a threshold for each class; the external set's section has them outside."""
    text = (
        "For each class, the largest threshold that has a sensitivity of at least 95 % "
        "in the folds. It was chosen on the same images, so that its figures are "
        "somewhat too good."
    )
    table = tabulate_thresholds(result.operating_points)
    return Section("thresholds", "Thresholds", [Paragraph(text), table])


def describe_subgroups(
    result: EvaluationResult, attributes: Mapping[str, Any]
) -> Section:
    """Give the figures of groups of images by attribute."""
    text = (
        "Figures of the folds by what is known of the images. Groups of few images "
        "have their number alone. Groups may differ because their patients do, and "
        "with many groups some differ by chance."
    )
    labels, parts = result.classes.tolist(), list[Part]([Paragraph(text)])
    for name, table in result.subgroups(attributes).items():
        rows = [
            [
                *(str(value), str(row.n_images), str(row.n_patients or "not known")),
                row.accuracy.format_percent(1),
                *(recall.format_percent(1) for recall in row.recall.values()),
                *(area.format_fraction(2) for area in (row.roc_auc or {}).values()),
            ]
            for value, row in table.items()
        ]
        header = ["", "images", "patients", "accuracy"]
        header += [f"recall for {label}" for label in labels]
        if result.probabilities is not None:
            header += [f"ROC AUC for {label}" for label in labels]
        parts += [Heading(name.replace("_", " ").capitalize()), Table(header, rows)]
    return Section("subgroups", "Sub-groups", parts)
