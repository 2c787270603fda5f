"""What the audit takes of every image, read once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from skcovid._base._digests import image_key
from skcovid.auditing._subject import Subject
from skcovid.images._checks import check_images
from skcovid.reading._read import read_radiograph

__all__ = ["COPY_SIDE", "HASH_SIDE", "THUMBNAIL_SIDE", "Pixels", "read_pixels"]

# The side of a thumbnail, in pixels: of the lungs it shows dark or bright, no texture.
THUMBNAIL_SIDE = 16
# A perceptual hash has this many bits squared. With the usual 8 × 8, half of all pairs
# of radiographs are near: every chest has the same coarse pattern.
HASH_SIDE = 16
# Side, in pixels, at which copies are compared pixel by pixel.
COPY_SIDE = 96


@dataclass(frozen=True)
class Pixels:
    """What was taken of the images."""

    thumbnails: NDArray[np.uint8]
    digests: NDArray[np.str_]
    hashes: NDArray[np.bool_]
    small: NDArray[np.uint8]


class _Summary(NamedTuple):
    thumbnail: NDArray[np.uint8]
    digest: str
    hash: NDArray[np.bool_]
    small: NDArray[np.uint8]


def read_pixels(subject: Subject) -> Pixels:
    """Read every image and keep what the checks compare."""
    source: Any = subject.paths
    if source is None:
        source = check_images(subject.X)
    with ThreadPoolExecutor(subject.n_jobs) as executor:
        found = list(
            tqdm(
                executor.map(_summarise, source),
                total=len(subject.y),
                desc="reading",
                unit="image",
                leave=False,
                disable=not subject.verbose,
            )
        )
    return Pixels(
        thumbnails=np.stack([summary.thumbnail for summary in found]),
        digests=np.array([summary.digest for summary in found]),
        hashes=np.stack([summary.hash for summary in found]),
        small=np.stack([summary.small for summary in found]),
    )


def shrink(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize an image to a square, averaging where it shrinks."""
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def _summarise(source: str | NDArray[np.uint8]) -> _Summary:
    # Of the audit's extra, and only needed here.
    import imagehash
    from PIL import Image

    image = read_radiograph(source) if isinstance(source, str) else source
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    pixels = np.ascontiguousarray(image)
    perceptual = imagehash.phash(Image.fromarray(pixels), hash_size=HASH_SIDE)
    return _Summary(
        thumbnail=shrink(pixels, THUMBNAIL_SIDE),
        digest=image_key(pixels.shape, pixels.tobytes()),
        hash=np.asarray(perceptual.hash, dtype=bool).ravel(),
        small=shrink(pixels, COPY_SIDE),
    )
