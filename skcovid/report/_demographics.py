"""Demographics: who is in each partition, as tables."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skcovid._base._document import Paragraph, Section, Table
from skcovid.model_selection._result import EvaluationResult

# More values of an attribute than this are counted, not listed.
_MAX_VALUES = 12
_UNITS = {"age": "Age, years", "days_since_symptoms": "Days since symptoms"}


@dataclass(frozen=True)
class Partition:
    """Images that are used alike, with what is known of each."""

    name: str
    labels: NDArray[Any]
    patients: NDArray[Any] | None
    attributes: Mapping[str, NDArray[Any]]

    def select(self, rows: NDArray[np.bool_]) -> "Partition":
        """Return some of the images."""
        patients = None if self.patients is None else self.patients[rows]
        attributes = {key: values[rows] for key, values in self.attributes.items()}
        return Partition(self.name, self.labels[rows], patients, attributes)

    def count(self, rows: NDArray[np.bool_] | slice = slice(None)) -> str:
        """Write numbers of images, and of their patients where they are known."""
        n_images = len(self.labels[rows])
        text = f"{n_images} image{'s' * (n_images != 1)}"
        if self.patients is not None:
            n_patients = len(np.unique(self.patients[rows]))
            text += f" of {n_patients} patient{'s' * (n_patients != 1)}"
        return text


def find_partitions(
    result: EvaluationResult, data: Bunch | None, test_data: Bunch | None
) -> list[Partition]:
    """Return the images of the folds, and those of the external set."""
    of_folds, outside = (
        (one or {}).get("attributes") or {} for one in (data, test_data)
    )
    found = [Partition("folds", result.y_true, result.groups, of_folds)]
    if (external := result.external) is not None:
        attributes = {key: value[external.rows] for key, value in outside.items()}
        found.append(
            Partition("external set", external.y_true, external.groups, attributes)
        )
    return found


def describe_demographics(
    partitions: Sequence[Partition], result: EvaluationResult
) -> list[Section]:
    """Give classes, age, sex, view and the rest by partition, source and fold."""
    classes = sorted({label for part in partitions for label in part.labels.tolist()})
    columns = [_characterise(part, classes) for part in partitions]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [
        [name, *(column.get(name, "not known") for column in columns)] for name in names
    ]
    table = Table(["", *(part.name for part in partitions)], rows)
    text = (
        "Numbers are of images, and of patients where they are known. Every image of "
        "the folds is used for training in all folds but its own. What the data do not "
        "say is counted as not known."
    )
    sections = [Section("partitions", "By partition", [Paragraph(text), table])]
    source = result.source
    if source is not None:
        found = {
            str(name): _characterise(partitions[0].select(source == name), classes)
            for name in np.unique(source)
        }
        header = list(next(iter(found.values())))
        rows = [[name, *cells.values()] for name, cells in found.items()]
        table = Table(["source", *header], rows)
        sections.append(Section("sources", "By source", [table]))
    return [*sections, _describe_folds(partitions[0], result)]


def _describe_folds(images: Partition, result: EvaluationResult) -> Section:
    """Give the numbers of images and patients that each fold trained on and tested."""
    uses = {
        "trained on": "train_indices",
        "validated on": "validation_indices",
        "tested on": "test_indices",
    }
    rows = []
    for number, fold in enumerate(result.folds, 1):
        row = [str(number)]
        for use in uses.values():
            chosen = getattr(fold, use)
            counts = Counter(images.labels[chosen].tolist())
            classes = ", ".join(f"{label} {n}" for label, n in sorted(counts.items()))
            row.append(f"{images.count(chosen)} ({classes})" if counts else "–")
        rows.append(row)
    return Section("folds", "By fold", [Table(["fold", *uses], rows)])


def _characterise(part: Partition, classes: Sequence[Hashable]) -> dict[str, str]:
    """Describe the images of a partition: a text for each characteristic."""
    cells = {"Images": part.count()}
    if part.patients is None:
        cells["Images"] += ", patients not known"
    for label in classes:
        rows = part.labels == label
        cells[f"Class {label}"] = f"{part.count(rows)} ({100 * rows.mean():.1f} %)"
    for name, values in part.attributes.items():
        title = _UNITS.get(name, name.replace("_", " ").capitalize())
        cells[title] = _describe_values(part, title, np.asarray(values))
    return cells


def _describe_values(part: Partition, title: str, values: NDArray[Any]) -> str:
    """Give the range of numbers and dates, and the counts of other values."""
    if values.dtype.kind in "fiu":
        known = np.isfinite(values)
        texts = []
        if known.any():
            low, median, high = np.percentile(values[known], [0, 50, 100])
            texts = [f"median {median:g}, range {low:g} to {high:g}"]
    else:
        values = np.array(["" if value is None else str(value) for value in values])
        known = values != ""
        names = np.unique(values[known])
        texts = [f"{len(names)} values"]
        if title == "Acquisition date":  # In the form 2020-03-31, which sorts.
            texts = [f"{names[0]} to {names[-1]}"] if len(names) else []
        elif len(names) <= _MAX_VALUES:
            texts = [f"{name}: {part.count(values == name)}" for name in names]
    unknown = "0" if known.all() else part.count(~known)
    return "; ".join([*texts, f"not known: {unknown}"])
