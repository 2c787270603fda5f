"""Read a table of predictions, of any model: paths, labels, predictions, patients."""

import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length

from skcovid._base._label_checks import check_column, check_labels, check_source
from skcovid.datasets._attributes import KNOWN, as_arrays, parse_attribute
from skcovid.datasets._metadata import (
    COLUMNS,
    enumerate_some,
    find_columns,
    plain_name,
    read_table,
)
from skcovid.reading._paths import as_paths, format_path

_KNOWN = {
    **COLUMNS,
    "label": ("label", "truelabel", "ytrue"),
    "prediction": ("prediction", "predicted", "predictedlabel", "ypred"),
    "fold": ("fold",),
}
# What predict_archive writes before the name of a class.
_PREFIX = "probability_"
# As of `evaluate`: probabilities may be rounded.
_TOLERANCE = 0.01


def read_prediction_columns(table: Any) -> dict[str, Any]:
    """Return path, label, prediction, probabilities, patient, source, fold, attributes.

    A column that the table lacks is None, attributes may be empty. Raise if it is not
    clear what a table says.
    """
    is_file = isinstance(table, str | os.PathLike)
    origin = format_path(table) if is_file else "predictions"
    if is_file:
        if Path(table).suffix.lower() != ".csv":
            raise ValueError(
                f"{origin}: a file of predictions must be CSV, named .csv. Read "
                "another one first, as pandas.read_parquet does, and pass the frame."
            )
        header, lines = read_table(table)
        names: list[Any] = [name.strip() for name in header]
        cells = [[row[at].strip() for _, row in lines] for at in range(len(names))]
    else:
        names = list(getattr(table, "columns", table))
        cells = [table[name] for name in names]
    # Names of classes may differ in punctuation alone.
    shown = ["" if str(one).startswith(_PREFIX) else str(one) for one in names]
    found = find_columns(origin, shown, strict=True, known=_KNOWN)
    keys = {at: key for key, at in found.items()}
    try:
        columns = {}
        for at, (name, values) in enumerate(zip(names, cells, strict=True)):
            if np.ndim(values) != 1 or names.count(name) > 1:
                raise ValueError(
                    f"column {name!r} must be there once and hold one value for each "
                    f"image, got {values!r:.60}."
                )
            columns[keys.get(at, str(name))] = np.array(list(values), dtype=object)
        columns["path"] = np.array(as_paths(columns["path"]), dtype=object)
        if is_file:
            columns["path"] = np.array(
                [str(Path(table).parent / path) for path in columns["path"]]
            )
        return _check(columns)
    except ValueError as error:
        raise ValueError(f"{origin}: {error}") from None


def _check(columns: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Check the values of a table, and find its probabilities and predictions."""
    check_consistent_length(*columns.values())
    check_labels(columns["label"], "column 'label'")
    for name in ("patient", "source", "fold"):
        cure = "fill it for every image, or leave the column out"
        check_column(f"column {name!r}", columns.get(name), cure)
    check_source(columns.get("source"))
    counts = Counter(map(os.path.normpath, columns["path"]))
    if repeated := [path for path, count in counts.items() if count > 1]:
        raise ValueError(
            f"column 'path' has {len(repeated)} images more than once: "
            f"{enumerate_some(repeated)}. Keep one row for each, all of one run."
        )
    labels = np.array(columns["label"].tolist())
    for name, values, cure in (
        ("label", labels, "add images of the others"),
        ("fold", columns.get("fold"), "leave it out if the images were in no folds"),
    ):
        if values is not None and len(np.unique(values)) < 2:
            raise ValueError(
                f"column {name!r} must have two values or more, got "
                f"{np.unique(values).tolist()}; {cure}."
            )
    parts = sorted({str(part) for part in columns.get("split", ())})
    if len(parts) > 1 or any(part.casefold().startswith("train") for part in parts):
        raise ValueError(
            f"column 'split' has {', '.join(map(repr, parts))}. Leave out the images "
            "that the model was trained on; or the column, if it saw none of them."
        )
    classes = np.unique(labels)
    probabilities = _find_probabilities(columns, classes)
    known = [name for name in KNOWN if name in columns and name != "source"]
    rows = [
        {name: parse_attribute(name, str(columns[name][row])) for name in known}
        for row in range(len(labels))
    ]
    return {
        "path": columns["path"].tolist(),
        "label": labels,
        "prediction": _find_predictions(
            columns.get("prediction"), probabilities, classes
        ),
        "probabilities": probabilities,
        **{
            name: np.array(columns[name].tolist()) if name in columns else None
            for name in ("patient", "source", "fold")
        },
        "attributes": as_arrays(rows),
    }


def _find_probabilities(
    columns: dict[str, NDArray[Any]], classes: NDArray[Any]
) -> NDArray[np.float64] | None:
    """Return the probabilities, a column for each class; None if there are none."""
    free = [name for name in columns if name not in _KNOWN]
    wanted = [f"{_PREFIX}{label}" for label in classes]
    plain = [plain_name(str(label)) for label in classes]
    used = [name for name in wanted if name in free] or [
        str(label) for label in classes if str(label) in free
    ]
    puzzling = [
        name
        for name in free
        if name not in used
        and (
            name.startswith(_PREFIX)
            or any(len(one) > 1 and one in plain_name(name) for one in plain)
        )
    ]
    if puzzling or 0 < len(used) < len(classes):
        found = ", ".join(map(repr, [*used, *puzzling]))
        raise ValueError(
            f"columns {found} do not fit the labels. Name those of "
            f"probabilities {', '.join(map(repr, wanted))}, all of them "
            "(the second of two classes has 1 less the first), and rename others."
        )
    if not used:
        return None
    try:
        values = np.stack([columns[name] for name in used], axis=1).astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"probabilities must be numbers: {error}.") from None
    wrong = ~((values >= 0).all(axis=1) & (abs(values.sum(axis=1) - 1) <= _TOLERANCE))
    if wrong.any():
        raise ValueError(
            f"{wrong.sum()} rows have no probabilities in [0, 1] with the sum 1, such "
            f"as row {wrong.argmax()}: {values[wrong][0].tolist()}. Divide percentages "
            "by 100; apply a softmax to logits."
        )
    return values


def _find_predictions(
    given: NDArray[Any] | None,
    probabilities: NDArray[np.float64] | None,
    classes: NDArray[Any],
) -> NDArray[Any]:
    """Return the predictions as they are given, or the class of each largest value."""
    known = classes.tolist()
    if given is not None:
        check_labels(given, "column 'prediction'")
        check_labels([*known, *given], "columns 'label' and 'prediction'")
        if unknown := [label for label in given if label not in known]:
            raise ValueError(
                f"column 'prediction' has {unknown[0]!r} (in all {len(unknown)} rows "
                f"that are not of a label), labels are {', '.join(map(repr, known))}. "
                "Write both alike; a class without an image can't be audited."
            )
        places = np.array([known.index(label) for label in given])
        if probabilities is not None:
            own = probabilities[np.arange(len(places)), places]
            differ = np.flatnonzero(own < probabilities.max(axis=1))
            if len(differ):
                warnings.warn(
                    f"In {len(differ)} of {len(places)} rows, such as row {differ[0]}, "
                    "the prediction is not the class of the largest probability. It is "
                    "believed; if the model has no threshold of its own, compare the "
                    "names of the columns with its classes.",
                    stacklevel=7,
                )
    elif probabilities is None:
        raise ValueError(
            "the table lacks the column 'prediction' and probabilities named "
            f"{', '.join(repr(_PREFIX + str(label)) for label in known)}. Add one kind."
        )
    else:
        places = probabilities.argmax(axis=1)
        if (np.diff(np.sort(probabilities))[:, -1] == 0).any():
            raise ValueError(
                "rows have two largest probabilities; add a column 'prediction'."
            )
    predictions: NDArray[Any] = classes[places]
    return predictions
