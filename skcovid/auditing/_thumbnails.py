"""The check "thumbnails": classes told apart by the ring of 16 × 16 pixels."""

import numpy as np

from skcovid.auditing._baseline import THRESHOLD, Baseline, cross_validate, make_forest
from skcovid.auditing._check import AuditCheck
from skcovid.auditing._subject import Subject
from skcovid.images._pixels import THUMBNAIL_SIDE, Pixels

# The ring is 1/16 of the image wide; a lung field seldom reaches into it.
_RING = np.ones((THUMBNAIL_SIDE, THUMBNAIL_SIDE), dtype=bool)
_RING[1:-1, 1:-1] = False


def check_thumbnails(
    subject: Subject, pixels: Pixels
) -> tuple[AuditCheck, Baseline, Baseline]:
    """Classify thumbnails, and their outermost ring of pixels.

    A thumbnail may show the disease. Its ring shows no lungs, and alone is flagged.
    """
    forest, thumbnails = make_forest(subject.random_state), pixels.thumbnails
    whole = cross_validate(
        subject, "16 × 16 thumbnails", forest, thumbnails.reshape(len(thumbnails), -1)
    )
    ring = cross_validate(subject, "ring of thumbnails", forest, thumbnails[:, _RING])
    flagged = bool(ring.told_apart)
    reason = "What the thumbnails show inside the ring may be the disease."
    if flagged:
        reason = "Brightness, framing or marks differ."
    check = AuditCheck(
        name="thumbnails",
        question=(
            "Do 16 × 16 pixels tell the classes apart, and does their outermost ring?"
        ),
        status="flagged" if flagged else "passed",
        verdict=(
            "The accuracy of a random forest is "
            f"{whole.accuracy.format_percent(1)} on 16 × 16 pixels, and "
            f"{ring.accuracy.format_percent(1)} on their outermost ring, which shows "
            f"no lungs. By the ring: {ring.outcome} {reason}"
        ),
        threshold=f"on the ring, {THRESHOLD}.",
        advice=(
            "Look at the mean image of each class. Cropping and equalising seldom mend "
            "it: where classes come from different machines, only images of the same "
            "machine help."
        ),
        decision=ring.decision,
        figures=(*ring.figures, *whole.figures),
        accuracies={one.name: one.accuracy for one in (ring, whole)},
        tables=(ring.table, whole.table),
    )
    return check, whole, ring
