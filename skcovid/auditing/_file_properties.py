"""Properties of an image file that are known before its pixels are decoded."""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np


class FileProperties(NamedTuple):
    """Properties of an image file that are known before its pixels are decoded.

    Parameters
    ----------
    width, height : int
        In pixels.
    aspect : float
        Width over height.
    channels : int
        1 for grey, 3 for RGB, 4 with transparency.
    bit_depth : int
        Bits per channel.
    bytes_per_pixel : float
        Size of the file over its number of pixels.
    format : str
        By content, not by the file's name: "PNG", "JPEG", "DICOM", ….
    """

    width: int
    height: int
    aspect: float
    channels: int
    bit_depth: int
    bytes_per_pixel: float
    format: str


def read_properties(path: str | os.PathLike[str]) -> FileProperties:
    """Read the header of an image file.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    FileProperties

    Raises
    ------
    ValueError
        If it is not an image.
    """
    from PIL import Image, ImageMode, UnidentifiedImageError

    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        if file.read(132)[128:] == b"DICM":
            return _read_dicom(path, size)
    try:
        with Image.open(path) as image:
            mode = ImageMode.getmode(image.mode)
            # Pillow opens 16-bit colour and 4-bit grey as 8-bit; the raw mode of its
            # first tile ("RGB;16B", "L;4") still has the file's bit depth.
            raw = re.search(r";(\d+)", str(image.tile[0][3])) if image.tile else None
            stored = 1 if image.mode == "1" else 8 * np.dtype(mode.typestr).itemsize
            return FileProperties(
                *image.size,
                aspect=image.width / image.height,
                channels=len(mode.bands),
                bit_depth=int(raw.group(1)) if raw else stored,
                bytes_per_pixel=size / (image.width * image.height),
                format=str(image.format),
            )
    except UnidentifiedImageError:
        raise ValueError(
            f"{os.fspath(path)}: Pillow cannot identify its format; is it an image?"
        ) from None


def _read_dicom(path: str | os.PathLike[str], size: int) -> FileProperties:
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True)
    width, height = int(header.Columns), int(header.Rows)
    return FileProperties(
        width,
        height,
        aspect=width / height,
        channels=int(header.SamplesPerPixel),
        bit_depth=int(header.BitsStored),
        bytes_per_pixel=size / (width * height),
        format="DICOM",
    )
