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

    path = Path(path)
    with path.open("rb") as file:
        is_dicom = file.read(132)[128:] == b"DICM"
    if is_dicom:
        import pydicom

        header = pydicom.dcmread(path, stop_before_pixels=True)
        width, height = int(header.Columns), int(header.Rows)
        channels, bits = int(header.SamplesPerPixel), int(header.BitsStored)
        name = "DICOM"
    else:
        try:
            with Image.open(path) as image:
                mode = ImageMode.getmode(image.mode)
                # Pillow opens 16-bit colour and 4-bit grey as 8-bit; the raw mode of
                # its first tile ("RGB;16B", "L;4") still has the file's bit depth.
                raw_mode = str(image.tile[0][3]) if image.tile else ""
                stored = 8 * np.dtype(mode.typestr).itemsize
                bits = 1 if image.mode == "1" else stored
                if found := re.search(r";(\d+)", raw_mode):
                    bits = int(found.group(1))
                width, height = image.size
                channels, name = len(mode.bands), str(image.format)
        except UnidentifiedImageError:
            raise ValueError(
                f"{path}: Pillow cannot identify its format; is it an image?"
            ) from None
    bytes_per_pixel = path.stat().st_size / (width * height)
    return FileProperties(
        width, height, width / height, channels, bits, bytes_per_pixel, name
    )
