"""What image files say of themselves, looked at before any decoder is asked.

Decoders believe the headers: they set memory aside for as many pixels as are stated,
and fill in what is missing of a file that was cut short.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from skcovid.reading._tiff import read_orientation, read_tiff_directory

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "ImageHeader",
    "RefusedError",
    "check_size",
    "read_image_header",
    "read_jpeg_2000_size",
    "read_jpeg_header",
]

# 8192 × 8192. The largest films, 43 cm × 35 cm, digitised at 50 µm, have 60 million
# pixels; and at the 16 bytes a pixel that decoders need at most, 2**26 are 1 GiB.
MAX_PIXELS = 2**26
# What they take at 32 bits each. Files are not larger, and where a decoder holds file,
# strip and image at once, the image is not.
MAX_BYTES = 4 * MAX_PIXELS
# Every scan of a progressive JPEG goes over all pixels. Encoders make 6 to 18; this
# many of the largest image are read, and more of smaller ones.
_MAX_SCANS = 24
# Each is looked at here. The most that is read has 32,768 of the usual 8 KiB.
_MAX_CHUNKS = 100_000
# What follows 0xff in data is below 0x80, and neither fill bytes nor restarts end
# anything.
_JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
# Start of frame, but for DHT, JPG and DAC among them; 0xf7 is that of JPEG-LS.
_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_EXIF = b"Exif\0\0"
_MAP = re.compile(rb"P([56])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d{1,9})" + rb"\s")


class RefusedError(Exception):
    """Why a file is not read; whoever knows its name adds it."""


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of the image in it."""

    kind: str
    height: int
    width: int
    n_frames: int = 1
    n_channels: int = 1
    maximum: int = 255
    start: int = 0
    orientation: int = 1
    white_is_zero: bool = False
    as_seen: dict[int, bytes] = field(default_factory=dict)


def read_image_header(data: bytes) -> ImageHeader:
    """Read what an image file says of itself."""
    for start, read in _READERS.items():
        if data.startswith(start):
            header = read(data)
            break
    else:
        raise RefusedError(
            "not an image that is read, which are PNG, JPEG, TIFF, BMP, WebP, PGM and "
            f"DICOM: whatever its name says, the file begins with {data[:8]!r}"
        )
    check_size(header.height, header.width)
    if header.n_frames != 1:
        raise RefusedError(
            f"an animation or pages, {header.n_frames or 'any number'} of them, of "
            "which none is the radiograph more than the others. Save the one that is "
            "to be read to a file of its own"
        )
    return header


def check_size(height: int, width: int) -> None:
    """Let only sizes pass that radiographs have."""
    if min(height, width) < 1:
        raise RefusedError(
            f"its header states {height} × {width} pixels: it is damaged"
        )
    if height * width > MAX_PIXELS:
        raise RefusedError(
            f"its header states {height:,} × {width:,} pixels, more than the "
            f"{MAX_PIXELS:,} that are read; no radiograph is that large. If it is one, "
            "save it smaller"
        )


def read_jpeg_header(data: bytes) -> ImageHeader:
    """Read what a JPEG or JPEG-LS stream says of itself."""
    frame, n_scans, orientation = b"", 0, 1
    for marker, segment in _jpeg_segments(data):
        if marker in _JPEG_FRAMES and not frame:
            frame = segment
        n_scans += marker == 0xDA
        if marker == 0xE1 and segment.startswith(_EXIF):
            orientation = _read_exif(segment)
    if len(frame) < 6:
        raise RefusedError("not a whole JPEG image: it states no size")
    height, width = _numbers(frame, 1, 2, 2, order="big")
    check_size(height, width)
    if n_scans * height * width > _MAX_SCANS * MAX_PIXELS:
        raise RefusedError(
            f"a progressive JPEG of {n_scans} scans, which would take too long to "
            "decode. Save it as PNG"
        )
    return ImageHeader(
        "JPEG", height, width, n_channels=frame[5], orientation=orientation
    )


def read_jpeg_2000_size(data: bytes) -> tuple[int, int, int]:
    """Read which size a JPEG 2000 stream states."""
    # DICOM has the codestream alone; some devices write a file's boxes before it.
    start = data.find(b"\xff\x4f\xff\x51", 0, 256)
    if start < 0:
        raise RefusedError("its compressed data are neither JPEG nor JPEG 2000")
    right, bottom, left, top = _numbers(data, start + 8, 4, 4, 4, 4, order="big")
    (n_channels,) = _numbers(data, start + 40, 2, order="big")
    return bottom - top, right - left, n_channels


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    # From segment to segment: a thumbnail in one, or what follows the image, may hold
    # any marker.
    position = 2
    for _ in range(_MAX_CHUNKS):
        marker = _JPEG_MARKER.search(data, position)
        if marker is None:
            raise RefusedError("the image is truncated")
        if marker.group() == b"\xff\xd9":
            return
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        position = marker.end() + length
        yield marker.group()[1], data[marker.end() + 2 : position]
    raise RefusedError(f"a JPEG of more than {_MAX_CHUNKS:,} segments; it is damaged")


def _read_png(data: bytes) -> ImageHeader:
    # OpenCV fills what is missing with grey, and leaves out what does not fit its
    # checksum where the image can be had without, such as which side is up.
    if data[12:16] != b"IHDR":
        raise RefusedError("not a PNG image: it does not begin with its size")
    width, height = _numbers(data, 16, 4, 4, order="big")
    view, position, n_frames, orientation = memoryview(data), 8, 1, 1
    for _ in range(_MAX_CHUNKS):
        (length,) = _numbers(data, position, 4, order="big")
        end = position + 8 + length
        (checksum,) = _numbers(data, end, 4, order="big")
        kind = data[position + 4 : position + 8]
        if zlib.crc32(view[position + 4 : end]) != checksum:
            raise RefusedError(
                f"the image is damaged or truncated: its chunk {kind!r} is not what "
                "its checksum says"
            )
        if kind == b"IEND":
            return ImageHeader("PNG", height, width, n_frames, orientation=orientation)
        if kind == b"acTL":
            (n_frames,) = _numbers(data, position + 8, 4, order="big")
        elif kind == b"eXIf":
            orientation = _read_exif(data[position + 8 : end])
        position = end + 4
    raise RefusedError(f"a PNG of more than {_MAX_CHUNKS:,} chunks; it is damaged")


def _read_bmp(data: bytes) -> ImageHeader:
    if len(data) < int.from_bytes(data[2:6], "little"):
        raise RefusedError("the image is truncated")
    (size,) = _numbers(data, 14, 4)
    if size == 12:
        width, height = _numbers(data, 18, 2, 2)
    else:
        width, height = _numbers(data, 18, 4, 4)
        # Below 0 where the rows are stored from the top.
        height = min(height, 2**32 - height)
    return ImageHeader("BMP", height, width)


def _read_riff(data: bytes) -> ImageHeader:
    if len(data) < int.from_bytes(data[4:8], "little") + 8:
        raise RefusedError("the image is truncated")
    kind = data[8:16]
    if kind == b"WEBPVP8X":
        flags, width, height = _numbers(data, 20, 4, 3, 3)
        n_frames = 0 if flags & 2 else 1
        orientation = _webp_orientation(data)
        return ImageHeader(
            "WebP", height + 1, width + 1, n_frames, orientation=orientation
        )
    if kind == b"WEBPVP8L":
        (sides,) = _numbers(data, 21, 4)
        return ImageHeader("WebP", (sides >> 14) % 2**14 + 1, sides % 2**14 + 1)
    if kind == b"WEBPVP8 ":
        width, height = (side % 2**14 for side in _numbers(data, 26, 2, 2))
        return ImageHeader("WebP", height, width)
    raise RefusedError("a RIFF file, but not one with a WebP image")


def _webp_orientation(data: bytes) -> int:
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            return 1
        (length,) = _numbers(data, position + 4, 4)
        if data[position : position + 4] == b"EXIF":
            return _read_exif(data[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    raise RefusedError(f"a WebP of more than {_MAX_CHUNKS:,} chunks; it is damaged")


def _read_exif(exif: bytes) -> int:
    try:
        return read_orientation(exif.removeprefix(_EXIF))
    except ValueError as reason:
        raise RefusedError(str(reason)) from None


def _read_tiff(data: bytes) -> ImageHeader:
    try:
        directory = read_tiff_directory(data)
    except ValueError as reason:
        raise RefusedError(str(reason)) from None
    check_size(directory.height, directory.width)
    # Memory is set aside for a whole tile, however small the image.
    check_size(*directory.tile)
    n_bytes = directory.height * directory.width * directory.pixel_size
    if n_bytes > MAX_BYTES:
        raise RefusedError(
            f"its header states an image of {n_bytes:,} bytes, more than the "
            f"{MAX_BYTES:,} that are read. Save it with 8 bits, or as PNG"
        )
    return ImageHeader(
        "TIFF",
        directory.height,
        directory.width,
        directory.n_pages,
        orientation=directory.orientation,
        white_is_zero=directory.white_is_zero,
        as_seen=directory.as_seen,
    )


def _read_map(data: bytes) -> ImageHeader:
    match = _MAP.match(data)
    if match is None:
        raise RefusedError("its header is damaged, or of another kind than P5 and P6")
    kind, width, height, maximum = map(int, match.groups())
    if not 0 < maximum < 2**16:
        raise RefusedError(f"its header states {maximum} as white; 1 to 65535 are read")
    n_channels, n_bytes = (3 if kind == 6 else 1), (2 if maximum > 255 else 1)
    if len(data) - match.end() < height * width * n_channels * n_bytes:
        raise RefusedError("the image is truncated")
    return ImageHeader(
        "PNM",
        height,
        width,
        n_channels=n_channels,
        maximum=maximum,
        start=match.end(),
    )


def _numbers(
    data: bytes, start: int, *sizes: int, order: Literal["little", "big"] = "little"
) -> list[int]:
    """Unsigned numbers of so many bytes each, one behind the other."""
    if len(data) < start + sum(sizes):
        raise RefusedError("the image is truncated")
    numbers = []
    for size in sizes:
        numbers.append(int.from_bytes(data[start : start + size], order))
        start += size
    return numbers


_READERS: dict[bytes, Callable[[bytes], ImageHeader]] = {
    b"\x89PNG\r\n\x1a\n": _read_png,
    b"\xff\xd8": read_jpeg_header,
    b"II*\0": _read_tiff,
    b"MM\0*": _read_tiff,
    b"BM": _read_bmp,
    b"RIFF": _read_riff,
    b"P5": _read_map,
    b"P6": _read_map,
}
