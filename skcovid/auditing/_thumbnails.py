"""The check "thumbnails": what 16 × 16 pixels tell, and their outermost ring."""

import numpy as np

from skcovid.auditing._baseline import THRESHOLD, Baseline, forest, measure
from skcovid.auditing._check import AuditCheck
from skcovid.auditing._pixels import THUMBNAIL_SIDE, Pixels
from skcovid.auditing._subject import Subject

__all__ = ["check_thumbnails"]

QUESTION = "Do 16 × 16 pixels tell the classes apart, and does their outermost ring?"
# The ring is 1/16 of the image wide; a lung field seldom reaches into it.
_RING = np.ones((THUMBNAIL_SIDE, THUMBNAIL_SIDE), dtype=bool)
_RING[1:-1, 1:-1] = False


def check_thumbnails(
    subject: Subject, pixels: Pixels
) -> tuple[AuditCheck, list[Baseline]]:
    """Classify thumbnails, and the ring of pixels around them.

    A thumbnail shows the lungs, if coarsely, and may show the disease: it decides
    nothing. Its ring shows none of them: it decides.
    """
    classifier = forest(subject.random_state)
    whole = measure(
        subject,
        "16 × 16 thumbnails",
        classifier,
        pixels.thumbnails.reshape(len(pixels.thumbnails), -1),
    )
    ring = measure(
        subject, "ring of thumbnails", classifier, pixels.thumbnails[:, _RING]
    )
    accuracy = whole.accuracy.format_percent(1)
    seen = (
        f"A random forest on 16 × 16 pixels gives {accuracy} of the images their class."
    )
    if ring.separates:
        verdict = (
            f"{seen} Their outermost ring, which shows no lungs, tells apart "
            f"{ring.describe_told_apart()}: brightness, framing or marks differ."
        )
    else:
        verdict = (
            f"{seen} Their outermost ring, which shows no lungs, tells no class apart: "
            "what thumbnails show lies further in, where it may be the disease."
        )
    check = AuditCheck(
        name="thumbnails",
        question=QUESTION,
        status="flagged" if ring.separates else "passed",
        verdict=verdict,
        threshold=f"on the ring, {THRESHOLD}.",
        advice=(
            "Look at the mean image of each class. Bring all images to one exposure "
            "and framing (crop to the lungs, equalise the histogram), then audit "
            "again; where classes come from different machines, nothing but images "
            "of the same machine helps."
            if ring.separates
            else ""
        ),
        figures=(*ring.figures(), *whole.figures()),
        accuracies={one.name: one.accuracy for one in (ring, whole)},
        tables=(ring.table(), whole.table()),
    )
    return check, [whole, ring]
