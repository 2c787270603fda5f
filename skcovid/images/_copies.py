"""Copies among images, or of images in another set: equal pixels, or nearly so.

Flipped, rotated or cropped copies are not found.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from skcovid.images._pixels import HASH_SIDE, Pixels

# Of 256 bits. Copies in JPEG at quality 75, at half the size, brighter or noisier are
# within 8 bits of the original, and with another gamma within 20. Different radiographs
# may be as near, so the pairs found are compared pixel by pixel.
_MAX_HASH_DISTANCE = 30
# Of the fine structure. Among the pairs of 4,436 radiographs, copies that were resized,
# compressed or windowed anew reached 0.832 and more, different ones 0.48 at most;
# synthetic ones of different patients and one hospital, in 36 sets of 240, 0.768.
_MIN_CORRELATION = 0.8
# Share of height and width, at each side, that is not compared: the marks and borders
# of a hospital are alike in all its images. With them the 0.768 would be 0.945.
_MARGIN = 0.15
# Standard deviation, in pixels, of the coarse structure that is subtracted: the chest
# every radiograph shows, exposure and windowing.
_COARSE = 2.0
_BLOCK = 1024

COPIES_ARE = (
    "Copies have equal pixels, or perceptual hashes within "
    f"{_MAX_HASH_DISTANCE} of {HASH_SIDE**2} bits and fine structure, in the middle "
    f"{1 - 2 * _MARGIN:.0%} of height and width, that correlates above "
    f"{_MIN_CORRELATION}."
)


def find_near_pairs(
    one: Pixels, other: Pixels | None = None
) -> Iterator[tuple[int, int, float]]:
    """Find pairs with the same fine structure; images of equal pixels count once.

    Pairs are of two images of `one`, or of one in each set.
    """
    within = other is None
    other = one if other is None else other
    firsts, seconds = (
        np.unique(pixels.digests, return_index=True)[1] for pixels in (one, other)
    )
    # Bits as ±1: a product of two hashes is 256 less twice their distance.
    bits, other_bits = (
        np.where(hashes, np.float32(1), np.float32(-1))
        for hashes in (one.hashes[firsts], other.hashes[seconds])
    )
    for start in range(0, len(firsts), _BLOCK):
        # Within a set, each pair is looked at once.
        skipped = start if within else 0
        near = bits[start : start + _BLOCK] @ other_bits[skipped:].T
        for place, other_place in np.argwhere(
            near >= HASH_SIDE**2 - 2 * _MAX_HASH_DISTANCE
        ):
            if place >= other_place and within:
                continue
            pair = firsts[start + place], seconds[skipped + other_place]
            correlation = _correlate(one.small[pair[0]], other.small[pair[1]])
            if correlation > _MIN_CORRELATION:
                yield int(pair[0]), int(pair[1]), correlation


def find_copies(one: Pixels, other: Pixels) -> dict[int, int]:
    """Return the rows of `other` that are copies, each with its row in `one`."""
    digests = other.digests.tolist()
    rows = {digests[copy]: row for row, copy, _ in find_near_pairs(one, other)}
    rows |= {digest: row for row, digest in enumerate(one.digests.tolist())}
    return {copy: rows[key] for copy, key in enumerate(digests) if key in rows}


def _correlate(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Pearson's correlation of the fine structure of two images."""
    height, width = (round(_MARGIN * side) for side in one.shape)
    fine = [
        (image - cv2.GaussianBlur(image, (0, 0), _COARSE))[
            height : one.shape[0] - height, width : one.shape[1] - width
        ]
        for image in (one.astype(np.float32), other.astype(np.float32))
    ]
    if any(image.std() == 0 for image in fine):
        return 0.0
    return float(np.corrcoef(fine[0].ravel(), fine[1].ravel())[0, 1])
