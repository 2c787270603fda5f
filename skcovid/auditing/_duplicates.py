"""The check "duplicates": one image twice, in two folds or in two classes."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skcovid.auditing._baseline import proportion
from skcovid.auditing._check import AuditCheck, AuditFigure, AuditTable
from skcovid.auditing._pixels import HASH_SIDE, Pixels
from skcovid.auditing._subject import Subject

__all__ = ["check_duplicates"]

QUESTION = "Is one image there twice, in training and test or in two classes?"
# Of 256 bits. Copies in JPEG at quality 75, at half the size, brighter or noisier are
# within 8 bits of the original, and with another gamma within 20. It only chooses
# what is compared pixel by pixel, since different radiographs may be as near.
MAX_HASH_DISTANCE = 30
# Of the fine structure. Among 4.2 million pairs of 2,905 radiographs, copies that were
# resized, compressed or windowed anew reached 0.829 and more, different ones 0.73 at
# most; synthetic ones of different patients, in 50 sets of 240, 0.814.
MIN_CORRELATION = 0.82
# Standard deviation, in pixels, of what is coarse and therefore subtracted: the chest
# every radiograph shows, exposure and windowing.
_COARSE = 2.0
_BLOCK = 1024


def check_duplicates(subject: Subject, pixels: Pixels) -> AuditCheck:
    """Find copies: equal pixels, or nearly equal ones.

    Flipped, rotated or cropped copies are not found.
    """
    near = list(_near_pairs(pixels))
    sets = _connect(pixels.digests, near)
    leaked = subject.leaked(sets)
    copies = _describe_sets(subject, sets, near, leaked)
    crossing = [one for one in copies if len(one["classes"]) > 1]
    tested = subject.result.test_indices
    in_crossing = np.isin(
        np.arange(len(sets)), [r for o in crossing for r in o["rows"]]
    )
    flagged = bool(leaked.any() or crossing)
    return AuditCheck(
        name="duplicates",
        question=QUESTION,
        status="flagged" if flagged else "passed",
        verdict=_verdict(copies, int(leaked.sum()), len(crossing)),
        threshold=(
            "any copy that is in training and test of a fold, or in two classes. "
            "Copies have equal pixels, or perceptual hashes within "
            f"{MAX_HASH_DISTANCE} of {HASH_SIDE**2} bits and fine structure that "
            f"correlates above {MIN_CORRELATION}."
        ),
        advice=(
            "Look at the images listed. Keep one of each set, or give a set one entry "
            "in groups so that it stays on one side; where its labels contradict each "
            "other, drop it or have it read again."
            if flagged
            else ""
        ),
        figures=(
            AuditFigure(
                "test images with a copy in their training images",
                proportion(leaked[tested], subject.patients(tested)),
            ),
            AuditFigure(
                "images with a copy in another class",
                proportion(in_crossing, subject.groups),
            ),
        ),
        tables=(_table(copies),) if copies else (),
        details={"copies": copies},
    )


def _near_pairs(pixels: Pixels) -> Iterator[tuple[int, int, float]]:
    """Pairs of images, equal ones taken once, whose fine structure is the same."""
    _, firsts = np.unique(pixels.digests, return_index=True)
    # Bits as ±1: a product of two hashes is 256 less twice their distance.
    signs = np.where(pixels.hashes[firsts], np.float32(1), np.float32(-1))
    n_bits = signs.shape[1]
    for start in range(0, len(firsts), _BLOCK):
        block = signs[start : start + _BLOCK]
        distances = (n_bits - block @ signs[start:].T) / 2
        for one, other in np.argwhere(distances <= MAX_HASH_DISTANCE):
            if one < other:
                pair = firsts[start + one], firsts[start + other]
                correlation = _correlate(*pixels.small[list(pair)])
                if correlation > MIN_CORRELATION:
                    yield int(pair[0]), int(pair[1]), correlation


def _correlate(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Pearson's correlation of the fine structure of two images."""
    fine = [
        image - cv2.GaussianBlur(image, (0, 0), _COARSE)
        for image in (one.astype(np.float32), other.astype(np.float32))
    ]
    if any(image.std() == 0 for image in fine):
        return 0.0
    return float(np.corrcoef(fine[0].ravel(), fine[1].ravel())[0, 1])


def _connect(
    digests: NDArray[np.str_], near: list[tuple[int, int, float]]
) -> NDArray[np.intp]:
    """Give each set of copies a number, and say which each image belongs to."""
    _, firsts, inverse = np.unique(digests, return_index=True, return_inverse=True)
    n_images = len(digests)
    edges = np.array(
        [*zip(range(n_images), firsts[inverse], strict=True)]
        + [(one, other) for one, other, _ in near]
    )
    graph = coo_array(
        (np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n_images, n_images)
    )
    return connected_components(graph, directed=False)[1]


def _describe_sets(
    subject: Subject,
    sets: NDArray[np.intp],
    near: list[tuple[int, int, float]],
    leaked: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    correlations: dict[int, float] = {}
    for one, _, correlation in near:
        number = int(sets[one])
        correlations[number] = min(correlation, correlations.get(number, 1.0))
    sizes = np.bincount(sets)
    described = []
    for number in np.flatnonzero(sizes > 1).tolist():
        rows = np.flatnonzero(sets == number)
        described.append(
            {
                "rows": rows.tolist(),
                "names": subject.names(rows),
                "classes": np.unique(subject.y[rows]).tolist(),
                "exact": number not in correlations,
                "correlation": correlations.get(number, 1.0),
                "across_folds": bool(leaked[rows].any()),
            }
        )
    # Those that matter first.
    return sorted(
        described, key=lambda one: (-len(one["classes"]), not one["across_folds"])
    )


def _verdict(copies: list[dict[str, Any]], n_leaked: int, n_crossing: int) -> str:
    if not copies:
        return "No image is there twice."
    n_exact = sum(one["exact"] for one in copies)
    return (
        f"Sets of copies: {len(copies)}, of equal pixels {n_exact}, in more than one "
        f"class {n_crossing}. Test images with a copy among their training images: "
        f"{n_leaked}."
    )


def _table(copies: list[dict[str, Any]]) -> AuditTable:
    return AuditTable(
        "Sets of copies",
        ["images", "classes", "pixels", "in training and test"],
        [
            [
                ", ".join(one["names"]),
                ", ".join(map(str, one["classes"])),
                "equal" if one["exact"] else f"correlation {one['correlation']:.3f}",
                "yes" if one["across_folds"] else "no",
            ]
            for one in copies
        ],
    )
