"""Lung masks that lie beside radiographs: of ``images/1.png`` in ``masks/1.png``."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from skcovid._base._digests import image_key
from skcovid.reading._files import exists, read_bytes, size_and_time
from skcovid.reading._paths import format_path
from skcovid.reading._read import decode_file

Lungs = Literal["crop", "only", "remove"]

# Added on each side of a crop, as a share of the lungs' height or width. Our choice.
MARGIN = 0.05


def find_mask(path: str) -> str | None:
    """Path of the mask of an image; None if there is none."""
    mask = _mask_path(path)
    return mask if mask is not None and exists(mask) else None


def _mask_path(path: str) -> str | None:
    """Where the mask of an image is; None if that is not in a folder ``images``."""
    folder = Path(path).parent
    if folder.name.casefold() != "images":
        return None
    return str(folder.with_name("masks") / Path(path).name)


def read_mask(path: str, shape: tuple[int, int]) -> tuple[NDArray[np.bool_], str]:
    """Read the mask of an image of a shape, at that shape, and digest its file."""
    mask, image = _mask_path(path), format_path(path)
    cure = "leave the image out, or set lungs=None"
    if mask is None:
        raise ValueError(
            f"{image}: has no lung mask, since that of images/NAME is masks/NAME; put "
            f"image and mask into such folders, {cure}"
        )
    try:
        data = read_bytes(mask)
        levels, _ = decode_file(data, mask, "grey")
    except (FileNotFoundError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise (FileNotFoundError if missing else ValueError)(
            f"{image}: its lung mask can't be read ({error}); add or mend it, {cure}"
        ) from error
    (height, width), (own_height, own_width) = shape, levels.shape
    # Sides that were rounded to whole pixels change the aspect by as much.
    if abs(own_height * width - own_width * height) > max(shape):
        raise ValueError(
            f"{image}: is {height}×{width}, but its lung mask {format_path(mask)} "
            f"is {own_height}×{own_width}, of another aspect; give the mask of this "
            f"image, {cure}"
        )
    white = (levels >= max(1, levels.max() / 2)).astype(np.uint8)
    lungs = cv2.resize(white, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    if not lungs.any():
        raise ValueError(
            f"{image}: its lung mask {format_path(mask)} is all black; draw it, {cure}"
        )
    return lungs.astype(np.bool_), image_key(data)


def digest_mask(path: str, shape: tuple[int, int]) -> str:
    """Digest the mask of an image of a shape, once it is known to be usable."""
    mask = find_mask(path)
    return _digest_mask(path, shape, () if mask is None else size_and_time(mask))


# Remembered until the mask changes, as by `_inspect`.
@lru_cache(maxsize=100_000)
def _digest_mask(path: str, shape: tuple[int, int], status: tuple[int, ...]) -> str:
    return read_mask(path, shape)[1]


def apply_mask(
    pixels: NDArray[np.uint8], mask: NDArray[np.bool_], lungs: Lungs
) -> NDArray[np.uint8]:
    """Crop an image to its lungs, or blacken all outside of them, or them."""
    if lungs == "crop":
        rows, columns = (_span(np.flatnonzero(mask.any(axis=axis))) for axis in (1, 0))
        return np.ascontiguousarray(pixels[rows, columns])
    masked = pixels.copy()
    masked[mask if lungs == "remove" else ~mask] = 0
    return masked


def _span(lungs: NDArray[np.intp]) -> slice:
    """Rows or columns from the first to the last of the lungs, and the margin."""
    start, stop = lungs[0], lungs[-1] + 1
    margin = round(MARGIN * (stop - start))
    return slice(max(0, start - margin), stop + margin)
