"""`predict_archive`: predictions for any number of files, as Parquet, resumable."""

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from itertools import islice
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skcovid._base._atomic_files import (
    atomic_write,
    exclusive_lock,
    remove_partial_files,
)
from skcovid._base._compatibility import HasMethods, Interval, validate_params
from skcovid._base._digests import image_key
from skcovid.persistence._fingerprint import fingerprint_model
from skcovid.preprocessing._reader import RadiographReader
from skcovid.reading._check_files import inspect_files
from skcovid.reading._paths import as_paths, format_path

__all__ = ["ArchivePredictions", "predict_archive"]

# Readers of Parquet folders pass over names that begin with an underscore or a dot.
_MANIFEST = "_manifest.json"
_LOCK = "_lock"
_PART = "part-{:08d}.parquet"
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class ArchivePredictions:
    """What :func:`skcovid.predict_archive` did.

    Parameters
    ----------
    path : Path
        The folder of Parquet files.
    n_images : int
        Number of paths.
    n_errors : int
        Of these, how many could not be predicted.
    n_resumed : int
        Of these, how many had been dealt with before, by a run that was interrupted.
    """

    path: Path
    n_images: int
    n_errors: int
    n_resumed: int


@validate_params(
    {
        "pipeline": [HasMethods("predict_proba")],
        "paths": [Iterable],
        "output": [str, os.PathLike],
        "client": [HasMethods(["submit", "scatter"]), None],
        "chunk_size": [Interval(Integral, 1, None, closed="left")],
        "resume": ["boolean"],
        "verbose": ["verbose"],
    }
)
def predict_archive(
    pipeline: Any,
    paths: Iterable[str | os.PathLike],
    output: str | os.PathLike,
    *,
    client: Any = None,
    chunk_size: int = 1000,
    resume: bool = True,
    verbose: int = 1,
) -> ArchivePredictions:
    """Predict the classes of any number of image files.

    Paths are taken `chunk_size` at a time, and what is known of a chunk is written
    before the next: memory does not grow with the archive, and a run that was killed
    goes on where it was, losing and repeating nothing.

    Parameters
    ----------
    pipeline : estimator
        A fitted pipeline that takes paths and has ``predict_proba``.
    paths : iterable of str or path-like
        The files; a generator will do. To resume, the same paths in the same order.
    output : path-like
        A folder, created if needed. It gets one Parquet file a chunk with the columns
        "path" (bytes of a name that are no UTF-8 escaped), "prediction" (the class of
        the largest probability), one ``probability_…`` a class, float32, and "error":
        why a file could not be predicted, its other columns then being null; null
        where all is well.
    client : dask.distributed.Client, default=None
        Workers to predict chunks on; files must have the same paths there. None
        predicts here.
    chunk_size : int, default=1000
        Files in a chunk.
    resume : bool, default=True
        Whether to go on with an interrupted run into the same folder; False makes it an
        error if the folder holds one.
    verbose : int, default=1
        0 for silence; otherwise a progress bar.

    Returns
    -------
    ArchivePredictions
        Folder and counts. ``pyarrow.parquet.read_table(result.path)`` or
        ``pandas.read_parquet`` reads it all, in the order of the paths.

    Raises
    ------
    ImportError
        If the ``archive`` extra is not installed.
    NotFittedError
        If the pipeline is not fitted.
    BlockingIOError
        If another run is at work on the folder.
    FileExistsError
        If the folder holds Parquet files of something else, or results, and `resume`
        is False.
    ValueError
        If the results in the folder are of another model, of other paths or of another
        chunk size.

    Examples
    --------
    >>> import tempfile
    >>> import skcovid
    >>> from imblearn.pipeline import Pipeline
    >>> from sklearn.dummy import DummyClassifier
    >>> pipeline = Pipeline(
    ...     [("read", skcovid.RadiographReader(32)), ("guess", DummyClassifier())]
    ... ).fit([[[0]], [[255]]], ["NORMAL", "COVID-19"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = skcovid.predict_archive(
    ...         pipeline, ["nowhere.png"], folder, verbose=0
    ...     )
    >>> result.n_images, result.n_errors
    (1, 1)
    """
    _check_installed()
    check_is_fitted(pipeline)
    if isinstance(paths, str):
        raise ValueError(f"paths must be a list of paths, got one path: {paths!r}.")
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.parquet")) and not (folder / _MANIFEST).exists():
        raise FileExistsError(
            f"output={str(folder)!r} holds Parquet files of something else."
        )
    busy = (
        f"output={str(folder)!r}: another run is at work on it and holds "
        f"{folder / _LOCK}. Wait until it ends, or pass another folder."
    )
    with exclusive_lock(folder / _LOCK, busy):
        _start(folder, pipeline, chunk_size, resume)
        remove_partial_files(folder)
        return _predict_missing(pipeline, paths, folder, client, chunk_size, verbose)


def _predict_missing(
    pipeline: Any,
    paths: Iterable[str | os.PathLike],
    folder: Path,
    client: Any,
    chunk_size: int,
    verbose: int,
) -> ArchivePredictions:
    n_images = n_errors = n_resumed = n_chunks = 0

    def unfinished() -> Iterator[tuple[int, list[str]]]:
        nonlocal n_images, n_errors, n_resumed, n_chunks
        for index, chunk in enumerate(_chunks(paths, chunk_size)):
            n_chunks = index + 1
            n_images += len(chunk)
            found = _finished(folder / _PART.format(index), chunk)
            if found is None:
                yield index, chunk
            else:
                n_resumed += len(chunk)
                n_errors += found
                progress.update(len(chunk))

    progress = tqdm(
        total=len(paths) if isinstance(paths, Sized) else None,
        desc="archive",
        unit="image",
        disable=not verbose,
    )
    with progress:
        for index, chunk, outcome in _outcomes(pipeline, unfinished(), client):
            n_errors += _write(
                folder / _PART.format(index), chunk, outcome, pipeline.classes_
            )
            progress.update(len(chunk))
    if (folder / _PART.format(n_chunks)).exists():
        raise ValueError(
            f"{folder} holds results of more paths than the {n_images} given; pass "
            "another folder as output."
        )
    return ArchivePredictions(folder, n_images, n_errors, n_resumed)


def _check_installed() -> None:
    try:
        import pyarrow.parquet  # noqa: F401 (is it installed?)
    except ImportError:
        raise ImportError(
            "predict_archive needs pyarrow; pip install 'skcovid[archive]'."
        ) from None


def _start(folder: Path, pipeline: Any, chunk_size: int, resume: bool) -> None:
    """Write down what the run is of, or compare with what an earlier one wrote."""
    manifest = {
        "format_version": _FORMAT_VERSION,
        "model": fingerprint_model(pipeline),
        "chunk_size": int(chunk_size),
    }
    path = folder / _MANIFEST
    if not path.exists():
        with atomic_write(path) as file:
            file.write(json.dumps(manifest).encode())
        return
    if not resume:
        raise FileExistsError(
            f"output={str(folder)!r} holds results already; pass resume=True to go on "
            "with them, or another folder."
        )
    before = json.loads(path.read_text(encoding="utf-8"))
    for name, value in manifest.items():
        if before.get(name) != value:
            raise ValueError(
                f"output={str(folder)!r} holds results of another {name}, "
                f"{before.get(name)!r} and not {value!r}; pass another folder."
            )


def _chunks(paths: Iterable[Any], chunk_size: int) -> Iterator[list[str]]:
    remaining = iter(paths)
    while chunk := as_paths(islice(remaining, chunk_size)):
        yield chunk


def _finished(path: Path, chunk: list[str]) -> int | None:
    """Return the number of errors in a part that is there, None if there is none."""
    import pyarrow.parquet

    if not path.exists():
        return None
    try:
        metadata = pyarrow.parquet.read_schema(path).metadata[b"skcovid"]
    except (OSError, ValueError, KeyError, TypeError):
        warnings.warn(f"{path} is damaged and is made again.", stacklevel=2)
        return None
    description = json.loads(metadata)
    if description["paths"] != image_key(*map(os.fsencode, chunk)):
        raise ValueError(
            f"{path} holds results of other paths than those given, which begin with "
            f"{chunk[0]!r}; give the same paths in the same order, or another folder "
            "as output."
        )
    return description["n_errors"]


Outcome = tuple[NDArray[np.float32], list[str | None]]


def _outcomes(
    pipeline: Any, chunks: Iterator[tuple[int, list[str]]], client: Any
) -> Iterator[tuple[int, list[str], Outcome]]:
    if client is None:
        for index, chunk in chunks:
            yield index, chunk, predict_chunk(pipeline, chunk)
        return
    from dask.distributed import as_completed

    # Under a hash of its content, it would meet the one of an earlier call as that is
    # being let go of: Dask then loses it, or waits for ever.
    (shared,) = client.scatter([pipeline], broadcast=True, hash=False)

    def submitted(number: int) -> Iterator[Any]:
        for index, chunk in islice(chunks, number):
            future = client.submit(predict_chunk, shared, chunk, pure=False)
            under_way[future.key] = index, chunk
            yield future

    under_way: dict[str, tuple[int, list[str]]] = {}
    # Enough for every worker to have its next chunk when it is done with one.
    n_ahead = 2 * max(1, sum(client.nthreads().values()))
    completed = as_completed(submitted(n_ahead))
    for future in completed:
        index, chunk = under_way.pop(future.key)
        yield index, chunk, future.result()
        completed.update(submitted(1))


def predict_chunk(pipeline: Any, paths: list[str]) -> Outcome:
    """Predict files, the bad ones apart."""
    errors = _unreadable(pipeline, paths)
    probabilities = np.full((len(paths), len(pipeline.classes_)), np.nan, np.float32)
    rows = np.flatnonzero([error is None for error in errors])
    _predict(pipeline, paths, rows, probabilities, errors)
    return probabilities, errors


def _unreadable(pipeline: Any, paths: list[str]) -> list[str | None]:
    steps = getattr(pipeline, "steps", [("", pipeline)])
    reader = steps[0][1]
    if not isinstance(reader, RadiographReader):
        return [None] * len(paths)
    found = inspect_files(paths, channels=reader.channels, n_jobs=reader.n_jobs)
    return [
        _reason(path, entry) if isinstance(entry, Exception) else None
        for path, entry in zip(paths, found, strict=True)
    ]


def _reason(path: str, error: Exception) -> str:
    # The reader counts the bad files in a line of its own and begins with the path.
    return str(error).rpartition("\n")[2].strip().removeprefix(f"{format_path(path)}: ")


def _predict(
    pipeline: Any,
    paths: list[str],
    rows: NDArray[np.intp],
    probabilities: NDArray[np.float32],
    errors: list[str | None],
) -> None:
    """Fill in rows, halving them where one of them makes the pipeline fail."""
    if not len(rows):
        return
    try:
        probabilities[rows] = pipeline.predict_proba([paths[row] for row in rows])
    except (OSError, ValueError) as error:
        if len(rows) == 1:
            errors[rows[0]] = _reason(paths[rows[0]], error)
            return
        for half in np.array_split(rows, 2):
            _predict(pipeline, paths, half, probabilities, errors)


def _write(path: Path, chunk: list[str], outcome: Outcome, classes: NDArray) -> int:
    """Write a part and return the number of errors in it."""
    import pyarrow
    import pyarrow.parquet

    probabilities, errors = outcome
    failed = np.array([error is not None for error in errors])
    predictions = np.asarray(classes)[np.nan_to_num(probabilities).argmax(axis=1)]
    columns = {
        "path": pyarrow.array([_as_text(path) for path in chunk]),
        "prediction": pyarrow.array(predictions.tolist(), mask=failed),
        **{
            f"probability_{label}": pyarrow.array(values, mask=failed)
            for label, values in zip(classes, probabilities.T, strict=True)
        },
        "error": pyarrow.array(errors, pyarrow.string()),
    }
    n_errors = int(failed.sum())
    description = {"paths": image_key(*map(os.fsencode, chunk)), "n_errors": n_errors}
    table = pyarrow.table(columns).replace_schema_metadata(
        {"skcovid": json.dumps(description)}
    )
    content = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, content)
    with atomic_write(path) as file:
        file.write(content.getvalue())
    return n_errors


def _as_text(path: str) -> str:
    # Bytes of a name that are no UTF-8 can't be written as text.
    return path.encode("utf-8", "backslashreplace").decode()
