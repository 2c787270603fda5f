"""JPEG images: their headers, and decoding that refuses damaged or truncated data.

OpenCV fills what is missing with grey and reports no error.
"""

import re
import struct
from collections.abc import Iterator

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from skcovid.reading._limits import (
    MAX_PIXELS,
    Channels,
    ImageHeader,
    RefusedError,
    check_size,
)
from skcovid.reading._tiff import EXIF_START, read_orientation

# Every scan of a progressive JPEG covers all pixels. Encoders write 6 to 18; the
# largest image may have this many, and smaller ones more.
_MAX_SCANS = 24
_MAX_SEGMENTS = 100_000
JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
# In image data 0xff is followed by a byte below 0x80, a fill byte or a restart marker.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
_START_OF_SCAN, _APP1 = 0xDA, 0xE1
# Start-of-frame markers, without DHT, JPG and DAC; 0xf7 is that of JPEG-LS.
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})


def read_jpeg_header(data: bytes) -> ImageHeader:
    """Read the header of a JPEG or JPEG-LS stream."""
    frame, n_scans, exif = b"", 0, b""
    for marker, segment in _read_segments(data):
        if marker in _FRAMES and not frame:
            frame = segment
        n_scans += marker == _START_OF_SCAN
        if marker == _APP1 and segment.startswith(EXIF_START) and not exif:
            exif = segment
    if len(frame) < 6:
        raise RefusedError("not a complete JPEG image: its size is missing")
    height, width, n_channels = struct.unpack_from(">HHB", frame, 1)
    check_size(height, width)
    if n_scans * height * width > _MAX_SCANS * MAX_PIXELS:
        raise RefusedError(
            f"a progressive JPEG of {n_scans} scans would take too long to decode. "
            "Save it as PNG"
        )
    orientation = read_orientation(exif) if exif else 1
    return ImageHeader(height, width, n_channels=n_channels, orientation=orientation)


def read_jpeg_2000_size(data: bytes) -> tuple[int, int, int]:
    """Read height, width and number of channels of a JPEG 2000 stream."""
    # DICOM holds the bare codestream; some devices write a file's boxes before it.
    start = data.find(b"\xff\x4f\xff\x51", 0, 256)
    if start < 0:
        raise RefusedError("its compressed data are neither JPEG nor JPEG 2000")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (n_channels,) = struct.unpack_from(">H", data, start + 40)
    return bottom - top, right - left, n_channels


def decode_jpeg(data: bytes, n_channels: int, channels: Channels) -> NDArray[np.uint8]:
    """Decode a JPEG file of 1, 3 or 4 channels."""
    if n_channels != 4:
        pixels = decode_strictly(data, "GRAY" if channels == "grey" else "RGB")
        return pixels[..., 0] if channels == "grey" else pixels
    inks = decode_strictly(data, "CMYK")
    # As Adobe and other programs write them, 255 means no ink.
    black = np.repeat(inks[..., 3:], 3, axis=2)
    rgb: NDArray[np.uint8] = cv2.multiply(inks[..., :3].copy(), black, scale=1 / 255)
    return rgb


def decode_strictly(data: bytes, colour_space: str) -> NDArray[np.uint8]:
    """Decode a JPEG stream of 8 bits, or refuse it if any of it is damaged."""
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, colour_space, strict=True
        )
    except ValueError as error:
        raise RefusedError(
            f"the image is damaged or truncated, or of a kind not read ({error})"
        ) from error
    return pixels


def _read_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    # Searched segment by segment, as a thumbnail inside one has markers of its own.
    position = 2
    for _ in range(_MAX_SEGMENTS):
        marker = _MARKER.search(data, position)
        if marker is None:
            raise RefusedError("the image is truncated")
        if marker.group() == _JPEG_END:
            return
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        position = marker.end() + length
        yield marker.group()[1], data[marker.end() + 2 : position]
    raise RefusedError(f"damaged: a JPEG of more than {_MAX_SEGMENTS:,} segments")
