"""Pixels of image files other than DICOM, as 8-bit grey or RGB."""

from typing import Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from skcovid.reading._image_headers import ImageHeader, RefusedError, read_image_header

__all__ = ["Channels", "check_jpeg", "decode_image"]

Channels = Literal["grey", "rgb"]
# EXIF's orientations, those above 4 once rows and columns have changed places: 1 swaps
# left and right, 0 top and bottom, -1 both.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}


def decode_image(data: bytes, channels: Channels) -> NDArray[np.uint8]:
    """Decode an image file."""
    header = read_image_header(data)
    if header.kind == "JPEG":
        pixels = _decode_jpeg(data, header, channels)
    elif header.kind == "PNM":
        pixels = _decode_map(data, header, channels)
    else:
        pixels = _decode_others(data, header, channels)
    if pixels.shape[:2] != (header.height, header.width):
        raise RefusedError(
            f"its header states {header.height} × {header.width} pixels, but "
            f"{pixels.shape[0]} × {pixels.shape[1]} are in it; it is damaged"
        )
    if header.orientation >= 5:
        pixels = cv2.transpose(pixels)
    flip = _FLIPS.get(header.orientation)
    return pixels if flip is None else cv2.flip(pixels, flip)


def check_jpeg(data: bytes) -> None:
    """Decode a JPEG stream of 8 bits, taking nothing for granted."""
    _decode_strictly(data, "GRAY")


def _decode_jpeg(
    data: bytes, header: ImageHeader, channels: Channels
) -> NDArray[np.uint8]:
    # OpenCV fills what is damaged with grey, and says nothing.
    if header.n_channels == 4:
        inks = _decode_strictly(data, "CMYK")
        # As Adobe and all others write them: 255 is no ink.
        black = np.repeat(inks[..., 3:], 3, axis=2)
        pixels = cv2.multiply(inks[..., :3].copy(), black, scale=1 / 255)
        return pixels if channels == "rgb" else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    pixels = _decode_strictly(data, "GRAY" if channels == "grey" else "RGB")
    return pixels[..., 0] if channels == "grey" else pixels


def _decode_strictly(data: bytes, colour: str) -> NDArray[np.uint8]:
    try:
        return simplejpeg.decode_jpeg(data, colour, strict=True)
    except ValueError as error:
        raise RefusedError(f"the image is damaged or truncated ({error})") from error


def _decode_map(
    data: bytes, header: ImageHeader, channels: Channels
) -> NDArray[np.uint8]:
    # OpenCV takes the levels for ones of 8 or 16 bits, whatever white is.
    shape = (header.height, header.width * header.n_channels)
    kind = np.dtype(">u2" if header.maximum > 255 else "u1")
    stored = np.frombuffer(data, kind, shape[0] * shape[1], header.start)
    levels = stored.reshape(shape).astype(kind.newbyteorder("="))
    if levels.max() > header.maximum:
        raise RefusedError("has levels above what its header states as white")
    pixels = cv2.convertScaleAbs(levels, alpha=255 / header.maximum)
    pixels = pixels.reshape(header.height, header.width, header.n_channels)
    if header.n_channels == 3:
        return pixels if channels == "rgb" else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return pixels[..., 0] if channels == "grey" else np.repeat(pixels, 3, axis=2)


def _decode_others(
    data: bytes, header: ImageHeader, channels: Channels
) -> NDArray[np.uint8]:
    # What OpenCV turns, in levels or in space, depends on format, bits and version.
    for place, value in header.as_seen.items():
        data = data[:place] + value + data[place + len(value) :]
    colour = cv2.IMREAD_GRAYSCALE if channels == "grey" else cv2.IMREAD_COLOR
    flags = colour | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(str(error)) from None
        message = " ".join(str(error.err).split())
        raise RefusedError(f"OpenCV can't decode it ({message})") from error
    if pixels is None:
        raise RefusedError("damaged or truncated: OpenCV can't decode it")
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    if pixels.dtype != np.uint8:
        raise RefusedError(
            f"pixels are {pixels.dtype}; 8-bit and unsigned 16-bit are read"
        )
    if header.white_is_zero:
        pixels = cv2.bitwise_not(pixels)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if channels == "rgb" else pixels
