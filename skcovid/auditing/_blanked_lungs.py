"""The check "blanked lungs": classes told apart by the border of the images alone."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from sklearn.base import clone

from skcovid._base._document import Table
from skcovid._base._progress import Progress
from skcovid.auditing._baseline import THRESHOLD, Baseline, cross_validate
from skcovid.auditing._check import AuditCheck, VisiblePoint
from skcovid.auditing._refit import Refit
from skcovid.auditing._subject import Subject
from skcovid.auditing._visible_area import blank_centre, visible_share
from skcovid.preprocessing._reader import find_readers

_NAME = "blanked lungs"
_QUESTION = "Are the classes told apart where the lungs are blanked?"
_THRESHOLD = f"where only the border is visible, {THRESHOLD}."


def check_blanked_lungs(
    subject: Subject, refit: Refit, fractions: Sequence[float]
) -> tuple[AuditCheck, list[VisiblePoint], list[Baseline]]:
    """Refit a classifier on whole images, and on images with ever larger blanks."""
    images = refit.images
    if images is None:
        reason = (
            "The classifier to refit takes paths and reads them itself, so its images "
            "cannot be blanked. To run this check pass a pipeline that begins with "
            "RadiographReader as refit."
        )
        return AuditCheck(_NAME, _QUESTION, "not run", reason, _THRESHOLD), [], []
    levels = [0.0, *sorted(fractions)]
    curve, baselines, rows = [], [], []
    with Progress("blanking", len(levels), "step", subject.verbose) as progress:
        for level in progress.follow(levels):
            if level == 0:
                # As given, so that features which the model has kept are found.
                name, share, X = "whole image", 1.0, refit.X
                classifier = refit.classifier
            else:
                share = visible_share(images.shape[1:], level)
                name = f"outer {100 * share:.0f} % of the image"
                blank = partial(blank_centre, fraction=level)
                X = images.map(blank, f"blank_centre({level})")
                classifier = clone(refit.classifier)
                for reader in find_readers(classifier):
                    # Lung masks are applied to `images` already.
                    reader.set_params(lungs=None)
                if refit.eager:
                    X = np.asarray(X)
            found = cross_validate(subject, name, classifier, X, rows=refit.rows)
            curve.append(VisiblePoint(share, found.accuracy))
            baselines.append(found)
            best = found.best
            rows.append(
                [
                    f"{100 * level:.0f} %",
                    f"{100 * share:.0f} %",
                    found.accuracy.format_percent(1),
                    f"{best.label}: {best.balanced_accuracy.format_percent(1)}",
                ]
            )
    table = Table(
        ["blanked, of each side", "visible area", "accuracy", "best class, balanced"],
        rows,
        caption="Accuracy against the visible area",
    )
    border = baselines[-1]
    sample = ""
    if len(refit.rows) < len(subject.y):
        sample = f" on {len(refit.rows)} images, drawn by class"
    check = AuditCheck(
        name=_NAME,
        question=_QUESTION,
        status="flagged" if border.told_apart else "passed",
        verdict=(
            f"Refitted without lungs{sample} ({refit.description}), on a border of "
            f"{100 * share:.0f} % of the area, the accuracy is "
            f"{border.accuracy.format_percent(1)}. {border.outcome}"
        ),
        threshold=_THRESHOLD,
        advice=(
            "The score cannot be put down to the lungs. Take images of all classes "
            "from the same place and machine, remove burnt-in marks, and audit again. "
            "Cropping to the lungs seldom mends it."
        ),
        decision=border.decision,
        figures=border.figures,
        accuracies={border.name: border.accuracy},
        tables=(table, border.table),
        details={"refitted": refit.description, "n_images": len(refit.rows)},
    )
    return check, curve, baselines
