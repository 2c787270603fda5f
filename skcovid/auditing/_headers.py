"""The check "headers": classes told apart by properties of the files alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skcovid._base._document import Table
from skcovid.auditing._baseline import (
    ALPHA,
    NOT_TOLD_APART,
    THRESHOLD,
    Baseline,
    best_balanced_accuracy,
    cross_validate,
    make_forest,
)
from skcovid.auditing._check import AuditCheck
from skcovid.auditing._file_properties import FileProperties, read_properties
from skcovid.auditing._subject import Subject

_QUESTION = "Do properties of the files alone tell the classes apart?"
_THRESHOLD = (
    f"{THRESHOLD}, and at most {100 * ALPHA:.0f} % of random labels are told apart as "
    "well."
)


def check_headers(
    subject: Subject, n_permutations: int
) -> tuple[AuditCheck, list[Baseline]]:
    """Classify files by their properties."""
    if subject.paths is None:
        reason = (
            "X holds pixels, so the files they were read from are not known. Pass "
            "paths instead of arrays to run this check."
        )
        return AuditCheck("headers", _QUESTION, "not run", reason, _THRESHOLD), []
    files = [read_properties(path) for path in subject.paths]
    numbers = np.array([file[:-1] for file in files], dtype=float)
    formats = np.array([file.format for file in files])
    columns = np.column_stack([numbers, formats[:, None] == np.unique(formats)])
    columns = columns[:, (columns != columns[0]).any(axis=0)]
    if columns.shape[1] == 0:
        first = files[0]
        verdict = (
            f"All files are alike: {first.format}, {first.width} × {first.height} "
            f"pixels, {first.channels} channels, {first.bit_depth} bits, "
            f"{first.bytes_per_pixel:.3g} bytes per pixel."
        )
        return AuditCheck("headers", _QUESTION, "passed", verdict, _THRESHOLD), []
    forest = make_forest(subject.random_state).set_params(n_jobs=subject.n_jobs)
    found = cross_validate(subject, "file properties", forest, columns)
    p_value = _permutation_p_value(subject, forest, columns, n_permutations)
    flagged = bool(found.told_apart) and p_value <= ALPHA
    check = AuditCheck(
        name="headers",
        question=_QUESTION,
        status="flagged" if flagged else "passed",
        verdict=(
            "A random forest on properties of the files alone has an accuracy of "
            f"{found.accuracy.format_percent(1)} (permutation p = "
            f"{p_value:.3f}). {found.outcome if flagged else NOT_TOLD_APART}"
        ),
        threshold=_THRESHOLD,
        advice=_advice(files),
        decision=f"{found.decision} if p ≤ {ALPHA}: p = {p_value:.3f}",
        figures=found.figures,
        accuracies={found.name: found.accuracy},
        tables=(_properties_table(files, subject.y), found.table),
        details={"p_value": p_value, "n_permutations": n_permutations},
    )
    return check, [found]


def _advice(files: list[FileProperties]) -> str:
    if len({file._replace(bytes_per_pixel=0) for file in files}) == 1:
        return (
            "The files differ in bytes per pixel alone, which depends on how they were "
            "made and also on what they show: clear lungs compress better than hazy "
            "ones. Write all files anew from the originals, in one format and quality; "
            "earlier compression of different quality cannot be undone."
        )
    return (
        "Find out which collection each class comes from. Bring all images to one "
        "size, number of channels, bit depth and format before training. Traces of "
        "resizing and compression stay in the pixels."
    )


def _properties_table(files: list[FileProperties], y: NDArray[Any]) -> Table:
    classes = np.unique(y).tolist()
    rows = []
    for name, values in zip(
        FileProperties._fields, map(np.array, zip(*files, strict=True)), strict=True
    ):
        cells = [_summarise(values[y == label]) for label in classes]
        rows.append([name.replace("_", " "), *cells])
    return Table(
        ["", *map(str, classes)],
        rows,
        caption="Files of each class: median and range, or number of each format",
    )


def _summarise(values: NDArray[Any]) -> str:
    if values.dtype.kind == "U":
        names, counts = np.unique(values, return_counts=True)
        return ", ".join(
            f"{name} {count}" for name, count in zip(names, counts, strict=True)
        )
    digits = ".0f" if values.dtype.kind == "i" else ".3g"
    low, middle, high = (f"{q:{digits}}" for q in np.percentile(values, [0, 50, 100]))
    return middle if low == high else f"{middle} ({low} – {high})"


def _permutation_p_value(
    subject: Subject, classifier: Any, X: NDArray[Any], n_permutations: int
) -> float:
    """Share of random labellings that are told apart at least as well as the labels.

    scikit-learn's `permutation_test_score` permutes within groups, which changes
    nothing where all images of a patient have one label; here patients are permuted.

    It ends once the p-value cannot become significant; the share up to then is a
    p-value too (Besag and Clifford, 1991, Sequential Monte Carlo p-values, Biometrika,
    78, 301-304).
    """

    def statistic(y: NDArray[Any]) -> float:
        return best_balanced_accuracy(subject.evaluate(classifier, X, y=y))

    generator = np.random.default_rng(subject.random_state)
    observed = statistic(subject.y)
    n_as_well = 0
    for n_made in range(1, n_permutations + 1):
        value = statistic(_permute(subject.y, subject.groups, generator))
        n_as_well += int(value >= observed)
        if 1 + n_as_well > ALPHA * (1 + n_permutations):
            return n_as_well / n_made
    return (1 + n_as_well) / (1 + n_permutations)


def _permute(
    y: NDArray[Any], groups: NDArray[Any] | None, generator: np.random.Generator
) -> NDArray[Any]:
    """Give each patient the labels of another, repeated to its number of images."""
    if groups is None:
        return generator.permutation(y)
    _, patients, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    rows = np.split(np.argsort(patients, kind="stable"), np.cumsum(sizes)[:-1])
    permuted = np.empty_like(y)
    for own, other in zip(rows, generator.permutation(len(rows)), strict=True):
        permuted[own] = np.resize(generator.permutation(y[rows[other]]), len(own))
    return permuted
