"""From image files to pixels, with OpenCV and, for DICOM, pydicom."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from io import BytesIO
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from skcovid._base._digests import image_key
from skcovid._base._read_ahead import read_ahead
from skcovid.reading._dicom_headers import is_dicom
from skcovid.reading._dicom_pixels import decode_dicom
from skcovid.reading._files import FileStatus, read_bytes, shown
from skcovid.reading._image_headers import RefusedError
from skcovid.reading._image_pixels import Channels, decode_image

__all__ = [
    "FileContent",
    "as_paths",
    "attempt",
    "check_files",
    "holds_paths",
    "inspect_files",
    "raise_problems",
    "read_radiograph",
]

Content = TypeVar("Content")


@dataclass(frozen=True)
class FileContent:
    """What a readable image file holds."""

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
        A PNG, JPEG, TIFF, BMP, WebP or PGM file or, with the ``dicom`` extra, a DICOM
        file; on disk or in a zip archive, as in ``a.zip/b/1.png``. The content decides,
        not the suffix (but for that of DICOM).
    channels : {"grey", "rgb"}, default="grey"
        Whether the pixels are one grey level or three RGB channels.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8 in [0, 255], RGB
        White, which is 65535 in 16-bit files, becomes 255. Transparency is ignored,
        and EXIF or TIFF orientation applied: what was held sideways is upright. DICOM
        levels are as the file's own window or LUT shows them; without one, the range
        in use is stretched to black and white.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, truncated, damaged, no image, one of several frames, of
        more than 2**26 pixels or 2**28 bytes, or a DICOM file of something other than
        one grey radiograph.
    OSError
        If the file may not be read, links lead in a circle, or the disk fails.
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
    return _decode(read_bytes(path), os.fspath(path), channels)


def inspect_files(
    paths: Sequence[str], *, channels: Channels = "grey", n_jobs: int = 2
) -> Iterator[FileContent | Exception]:
    """Decode every file once and say what is in it, or why it can't be read.

    What was found is remembered for as long as a file's size and time of change stay
    the same.
    """

    def inspect(rows: slice) -> FileContent | FileNotFoundError | ValueError:
        return attempt(partial(_inspect, channels=channels), paths[rows.start])

    for _, found in read_ahead(inspect, len(paths), batch_size=1, n_jobs=n_jobs):
        yield found


def check_files(
    paths: Sequence[str], *, channels: Channels = "grey", n_jobs: int = 2
) -> list[FileContent]:
    """Decode every file once, so that no bad one is met in the middle of training."""
    found = list(inspect_files(paths, channels=channels, n_jobs=n_jobs))
    raise_problems(found)
    return [entry for entry in found if isinstance(entry, FileContent)]


def raise_problems(found: Sequence[object]) -> None:
    """Raise one error for all files that could not be read, if there are any."""
    problems = [entry for entry in found if isinstance(entry, Exception)]
    if problems:
        missing = all(isinstance(entry, FileNotFoundError) for entry in problems)
        kind = FileNotFoundError if missing else ValueError
        lines = dict.fromkeys(f"  {entry}" for entry in problems)
        raise kind(
            f"{len(lines)} of {len(found)} files can't be read:\n" + "\n".join(lines)
        )


def attempt(
    read: Callable[[str], Content], path: str
) -> Content | FileNotFoundError | ValueError:
    """Read a file, or find out why it can't be."""
    try:
        return read(path)
    except (FileNotFoundError, ValueError) as error:
        return error
    except OSError as error:
        return ValueError(f"{shown(path)}: {error.strerror}")


def _inspect(path: str, channels: Channels) -> FileContent:
    return _describe(path, FileStatus.of(path), channels)


# `status` is there to make a rewritten file a new entry.
@lru_cache(maxsize=100_000)
def _describe(path: str, status: FileStatus, channels: Channels) -> FileContent:
    data = read_bytes(path)
    height, width = _decode(data, path, channels).shape[:2]
    return FileContent(image_key(data), height, width)


def _decode(data: bytes, path: str, channels: Channels) -> NDArray[np.uint8]:
    if not data:
        raise ValueError(f"{shown(path)}: the file is empty")
    if is_dicom(path, data):
        return _with_channels(decode_dicom(BytesIO(data), path), channels)
    try:
        return decode_image(data, channels)
    except RefusedError as reason:
        raise ValueError(f"{shown(path)}: {reason}") from reason.__cause__


def _with_channels(grey: NDArray[np.uint8], channels: Channels) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=-1) if channels == "rgb" else grey


def holds_paths(X: Any) -> bool:
    """Whether something holds paths rather than pixels."""
    if isinstance(X, str | os.PathLike):
        raise ValueError(f"X must be a list of paths, got one path: {X!r}.")
    if (columns := getattr(X, "columns", None)) is not None:
        names = [repr(name) for name in columns]
        raise ValueError(
            f"X must be one column of paths, got a table with the columns "
            f"{', '.join(names)}. Select the column, as in "
            f"X[{names[0] if names else repr('path')}]."
        )
    if getattr(X, "ndim", 1) != 1:
        return False
    if isinstance(X, np.ndarray) and X.dtype.kind not in "OUT":
        return False
    if len(X) == 0:
        raise ValueError("X holds no images: its length is 0.")
    return any(isinstance(value, str | os.PathLike) for value in X)


def as_paths(values: Iterable) -> list[str]:
    """Bring paths of any kind (str, Path) to a list of str."""
    paths = []
    for position, value in enumerate(values):
        if not isinstance(value, str | os.PathLike):
            raise ValueError(
                f"X[{position}] must be a path, got {type(value).__name__}: {value!r}."
            )
        paths.append(os.fspath(value))
    return paths
