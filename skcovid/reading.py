"""From image files to pixels, with OpenCV and, for DICOM, pydicom."""

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from skcovid.images import image_key

__all__ = ["FileContent", "as_paths", "check_files", "holds_paths", "read_radiograph"]

Channels = Literal["grey", "rgb"]

_DICOM_SUFFIXES = (".dcm", ".dicom")
# 0xff is data where 0x00 follows, and neither fill bytes nor restarts end anything.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True)
class FileContent:
    """What a readable image file holds.

    Parameters
    ----------
    digest : str
        Digest of the file's bytes.
    height, width : int
        Size of the decoded image, in pixels.
    """

    digest: str
    height: int
    width: int


def read_radiograph(
    path: str | os.PathLike, *, channels: Channels = "grey"
) -> NDArray[np.uint8]:
    """Read one image file.

    Parameters
    ----------
    path : str or path-like
        A file OpenCV decodes (PNG, JPEG, TIFF, BMP, WebP, …) or a DICOM file, which
        needs the ``dicom`` extra.
    channels : {"grey", "rgb"}, default="grey"
        Whether the pixels are one grey level or three RGB channels.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8 in [0, 255], RGB
        16-bit files are scaled by their full range: 65535 becomes 255.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, truncated, or no image.

    Examples
    --------
    >>> from skcovid.reading import read_radiograph
    >>> read_radiograph("nowhere.png")
    Traceback (most recent call last):
    ...
    FileNotFoundError: nowhere.png: no such file
    """
    return _decode(_read_bytes(path), os.fspath(path), channels)


def check_files(
    paths: Sequence[str], *, channels: Channels = "grey", n_jobs: int = 2
) -> list[FileContent]:
    """Decode every file once, so that no bad one is met in the middle of training.

    What was found is remembered for as long as a file's size and time of change stay
    the same.

    Parameters
    ----------
    paths : sequence of str
        The files.
    channels : {"grey", "rgb"}, default="grey"
        As for :func:`read_radiograph`.
    n_jobs : int, default=2
        Threads.

    Returns
    -------
    list of FileContent
        One entry a file, in order.

    Raises
    ------
    FileNotFoundError
        If files are missing; every one is listed.
    ValueError
        If files can't be read; every one is listed with its reason.
    """
    with ThreadPoolExecutor(n_jobs) as executor:
        found = list(executor.map(lambda path: _check_file(path, channels), paths))
    problems = [entry for entry in found if isinstance(entry, Exception)]
    if problems:
        missing = all(isinstance(entry, FileNotFoundError) for entry in problems)
        kind = FileNotFoundError if missing else ValueError
        lines = dict.fromkeys(f"  {entry}" for entry in problems)
        raise kind(
            f"{len(lines)} of {len(paths)} files can't be read:\n" + "\n".join(lines)
        )
    return [entry for entry in found if isinstance(entry, FileContent)]


def _check_file(path: str, channels: Channels) -> FileContent | Exception:
    try:
        status = os.stat(path)  # noqa: PTH116 (a Path a file costs more than the call)
        return _describe(path, status.st_size, status.st_mtime_ns, channels)
    except FileNotFoundError:
        return FileNotFoundError(f"{path}: no such file")
    except (OSError, ValueError) as error:
        return error if isinstance(error, ValueError) else ValueError(str(error))


# `size` and `changed` are there to make a rewritten file a new entry.
@lru_cache(maxsize=100_000)
def _describe(path: str, size: int, changed: int, channels: Channels) -> FileContent:
    data = _read_bytes(path)
    height, width = _decode(data, path, channels).shape[:2]
    return FileContent(image_key(data), height, width)


def _read_bytes(path: str | os.PathLike) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{os.fspath(path)}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{os.fspath(path)}: is a folder, not an image") from None


def _decode(data: bytes, path: str, channels: Channels) -> NDArray[np.uint8]:
    if not data:
        raise ValueError(f"{path}: the file is empty")
    if path.lower().endswith(_DICOM_SUFFIXES) or data[128:132] == b"DICM":
        return _with_channels(_decode_dicom(path), channels)
    if _is_truncated(data):
        raise ValueError(f"{path}: the image is truncated")
    colour = cv2.IMREAD_GRAYSCALE if channels == "grey" else cv2.IMREAD_COLOR
    buffer = np.frombuffer(data, dtype=np.uint8)
    try:
        pixels = cv2.imdecode(buffer, colour | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise ValueError(f"{path}: OpenCV can't decode it ({error.err})") from error
    if pixels is None:
        raise ValueError(f"{path}: not an image that OpenCV can decode")
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"{path}: pixels are {pixels.dtype}; 8-bit and unsigned 16-bit are read"
        )
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if channels == "rgb" else pixels


def _is_truncated(data: bytes) -> bool:
    # OpenCV fills what is missing of a JPEG or PNG with grey and says nothing.
    if data.startswith(b"\xff\xd8\xff"):
        return _is_truncated_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"IEND" not in data[-64:] and data.rfind(b"IEND") < data.rfind(b"IDAT")
    if data.startswith(b"BM") or data[:4] == b"RIFF":
        start, extra = (2, 0) if data.startswith(b"BM") else (4, 8)
        return len(data) < int.from_bytes(data[start : start + 4], "little") + extra
    return False


def _is_truncated_jpeg(data: bytes) -> bool:
    # From segment to segment: a thumbnail in one, or what follows the image, may hold
    # any marker.
    position = 2
    while marker := _JPEG_MARKER.search(data, position):
        if marker.group() == b"\xff\xd9":
            return False
        length = data[marker.end() : marker.end() + 2]
        position = marker.end() + int.from_bytes(length, "big")
    return True


def _decode_dicom(path: str) -> NDArray[np.uint8]:
    try:
        import pydicom
        from pydicom.pixels import apply_modality_lut, apply_voi_lut
    except ImportError:
        raise ImportError(
            f"{path}: DICOM files need pydicom; pip install 'skcovid[dicom]'."
        ) from None
    try:
        dataset = pydicom.dcmread(path)
        levels = apply_voi_lut(
            apply_modality_lut(dataset.pixel_array, dataset), dataset
        )
    except Exception as error:
        raise ValueError(f"{path}: pydicom can't decode it ({error})") from error
    interpretation = dataset.PhotometricInterpretation
    if levels.ndim != 2 or not interpretation.startswith("MONOCHROME"):
        raise ValueError(
            f"{path}: holds {interpretation} pixels of shape {levels.shape}, not one "
            "grey image"
        )
    low, high = float(levels.min()), float(levels.max())
    grey = (levels - low) * (255.0 / (high - low)) if high > low else levels * 0.0
    if interpretation == "MONOCHROME1":
        grey = 255.0 - grey
    return np.rint(grey).astype(np.uint8)


def _with_channels(grey: NDArray[np.uint8], channels: Channels) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=-1) if channels == "rgb" else grey


def as_paths(values: Iterable) -> list[str]:
    """Bring paths of any kind (str, Path) to a list of str.

    Parameters
    ----------
    values : iterable of str or path-like
        The paths.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If an entry is neither str nor path-like; it is named with its position.
    """
    paths = []
    for position, value in enumerate(values):
        if not isinstance(value, str | os.PathLike):
            raise ValueError(
                f"X[{position}] must be a path, got {type(value).__name__}: {value!r}."
            )
        paths.append(os.fspath(value))
    return paths


def holds_paths(X: Any) -> bool:
    """Whether `X` holds paths, rather than images.

    Parameters
    ----------
    X : array-like
        What the first step of a pipeline is given.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        If `X` is one path, or empty.
    """
    if isinstance(X, str | os.PathLike):
        raise ValueError(f"X must be a list of paths, got one path: {X!r}.")
    if getattr(X, "ndim", 1) != 1:
        return False
    if isinstance(X, np.ndarray) and X.dtype.kind not in "OUT":
        return False
    if len(X) == 0:
        raise ValueError("X holds no images: its length is 0.")
    return any(isinstance(value, str | os.PathLike) for value in X)
