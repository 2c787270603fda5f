"""The sections of a report on an evaluation: its facts as text and tables.

`describe_result` in `_result.py` puts them together.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from math import isnan
from typing import Any

from skcovid._base._document import Details, List, Paragraph, Part, Section, Table
from skcovid._base._version import installed_versions
from skcovid.metrics._estimates import MOVER, Estimate
from skcovid.metrics._heterogeneity import Heterogeneity
from skcovid.metrics._operating_point import OperatingPoint
from skcovid.metrics._tables import RocAucTable
from skcovid.model_selection._external_result import ExternalResult
from skcovid.model_selection._predictions import Predictions
from skcovid.model_selection._source_figures import SourceFigures

PROTOCOLS = {
    "cross_val_predict": "every image predicted once, by a model that never saw it",
    "paper": (
        "the paper's half-folds: one half of each test fold is the validation data, "
        "the other half is predicted"
    ),
    "table": (
        "predictions were read from a table; folds, if given, are taken at its word"
    ),
}
_PACKAGES = ["python", "skcovid", "scikit-learn", "imbalanced-learn"]
_PACKAGES += ["keras", "scikeras"]
# Attributes of `ClassMetrics`, as columns of the table.
_COLUMNS = {
    "recall": "recall",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
    "one_vs_rest_accuracy": "one-vs-rest accuracy",
}

# Figures of `Predictions._headline_figures`, as rows of the table.
_HEADLINE = {
    "accuracy": "Multi-class accuracy",
    "balanced_accuracy": "Balanced accuracy (mean recall)",
    "roc_auc": "ROC AUC",
    "recall": "Recall",
    "specificity": "Specificity",
}


def list_versions() -> dict[str, str]:
    """Return the versions of Python, skcovid and what it evaluates with."""
    return installed_versions(_PACKAGES)


def describe_versions() -> str:
    """Write the versions of `list_versions` on one line."""
    return ", ".join(f"{name} {found}" for name, found in list_versions().items())


def list_epochs(histories: Sequence[dict[str, list[Any]]]) -> str:
    """Write the number of epochs of every fold."""
    return ", ".join(
        str(max(map(len, history.values()), default=0)) for history in histories
    )


def describe_headline(result: Predictions) -> Section:
    """Give the scores over all classes, and how the intervals were made."""
    table, areas, means = result.per_class, result.roc_auc, result.per_class.means
    one_vs_rest = str(means.one_vs_rest_accuracy)
    rows = [
        ["Multi-class accuracy", str(table.accuracy)],
        ["Balanced accuracy (mean recall)", str(means.recall)],
        ["F1, mean over the classes", str(means.f1)],
        ["One-vs-rest accuracy, mean (the paper's ACC)", one_vs_rest],
    ]
    methods = f"{table.accuracy.method} for shares of images and F1"
    if areas is not None:
        rows.append(["ROC AUC, mean over the classes", areas.mean.format_fraction()])
        methods += f", {areas.rows[0].method} for ROC AUC"
    text = f"Intervals are 95 %: {methods}; {MOVER} from these for means."
    values = Table(["figure", "value [95 % interval]"], rows)
    return Section("headline", "Headline figures", [values, Paragraph(text)])


def describe_headline_outside(inside: Predictions, outside: ExternalResult) -> Section:
    """Give the scores inside beside those outside; none stands alone."""
    rows = []
    for name, label, *figures in inside._compare_with(outside):
        shown = _HEADLINE[name] + ("" if label is None else f", {label}")
        is_area = name == "roc_auc"
        write = Estimate.format_fraction if is_area else Estimate.format_percent
        rows.append([shown, *map(write, figures)])
    parts: list[Part] = [
        Table(
            ["figure", "inside (folds)", "outside (external set)", "lost outside"], rows
        ),
        Paragraph(
            "Values with 95 % intervals. Inside: images of the training collection, "
            "each predicted by a model that never saw it. Outside: the external set, "
            "predicted by a model that was fitted on the whole training collection. "
            f"Intervals of differences: {MOVER}, as of independent samples."
        ),
    ]
    lacking = outside.labels[len(outside.classes) :].tolist()
    if lacking:
        text = (
            "Multi-class accuracy outside is n/a: the model can't predict "
            f"{', '.join(map(repr, lacking))}, whose images count as the rest of every "
            "class."
        )
        parts.append(Paragraph(text))
    return Section("headline", "Headline figures, inside and outside", parts)


def lead_with_sources(
    within: RocAucTable,
    areas: RocAucTable,
    differ: Mapping[Hashable, Heterogeneity],
    left_out: bool | None,
) -> list[Part]:
    """Give the areas within sources, which come before all other scores.

    `left_out` is None where it is not known what the models were trained on.
    """
    rows = [
        [
            str(label),
            area.format_fraction(),
            areas[label].format_fraction(),
            differ[label].mean.format_fraction(),
            differ[label].prediction.format_fraction(),
        ]
        for label, area in within.items()
    ]
    methods = [one.mean.method for one in differ.values() if one.n_sources > 1]
    seen = (
        "Every source was predicted by models that saw none of its images."
        if left_out
        else "The models were trained on images of the same sources. In a source that "
        "they have not seen, the figures may be lower: cv='leave-one-source-out' "
        "measures that."
    )
    if left_out is None:
        seen = "It is not known whether the models were trained on these sources."
    return [
        Table(
            ["ROC AUC", "within sources", "all images", "mean source", "new source"],
            rows,
        ),
        Paragraph(
            f"{seen} Within sources, only images of one source are compared with each "
            "other, so that telling sources apart gains nothing: such a model has 0.5 "
            "there, and can have 1 for all images. The last two columns are of the "
            "sources' own areas, with 95 % intervals for their mean and for a new "
            f"source{f' ({methods[0]})' if methods else ''}."
        ),
    ]


def describe_sources(
    by_source: Mapping[Hashable, SourceFigures],
    differ: Mapping[Hashable, Heterogeneity],
) -> Section:
    """Give images, accuracy, recalls and areas of every source."""
    labels = next(iter(by_source.values())).classes.tolist()
    rows, areas = [], []
    for name, one in by_source.items():
        recalls = [row.recall.format_percent(1) for row in one.per_class.values()]
        patients = "n/a" if one.n_patients is None else str(one.n_patients)
        counts = map(str, one.class_counts.values())
        accuracy = one.accuracy.format_percent(1)
        rows.append([str(name), patients, *counts, accuracy, *recalls])
        if one.roc_auc is not None:
            cells = [area.format_fraction() for area in one.roc_auc.values()]
            areas.append([str(name), *cells])
    if differ:
        shares = [one.i_squared for one in differ.values()]
        texts = ["n/a" if isnan(one) else f"{100 * one:.0f} %" for one in shares]
        areas.append(["share of variance due to sources (I²)", *texts])
    header = ["source", "patients", *(f"images of {label}" for label in labels)]
    header += ["accuracy", *(f"recall of {label}" for label in labels)]
    caption = "Each source: values [95 % interval]"
    parts: list[Part] = [Table(header, rows, caption)]
    if areas:
        caption = "ROC AUC of each source [95 % interval]"
        note = (
            "n/a: all images of the source are of the class, or none. Such sources are "
            "trained on and tested all the same."
        )
        parts.append(Table(["source", *map(str, labels)], areas, caption, note))
    return Section("sources", "Sources", parts)


def describe_external(
    outside: ExternalResult,
    points: Mapping[Hashable, Mapping[str, OperatingPoint]],
    patients_compared: bool,
) -> Section:
    """Give the images, confusion matrix and figures of the external set."""
    patients, copies = outside.n_patients, outside.copies
    unknown = "not known; images were taken as independent"
    counts = sorted(Counter(outside.y_true.tolist()).items())
    rows = {
        "Images scored": len(outside.rows),
        "True classes": ", ".join(f"{label}: {count}" for label, count in counts),
        "Patients": unknown if patients is None else patients,
        "Left out as copies of training images": (
            "not searched for" if copies is None else len(copies)
        ),
        "Left out as images of patients of the training images": (
            len(outside.patients_in_training)
            if patients_compared
            else "not searched for"
        ),
    }
    parts: list[Part] = [Table(["", ""], [[k, str(v)] for k, v in rows.items()])]
    if copies:
        listed = List([f"{k}: a copy of training row {v}" for k, v in copies.items()])
        summary = "Copies, by row of the external and the training set"
        parts.append(Details(summary, [listed]))
    parts.append(describe_confusion_matrix(outside).parts[-1])
    parts.append(describe_per_class(outside).parts[-1])
    if points:
        parts.append(tabulate_thresholds(points))
    return Section("external", "External set", parts)


def tabulate_thresholds(
    points: Mapping[Hashable, Mapping[str, OperatingPoint]],
) -> Table:
    """Give sensitivity and specificity at a threshold of each class."""
    header, rows = ["class", "threshold"], []
    for place in next(iter(points.values())):
        header += [f"sensitivity {place}", f"specificity {place}"]
    for label, sides in points.items():
        row = [str(label), f"from {sides['inside'].threshold:.3g} up"]
        for side in sides.values():
            row += [side.sensitivity.format_percent(1)]
            row += [side.specificity.format_percent(1)]
        rows.append(row)
    caption = "Thresholds chosen inside for a sensitivity of 95 % [95 % interval]"
    return Table(header, rows, caption)


def describe_confusion_matrix(result: Predictions) -> Section:
    """Give the counts of all folds, and their shares of the true class."""
    counts = result.confusion_matrix.tolist()
    rows = []
    for label, row, shares in zip(
        result.labels.tolist(), counts, result.confusion_shares, strict=True
    ):
        pairs = zip(row, shares, strict=True)
        cells = [f"{count}: {share.format_percent(1)}" for count, share in pairs]
        rows.append([f"{label} ({sum(row)} images)", *cells])
    table = Table(
        ["true class", *(f"predicted {label}" for label in result.per_class)],
        rows,
        caption="Images, and their share of the true class [95 % interval]",
    )
    text = "All folds together (the paper's Table 3)."
    return Section("confusion-matrix", "Confusion matrix", [Paragraph(text), table])


def describe_per_class(result: Predictions) -> Section:
    """Give recall, specificity and the other figures of every class."""
    table, areas = result.per_class, result.roc_auc
    header = ["class", "images", *_COLUMNS.values()]
    rows = [
        [
            *(str(label), str(row.support)),
            *(getattr(row, name).format_percent() for name in _COLUMNS),
        ]
        for label, row in [*table.items(), ("mean", table.means)]
    ]
    if areas is not None:
        header.insert(4, "ROC AUC")
        for row, area in zip(rows, (*areas.values(), areas.mean), strict=True):
            row.insert(4, area.format_fraction())
    text = "Each class against the rest (the paper's Table 4)."
    values = Table(header, rows, caption="Values [95 % interval]")
    return Section("per-class", "Per class", [Paragraph(text), values])


def describe_settings(cv: str, pipeline: str, seconds: float) -> Section:
    """Give cross-validator, versions, wall time and pipeline."""
    rows = [
        ["Cross-validator", cv],
        ["Versions", describe_versions()],
        ["Wall time", "n/a" if isnan(seconds) else f"{seconds / 60:.1f} minutes"],
    ]
    evaluated = Details("The evaluated pipeline", [Paragraph(pipeline)])
    return Section("making", "How it was made", [Table(["", ""], rows), evaluated])
