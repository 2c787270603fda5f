"""What TIFF files say of the images in them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["TiffDirectory", "read_orientation", "read_tiff_directory"]

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION = 254, 256, 257, 258, 259
_PHOTOMETRIC, _ORIENTATION, _SAMPLES, _SAMPLE_FORMAT = 262, 274, 277, 339
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
# Of the rest, JPEG is decoded without a word where it is damaged, and fax codes are for
# black and white alone.
_COMPRESSIONS = frozenset({1, 5, 8, 32773, 32946})
_WITHOUT_LOSS = "LZW, Deflate or PackBits"
_FORMATS = {1: "uint", 2: "int", 3: "float"}
# Unsigned integers of 8, 16 and 32 bits: what all of these tags hold.
_TYPES = {1: "B", 3: "H", 4: "I"}
_WHITE_IS_ZERO = 0
# Of both tags, what means that pixels are stored as they are seen.
_AS_SEEN = 1
_MAX_PAGES = 1000


@dataclass(frozen=True)
class TiffDirectory:
    """What a TIFF file says of its first image."""

    height: int
    width: int
    n_pages: int
    white_is_zero: bool
    orientation: int
    as_seen: dict[int, bytes]
    tile: tuple[int, int]
    pixel_size: int


def read_tiff_directory(data: bytes) -> TiffDirectory:
    """Read what a TIFF file says of its images."""
    try:
        pages = list(_read_pages(data))
    except struct.error:
        raise ValueError("the image is truncated, or its directory damaged") from None
    if not pages:
        raise ValueError("a TIFF file without an image")
    first = pages[0]
    _check_kind(first)
    n_pages = sum(not page.get(_SUBFILE, 0) & 1 for page in pages)
    white_is_zero = first.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    turned = [_ORIENTATION] if _ORIENTATION in first else []
    turned += [_PHOTOMETRIC] if white_is_zero else []
    return TiffDirectory(
        height=first[_HEIGHT],
        width=first[_WIDTH],
        n_pages=max(1, n_pages),
        white_is_zero=white_is_zero,
        orientation=_check_orientation(first.get(_ORIENTATION, _AS_SEEN)),
        as_seen=dict(first.as_seen[tag] for tag in turned),
        tile=(first.get(_TILE_HEIGHT, 1), first.get(_TILE_WIDTH, 1)),
        pixel_size=first.get(_SAMPLES, 1) * (2 if first.get(_BITS, 1) > 8 else 1),
    )


def read_orientation(exif: bytes) -> int:
    """Read which side of an image is up."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        raise ValueError("its EXIF data are damaged")
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (n_tags,) = struct.unpack_from(f"{order}H", exif, start)
        for place in range(start + 2, start + 2 + 12 * n_tags, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, place)
            if tag == _ORIENTATION:
                return _check_orientation(value)
    except struct.error:
        raise ValueError("its EXIF data are damaged") from None
    return _AS_SEEN


def _check_orientation(orientation: int) -> int:
    # 0 is written by devices that don't know.
    if orientation > 8:
        raise ValueError(f"its orientation is {orientation}, not 1 to 8; it is damaged")
    return orientation or _AS_SEEN


class _Page(dict[int, int]):
    """First value of each tag of a page; in `as_seen`, where to write 1, and how."""

    def __init__(self) -> None:
        self.as_seen: dict[int, tuple[int, bytes]] = {}


def _read_pages(data: bytes) -> Iterator[_Page]:
    order = "<" if data.startswith(b"II") else ">"
    seen: set[int] = set()
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    while start:
        if start in seen or len(seen) == _MAX_PAGES:
            raise ValueError("its pages lead back to each other, or don't end")
        seen.add(start)
        (n_tags,) = struct.unpack_from(f"{order}H", data, start)
        yield _read_page(data, order, start + 2, n_tags)
        (start,) = struct.unpack_from(f"{order}I", data, start + 2 + 12 * n_tags)


def _read_page(data: bytes, order: str, start: int, n_tags: int) -> _Page:
    page = _Page()
    for place in range(start, start + 12 * n_tags, 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", data, place)
        if kind not in _TYPES or not count or tag in page:
            continue
        value = struct.Struct(f"{order}{_TYPES[kind]}")
        position = place + 8
        if count * value.size > 4:
            (position,) = struct.unpack_from(f"{order}I", data, position)
        (page[tag],) = value.unpack_from(data, position)
        page.as_seen[tag] = position, value.pack(_AS_SEEN)
    return page


def _check_kind(page: _Page) -> None:
    if _WIDTH not in page or _HEIGHT not in page:
        raise ValueError("a TIFF file whose first image has no size; it is damaged")
    compression = page.get(_COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise ValueError(
            f"a TIFF image of compression {compression}; uncompressed ones, and "
            f"{_WITHOUT_LOSS}, are read. Save it as PNG"
        )
    bits, n_samples = page.get(_BITS, 1), page.get(_SAMPLES, 1)
    if bits > 16 or n_samples > 5:
        kind = _FORMATS.get(page.get(_SAMPLE_FORMAT, 1), "data of another kind, ")
        raise ValueError(
            f"pixels are {n_samples} × {kind}{bits}; 8-bit and unsigned 16-bit are read"
        )
