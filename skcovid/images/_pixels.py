"""Thumbnails, digests and hashes of the images, which are read once."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from skcovid._base._digests import image_key
from skcovid._base._progress import Progress
from skcovid.images._checks import check_images
from skcovid.images._lazy_images import LazyImages
from skcovid.reading._files import read_bytes
from skcovid.reading._paths import as_paths, holds_paths
from skcovid.reading._read import decode_file

# Side of a thumbnail in pixels: lungs are dark or bright in it, without texture.
THUMBNAIL_SIDE = 16
# A perceptual hash has the square of this number of bits. With the usual 8 × 8, half of
# all pairs of radiographs are near: every chest has the same coarse pattern.
HASH_SIDE = 16
# Side, in pixels, at which copies are compared pixel by pixel.
_COPY_SIDE = 96


class Pixels(NamedTuple):
    """What is compared of images, one entry for each."""

    thumbnails: NDArray[np.uint8]
    digests: NDArray[np.str_]
    hashes: NDArray[np.bool_]
    small: NDArray[np.uint8]


def list_paths(X: Any) -> list[str] | None:
    """List the paths of the images, None where `X` holds their pixels."""
    if isinstance(X, LazyImages) or not holds_paths(X):
        return None
    return as_paths(X)


def find_folder(paths: Iterable[str]) -> str | None:
    """Return the folder that holds all files, None where there is none."""
    try:
        return os.path.commonpath({str(Path(path).parent) for path in paths})
    except ValueError:  # relative and absolute ones, or several drives
        return None


def name_images(X: Any, rows: Iterable[int]) -> list[str]:
    """Name images by their path below the common folder, or as "image 3"."""
    paths = list_paths(X)
    if paths is None:
        return [f"image {row}" for row in rows]
    folder = find_folder(paths)
    chosen = [paths[row] for row in rows]
    return [os.path.relpath(path, folder) for path in chosen] if folder else chosen


def read_pixels(
    X: Any, *, white_level: int | None = None, n_jobs: int = 2, verbose: int = 0
) -> Pixels:
    """Read every image, and keep what is compared of it."""
    source: Any = list_paths(X)
    if source is None:
        source = check_images(_rescale(X))
    progress = Progress("reading", len(source), "image", verbose)
    with progress, ThreadPoolExecutor(n_jobs) as executor:
        summaries = executor.map(partial(_summarise, white_level=white_level), source)
        found = list(progress.follow(summaries))
    return Pixels(*map(np.stack, zip(*found, strict=True)))


def _rescale(X: Any) -> Any:
    """Bring preprocessed images, such as those in [-1, 1], to the range of pixels."""
    if isinstance(X, LazyImages):
        if X.dtype.kind != "f":
            return X
        return X.map(_rescale_image, "rescale", dtype=np.uint8)
    images = np.asarray(X)
    if images.dtype.kind != "f":
        return X
    low, high = images.min(), images.max()
    if (low >= 0 and 1 < high <= 255) or not np.isfinite(high - low):
        return X
    return (images - low) * (255 / (high - low or 1))


def _rescale_image(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Stretch one image to the range of pixels."""
    low, high = image.min(), image.max()
    return np.asarray((image - low) * (255 / (high - low or 1)), dtype=np.uint8)


def _summarise(
    source: str | NDArray[np.uint8], white_level: int | None
) -> tuple[Any, ...]:
    if isinstance(source, str):
        image, _ = decode_file(read_bytes(source), source, "grey", white_level)
    else:
        image = source
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    pixels = np.ascontiguousarray(image)
    thumbnail, small, coarse = (
        cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
        for side in (THUMBNAIL_SIDE, _COPY_SIDE, 4 * HASH_SIDE)
    )
    waves = dctn(coarse.astype(np.float32))[:HASH_SIDE, :HASH_SIDE]
    return (
        thumbnail,
        np.array(image_key(pixels.shape, pixels.tobytes())),
        (waves > np.median(waves)).ravel(),
        small,
    )
