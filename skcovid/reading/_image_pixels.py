"""Decode image files other than DICOM to 8-bit grey or RGB, scaled and upright."""

import re
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from skcovid.reading._image_formats import read_image_header
from skcovid.reading._jpeg import JPEG_START, decode_jpeg
from skcovid.reading._limits import Channels, ImageHeader, RefusedError, check_size

# EXIF orientation to the code of `cv2.flip`: 1 swaps left and right, 0 top and bottom,
# -1 both. Those above 4 are transposed first.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
_NO_ORIENTATION = (
    "its EXIF orientation is damaged, so it is read as not rotated. Check that it is "
    "upright, and save it again"
)
_PORTABLE_MAP = re.compile(rb"P([56])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d{1,9})" + rb"\s")


def decode_image(
    data: bytes, channels: Channels, white_level: int | None
) -> tuple[NDArray[np.uint8], str]:
    """Decode an image file, and say what may be wrong with it, or "" if nothing."""
    if data.startswith((b"P5", b"P6")):
        return _decode_portable_map(data, white_level)
    header = read_image_header(data)
    if data.startswith(JPEG_START):
        pixels, doubt = decode_jpeg(data, header.n_channels, channels), ""
    else:
        pixels, doubt = _decode_with_opencv(data, header, channels, white_level)
    if pixels.shape[:2] != (header.height, header.width):
        raise RefusedError(
            f"damaged: its header states {header.height} × {header.width} pixels, but "
            f"it holds {pixels.shape[0]} × {pixels.shape[1]}"
        )
    if header.orientation >= 5:
        pixels = cv2.transpose(pixels)
    if header.orientation in _FLIPS:
        pixels = cv2.flip(pixels, _FLIPS[header.orientation])
    if header.orientation == 0:
        doubt = "; ".join(filter(None, (_NO_ORIENTATION, doubt)))
    return pixels, doubt


def _scale_16_bits(
    levels: NDArray[np.integer[Any]], white_level: int | None
) -> tuple[NDArray[np.uint8], str]:
    """Scale to 8 bits, and say if levels of 14 bits or fewer give few grey levels."""
    brightest, doubt = int(levels.max()), ""
    if white_level is None and 0 < brightest < 2**14:
        doubt = (
            f"its highest level is {brightest:,}, but white is 65,535 in a 16-bit "
            f"file, so it is read with {round(brightest / 257) + 1} of 256 grey "
            "levels. If its white is lower, state it, as in RadiographReader("
            f"white_level={2 ** brightest.bit_length() - 1})"
        )
    elif white_level is not None and brightest > white_level:
        raise RefusedError(
            f"its highest level, {brightest:,}, is above white_level={white_level}. "
            "Give the level that is white in all 16-bit files, or None for 65535"
        )
    grey: NDArray[np.uint8]
    grey = cv2.convertScaleAbs(levels, alpha=255 / (white_level or 2**16 - 1))
    return grey, doubt


def _decode_portable_map(
    data: bytes, white_level: int | None
) -> tuple[NDArray[np.uint8], str]:
    # OpenCV scales by the number of bits, not by the level that stands for white.
    match = _PORTABLE_MAP.match(data)
    if match is None:
        raise RefusedError("its header is damaged, or of another kind than P5 and P6")
    kind, width, height, white = map(int, match.groups())
    if not 0 < white < 2**16:
        raise RefusedError(f"its header states {white} as white; 1 to 65535 are read")
    n_values = height * width * (3 if kind == 6 else 1)
    dtype = np.dtype(">u2" if white > 255 else "u1")
    if len(data) - match.end() < n_values * dtype.itemsize:
        raise RefusedError("the image is truncated")
    check_size(height, width)
    levels = np.frombuffer(data, dtype, n_values, match.end()).reshape(height, -1)
    if levels.max() > white:
        raise RefusedError("damaged: it has levels above the white of its header")
    native = levels.astype(dtype.newbyteorder("="))
    grey, doubt = _scale_16_bits(native, white_level if white == 2**16 - 1 else white)
    return (grey.reshape(height, width, 3) if kind == 6 else grey), doubt


def _decode_with_opencv(
    data: bytes, header: ImageHeader, channels: Channels, white_level: int | None
) -> tuple[NDArray[np.uint8], str]:
    # What OpenCV turns or inverts depends on format, bits and version: replace bytes
    # that cause it.
    for place, value in header.patches.items():
        data = data[:place] + value + data[place + len(value) :]
    # libpng's own conversion to grey depends on the gamma that a PNG states.
    is_grey = channels == "grey" and header.n_channels == 1
    colour = cv2.IMREAD_GRAYSCALE if is_grey else cv2.IMREAD_COLOR
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
        raise RefusedError(
            "damaged, truncated or of a kind that OpenCV can't decode; if other "
            "programs open it, save it as PNG"
        )
    doubt = ""
    if pixels.dtype == np.uint16:
        white = 2**16 - 1 if header.is_scaled else white_level
        pixels, doubt = _scale_16_bits(pixels, white)
    if pixels.dtype != np.uint8:
        raise RefusedError(
            f"pixels are {pixels.dtype}; 8-bit and unsigned 16-bit are read"
        )
    if header.white_is_zero:
        pixels = cv2.bitwise_not(pixels)
    return (pixels if is_grey else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)), doubt
