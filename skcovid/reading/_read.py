"""Read one radiograph of any format."""

import os
import warnings
from io import BytesIO
from numbers import Integral
from pathlib import PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from skcovid._base._compatibility import Interval, StrOptions, validate_params
from skcovid.reading._dicom_headers import DICOM_SUFFIXES, is_dicom
from skcovid.reading._dicom_pixels import decode_dicom
from skcovid.reading._files import read_bytes
from skcovid.reading._image_formats import IMAGE_SUFFIXES
from skcovid.reading._image_pixels import decode_image
from skcovid.reading._limits import Channels, RefusedError
from skcovid.reading._paths import format_path


@validate_params(
    {
        "path": [str, os.PathLike],
        "channels": [StrOptions({"grey", "rgb"})],
        "white_level": [Interval(Integral, 1, 2**16 - 1, closed="both"), None],
    }
)
def read_radiograph(
    path: str | os.PathLike[str],
    *,
    channels: Channels = "grey",
    white_level: int | None = None,
) -> NDArray[np.uint8]:
    """Read one image file.

    Parameters
    ----------
    path : str or path-like
        A PNG, JPEG, TIFF, BMP, WebP or PGM file or, with the ``dicom`` extra, a DICOM
        file; on disk or in a zip archive, as in ``a.zip/b/1.png``. The format is found
        from the content; of suffixes, only that of DICOM counts.
    channels : {"grey", "rgb"}, default="grey"
        Whether the pixels are one grey level or three RGB channels.
    white_level : int, default=None
        Level in [1, 65535] of 16-bit files that is white, such as 4095 if their pixels
        have 12 bits; None for 65535. Other files, DICOM too, state their white.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8 in [0, 255], RGB
        White becomes 255. Transparency is ignored, and EXIF or TIFF orientation
        applied, so that the image is upright. DICOM levels are as the file's own window
        or LUT shows them; without one, the range in use is stretched to black and
        white.

    Warns
    -----
    UserWarning
        If `white_level` is None and a 16-bit file has no level above 16383; if EXIF
        data are damaged, so that the rotation is unknown; or if a DICOM file
        contradicts itself on inversion, has the suffix of another format, or has a
        window that shows all pixels in one grey level.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, truncated, damaged, not an image, one of several frames,
        of more than 2**26 pixels or 2**28 bytes, has a level above `white_level`, or is
        a DICOM file of something other than one grey radiograph.
    OSError
        If the file cannot be opened, links form a loop, or the disk fails.
    ImportError
        If it is a DICOM file and pydicom is not installed.

    Examples
    --------
    >>> from skcovid.reading import read_radiograph
    >>> read_radiograph("nowhere.png")
    Traceback (most recent call last):
    ...
    FileNotFoundError: nowhere.png: no such file
    """
    pixels, doubt = decode_file(
        read_bytes(path), os.fspath(path), channels, white_level
    )
    if doubt:
        warnings.warn(f"{format_path(path)}: {doubt}.", stacklevel=3)
    return pixels


def decode_file(
    data: bytes, path: str, channels: Channels, white_level: int | None = None
) -> tuple[NDArray[np.uint8], str]:
    """Decode a file, and say what may be wrong with its pixels, or "" if nothing."""
    if not data:
        raise ValueError(f"{format_path(path)}: the file is empty")
    if is_dicom(path, data):
        pixels, doubt = decode_dicom(BytesIO(data), path)
        if PurePath(path).suffix.lower() in IMAGE_SUFFIXES - DICOM_SUFFIXES:
            renamed = "a DICOM file with another format's suffix, so load_radiographs "
            renamed += "does not read its patient; rename it to .dcm"
            doubt = "; ".join(filter(None, (renamed, doubt)))
    else:
        try:
            pixels, doubt = decode_image(data, channels, white_level)
        except RefusedError as reason:
            raise ValueError(f"{format_path(path)}: {reason}") from reason.__cause__
    if channels == "grey" and pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    elif channels == "rgb" and pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], 3, axis=-1)
    return pixels, doubt
