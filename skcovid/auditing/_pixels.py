"""Thumbnails, digests and hashes of the images, which are read once."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from skcovid._base._digests import image_key
from skcovid.auditing._subject import list_parts, list_paths
from skcovid.images._checks import check_images
from skcovid.images._lazy_images import LazyImages
from skcovid.preprocessing._reader import RadiographReader
from skcovid.reading._files import read_bytes
from skcovid.reading._read import decode_file

# Side of a thumbnail in pixels: lungs are dark or bright in it, without texture.
THUMBNAIL_SIDE = 16
# A perceptual hash has the square of this number of bits. With the usual 8 × 8, half of
# all pairs of radiographs are near: every chest has the same coarse pattern.
HASH_SIDE = 16
# Side, in pixels, at which copies are compared pixel by pixel.
_COPY_SIDE = 96


class Pixels(NamedTuple):
    """What the checks compare, one entry for each image."""

    thumbnails: NDArray[np.uint8]
    digests: NDArray[np.str_]
    hashes: NDArray[np.bool_]
    small: NDArray[np.uint8]


def read_pixels(X: Any, model: Any, n_jobs: int, verbose: int) -> Pixels:
    """Read every image, at the model's white level, and keep what checks compare."""
    parts = list_parts(model) if hasattr(model, "get_params") else []
    whites = [part.white_level for part in parts if isinstance(part, RadiographReader)]
    summarise = partial(_summarise, white_level=whites[0] if whites else None)
    source: Any = list_paths(X)
    if source is None:
        source = check_images(_rescale(X))
    with ThreadPoolExecutor(n_jobs) as executor:
        found = list(
            tqdm(
                executor.map(summarise, source),
                total=len(source),
                desc="reading",
                unit="image",
                leave=False,
                disable=not verbose,
            )
        )
    return Pixels(*map(np.stack, zip(*found, strict=True)))


def _rescale(X: Any) -> Any:
    """Bring preprocessed images, such as those in [-1, 1], to the range of pixels."""
    if isinstance(X, LazyImages) or np.asarray(X).dtype.kind != "f":
        return X
    images = np.asarray(X)
    low, high = images.min(), images.max()
    if (low >= 0 and 1 < high <= 255) or not np.isfinite(high - low):
        return X
    return (images - low) * (255 / (high - low or 1))


def _summarise(
    source: str | NDArray[np.uint8], white_level: int | None
) -> tuple[Any, ...]:
    # Packages of the extra "audit".
    import imagehash
    from PIL import Image

    if isinstance(source, str):
        image, _ = decode_file(read_bytes(source), source, "grey", white_level)
    else:
        image = source
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    pixels = np.ascontiguousarray(image)
    perceptual = imagehash.phash(Image.fromarray(pixels), hash_size=HASH_SIDE)
    thumbnail, small = (
        cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
        for side in (THUMBNAIL_SIDE, _COPY_SIDE)
    )
    return (
        thumbnail,
        np.array(image_key(pixels.shape, pixels.tobytes())),
        np.asarray(perceptual.hash, dtype=bool).ravel(),
        small,
    )
