"""Headers of PNG, BMP and WebP files, and the format of a file."""

import re
import struct
import zlib
from collections.abc import Callable

from skcovid.reading._dicom_headers import DICOM_SUFFIXES
from skcovid.reading._jpeg import read_jpeg_header
from skcovid.reading._limits import (
    MAX_BYTES,
    ImageHeader,
    RefusedError,
    check_size,
)
from skcovid.reading._tiff import read_orientation, read_tiff_header

# DICOM files may have any other suffix, too.
IMAGE_SUFFIXES = DICOM_SUFFIXES | {
    *(".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".tif", ".tiff", ".webp"),
    *(".pgm", ".ppm"),
}
# The least that tells an image from any other file, whatever their suffixes.
_START = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|II\*\0|MM\0\*|BM.{4}\0{4}|RIFF.{4}WEBP"
    rb"|P[56]\s+[#\d]",
    re.DOTALL,
)
# Bits and compression of a BMP of 32 bits that states masks of its channels, and the
# masks that the decoder takes for granted.
_MASKED = struct.pack("<HI", 32, 3)
_BGR = (0xFF0000, 0xFF00, 0xFF)
_RAW_EXIF = b"Raw profile type exif\0"
# The largest image has 32,768 of the usual 8 KiB.
_MAX_CHUNKS = 100_000
# RGB, a palette, RGB with transparency (PNG specification, 11.2.1).
_PNG_COLOUR = (2, 3, 6)


def starts_as_image(start: bytes) -> bool:
    """Whether a file is an image other than DICOM, by its first 16 bytes."""
    return _START.match(start) is not None


def read_image_header(data: bytes) -> ImageHeader:
    """Read the header of an image file, and refuse what is not one radiograph."""
    read = next((_READERS[start] for start in _READERS if data.startswith(start)), None)
    if read is None:
        raise RefusedError(
            f"not an image that is read: the file begins with {data[:8]!r}. Save it as "
            "PNG, JPEG, TIFF, BMP, WebP, PGM or DICOM"
        )
    try:
        header = read(data)
    except (struct.error, IndexError):
        raise RefusedError("the image is truncated") from None
    check_size(header.height, header.width)
    if header.n_frames != 1:
        raise RefusedError(
            f"an animation or several pages, at least {header.n_frames}. Save the "
            "radiograph to a separate file"
        )
    return header


def _read_png(data: bytes) -> ImageHeader:
    # OpenCV fills missing pixels with grey, and ignores chunks with a wrong checksum
    # that it does not need, such as the orientation.
    if data[12:16] != b"IHDR":
        raise RefusedError("not a PNG image: it does not begin with its size")
    width, height, _, colour_type = struct.unpack_from(">IIBB", data, 16)
    n_channels = 3 if colour_type in _PNG_COLOUR else 1
    view, position, n_frames, orientation = memoryview(data), 8, 1, 1
    for _ in range(_MAX_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        (checksum,) = struct.unpack_from(">I", data, end)
        if zlib.crc32(view[position + 4 : end]) != checksum:
            raise RefusedError(
                f"damaged or truncated: the checksum of its chunk {kind!r} is wrong"
            )
        if kind == b"IEND":
            return ImageHeader(height, width, n_frames, n_channels, orientation)
        if kind == b"acTL":
            (n_frames,) = struct.unpack_from(">I", data, position + 8)
        elif kind == b"eXIf":
            orientation = read_orientation(data[position + 8 : end])
        elif kind in (b"tEXt", b"zTXt") and data.startswith(_RAW_EXIF, position + 8):
            text = data[position + 8 + len(_RAW_EXIF) : end]
            orientation = read_orientation(_parse_raw_exif(text, kind))
        position = end + 4
    raise RefusedError(f"damaged: a PNG of more than {_MAX_CHUNKS:,} chunks")


def _parse_raw_exif(text: bytes, kind: bytes) -> bytes:
    """Decode EXIF data that ImageMagick writes: name, length, hexadecimal digits."""
    try:
        if kind == b"zTXt":
            text = zlib.decompressobj().decompress(text[1:], MAX_BYTES)
        return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except (ValueError, zlib.error):
        return b""


def _read_bmp(data: bytes) -> ImageHeader:
    n_bytes, header_size = struct.unpack_from("<I8xI", data, 2)
    if len(data) < n_bytes:
        raise RefusedError("the image is truncated")
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<Ii", data, 18)
    is_masked = header_size >= 40 and data[28:34] == _MASKED
    if is_masked and struct.unpack_from("<3I", data, 54) != _BGR:
        raise RefusedError(
            "a BMP whose channels are not blue, green and red of 8 bits. Save it as PNG"
        )
    # The height is negative where rows are stored from the top.
    return ImageHeader(abs(height), width)


def _read_webp(data: bytes) -> ImageHeader:
    n_bytes, kind = struct.unpack_from("<I8s", data, 4)
    if len(data) < n_bytes + 8:
        raise RefusedError("the image is truncated")
    if kind == b"WEBPVP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return ImageHeader(
            height + 1,
            width + 1,
            n_frames=2 if data[20] & 2 else 1,
            orientation=_find_webp_orientation(data),
        )
    if kind == b"WEBPVP8L":
        (sides,) = struct.unpack_from("<I", data, 21)
        return ImageHeader((sides >> 14) % 2**14 + 1, sides % 2**14 + 1)
    if kind == b"WEBPVP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader(height % 2**14, width % 2**14)
    raise RefusedError("a RIFF file without a WebP image")


def _find_webp_orientation(data: bytes) -> int:
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            return 1
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            return read_orientation(data[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    raise RefusedError(f"damaged: a WebP of more than {_MAX_CHUNKS:,} chunks")


_READERS: dict[bytes, Callable[[bytes], ImageHeader]] = {
    b"\x89PNG\r\n\x1a\n": _read_png,
    b"\xff\xd8": read_jpeg_header,
    b"II*\0": read_tiff_header,
    b"MM\0*": read_tiff_header,
    b"BM": _read_bmp,
    b"RIFF": _read_webp,
}
