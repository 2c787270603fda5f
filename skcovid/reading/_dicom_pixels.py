"""DICOM pixels: stored values, such as 12-bit ones, scaled to 8-bit grey."""

from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from skcovid._base._requirements import install_command
from skcovid.reading._dicom_headers import (
    check_radiograph,
    raise_with_path,
    read_dataset,
    read_text,
)
from skcovid.reading._jpeg import (
    JPEG_START,
    decode_strictly,
    read_jpeg_2000_size,
    read_jpeg_header,
)
from skcovid.reading._limits import RefusedError, check_size

_CONTRADICTIONS = frozenset({("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")})
_END_OF_IMAGE = b"\xff\xd9"
# Rows converted together, so that an image takes little more memory than its file.
_ROWS = 64


def decode_dicom(stream: IO[bytes], path: str) -> tuple[NDArray[np.uint8], str]:
    """Decode to the grey levels that a workstation displays, and say what is odd."""
    with raise_with_path(path):
        dataset = read_dataset(stream)
        check_radiograph(dataset)
        _check_pixel_data(dataset)
        stored = _read_stored_values(dataset)
        _check_shape(dataset, stored.shape)
        # Each of up to 65,536 levels is converted once, instead of millions of pixels.
        lowest, n_levels = int(stored.min()), int(stored.max()) - int(stored.min()) + 1
        if n_levels > 2**16:
            raise RefusedError(f"has {n_levels:,} grey levels; 65,536 are read")
        bands = [slice(row, row + _ROWS) for row in range(0, len(stored), _ROWS)]
        is_used = np.zeros(n_levels, dtype=bool)
        for rows in bands:
            is_used[stored[rows].astype(np.intp) - lowest] = True
        grey_levels = _to_grey(dataset, lowest, is_used)
        grey = np.empty(stored.shape, dtype=np.uint8)
        for rows in bands:
            grey[rows] = grey_levels[stored[rows].astype(np.intp) - lowest]
        return grey, "; ".join(_find_doubts(dataset, grey_levels[is_used]))


def _find_doubts(dataset: Any, used: NDArray[np.uint8]) -> Iterator[str]:
    interpretation = dataset.PhotometricInterpretation
    shape = read_text(dataset, "PresentationLUTShape").upper()
    # The pairs that PS3.3 C.8.11.3 excludes. Some devices write the wrong shape.
    if (interpretation, shape) in _CONTRADICTIONS:
        yield (
            f"its Presentation LUT Shape {shape} contradicts its Photometric "
            f"Interpretation {interpretation}, by which it is read. Check that air is "
            "dark, and correct one of them"
        )
    if len(used) > 1 and used.min() == used.max():
        yield (
            f"its window or LUT shows all {len(used):,} stored values in one grey "
            f"level, {used[0]}. Correct or remove the window"
        )


def _check_pixel_data(dataset: Any) -> None:
    # pydicom omits compressed pixels that the end of the file cuts short.
    needed = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelData")
    if missing := [name for name in needed if not dataset.get(name)]:
        raise RefusedError(
            f"holds no image, as it has no {missing[0]}: truncated, or its pixels were "
            "removed. Copy it again from the archive, or leave it out"
        )
    check_size(dataset.Rows, dataset.Columns)
    n_samples, n_bits = dataset.get("SamplesPerPixel", 1), dataset.BitsAllocated
    if n_samples != 1 or not 8 <= n_bits <= 16:
        raise RefusedError(
            f"has {n_samples} samples of {n_bits} bits a pixel; 1 of 8 to 16 is read"
        )
    if not (syntax := dataset.file_meta.get("TransferSyntaxUID")):
        syntax = _find_transfer_syntax(dataset)
    if syntax.is_encapsulated:
        _check_decoder(dataset, syntax)
        _check_frame(dataset, syntax)
        return
    n_bytes = len(dataset.PixelData)
    expected = dataset.Rows * dataset.Columns * ((dataset.BitsAllocated + 7) // 8)
    if n_bytes < expected:
        raise RefusedError(
            f"truncated: {n_bytes:,} of {expected:,} bytes of pixels. Copy it again"
        )


def _find_transfer_syntax(dataset: Any) -> Any:
    from pydicom import uid

    if dataset["PixelData"].is_undefined_length:
        raise RefusedError(
            "compressed, but how is unknown. Set its Transfer Syntax UID (0002,0010)"
        )
    dataset.file_meta.TransferSyntaxUID = {
        (True, True): uid.ImplicitVRLittleEndian,
        (False, True): uid.ExplicitVRLittleEndian,
        (False, False): uid.ExplicitVRBigEndian,
    }[dataset.original_encoding]
    return dataset.file_meta.TransferSyntaxUID


def _check_decoder(dataset: Any, syntax: Any) -> None:
    from pydicom import uid
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise RefusedError(
            f"compressed as {syntax.name}, which pydicom does not decode. Export it "
            "uncompressed or as JPEG 2000"
        ) from None
    if not decoder.is_available:
        raise RefusedError(
            f"compressed as {syntax.name}; {install_command('dicom')}, or another "
            f"decoder: {'; or '.join(decoder.missing_dependencies)}"
        )
    is_deep_jpeg = syntax == uid.JPEGExtended12Bit and dataset.BitsStored > 8
    if is_deep_jpeg and "pylibjpeg" not in decoder.available_plugins:
        raise RefusedError(
            "compressed as JPEG of 12 bits; pip install pylibjpeg pylibjpeg-libjpeg"
        )


def _check_frame(dataset: Any, syntax: Any) -> None:
    """Refuse damaged JPEG, JPEG-LS and JPEG 2000, which some decoders fill in."""
    from pydicom import uid
    from pydicom.encaps import generate_frames

    if syntax == uid.RLELossless:
        return
    padded = next(generate_frames(dataset.PixelData, number_of_frames=1))
    frame = padded.rstrip(b"\0")
    # All of them end with this marker, up to padding.
    if _END_OF_IMAGE not in frame[-16:]:
        raise RefusedError(
            "the image is truncated: its compressed data have no end. Copy it again"
        )
    if frame.startswith(JPEG_START):
        header = read_jpeg_header(frame)
        height, width, n_channels = header.height, header.width, header.n_channels
    else:
        height, width, n_channels = read_jpeg_2000_size(frame)
    if n_channels != 1:
        raise RefusedError(f"has {n_channels} channels in its compressed data, not 1")
    _check_shape(dataset, (height, width))
    if syntax == uid.JPEGBaseline8Bit:
        decode_strictly(frame, "GRAY")


def _check_shape(dataset: Any, shape: tuple[int, ...]) -> None:
    if shape != (dataset.Rows, dataset.Columns):
        raise RefusedError(
            f"damaged: states {dataset.Rows} × {dataset.Columns} pixels, but its data "
            f"have {' × '.join(map(str, shape))}"
        )


def _read_stored_values(dataset: Any) -> NDArray[np.integer[Any]]:
    """Decode the pixels; pydicom takes the lowest bits, whatever High Bit states."""
    from pydicom import uid

    n_bits, syntax = dataset.BitsStored, dataset.file_meta.TransferSyntaxUID
    shift = (dataset.get("HighBit") or 0) + 1 - n_bits
    # Other compressed data hold the stored bits alone.
    has_all_bits = syntax == uid.RLELossless or not syntax.is_encapsulated
    if not (has_all_bits and 0 < shift <= dataset.BitsAllocated - n_bits):
        shift = 0
    dataset.BitsStored = n_bits + shift
    stored: NDArray[np.integer[Any]] = dataset.pixel_array
    dataset.BitsStored = n_bits
    # A decoder may leave other data in the highest bits, or not extend the sign.
    n_unused = 8 * stored.itemsize - n_bits - shift
    stored = stored << n_unused
    stored >>= n_unused + shift
    return stored


def _to_grey(
    dataset: Any, lowest: int, is_used: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Grey level of each stored value, from the lowest of the image to the highest."""
    n_levels = 2**dataset.BitsStored
    low = -n_levels // 2 if dataset.PixelRepresentation else 0
    ends = [float(low), float(low + n_levels - 1)]
    stored = np.arange(lowest, lowest + len(is_used))
    levels = stored.astype(np.float64)
    if dataset.get("ModalityLUTSequence"):
        levels, ends = _apply_lut(dataset, "ModalityLUTSequence", levels, ends)
    else:
        slope = _read_number(dataset, "RescaleSlope")
        if slope == 0:
            raise RefusedError(
                "Rescale Slope is 0, which makes all grey levels equal; set it to 1"
            )
        slope = slope or 1.0
        intercept = _read_number(dataset, "RescaleIntercept") or 0.0
        levels = levels * slope + intercept
        ends = sorted(end * slope + intercept for end in ends)
    if dataset.get("VOILUTSequence"):
        # Several makers state more bits than their entries use.
        levels, (black, white) = _apply_lut(dataset, "VOILUTSequence", levels, ends)
    elif (shown := _apply_window(dataset, levels)) is not None:
        levels, black, white = shown, 0.0, 1.0
    else:
        if (first := dataset.get("PixelPaddingValue")) is not None:
            last = dataset.get("PixelPaddingRangeLimit")
            # As the stored values are: of this sign and number of bits.
            start, stop = sorted(
                low + (value - low) % n_levels
                for value in (first, first if last is None else last)
            )
            is_used = is_used & ((stored < start) | (stored > stop))
        in_image = levels[is_used] if is_used.any() else np.zeros(1)
        black, white = in_image.min(), in_image.max()
    scale = 255.0 / (white - black) if white != black else 0.0
    grey = np.clip(np.rint((levels - black) * scale), 0, 255)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 255 - grey
    return np.asarray(grey, dtype=np.uint8)


def _read_number(dataset: Any, element: str) -> float | None:
    """First value of an element; None if it is absent or empty."""
    value = dataset.get(element)
    value = value[0] if hasattr(value, "__len__") and value else value
    return None if value in (None, "") else float(value)


def _apply_lut(
    dataset: Any, sequence: str, levels: NDArray[np.float64], ends: list[float]
) -> tuple[NDArray[np.float64], list[float]]:
    """Look up levels, which lie between `ends`; also return the ends of the entries."""
    item = dataset[sequence][0]
    descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
    if descriptor is None or len(descriptor) != 3 or data is None:
        raise RefusedError(f"damaged: its {sequence} has no LUT Descriptor or LUT Data")
    # US or SS, which only the input decides, so modulo 2**16 (PS3.3 C.11.2.1.1). A
    # number of entries of 0 is 2**16.
    n_entries, first = descriptor[0] % 2**16 or 2**16, descriptor[1]

    def overlap(first: int) -> float:
        return min(first + n_entries - 1, ends[1]) - max(first, ends[0])

    if not ends[0] <= first <= ends[1]:
        other = first + 2**16 if first < 0 else first - 2**16
        first = max(first, other, key=overlap)
    if isinstance(data, bytes):
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        words = np.frombuffer(data, f"{order}u2", count=len(data) // 2)
    else:
        words = np.atleast_1d(np.asarray(data)) % 2**16
    entries = words.astype("<u2")
    if descriptor[2] == 8 and len(words) < n_entries:
        # Two entries in a word, the first in the lower byte.
        entries = entries.view(np.uint8)
    if len(entries) < n_entries:
        raise RefusedError(f"damaged: its {sequence} has fewer entries than it states")
    entries = entries[:n_entries].astype(np.float64)
    index = np.clip(np.rint(levels) - first, 0, n_entries - 1).astype(np.intp)
    return entries[index], [float(entries.min()), float(entries.max())]


def _apply_window(
    dataset: Any, levels: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Map the first window to 0 to 1; return None if its width is 0 or it is absent."""
    center = _read_number(dataset, "WindowCenter")
    width = _read_number(dataset, "WindowWidth")
    if center is None or width is None or not (np.isfinite(center) and width > 0):
        return None
    function = read_text(dataset, "VOILUTFunction").upper() or "LINEAR"
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-4 * (levels - center) / width))
    if function not in ("LINEAR", "LINEAR_EXACT"):
        raise RefusedError(f"its VOI LUT Function {function!r} is not a defined term")
    # PS3.3 C.11.2.1.2. Widths below 1, which LINEAR does not allow, are exact ones.
    if function == "LINEAR" and width >= 1:
        center, width = center - 0.5, width - 1
    if width == 0:
        return (levels > center).astype(np.float64)
    return np.clip((levels - center) / width + 0.5, 0, 1)
