"""Decode image files other than DICOM to 8-bit grey or RGB, scaled and upright."""

import cv2
import numpy as np
from numpy.typing import NDArray

from skcovid.reading._image_formats import read_image_header
from skcovid.reading._jpeg import decode_jpeg
from skcovid.reading._limits import Channels, ImageHeader, RefusedError

# EXIF orientation to the code of `cv2.flip`: 1 swaps left and right, 0 top and bottom,
# -1 both. Those above 4 are transposed first.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}


def decode_image(data: bytes, channels: Channels) -> NDArray[np.uint8]:
    """Decode an image file; some formats keep the channels that they have."""
    header = read_image_header(data)
    if header.kind == "JPEG":
        pixels = decode_jpeg(data, header, channels)
    elif header.kind == "PNM":
        pixels = _decode_portable_map(data, header)
    else:
        pixels = _decode_with_opencv(data, header, channels)
    if pixels.shape[:2] != (header.height, header.width):
        raise RefusedError(
            f"damaged: its header states {header.height} × {header.width} pixels, but "
            f"it holds {pixels.shape[0]} × {pixels.shape[1]}"
        )
    if header.orientation >= 5:
        pixels = cv2.transpose(pixels)
    if header.orientation in _FLIPS:
        pixels = cv2.flip(pixels, _FLIPS[header.orientation])
    return pixels


def _decode_portable_map(data: bytes, header: ImageHeader) -> NDArray[np.uint8]:
    # OpenCV scales by the number of bits, not by the level that stands for white.
    shape = (header.height, header.width * header.n_channels)
    kind = np.dtype(">u2" if header.maximum > 255 else "u1")
    stored = np.frombuffer(data, kind, shape[0] * shape[1], header.start)
    levels = stored.reshape(shape).astype(kind.newbyteorder("="))
    if levels.max() > header.maximum:
        raise RefusedError("damaged: it has levels above the white of its header")
    grey: NDArray[np.uint8] = cv2.convertScaleAbs(levels, alpha=255 / header.maximum)
    return grey if header.n_channels == 1 else grey.reshape(header.height, -1, 3)


def _decode_with_opencv(
    data: bytes, header: ImageHeader, channels: Channels
) -> NDArray[np.uint8]:
    # What OpenCV turns or inverts depends on format, bits and version: keep it from it.
    for place, value in header.patches.items():
        data = data[:place] + value + data[place + len(value) :]
    colour = cv2.IMREAD_GRAYSCALE if channels == "grey" else cv2.IMREAD_COLOR
    flags = colour | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels: NDArray[np.uint8] | None = cv2.imdecode(
            np.frombuffer(data, dtype=np.uint8), flags
        )
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
