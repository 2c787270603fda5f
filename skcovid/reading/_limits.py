"""Headers of image files, and the limits that are checked before decoding.

Decoders trust a header and allocate memory for as many pixels as it states.
"""

from dataclasses import dataclass, field
from typing import Literal

Channels = Literal["grey", "rgb"]

# 8192 × 8192. The largest films, 43 cm × 35 cm, digitised at 50 µm, have 60 million
# pixels; and at the 16 bytes a pixel that decoders need at most, 2**26 are 1 GiB.
MAX_PIXELS = 2**26
# Files and decoded images of 32 bits a pixel.
MAX_BYTES = 4 * MAX_PIXELS


class RefusedError(Exception):
    """Why a file is refused; the caller adds the file's name."""


@dataclass(frozen=True)
class ImageHeader:
    """Contents of an image file's header."""

    height: int
    width: int
    n_frames: int = 1
    n_channels: int = 1
    # 1 to 8, or 0 if it is damaged.
    orientation: int = 1
    white_is_zero: bool = False
    # Levels of 10, 12 or 14 bits, which OpenCV scales to 16.
    is_scaled: bool = False
    # Bytes to replace, by position, so that OpenCV does not turn, invert or darken
    # pixels.
    patches: dict[int, bytes] = field(default_factory=dict)


def check_size(height: int, width: int) -> None:
    """Refuse an image without pixels, or with more than any radiograph has."""
    if min(height, width) < 1:
        raise RefusedError(f"damaged: its header states {height} × {width} pixels")
    if height * width > MAX_PIXELS:
        raise RefusedError(
            f"its header states {height:,} × {width:,} pixels, more than the limit of "
            f"{MAX_PIXELS:,}. If it is a radiograph, save it smaller"
        )
