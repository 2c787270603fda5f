"""The check "headers": what properties of the files alone tell."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.parallel import Parallel, delayed

from skcovid.auditing._baseline import (
    ALPHA,
    THRESHOLD,
    Baseline,
    balanced_accuracies,
    forest,
    measure,
)
from skcovid.auditing._check import AuditCheck, AuditTable
from skcovid.auditing._subject import Subject

__all__ = ["FileProperties", "check_headers", "read_properties"]

QUESTION = "Do properties of the files tell the classes apart, without a pixel?"
_THRESHOLD = (
    f"{THRESHOLD}, and at most {100 * ALPHA:.0f} % of random labels are told apart as "
    "well."
)


class FileProperties(NamedTuple):
    """What a file tells before its pixels are decoded.

    Parameters
    ----------
    width, height : int
        In pixels.
    aspect : float
        Width over height.
    channels : int
        1 for grey, 3 for RGB, 4 with transparency.
    bit_depth : int
        Bits a channel.
    bytes_per_pixel : float
        Size of the file over its number of pixels.
    format : str
        By content, not by the file's name: "PNG", "JPEG", "DICOM", ….
    """

    width: int
    height: int
    aspect: float
    channels: int
    bit_depth: int
    bytes_per_pixel: float
    format: str


def read_properties(path: str | os.PathLike) -> FileProperties:
    """Read the header of an image file.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    FileProperties

    Raises
    ------
    ValueError
        If it is no image.
    """
    from PIL import Image, ImageMode, UnidentifiedImageError

    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        if file.read(132)[128:] == b"DICM":
            return _read_dicom(path, size)
    try:
        with Image.open(path) as image:
            mode = ImageMode.getmode(image.mode)
            # Pillow opens 16-bit colour and 4-bit grey as 8-bit; the raw mode of its
            # first tile ("RGB;16B", "L;4") still says what the file holds.
            raw = re.search(r";(\d+)", str(image.tile[0][3])) if image.tile else None
            stored = 1 if image.mode == "1" else 8 * np.dtype(mode.typestr).itemsize
            return FileProperties(
                *image.size,
                aspect=image.width / image.height,
                channels=len(mode.bands),
                bit_depth=int(raw.group(1)) if raw else stored,
                bytes_per_pixel=size / (image.width * image.height),
                format=str(image.format),
            )
    except UnidentifiedImageError:
        raise ValueError(f"{os.fspath(path)}: Pillow knows no such format") from None


def _read_dicom(path: str | os.PathLike, size: int) -> FileProperties:
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True)
    width, height = int(header.Columns), int(header.Rows)
    return FileProperties(
        width,
        height,
        aspect=width / height,
        channels=int(header.SamplesPerPixel),
        bit_depth=int(header.BitsStored),
        bytes_per_pixel=size / (width * height),
        format="DICOM",
    )


def check_headers(
    subject: Subject, n_permutations: int
) -> tuple[AuditCheck, list[Baseline]]:
    """Classify files by their properties."""
    if subject.paths is None:
        reason = (
            "X holds pixels, and what became of the files they were read from is not "
            "known. Pass paths in place of arrays to have this check run."
        )
        check = AuditCheck("headers", QUESTION, "not run", reason, _THRESHOLD)
        return check, []
    files = [read_properties(path) for path in subject.paths]
    columns = _encode(files)
    if columns.shape[1] == 0:
        reason = f"All files are alike: {_describe(files[0])}."
        return AuditCheck("headers", QUESTION, "passed", reason, _THRESHOLD), []
    classifier = forest(subject.random_state)
    found = measure(subject, "file properties", classifier, columns)

    def separation(y: NDArray) -> float:
        result = subject.evaluate(classifier, columns, y=y)
        return float(balanced_accuracies(result).max())

    p_value = _permutation_p_value(separation, subject, n_permutations)
    flagged = found.separates and p_value <= ALPHA
    check = AuditCheck(
        name="headers",
        question=QUESTION,
        status="flagged" if flagged else "passed",
        verdict=_verdict(found, p_value, flagged),
        threshold=_THRESHOLD,
        advice=_advice(files) if flagged else "",
        figures=found.figures(),
        accuracies={found.name: found.accuracy},
        tables=(_properties_table(files, subject.y), found.table()),
        details={"p_value": p_value, "n_permutations": n_permutations},
    )
    return check, [found]


def _verdict(found: Baseline, p_value: float, flagged: bool) -> str:
    accuracy = found.accuracy.format_percent(1)
    seen = (
        "A random forest that sees no pixel, only properties of the files, gives "
        f"{accuracy} of the images their class (permutation p = {p_value:.3f})."
    )
    if not flagged:
        return f"{seen} It tells no class apart from the others beyond doubt."
    return f"{seen} It tells apart {found.describe_told_apart()}."


def _advice(files: list[FileProperties]) -> str:
    varying = [
        name
        for name, values in zip(
            FileProperties._fields, zip(*files, strict=True), strict=True
        )
        if len(set(values)) > 1
    ]
    if varying == ["bytes_per_pixel"]:
        return (
            "Files differ in bytes per pixel alone, which depends on how they were "
            "made and also on what they show: clear lungs compress better than hazy "
            "ones. Write all of them anew from the originals, in one format and "
            "quality; compression of unlike quality before that cannot be undone."
        )
    return (
        "Find out which collection each class comes from. Bring all images to one "
        "size, number of channels, bit depth and format before training; what "
        "resizing or compression have left in the pixels stays."
    )


def _encode(files: list[FileProperties]) -> NDArray[np.float64]:
    """Properties that vary as numbers, the format as a column for each."""
    numbers = np.array([file[:-1] for file in files], dtype=float)
    formats = np.array([file.format for file in files])
    columns = np.column_stack([numbers, formats[:, None] == np.unique(formats)])
    return columns[:, (columns != columns[0]).any(axis=0)]


def _properties_table(files: list[FileProperties], y: NDArray) -> AuditTable:
    classes = np.unique(y).tolist()
    rows = []
    for name, values in zip(
        FileProperties._fields, map(np.array, zip(*files, strict=True)), strict=True
    ):
        cells = [_summarise(values[y == label]) for label in classes]
        rows.append([name.replace("_", " "), *cells])
    return AuditTable(
        "Files of each class: median and range, or how many of each format",
        ["", *map(str, classes)],
        rows,
    )


def _summarise(values: NDArray) -> str:
    if values.dtype.kind == "U":
        names, counts = np.unique(values, return_counts=True)
        return ", ".join(
            f"{name} {count}" for name, count in zip(names, counts, strict=True)
        )
    low, middle, high = (f"{q:.3g}" for q in np.percentile(values, [0, 50, 100]))
    if values.dtype.kind == "i":
        low, middle, high = (f"{q:.0f}" for q in np.percentile(values, [0, 50, 100]))
    return middle if low == high else f"{middle} ({low} – {high})"


def _describe(file: FileProperties) -> str:
    return (
        f"{file.format}, {file.width} × {file.height} pixels, {file.channels} "
        f"channels, {file.bit_depth} bits, {file.bytes_per_pixel:.3g} bytes a pixel"
    )


def _permutation_p_value(
    statistic: Callable[[NDArray], float], subject: Subject, n_permutations: int
) -> float:
    """Share of random labellings whose statistic is no less than that of the labels.

    scikit-learn's `permutation_test_score` permutes inside groups, where all images of
    a patient have one label and nothing would change: here patients change places.

    It ends as soon as so many have been no less that the rest can't make it
    significant; the share of those so far is a p-value too (Besag and Clifford, 1991,
    Sequential Monte Carlo p-values, Biometrika, 78, 301-304).
    """
    generator = np.random.default_rng(subject.random_state)
    observed = statistic(subject.y)
    n_made = n_no_less = 0
    with Parallel(n_jobs=subject.n_jobs, prefer="threads") as parallel:
        while n_made < n_permutations:
            labellings = [
                _permute(subject.y, subject.groups, generator)
                for _ in range(min(subject.n_jobs, n_permutations - n_made))
            ]
            for value in parallel(delayed(statistic)(y) for y in labellings):
                n_made += 1
                n_no_less += value >= observed
                if 1 + n_no_less > ALPHA * (1 + n_permutations):
                    return n_no_less / n_made
    return (1 + n_no_less) / (1 + n_permutations)


def _permute(
    y: NDArray, groups: NDArray | None, generator: np.random.Generator
) -> NDArray:
    """Labels in another order, those of a patient staying together."""
    if groups is None:
        return generator.permutation(y)
    _, patients = np.unique(groups, return_inverse=True)
    ranks = generator.permutation(patients.max() + 1)
    permuted = np.empty_like(y)
    permuted[np.argsort(patients, kind="stable")] = y[
        np.argsort(ranks[patients], kind="stable")
    ]
    return permuted
