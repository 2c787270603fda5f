"""Pixels of image files other than DICOM, as 8-bit grey or RGB."""

from typing import Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from skcovid._image_headers import ImageHeader, RefusedError, read_image_header

__all__ = ["Channels", "check_jpeg", "decode_image"]

Channels = Literal["grey", "rgb"]


def decode_image(data: bytes, channels: Channels) -> NDArray[np.uint8]:
    """Decode an image file.

    Parameters
    ----------
    data : bytes
        All of the file.
    channels : {"grey", "rgb"}
        Whether the pixels are one grey level or three RGB channels.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8 in [0, 255], RGB

    Raises
    ------
    RefusedError
        If it is no image that is read, too large, damaged or truncated.
    MemoryError
        If there is not enough memory.
    """
    header = read_image_header(data)
    if header.kind == "JPEG":
        pixels = _decode_jpeg(data, header, channels)
    elif header.kind == "PNM":
        pixels = _decode_map(data, header, channels)
    elif header.white_is_zero is not None:
        # OpenCV turns levels round for 8 bits, and not for more.
        place = header.white_is_zero
        one = b"\1\0" if data.startswith(b"II") else b"\0\1"
        pixels = 255 - _decode(data[:place] + one + data[place + 2 :], channels)
    else:
        pixels = _decode(data, channels)
    if sorted(pixels.shape[:2]) != sorted((header.height, header.width)):
        raise RefusedError(
            f"its header states {header.height} × {header.width} pixels, but "
            f"{pixels.shape[0]} × {pixels.shape[1]} are in it; it is damaged"
        )
    return pixels


def check_jpeg(data: bytes) -> None:
    """Decode a JPEG stream of 8 bits, taking nothing for granted.

    Parameters
    ----------
    data : bytes
        The stream.

    Raises
    ------
    RefusedError
        If any part of it is missing or damaged.
    """
    _decode_strictly(data, "GRAY")


def _decode_jpeg(
    data: bytes, header: ImageHeader, channels: Channels
) -> NDArray[np.uint8]:
    # OpenCV fills what is damaged with grey, and says nothing. It converts CMYK and
    # turns what a camera held upright.
    if header.n_channels == 4:
        _decode_strictly(data, "CMYK")
        return _decode(data, channels)
    pixels = _decode_strictly(data, "GRAY" if channels == "grey" else "RGB")
    if header.has_exif:
        return _decode(data, channels)
    return pixels[..., 0] if channels == "grey" else pixels


def _decode_strictly(data: bytes, colour: str) -> NDArray[np.uint8]:
    try:
        return simplejpeg.decode_jpeg(data, colour, strict=True)
    except ValueError as error:
        raise RefusedError(f"the image is damaged or truncated ({error})") from error


def _decode_map(
    data: bytes, header: ImageHeader, channels: Channels
) -> NDArray[np.uint8]:
    # OpenCV takes the levels for ones of 8 or 16 bits, whatever white is.
    shape = (header.height, header.width * header.n_channels)
    kind = np.dtype(">u2" if header.maximum > 255 else "u1")
    stored = np.frombuffer(data, kind, shape[0] * shape[1], header.start)
    levels = stored.reshape(shape).astype(kind.newbyteorder("="))
    if levels.max() > header.maximum:
        raise RefusedError("has levels above what its header states as white")
    pixels = cv2.convertScaleAbs(levels, alpha=255 / header.maximum)
    pixels = pixels.reshape(header.height, header.width, header.n_channels)
    if header.n_channels == 3:
        return pixels if channels == "rgb" else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return pixels[..., 0] if channels == "grey" else np.repeat(pixels, 3, axis=2)


def _decode(data: bytes, channels: Channels) -> NDArray[np.uint8]:
    colour = cv2.IMREAD_GRAYSCALE if channels == "grey" else cv2.IMREAD_COLOR
    buffer = np.frombuffer(data, dtype=np.uint8)
    try:
        pixels = cv2.imdecode(buffer, colour | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(str(error)) from None
        message = " ".join(str(error.err).split())
        raise RefusedError(f"OpenCV can't decode it ({message})") from error
    if pixels is None:
        raise RefusedError("damaged or truncated: OpenCV can't decode it")
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    if pixels.dtype != np.uint8:
        raise RefusedError(
            f"pixels are {pixels.dtype}; 8-bit and unsigned 16-bit are read"
        )
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if channels == "rgb" else pixels
