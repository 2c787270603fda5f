"""What an evaluation says on the items of reporting checklists."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from imblearn.base import SamplerMixin
from sklearn.ensemble import BaseEnsemble
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from skcovid.auditing._report import AuditReport
from skcovid.model_selection._predictions import Predictions
from skcovid.model_selection._result import EvaluationResult
from skcovid.model_selection._result_sections import list_versions
from skcovid.model_selection._verdict import describe_figures
from skcovid.persistence._atlas_card import DECISION
from skcovid.report._demographics import Partition
from skcovid.report._headline import headline

_Describe = Callable[["Study"], str | None]
_FACTS: dict[str, _Describe] = {}
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

    @property
    def steps(self) -> list[tuple[str, Any]]:
        """Name and estimator of each step of the pipeline."""
        if isinstance(self.pipeline, Pipeline):
            return list(self.pipeline.steps)
        return [] if self.pipeline is None else [("model", self.pipeline)]

    @property
    def predictions(self) -> list[tuple[str, Predictions]]:
        """The predictions of the folds, and of the external set."""
        found: list[tuple[str, Predictions]] = [("In the folds", self.result)]
        if self.result.external is not None:
            found.append(("In the external set", self.result.external))
        return found


def collect_facts(study: Study) -> dict[str, str]:
    """Return a text for each fact that the evaluation gives."""
    found = {name: describe(study) for name, describe in _FACTS.items()}
    return {name: text for name, text in found.items() if text}


def _fact(describe: _Describe) -> _Describe:
    """Register a description under its name."""
    _FACTS[describe.__name__.lstrip("_")] = describe
    return describe


def _list_values(study: Study, *names: str) -> str:
    """Write the values of attributes in each partition."""
    texts = []
    for part in study.partitions:
        for name in names:
            if name in part.attributes:
                values = [str(value) for value in part.attributes[name] if value]
                counts = ", ".join(f"{k} {n}" for k, n in Counter(values).most_common())
                texts.append(f"{name} in the {part.name}: {counts}")
    return "; ".join(texts) and f"{'; '.join(texts)} (images)."


@_fact
def _sources(study: Study) -> str | None:
    source = study.result.source
    if source is None:
        return None
    counts = ", ".join(f"{k} {n}" for k, n in sorted(Counter(source.tolist()).items()))
    return f"Images by source: {counts}."


@_fact
def _left_out(study: Study) -> str | None:
    texts = []
    for name, data in zip(("folds", "external set"), study.data, strict=False):
        if data is not None:
            bad, dropped = (
                len(data.get(key) or ()) for key in ("bad_files", "dropped")
            )
            texts.append(
                f"Left out of the {name}: {bad} files that cannot be read, and "
                f"{dropped} of another view."
            )
    external = study.result.external
    if external is not None:
        copies = external.copies
        texts.append(
            "Left out of the external set: as copies of training images "
            f"{'not searched for' if copies is None else len(copies)}, as images of "
            f"patients of the training images {len(external.patients_in_training)}."
        )
    return " ".join(texts)


@_fact
def _dates(study: Study) -> str | None:
    texts = []
    for part in study.partitions:
        dates = sorted(filter(None, part.attributes.get("acquisition_date", ())))
        if dates:
            texts.append(
                f"Images of the {part.name} are of {dates[0]} to {dates[-1]}; the date "
                f"of {len(part.labels) - len(dates)} is not known."
            )
    return " ".join(texts)


@_fact
def _devices(study: Study) -> str | None:
    return _list_values(study, "manufacturer", "model")


@_fact
def _views(study: Study) -> str | None:
    return _list_values(study, "view")


@_fact
def _software(study: Study) -> str | None:
    names = ", ".join(f"{name} {found}" for name, found in list_versions().items())
    return f"{names}."


@_fact
def _preprocessing(study: Study) -> str | None:
    steps = [step for step in study.steps[:-1] if not isinstance(step[1], SamplerMixin)]
    if not steps:
        return None
    names = ", ".join(f"{name} ({type(step).__name__})" for name, step in steps)
    return (
        f"Steps before the classifier, in order: {names}; parameters in model_card.md."
    )


@_fact
def _model(study: Study) -> str | None:
    if not study.steps:
        return None
    classifier = type(study.steps[-1][1]).__name__
    return f"The classifier is a {classifier}; all parameters are in model_card.md."


@_fact
def _initial(study: Study) -> str | None:
    if study.pipeline is None:
        return None
    weights = {
        name: value
        for name, value in study.pipeline.get_params().items()
        if name.split("__")[-1] in ("weights", "backbone") and value is not None
    }
    return "; ".join(f"{name}: {value}" for name, value in sorted(weights.items()))


@_fact
def _training(study: Study) -> str | None:
    histories = study.result.histories
    if study.pipeline is None:
        return None
    epochs = [str(max(map(len, history.values()), default=0)) for history in histories]
    return "Parameters of training are in model_card.md." + (
        f" Epochs in the folds: {', '.join(epochs)}." if epochs else ""
    )


@_fact
def _balance(study: Study) -> str | None:
    if study.pipeline is None:
        return None
    samplers = [step for _, step in study.steps if isinstance(step, SamplerMixin)]
    if not samplers:
        return "No step of the pipeline resamples the training images."
    names = ", ".join(type(sampler).__name__ for sampler in samplers)
    return f"Training images, and no others, were resampled by {names}."


@_fact
def _ensemble(study: Study) -> str | None:
    if not study.steps:
        return None
    classifier = study.steps[-1][1]
    kind = "an ensemble" if isinstance(classifier, BaseEnsemble) else "one model"
    return f"The classifier is {kind}; folds are not combined into one prediction."


@_fact
def _predictors(study: Study) -> str | None:
    return "The pixels of one radiograph; no other predictor is used."


@_fact
def _output(study: Study) -> str | None:
    classes = ", ".join(map(str, study.result.classes.tolist()))
    kind = "label" if study.result.probabilities is None else "probability and label"
    return f"Output for an image: {kind}, of the classes {classes}."


@_fact
def _decision(study: Study) -> str | None:
    return DECISION


@_fact
def _indeterminate(study: Study) -> str | None:
    return "The model gives one of its classes to every image that it can read."


@_fact
def _blind_model(study: Study) -> str | None:
    return (
        "No model was fitted on the labels of the images that it was tested on; models "
        "saw images alone, and no clinical information."
    )


@_fact
def _predictions(study: Study) -> str | None:
    text = "Images of a fold were predicted by a model fitted on the other folds"
    if study.result.external is None:
        return f"{text}."
    return f"{text}, and those of the external set by one fitted on all folds."


@_fact
def _folds(study: Study) -> str | None:
    result = study.result
    text = f"{len(result.folds)} folds by {result.cv}; numbers in demographics.md."
    if result.external is not None:
        text += " One model, fitted on all images, was tested on the external set."
    return text


@_fact
def _disjoint(study: Study) -> str | None:
    if study.result.sources_left_out:
        return "Folds are disjoint by source, and by patient where patients are known."
    level = "patient" if study.result.grouped else "image only: patients are not known"
    return f"Folds are disjoint by {level}."


@_fact
def _sizes(study: Study) -> str | None:
    texts = []
    for part in study.partitions:
        everything = np.ones(len(part.labels), dtype=bool)
        classes = "; ".join(
            f"{label}: {part.count(part.labels == label)}"
            for label in np.unique(part.labels)
        )
        texts.append(f"{part.name.capitalize()}: {part.count(everything)}; {classes}.")
    return " ".join(texts)


@_fact
def _classes(study: Study) -> str | None:
    texts = []
    for part in study.partitions:
        counts = ", ".join(
            f"{label} {100 * np.mean(part.labels == label):.1f} %"
            for label in np.unique(part.labels)
        )
        texts.append(f"{part.name.capitalize()}: {counts}.")
    return f"Shares of the labels. {' '.join(texts)}"


@_fact
def _metrics(study: Study) -> str | None:
    text = "Accuracy, balanced accuracy; recall, precision, F1 and specificity by class"
    if study.result.probabilities is None:
        return f"{text}."
    return f"{text}; ROC AUC, calibration and net benefit by class."


@_fact
def _statistics(study: Study) -> str | None:
    methods = {study.result.accuracy.method: None}
    if study.result.roc_auc is not None:
        methods[study.result.roc_auc.rows[0].method] = None
    allow = "allow for" if study.result.grouped else "do not allow for"
    return (
        f"Intervals of 95 %: {', '.join(methods)}. They {allow} images of one patient "
        "being alike."
    )


@_fact
def _internal(study: Study) -> str | None:
    return f"In the folds: {describe_figures(study.result)}"


@_fact
def _external(study: Study) -> str | None:
    external = study.result.external
    if external is None:
        return None
    return f"In the external set: {describe_figures(external)}"


@_fact
def _within(study: Study) -> str | None:
    areas = study.result.within_source_roc_auc
    if areas is None:
        return None
    texts = ", ".join(
        f"{label} {area.format_fraction()}" for label, area in areas.items()
    )
    return f"ROC AUC within sources: {texts}."


@_fact
def _heterogeneity(study: Study) -> str | None:
    if study.result.within_source_roc_auc is None:
        return None
    texts = [
        f"{label}: {study.result.heterogeneity(label)}"
        for label in study.result.classes.tolist()
    ]
    return f"ROC AUC over sources, random effects: {'; '.join(texts)}."


@_fact
def _calibration(study: Study) -> str | None:
    texts = []
    for name, predictions in study.predictions:
        table = predictions.calibration
        for label, row in (table or {}).items():
            texts.append(
                f"{name}, {label}: calibration slope {row.slope.format_fraction(2)}, "
                f"intercept {row.intercept.format_fraction(2)}, Brier score "
                f"{row.brier_score.format_fraction()}."
            )
    return " ".join(texts)


@_fact
def _subgroups(study: Study) -> str | None:
    if not study.partitions[0].attributes:
        return None
    return "Figures by age, sex, view and other attributes are in subgroups.md."


@_fact
def _external_data(study: Study) -> str | None:
    external = study.result.external
    if external is None:
        return None
    size = study.partitions[1].count(np.ones(len(external.y_true), dtype=bool))
    return f"An external set of {size}; demographics.md compares it with the folds."


@_fact
def _confusion(study: Study) -> str | None:
    texts = []
    for name, predictions in study.predictions:
        columns = predictions.per_class.labels
        rows = "; ".join(
            f"true {label}: "
            + ", ".join(
                f"{n} as {other}" for other, n in zip(columns, row, strict=True)
            )
            for label, row in zip(
                predictions.labels, predictions.confusion_matrix.tolist(), strict=True
            )
        )
        texts.append(f"{name}: {rows}.")
    return " ".join(texts)


@_fact
def _failure(study: Study) -> str | None:
    texts = []
    for name, predictions in study.predictions:
        columns = predictions.per_class.labels
        wrong = predictions.confusion_matrix.copy()
        np.fill_diagonal(wrong, 0)
        true, predicted = np.unravel_index(wrong.argmax(), wrong.shape)
        texts.append(
            f"{name}, the most frequent error is {predictions.labels[true]} taken for "
            f"{columns[predicted]} ({wrong.max()} of "
            f"{predictions.confusion_matrix[true].sum()} images)."
        )
    return " ".join(texts)


@_fact
def _robustness(study: Study) -> str | None:
    if study.audit is None:
        return None
    checks = ", ".join(f"{name} {check.status}" for name, check in study.audit.items())
    return f"Audit: {checks}."


@_fact
def _limitations(study: Study) -> str | None:
    return headline(study.result, study.audit)


@_fact
def _intended_use(study: Study) -> str | None:
    return (
        "Research only: the model is not a medical device, and its output is not a "
        "diagnosis."
    )


@_fact
def _flow(study: Study) -> str | None:
    return "See flow.svg."


@_fact
def _demographics(study: Study) -> str | None:
    return "See demographics.md."


@_fact
def _code(study: Study) -> str | None:
    return "Evaluated with skcovid (BSD 3-Clause licence); versions are in result.json."


@_fact
def _outputs(study: Study) -> str | None:
    return "Every prediction and probability is in result.json; patients are not."


def fill_item(row: Mapping[str, str], facts: Mapping[str, str]) -> tuple[str, str]:
    """Return the status of an item of a checklist, and its text."""
    names = row["facts"].split()
    filled = " ".join(facts[name] for name in names if name in facts)
    hints = [_HINTS[name] for name in names if name not in facts and name in _HINTS]
    tasks = "; ".join(filter(None, [row["author"], *hints]))
    texts = []
    if filled:
        texts.append(f"Filled: {filled}")
    if tasks or not filled:
        texts.append(f"For the author: {tasks or 'what the evaluation does not hold'}")
    status = "filled in part" if len(texts) > 1 else texts[0].partition(":")[0].lower()
    return status, " ".join(texts)
