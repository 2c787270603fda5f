"""DICOM pixels: stored values, such as 12-bit ones, scaled to 8-bit grey."""

from functools import partial
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from skcovid.reading._dicom_headers import (
    check_radiograph,
    raise_with_path,
    read_dataset,
)
from skcovid.reading._jpeg import (
    JPEG_START,
    decode_strictly,
    read_jpeg_2000_size,
    read_jpeg_header,
)
from skcovid.reading._limits import RefusedError, check_size

_END_OF_IMAGE = b"\xff\xd9"
# Rows converted together, so that an image takes little more memory than its file.
_ROWS = 64


def decode_dicom(stream: IO[bytes], path: str) -> NDArray[np.uint8]:
    """Decode a radiograph to the grey levels that a workstation displays.

    Stored values go through the modality LUT or rescaling, then through the first VOI
    LUT or window. Black and white are the ends of that LUT or window; in a file with
    neither, the lowest and highest value of the image without pixel padding.
    MONOCHROME1 is inverted.
    """
    with raise_with_path(path):
        dataset = read_dataset(stream)
        check_radiograph(dataset)
        _check_pixel_data(dataset)
        stored = dataset.pixel_array
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
        return grey


def _check_pixel_data(dataset: Any) -> None:
    # pydicom omits compressed pixels that the end of the file cuts short.
    needed = ("Rows", "Columns", "BitsAllocated", "PixelData")
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
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is not None and syntax.is_encapsulated:
        _check_decoder(dataset, syntax)
        _check_frame(dataset, syntax)
        return
    n_bytes = len(dataset.PixelData)
    expected = dataset.Rows * dataset.Columns * ((dataset.BitsAllocated + 7) // 8)
    if n_bytes < expected:
        raise RefusedError(
            f"truncated: {n_bytes:,} of {expected:,} bytes of pixels. Copy it again"
        )


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
            f"compressed as {syntax.name}; pip install 'skcovid[dicom]', or another "
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
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
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


def _to_grey(
    dataset: Any, lowest: int, is_used: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Grey level of each stored value, from the lowest of the image to the highest."""
    from pydicom.pixels.processing import (
        apply_modality_lut,
        apply_voi,
        apply_windowing,
    )

    for sequence in ("ModalityLUTSequence", "VOILUTSequence"):
        for item in dataset.get(sequence, None) or ():
            # With 8 bits pydicom's indices overflow above 255, and it refuses 10 to 15
            # bits in a modality LUT. 16 bits hold the same entries.
            item.LUTDescriptor = [*item.LUTDescriptor[:2], 16]
    stored = np.arange(lowest, lowest + len(is_used))
    levels = apply_modality_lut(stored, dataset).astype(np.float64)
    if dataset.get("VOILUTSequence"):
        n_entries, first, _ = dataset.VOILUTSequence[0].LUTDescriptor
        entries = np.arange(first, first + (n_entries or 2**16))
        # The ends of the entries, as several makers state more bits than they use.
        ends = apply_voi(entries, dataset).astype(np.float64)
        inside = np.clip(np.rint(levels), entries[0], entries[-1]).astype(np.int64)
        levels = apply_voi(inside, dataset).astype(np.float64)
        low, high = ends.min(), ends.max()
    elif None not in (dataset.get("WindowCenter"), dataset.get("WindowWidth")):
        window = partial(apply_windowing, ds=dataset)
        with np.errstate(over="ignore"):  # of the sigmoid's exponential
            low, high = window(np.array([-1e12, 1e12]))
            levels = window(levels)
    else:
        if (first := dataset.get("PixelPaddingValue")) is not None:
            last = dataset.get("PixelPaddingRangeLimit")
            start, stop = sorted((first, first if last is None else last))
            is_used = is_used & ((stored < start) | (stored > stop))
        in_image = levels[is_used]
        low, high = (in_image.min(), in_image.max()) if len(in_image) else (0.0, 0.0)
    scale = 255.0 / (high - low) if high != low else 0.0
    grey = np.clip(np.rint((levels - low) * scale), 0, 255)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 255 - grey
    return np.asarray(grey, dtype=np.uint8)
