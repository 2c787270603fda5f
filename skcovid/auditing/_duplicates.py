"""The check "duplicates": copies of an image in two folds or in two classes."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skcovid._base._document import Table
from skcovid.auditing._check import AuditCheck, AuditFigure
from skcovid.auditing._subject import Subject
from skcovid.images._copies import COPIES_ARE, find_near_pairs
from skcovid.images._pixels import Pixels
from skcovid.metrics._estimates import Estimate


def check_duplicates(subject: Subject, pixels: Pixels) -> AuditCheck:
    """Find copies: equal pixels, or nearly equal ones."""
    near = list(find_near_pairs(pixels))
    sets = _connect(pixels.digests, near)
    folds_known = subject.result.folds_known
    leaked = subject.find_leaked(sets) & folds_known
    copies = _describe_sets(subject, sets, near, leaked)
    crossing = [one for one in copies if len(one["classes"]) > 1]
    rows = np.arange(len(sets))
    in_crossing = np.isin(rows, [row for one in crossing for row in one["rows"]])
    tested = subject.result.test_indices
    table = Table(
        ["images", "classes", "pixels", "in training and test"],
        [
            [
                ", ".join(one["names"]),
                ", ".join(map(str, one["classes"])),
                "equal" if one["exact"] else f"correlation {one['correlation']:.3f}",
                ("yes" if one["across_folds"] else "no") if folds_known else "n/a",
            ]
            for one in copies
        ],
        caption="Sets of copies",
    )
    verdict = "No image occurs twice."
    if copies:
        verdict = (
            f"Sets of copies: {len(copies)}; with equal pixels: "
            f"{sum(one['exact'] for one in copies)}; in more than one class: "
            f"{len(crossing)}. Test images with a copy among their training images: "
            f"{leaked.sum() if folds_known else 'not known without folds'}."
        )
    return AuditCheck(
        name="duplicates",
        question="Are copies of an image in training and test, or in two classes?",
        status="flagged" if leaked.any() or crossing else "passed",
        verdict=verdict,
        threshold=(
            "any copy that is in training and test of a fold, or in two classes. "
            f"{COPIES_ARE}"
        ),
        advice=(
            "Look at the images listed. Keep one of each set, or give a set one entry "
            "in groups so that it stays on one side. Where its labels contradict each "
            "other, drop it or have it read again."
        ),
        decision=f"{leaked.sum() if folds_known else 'n/a'} images in training and "
        f"test, {in_crossing.sum()} in two classes, flagged above 0",
        figures=(
            AuditFigure(
                "test images with a copy in their training images",
                subject.estimate_share(leaked[tested], tested)
                if folds_known
                else Estimate(math.nan, math.nan, math.nan),
            ),
            AuditFigure(
                "images with a copy in another class",
                subject.estimate_share(in_crossing, rows),
            ),
        ),
        tables=(table,) if copies else (),
        details={"copies": copies},
    )


def _connect(
    digests: NDArray[np.str_], near: list[tuple[int, int, float]]
) -> NDArray[np.intp]:
    """Return the number of each image's set of copies."""
    _, firsts, inverse = np.unique(digests, return_index=True, return_inverse=True)
    n_images = len(digests)
    ones = np.concatenate([np.arange(n_images), [one for one, _, _ in near]])
    others = np.concatenate([firsts[inverse], [other for _, other, _ in near]])
    graph = coo_array((np.ones(len(ones)), (ones, others)), shape=(n_images, n_images))
    _, sets = connected_components(graph, directed=False)
    return np.asarray(sets)


def _describe_sets(
    subject: Subject,
    sets: NDArray[np.intp],
    near: list[tuple[int, int, float]],
    leaked: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    described = []
    for number in np.flatnonzero(np.bincount(sets) > 1):
        rows = np.flatnonzero(sets == number)
        correlations = [found for one, _, found in near if sets[one] == number]
        described.append(
            {
                "rows": rows.tolist(),
                "names": subject.names(rows),
                "classes": np.unique(subject.y[rows]).tolist(),
                "exact": not correlations,
                "correlation": min(correlations, default=1.0),
                "across_folds": bool(leaked[rows].any()),
            }
        )
    # Contradicting labels first, then copies in training and test.
    return sorted(
        described, key=lambda one: (-len(one["classes"]), not one["across_folds"])
    )
