"""The check "blanked lungs": what is left to see when the lungs are not."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from numpy.typing import NDArray
from tqdm.auto import tqdm

from skcovid.auditing._baseline import THRESHOLD, Baseline, measure
from skcovid.auditing._check import AuditCheck, AuditTable, VisiblePoint
from skcovid.auditing._refit import Refit
from skcovid.auditing._subject import Subject
from skcovid.images._lazy_images import LazyImages

__all__ = [
    "MIN_BORDER_FRACTION",
    "blank_centre",
    "check_blanked_lungs",
    "visible_share",
]

QUESTION = "Are the classes told apart where the lungs are blanked?"
# A frontal chest radiograph is collimated to the lungs: their fields come to within 5 %
# of its edges, but seldom further.
MIN_BORDER_FRACTION = 0.9


def blank_centre(image: NDArray, fraction: float) -> NDArray:
    """Black out the centre of an image.

    Parameters
    ----------
    image : ndarray of shape (height, width[, 3])
        The image; it is left as it is.
    fraction : float
        Height and width of what is blanked, as a share of the image's, in (0, 1).

    Returns
    -------
    ndarray of the same shape and dtype
        A copy.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.auditing import blank_centre
    >>> blank_centre(np.ones((4, 4), np.uint8), 0.5)
    array([[1, 1, 1, 1],
           [1, 0, 0, 1],
           [1, 0, 0, 1],
           [1, 1, 1, 1]], dtype=uint8)
    """
    blanked = image.copy()
    blanked[_centre(image.shape, fraction)] = 0
    return blanked


def visible_share(shape: tuple[int, ...], fraction: float) -> float:
    """Share of an image's pixels that :func:`blank_centre` leaves.

    Parameters
    ----------
    shape : tuple of int
        (height, width[, 3]) of the image.
    fraction : float
        As for :func:`blank_centre`.

    Returns
    -------
    float
        In [0, 1].
    """
    height, width = shape[:2]
    rows, columns = _centre(shape, fraction)
    blanked = (rows.stop - rows.start) * (columns.stop - columns.start)
    return 1 - blanked / (height * width)


def _centre(shape: tuple[int, ...], fraction: float) -> tuple[slice, slice]:
    # Rounded down, so that no less is blanked than was asked for.
    top, left = (math.floor(side * (1 - fraction) / 2 + 1e-9) for side in shape[:2])
    return slice(top, shape[0] - top), slice(left, shape[1] - left)


def check_blanked_lungs(
    subject: Subject, refit: Refit, fractions: Sequence[float]
) -> tuple[AuditCheck, list[VisiblePoint], list[Baseline]]:
    """Refit a classifier on images whose centre is blanked, more and more of it."""
    threshold = f"where the border alone is left, {THRESHOLD}."
    images = refit.images
    if images is None:
        reason = (
            "What is to be refitted takes paths and reads them itself, so that nothing "
            "can be blanked. Pass a pipeline that begins with RadiographReader as "
            "refit to have this check run."
        )
        return (
            AuditCheck("blanked lungs", QUESTION, "not run", reason, threshold),
            [],
            [],
        )
    levels = [0.0, *sorted(fractions)]
    shares = [1.0, *(visible_share(images.shape[1:], level) for level in levels[1:])]
    baselines = [
        measure(
            subject,
            f"outer {100 * share:.0f} % of the image" if level else "whole image",
            refit.classifier,
            _show(refit, images, level),
            rows=refit.rows,
        )
        for level, share in zip(
            tqdm(levels, desc="blanking", leave=False, disable=not subject.verbose),
            shares,
            strict=True,
        )
    ]
    border = baselines[-1]
    curve = [
        VisiblePoint(share, one.accuracy)
        for share, one in zip(shares, baselines, strict=True)
    ]
    check = AuditCheck(
        name="blanked lungs",
        question=QUESTION,
        status="flagged" if border.separates else "passed",
        verdict=_verdict(subject, refit, border, shares[-1]),
        threshold=threshold,
        advice=(
            "The score cannot be put down to the lungs. Crop the images to the lung "
            "fields or mask all else, remove burnt-in marks, take images of all "
            "classes from the same place and machine, and audit again."
            if border.separates
            else ""
        ),
        figures=border.figures(),
        accuracies={border.name: border.accuracy},
        tables=(_curve_table(levels, shares, baselines), border.table()),
        details={
            "refitted": refit.description,
            "n_images": len(refit.rows),
        },
    )
    return check, curve, baselines


def _show(refit: Refit, images: LazyImages, level: float) -> Any:
    if level == 0:
        # As given, so that features the model has kept are found.
        return refit.X
    blank = partial(blank_centre, fraction=level)
    return refit.like_given(images.map(blank, f"blank_centre({level})"))


def _verdict(subject: Subject, refit: Refit, border: Baseline, share: float) -> str:
    drawn = len(refit.rows) < len(subject.y)
    sample = f" on {len(refit.rows)} of the images, drawn by class" if drawn else ""
    accuracy = border.accuracy.format_percent(1)
    seen = (
        f"Refitted{sample} ({refit.description}), it sees a border of "
        f"{100 * share:.0f} % of the area and gives {accuracy} of the images their "
        "class."
    )
    if not border.separates:
        return f"{seen} It tells no class apart from the others beyond doubt."
    found = border.describe_told_apart(" can be told apart without lungs")
    return f"{seen} {found}."


def _curve_table(
    levels: list[float], shares: list[float], baselines: list[Baseline]
) -> AuditTable:
    rows = []
    for level, share, baseline in zip(levels, shares, baselines, strict=True):
        best = baseline.best
        rows.append(
            [
                f"{100 * level:.0f} %",
                f"{100 * share:.0f} %",
                baseline.accuracy.format_percent(1),
                f"{best.label}: {best.balanced_accuracy.format_percent(1)}",
            ]
        )
    return AuditTable(
        "Accuracy against what is left to see",
        ["blanked, of each side", "visible area", "accuracy", "best class, balanced"],
        rows,
    )
