"""What an evaluation says on the items of reporting checklists."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from imblearn.base import SamplerMixin
from sklearn.ensemble import BaseEnsemble
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from skcovid.auditing._report import AuditReport
from skcovid.model_selection._result import EvaluationResult
from skcovid.model_selection._result_sections import describe_versions, list_epochs
from skcovid.model_selection._verdict import describe_figures
from skcovid.persistence._atlas_card import DECISION
from skcovid.report._demographics import Partition
from skcovid.report._headline import headline
from skcovid.report._model import describe_pipeline

# Facts that are the same for every evaluation.
_OF_EVERY_STUDY = {
    "predictors": "The pixels of one radiograph; no other predictor is used.",
    "decision": DECISION,
    "indeterminate": (
        "The model gives one of its classes to every image that it can read."
    ),
    "blind_model": (
        "No model was fitted on the labels of the images that it was tested on; models "
        "saw images alone, and no clinical information."
    ),
    "intended_use": (
        "Research only: the model is not a medical device, and its output is not a "
        "diagnosis."
    ),
    "flow": "See flow.svg.",
    "demographics": "See demographics.md.",
    "code": (
        "Evaluated with skcovid (BSD 3-Clause licence); versions are in result.json."
    ),
    "outputs": "Every prediction and probability is in result.json; patients are not.",
}
# What gives a fact that is missing.
_HINTS = {
    "external": "for figures outside, evaluate with test=",
    "external_data": "for an external set, evaluate with test=",
    "within": "for figures within sources, evaluate with source=",
    "heterogeneity": "for heterogeneity over hospitals, evaluate with source=",
    "sources": "for numbers by source, evaluate with source=",
    "robustness": "for checks of robustness, pass audit=",
    "subgroups": "for figures by sub-group, pass data= with attributes",
    "left_out": "for files left out on reading, pass data=",
    "dates": "pass data= with acquisition dates, if they are known",
    "devices": "pass data= with manufacturer and model, if they are known",
    "views": "pass data= with views, if they are known",
    "preprocessing": "pass pipeline=",
    "model": "pass pipeline=",
    "training": "pass pipeline=",
    "balance": "pass pipeline=",
    "calibration": "calibration needs a classifier with probabilities",
}


class Study(NamedTuple):
    """All that is known of an evaluation."""

    result: EvaluationResult
    pipeline: Any
    audit: AuditReport | None
    # Of the folds, then of the external set if there is one.
    data: Sequence[Bunch | None]
    partitions: Sequence[Partition]


def collect_facts(study: Study) -> dict[str, str | None]:
    """Return a text for each fact, None or empty where the evaluation lacks it."""
    return {
        **_OF_EVERY_STUDY,
        **_describe_images(study),
        **_describe_pipeline(study),
        **_describe_design(study.result),
        **_describe_figures(study),
    }


def _describe_images(study: Study) -> dict[str, str | None]:
    """Say where the images are from, who is in them, and what was left out."""
    sizes, shares, dates, left_out = [], [], [], []
    for part in study.partitions:
        name = part.name.capitalize()
        of_class = {label: part.labels == label for label in np.unique(part.labels)}
        counts = "; ".join(f"{k}: {part.count(rows)}" for k, rows in of_class.items())
        sizes.append(f"{name}: {part.count()}; {counts}.")
        percents = [f"{k} {100 * rows.mean():.1f} %" for k, rows in of_class.items()]
        shares.append(f"{name}: {', '.join(percents)}.")
        known = sorted(filter(None, part.attributes.get("acquisition_date", ())))
        if known:
            dates.append(
                f"Images of the {part.name} are of {known[0]} to {known[-1]}; the date "
                f"of {len(part.labels) - len(known)} is not known."
            )
    for place, data in zip(("folds", "external set"), study.data, strict=False):
        if data is not None:
            left_out.append(
                f"Left out of the {place}: {len(data.get('bad_files') or ())} files "
                f"that cannot be read, and {len(data.get('dropped') or ())} of another "
                "view."
            )
    source, external = study.result.source, study.result.external
    by_source = outside = None
    if source is not None:
        counts = _list_counts(sorted(Counter(source.tolist()).items()))
        by_source = f"Images by source: {counts}."
    if external is not None:
        copies, left = external.copies, str(len(external.patients_in_training))
        if study.result.groups is None or external.groups is None:
            left = "not searched for"
        left_out.append(
            "Left out of the external set: as copies of training images "
            f"{'not searched for' if copies is None else len(copies)}, as images of "
            f"patients of the training images {left}."
        )
        outside = (
            f"An external set of {study.partitions[1].count()}; demographics.md "
            "compares it with the folds."
        )
    return {
        "sizes": " ".join(sizes),
        "classes": f"Shares of the labels. {' '.join(shares)}",
        "dates": " ".join(dates),
        "devices": _list_values(study.partitions, "manufacturer", "model"),
        "views": _list_values(study.partitions, "view"),
        "left_out": " ".join(left_out),
        "sources": by_source,
        "external_data": outside,
    }


def _list_values(partitions: Sequence[Partition], *names: str) -> str:
    """Write the values of attributes in each partition."""
    texts = []
    for part in partitions:
        for name in names:
            if name in part.attributes:
                counts = Counter(str(value) for value in part.attributes[name] if value)
                shown = _list_counts(counts.most_common())
                texts.append(f"{name} in the {part.name}: {shown}")
    return "; ".join(texts) and f"{'; '.join(texts)} (images)."


def _list_counts(counts: Iterable[tuple[Any, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts)


def _describe_pipeline(study: Study) -> dict[str, str | None]:
    """Describe the steps, the classifier and its training."""
    pipeline = study.pipeline
    if pipeline is None:
        return {}
    steps = pipeline.steps if isinstance(pipeline, Pipeline) else [("", pipeline)]
    *before, (_, classifier) = steps
    names = ", ".join(
        f"{name} ({type(step).__name__})"
        for name, step in before
        if not isinstance(step, SamplerMixin)
    )
    samplers = ", ".join(
        type(step).__name__ for _, step in steps if isinstance(step, SamplerMixin)
    )
    described = describe_pipeline(pipeline)
    epochs = list_epochs(study.result.histories)
    kind = "an ensemble" if isinstance(classifier, BaseEnsemble) else "one model"
    return {
        "preprocessing": names
        and f"Steps before the classifier, in order: {names}; parameters in "
        "model_card.md.",
        "model": f"{described} All parameters are in model_card.md.",
        "initial": described if "weights" in described else None,
        "training": "Parameters of training are in model_card.md."
        + (f" Epochs in the folds: {epochs}." if epochs else ""),
        "balance": f"Training images, and no others, were resampled by {samplers}."
        if samplers
        else "No step of the pipeline resamples the training images.",
        "ensemble": f"The classifier is {kind}; folds are not combined into one "
        "prediction.",
    }


def _describe_design(result: EvaluationResult) -> dict[str, str | None]:
    """Describe the folds, what is predicted, and how it is measured."""
    classes = ", ".join(map(str, result.classes.tolist()))
    kind, measures = "label", ""
    if result.probabilities is not None:
        kind = "probability and label"
        measures = "; ROC AUC, calibration and net benefit by class"
    predicted = "Images of a fold were predicted by a model fitted on the other folds"
    folds = f"{len(result.folds)} folds by {result.cv}; numbers in demographics.md."
    if result.external is not None:
        predicted += ", and those of the external set by one fitted on all folds"
        folds += " One model, fitted on all images, was tested on the external set."
    unit = "patient" if result.grouped else "image only: patients are not known"
    if result.groups is not None and not result.grouped:
        unit = "image only: patients are on two sides of a split"
    if result.sources_left_out:
        unit = "source, and by patient where patients are known"
    methods = {result.accuracy.method: None}
    if result.roc_auc is not None:
        methods[result.roc_auc.rows[0].method] = None
    allow = "allow for" if result.groups is not None else "do not allow for"
    return {
        "output": f"Output for an image: {kind}, of the classes {classes}.",
        "predictions": f"{predicted}.",
        "folds": folds,
        "disjoint": f"Folds are disjoint by {unit}.",
        "metrics": "Accuracy, balanced accuracy; recall, precision, F1 and specificity "
        f"by class{measures}.",
        "statistics": f"Intervals of 95 %: {', '.join(methods)}. They {allow} images "
        "of one patient being alike.",
        "software": f"{describe_versions()}.",
    }


def _describe_figures(study: Study) -> dict[str, str | None]:
    """Give the figures inside, outside and within sources, and what the audit found."""
    result, external, audit = study.result, study.result.external, study.audit
    calibration, confusion, failures = [], [], []
    for place, predictions in zip(
        ("In the folds", "In the external set"), result._sides().values(), strict=False
    ):
        for label, row in (predictions.calibration or {}).items():
            calibration.append(
                f"{place}, {label}: calibration slope {row.slope.format_fraction(2)}, "
                f"intercept {row.intercept.format_fraction(2)}, Brier score "
                f"{row.brier_score.format_fraction()}."
            )
        labels, columns = predictions.labels, predictions.per_class.labels
        matrix = predictions.confusion_matrix
        counts = [
            ", ".join(f"{n} as {other}" for other, n in zip(columns, row, strict=True))
            for row in matrix.tolist()
        ]
        rows = (f"true {k}: {text}" for k, text in zip(labels, counts, strict=True))
        confusion.append(f"{place}: {'; '.join(rows)}.")
        wrong = matrix.copy()
        np.fill_diagonal(wrong, 0)
        true, predicted = np.unravel_index(wrong.argmax(), wrong.shape)
        failures.append(
            f"{place}, the most frequent error is {labels[true]} taken for "
            f"{columns[predicted]} ({wrong.max()} of {matrix[true].sum()} images)."
        )
    outside = within = heterogeneity = checks = None
    if external is not None:
        outside = f"In the external set: {describe_figures(external)}"
    if (areas := result.within_source_roc_auc) is not None:
        texts = ", ".join(f"{k} {area.format_fraction()}" for k, area in areas.items())
        within = f"ROC AUC within sources: {texts}."
        texts = "; ".join(f"{label}: {result.heterogeneity(label)}" for label in areas)
        heterogeneity = f"ROC AUC over sources, random effects: {texts}."
    if audit is not None:
        checks = ", ".join(f"{name} {check.status}" for name, check in audit.items())
    return {
        "internal": f"In the folds: {describe_figures(result)}",
        "external": outside,
        "within": within,
        "heterogeneity": heterogeneity,
        "calibration": " ".join(calibration),
        "subgroups": "Figures by age, sex, view and other attributes are in "
        "subgroups.md."
        if study.partitions[0].attributes
        else None,
        "confusion": " ".join(confusion),
        "failure": " ".join(failures),
        "robustness": checks and f"Audit: {checks}.",
        "limitations": headline(result, audit),
    }


def fill_item(
    row: Mapping[str, str], facts: Mapping[str, str | None]
) -> tuple[str, str]:
    """Return the status of an item of a checklist, and its text."""
    names = row["facts"].split()
    known = [text for name in names if (text := facts.get(name))]
    hints = [_HINTS[name] for name in names if not facts.get(name) and name in _HINTS]
    tasks = "; ".join(filter(None, [row["author"], *hints]))
    texts = [f"Filled: {' '.join(known)}"] if known else []
    if tasks or not known:
        texts.append(f"For the author: {tasks or 'what the evaluation does not hold'}")
    status = "filled in part" if len(texts) > 1 else texts[0].partition(":")[0].lower()
    return status, " ".join(texts)
