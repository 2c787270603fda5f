"""TIFF headers, and the orientation in EXIF data, which have the TIFF format."""

import struct
from collections.abc import Iterator

from skcovid.reading._limits import MAX_BYTES, ImageHeader, RefusedError, check_size

EXIF_START = b"Exif\0\0"

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION = 254, 256, 257, 258, 259
_PHOTOMETRIC, _ORIENTATION, _SAMPLES, _SAMPLE_FORMAT = 262, 274, 277, 339
_PLANES, _TILE_WIDTH, _TILE_HEIGHT, _EXTRA = 284, 322, 323, 338
# None, LZW, Deflate (two codes) and PackBits. Damage of the JPEG inside a TIFF is not
# reported by the decoder, and fax codes are for black and white.
_COMPRESSIONS = frozenset({1, 5, 8, 32773, 32946})
_FORMATS = {1: "uint", 2: "int", 3: "float"}
# Types of the values of these tags: unsigned integers of 8, 16 and 32 bits.
_TYPES = {1: "B", 3: "H", 4: "I"}
_WHITE_IS_ZERO = 0
# Values of planar configuration, and of extra samples: alpha that pixels are not yet
# multiplied by. The decoder multiplies, unless the value is `_AS_SEEN`.
_SEPARATE, _UNASSOCIATED = 2, 2
# Orientation: upright. Photometric interpretation: black is zero. Extra samples: alpha
# that pixels are multiplied by.
_AS_SEEN, _DAMAGED = 1, 0
_MAX_PAGES = 1000


def read_tiff_header(data: bytes) -> ImageHeader:
    """Read the header of a TIFF file's first page, and count the pages."""
    try:
        pages = list(_read_directories(data))
    except struct.error:
        raise RefusedError("the image is truncated or its directory damaged") from None
    if not pages or not {_WIDTH, _HEIGHT} <= pages[0][0].keys():
        raise RefusedError("damaged: a TIFF file without an image or its size")
    first, patches = pages[0]
    _check_pixels(first)
    white_is_zero = first.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    changed = [_ORIENTATION] if _ORIENTATION in first else []
    changed += [_PHOTOMETRIC] if white_is_zero else []
    changed += [_EXTRA] if first.get(_EXTRA) == _UNASSOCIATED else []
    return ImageHeader(
        height=first[_HEIGHT],
        width=first[_WIDTH],
        # Thumbnails are not counted, unless one comes first and would be read.
        n_frames=1 + sum(not page.get(_SUBFILE, 0) & 1 for page, _ in pages[1:]),
        orientation=_check_orientation(first.get(_ORIENTATION, _AS_SEEN)),
        white_is_zero=white_is_zero,
        is_scaled=8 < first.get(_BITS, 1) < 16,
        patches=dict(patches[tag] for tag in changed),
    )


def read_orientation(exif: bytes) -> int:
    """Read the orientation from EXIF data: 1 to 8, or 0 if they are damaged."""
    exif = exif.removeprefix(EXIF_START)
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return _DAMAGED
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (n_tags,) = struct.unpack_from(f"{order}H", exif, start)
        for place in range(start + 2, start + 2 + 12 * n_tags, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, place)
            if tag == _ORIENTATION and kind in _TYPES:
                value = struct.unpack_from(f"{order}{_TYPES[kind]}", exif, place + 8)
                return _check_orientation(*value)
    except struct.error:
        return _DAMAGED
    return _AS_SEEN


def _check_orientation(orientation: int) -> int:
    # Some devices write 0 for unknown.
    return _DAMAGED if orientation > 8 else orientation or _AS_SEEN


def _read_directories(
    data: bytes,
) -> Iterator[tuple[dict[int, int], dict[int, tuple[int, bytes]]]]:
    """Yield the first value of each tag, and where to write `_AS_SEEN`, and how."""
    order = "<" if data.startswith(b"II") else ">"
    seen: set[int] = set()
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    while start:
        if start in seen or len(seen) == _MAX_PAGES:
            raise RefusedError("its pages form a loop, or there are too many")
        seen.add(start)
        (n_tags,) = struct.unpack_from(f"{order}H", data, start)
        end = start + 2 + 12 * n_tags
        directory: dict[int, int] = {}
        patches: dict[int, tuple[int, bytes]] = {}
        for place in range(start + 2, end, 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", data, place)
            if tag in directory or kind not in _TYPES or not count:
                continue
            value = struct.Struct(f"{order}{_TYPES[kind]}")
            position = place + 8
            if count * value.size > 4:
                (position,) = struct.unpack_from(f"{order}I", data, position)
            (directory[tag],) = value.unpack_from(data, position)
            patches[tag] = position, value.pack(_AS_SEEN)
        yield directory, patches
        (start,) = struct.unpack_from(f"{order}I", data, end)


def _check_pixels(page: dict[int, int]) -> None:
    compression = page.get(_COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise RefusedError(
            f"a TIFF image of compression {compression}. Save it as PNG, or as TIFF "
            "without compression or with LZW, Deflate or PackBits"
        )
    bits, n_samples = page.get(_BITS, 1), page.get(_SAMPLES, 1)
    if bits > 16 or n_samples > 5:
        kind = _FORMATS.get(page.get(_SAMPLE_FORMAT, 1), "data of another kind, ")
        raise RefusedError(
            f"pixels are {n_samples} × {kind}{bits}; 8-bit and unsigned 16-bit are read"
        )
    if page.get(_PLANES) == _SEPARATE and n_samples > 1 and (n_samples, bits) != (3, 8):
        raise RefusedError(
            f"a TIFF image of {n_samples} separate planes of {bits} bits (planar "
            "configuration 2), of which only 3 of 8 bits are read. Save it as PNG"
        )
    check_size(page[_HEIGHT], page[_WIDTH])
    # The decoder allocates a whole tile, even for a smaller image.
    check_size(page.get(_TILE_HEIGHT, 1), page.get(_TILE_WIDTH, 1))
    n_bytes = page[_HEIGHT] * page[_WIDTH] * n_samples * (2 if bits > 8 else 1)
    if n_bytes > MAX_BYTES:
        raise RefusedError(
            f"its header states an image of {n_bytes:,} bytes, more than the limit of "
            f"{MAX_BYTES:,}. Save it with 8 bits, or as PNG"
        )
