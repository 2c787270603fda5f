"""Check image files by decoding each once, and list those that can't be read."""

import errno
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

from skcovid._base._digests import image_key
from skcovid._base._read_ahead import read_ahead
from skcovid.reading._files import PASSING_ERRORS, read_bytes, size_and_time
from skcovid.reading._limits import Channels
from skcovid.reading._lung_masks import digest_mask
from skcovid.reading._paths import format_path
from skcovid.reading._read import decode_file

T = TypeVar("T")
_warned: set[str] = set()
# They say nothing of the file.
ERRORS_OF_THE_PROCESS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class UnavailableError(ValueError):
    """The disk or the network failed; the file may be good."""


class FileContent(NamedTuple):
    """Digests of a readable image file and of its mask, size of the image, doubts."""

    digest: str
    height: int
    width: int
    doubt: str = ""
    mask: str = ""


def inspect_files(
    paths: Sequence[str],
    *,
    channels: Channels = "grey",
    white_level: int | None = None,
    masks: bool = False,
    n_jobs: int = 2,
) -> Iterator[FileContent | Exception]:
    """Decode files (and masks), or give their error; warn once of doubtful ones."""
    doubts: list[str] = []

    def inspect_one(path: str) -> FileContent:
        found = _inspect(path, size_and_time(path), channels, white_level)
        shape = found.height, found.width
        return found._replace(mask=digest_mask(path, shape)) if masks else found

    def inspect(rows: slice) -> FileContent | Exception:
        return try_read(inspect_one, paths[rows.start])

    for rows, content in read_ahead(inspect, len(paths), batch_size=1, n_jobs=n_jobs):
        if isinstance(content, FileContent) and content.doubt:
            doubts.append(f"{format_path(paths[rows.start])}: {content.doubt}.")
        yield content
    # Folds read the same files again.
    if new := [doubt for doubt in dict.fromkeys(doubts) if doubt not in _warned]:
        _warned.update(new)
        new[5:] = [f"and {len(new) - 5} more"] if len(new) > 5 else []
        warnings.warn("Files may be read wrongly:\n  " + "\n  ".join(new), stacklevel=2)


def check_files(
    paths: Sequence[str],
    *,
    channels: Channels = "grey",
    white_level: int | None = None,
    masks: bool = False,
    n_jobs: int = 2,
) -> list[FileContent]:
    """Decode every file, and raise one error that lists those that can't be read."""
    results = inspect_files(
        paths, channels=channels, white_level=white_level, masks=masks, n_jobs=n_jobs
    )
    return raise_problems(list(results))


def raise_problems(results: Sequence[T | Exception]) -> list[T]:
    """Return the results, or raise one error that lists all exceptions among them."""
    problems = [result for result in results if isinstance(result, Exception)]
    if problems:
        kind: type[Exception] = ValueError
        for special in (FileNotFoundError, UnavailableError):
            if all(isinstance(problem, special) for problem in problems):
                kind = special
        lines = dict.fromkeys(f"  {problem}" for problem in problems)
        raise kind(
            f"{len(lines)} of {len(results)} files can't be read:\n" + "\n".join(lines)
        )
    return [result for result in results if not isinstance(result, Exception)]


def try_read(read: Callable[[str], T], path: str) -> T | FileNotFoundError | ValueError:
    """Read a file, or return the error that says why it can't be read."""
    try:
        return read(path)
    except (FileNotFoundError, ValueError) as error:
        return error
    except OSError as error:
        if error.errno in ERRORS_OF_THE_PROCESS:
            raise
        kind = UnavailableError if error.errno in PASSING_ERRORS else ValueError
        return kind(f"{format_path(path)}: {error.strerror}")


# Results are remembered until a file's size, times or inode, its `status`, differ.
@lru_cache(maxsize=100_000)
def _inspect(
    path: str, status: tuple[int, ...], channels: Channels, white_level: int | None
) -> FileContent:
    data = read_bytes(path)
    pixels, doubt = decode_file(data, path, channels, white_level)
    height, width = pixels.shape[:2]
    return FileContent(image_key(data), height, width, doubt)
