"""Pixels of DICOM files as the grey levels that a reader of films would see."""

from collections.abc import Sequence
from functools import partial
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from skcovid.reading._dicom_headers import check_radiograph, naming, read_dataset
from skcovid.reading._image_headers import (
    RefusedError,
    check_size,
    read_jpeg_2000_size,
    read_jpeg_header,
)
from skcovid.reading._image_pixels import check_jpeg

__all__ = ["decode_dicom"]

_END_OF_IMAGE = b"\xff\xd9"
# Rows taken together, so that an image takes little more memory than its file.
_ROWS = 64


def decode_dicom(stream: IO[bytes], path: str) -> NDArray[np.uint8]:
    """Decode a radiograph as it is meant to be seen.

    Stored values go through the modality LUT or rescaling, then through the first VOI
    LUT or window. Black and white are the ends of that LUT or window, or, where the
    file has neither, the lowest and the highest value of the image, pixel padding left
    aside. MONOCHROME1 is inverted.
    """
    with naming(path):
        dataset = read_dataset(stream)
        check_radiograph(dataset)
        _check_pixel_data(dataset)
        stored = dataset.pixel_array
        if stored.shape != (dataset.Rows, dataset.Columns):
            raise RefusedError(
                f"states {dataset.Rows} × {dataset.Columns} pixels, but "
                f"{' × '.join(map(str, stored.shape))} are in it; it is damaged"
            )
        # Up to 65,536 levels go through pydicom's functions, not millions of pixels.
        lowest, n_levels = int(stored.min()), int(stored.max()) - int(stored.min()) + 1
        if n_levels > 2**16:
            raise RefusedError(f"has {n_levels:,} grey levels; 65,536 are read")
        bands = [slice(row, row + _ROWS) for row in range(0, len(stored), _ROWS)]
        counts = np.zeros(n_levels, dtype=np.intp)
        for rows in bands:
            places = stored[rows].astype(np.intp) - lowest
            counts += np.bincount(places.ravel(), minlength=n_levels)
        grey_levels = _to_grey(dataset, lowest, counts)
        grey = np.empty(stored.shape, dtype=np.uint8)
        for rows in bands:
            grey[rows] = grey_levels[stored[rows].astype(np.intp) - lowest]
        return grey


def _check_pixel_data(dataset: Any) -> None:
    if not all(dataset.get(name) for name in ("Rows", "Columns", "BitsAllocated")):
        raise RefusedError(
            "holds no image: the file is truncated, or a description without "
            "pixels. Copy it again from the archive, or leave it out"
        )
    check_size(dataset.Rows, dataset.Columns)
    if dataset.get("SamplesPerPixel", 1) != 1:
        raise RefusedError(
            f"has {dataset.SamplesPerPixel} samples a pixel; radiographs have 1"
        )
    # pydicom leaves compressed pixels out that the end of the file has cut short.
    if "PixelData" not in dataset:
        raise RefusedError(
            "holds no pixel data: the file is truncated, or its pixels were "
            "removed. Copy it again from the archive"
        )
    if not 8 <= dataset.BitsAllocated <= 16:
        raise RefusedError(
            f"has pixels of {dataset.BitsAllocated} bits; radiographs of 8 to "
            "16 bits are read"
        )
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is not None and syntax.is_encapsulated:
        _check_decoder(dataset)
        _check_frame(dataset)
    elif (n_bytes := len(dataset.PixelData)) < (expected := _count_bytes(dataset)):
        raise RefusedError(
            f"the file is truncated: {n_bytes:,} of {expected:,} bytes of "
            "pixels. Copy it again from the archive"
        )


def _count_bytes(dataset: Any) -> int:
    return dataset.Rows * dataset.Columns * ((dataset.BitsAllocated + 7) // 8)


def _check_decoder(dataset: Any) -> None:
    from pydicom import uid
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise RefusedError(
            f"compressed as {syntax.name}, which pydicom does not decode. "
            "Export it uncompressed or as JPEG 2000"
        ) from None
    if not decoder.is_available:
        raise RefusedError(
            f"compressed as {syntax.name}, and no decoder for it is installed; "
            f"pip install 'skcovid[dicom]', or what pydicom asks for: "
            f"{'; or '.join(decoder.missing_dependencies)}"
        )
    if (
        syntax == uid.JPEGExtended12Bit
        and dataset.BitsStored > 8
        and "pylibjpeg" not in decoder.available_plugins
    ):
        raise RefusedError(
            "compressed as JPEG of 12 bits, which one decoder alone reads; "
            "pip install pylibjpeg pylibjpeg-libjpeg"
        )


def _check_frame(dataset: Any) -> None:
    # Some decoders fill in what is missing of an image, and say nothing. JPEG, JPEG-LS
    # and JPEG 2000 all end with one marker, up to padding.
    from pydicom import uid
    from pydicom.encaps import generate_frames

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == uid.RLELossless:
        return
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    if _END_OF_IMAGE not in frame[-16:]:
        raise RefusedError(
            "the image is truncated: its compressed data have no end. Copy it "
            "again from the archive"
        )
    size = _frame_size(frame)
    if size != (dataset.Rows, dataset.Columns):
        raise RefusedError(
            f"states {dataset.Rows} × {dataset.Columns} pixels, but its compressed "
            f"data {size[0]} × {size[1]}; it is damaged"
        )
    if syntax == uid.JPEGBaseline8Bit:
        check_jpeg(frame)


def _frame_size(frame: bytes) -> tuple[int, int]:
    if frame.startswith(b"\xff\xd8"):
        header = read_jpeg_header(frame)
        height, width, n_channels = header.height, header.width, header.n_channels
    else:
        height, width, n_channels = read_jpeg_2000_size(frame)
    if n_channels != 1:
        raise RefusedError(f"has {n_channels} channels in its compressed data, not 1")
    return height, width


def _to_grey(dataset: Any, lowest: int, counts: NDArray) -> NDArray[np.uint8]:
    """Grey level of every stored value from the lowest on, in steps of one."""
    from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

    _widen_luts([*dataset.get("ModalityLUTSequence", ())])
    _widen_luts([*dataset.get("VOILUTSequence", ())])
    stored = np.arange(lowest, lowest + len(counts))
    levels = apply_modality_lut(stored, dataset).astype(np.float64)
    if dataset.get("VOILUTSequence"):
        n_entries, first, _ = dataset.VOILUTSequence[0].LUTDescriptor
        entries = np.arange(first, first + (n_entries or 2**16))
        # The LUT's own ends: several makers state more bits than they use.
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
        in_image = levels[(counts > 0) & ~_is_padding(dataset, stored)]
        low, high = (in_image.min(), in_image.max()) if len(in_image) else (0.0, 0.0)
    scale = 255.0 / (high - low) if high != low else 0.0
    grey = np.clip(np.rint((levels - low) * scale), 0, 255).astype(np.uint8)
    return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _widen_luts(items: Sequence[Any]) -> None:
    # With 8 bits pydicom wraps indices above 255 round, and it does not take 10 to 15
    # bits in a modality LUT. 16 bits hold the same entries.
    for item in items:
        item.LUTDescriptor = [*item.LUTDescriptor[:2], 16]


def _is_padding(dataset: Any, stored: NDArray) -> NDArray[np.bool_]:
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(len(stored), dtype=bool)
    last = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    return (stored >= low) & (stored <= high)
