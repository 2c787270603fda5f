"""Predict any number of image files into Parquet files; interrupted runs resume."""

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from itertools import islice, takewhile
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skcovid._base._atomic_files import (
    atomic_write,
    exclusive_lock,
    remove_partial_files,
)
from skcovid._base._compatibility import HasMethods, Interval, validate_params
from skcovid._base._digests import image_key
from skcovid._base._predictions import predict, predicts_by_steps
from skcovid._base._progress import Progress
from skcovid._base._requirements import require
from skcovid.persistence._fingerprint import fingerprint_model
from skcovid.preprocessing._reader import find_readers
from skcovid.reading._check_files import (
    ERRORS_OF_THE_PROCESS,
    UnavailableError,
    inspect_files,
)
from skcovid.reading._files import PASSING_ERRORS, size_and_time
from skcovid.reading._lung_masks import find_mask
from skcovid.reading._paths import as_paths, format_path

# Readers of Parquet folders ignore names that begin with an underscore or a dot.
_MANIFEST = "_manifest.json"
_LOCK = "_lock"
_PART = "part-{:08d}.parquet"
_UNAVAILABLE = "unavailable: "


@dataclass(frozen=True)
class ArchivePredictions:
    """Result of :func:`skcovid.predict_archive`.

    Parameters
    ----------
    path : Path
        The folder of Parquet files.
    n_images : int
        Number of paths.
    n_errors : int
        Number of files that cannot be predicted.
    n_resumed : int
        Number of paths that an earlier, interrupted run had finished.
    n_unavailable : int, default=0
        Number of further files that could not be read because a disk or the network
        failed; the next call tries them again.
    """

    path: Path
    n_images: int
    n_errors: int
    n_resumed: int
    n_unavailable: int = 0


@validate_params(
    {
        "pipeline": [HasMethods("predict")],
        "paths": [Iterable],
        "output": [str, os.PathLike],
        "novelty": [HasMethods(["predict", "score_samples"]), None],
        "client": [HasMethods(["submit", "scatter"]), None],
        "chunk_size": [Interval(Integral, 1, None, closed="left")],
        "resume": ["boolean"],
        "verbose": ["verbose"],
    }
)
def predict_archive(
    pipeline: Any,
    paths: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    novelty: Any = None,
    client: Any = None,
    chunk_size: int = 1000,
    resume: bool = True,
    verbose: int = 1,
) -> ArchivePredictions:
    """Predict the classes of any number of image files.

    Predictions are written every `chunk_size` files: memory does not grow with the
    archive, and a killed run resumes without losing or repeating any chunk. Chunks are
    predicted again if their file is damaged, if the size or time of an image has
    changed, or if an image was unavailable.

    An error of a file is recorded: one of reading it, or a ValueError that not every
    file of its chunk gives. Any other error, such as a full disk, stops the run, and
    the next call resumes it.

    Parameters
    ----------
    pipeline : estimator
        A fitted pipeline that takes paths.
    paths : iterable of str or path-like
        The files, also from a generator. To resume, the same paths in the same order.
    output : path-like
        A folder, created if needed. It gets one Parquet file per chunk with the columns
        "path" (bytes that are not UTF-8 are escaped), "prediction" (what ``predict``
        says), one ``probability_…`` per class (float32) if the pipeline has
        ``predict_proba``, and "error" (why a file could not be predicted, with null in
        the other columns, or null). It begins with "unavailable: " where a disk or the
        network failed three times.
    novelty : estimator, default=None
        A fitted pipeline that takes paths and ends with a :class:`NoveltyDetector` or
        another of scikit-learn's outlier detectors. The files get two more columns:
        "novelty_score", what ``score_samples`` says (float32), and "flagged", whether
        ``predict`` says -1. First steps that are fitted alike in both pipelines are
        computed once.
    client : dask.distributed.Client, default=None
        Cluster that predicts the chunks; files must have the same paths there. None
        predicts in this process.
    chunk_size : int, default=1000
        Files in a chunk.
    resume : bool, default=True
        Whether to resume an interrupted run in the same folder. If False, a folder with
        results is an error.
    verbose : int, default=1
        0 for silence; otherwise a progress bar.

    Returns
    -------
    ArchivePredictions
        Folder and counts. ``pyarrow.parquet.read_table(result.path)`` or
        ``pandas.read_parquet`` reads the predictions in the order of the paths.

    Raises
    ------
    ImportError
        If the ``archive`` extra is not installed.
    NotFittedError
        If `pipeline` or `novelty` is not fitted.
    BlockingIOError
        If another run is writing to the folder.
    FileExistsError
        If the folder holds other Parquet files, or results and `resume` is False.
    ValueError
        If the results in the folder are of another model, other paths or another chunk
        size, or their manifest is damaged.

    Warns
    -----
    UserWarning
        If chunks are damaged or their images have changed, or files were unavailable.

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
    require(
        "pyarrow", extra="archive", caller="predict_archive", module="pyarrow.parquet"
    )
    check_is_fitted(pipeline)
    if novelty is not None:
        check_is_fitted(novelty)
    if isinstance(paths, str):
        raise ValueError(f"paths must be a list of paths, got one path: {paths!r}.")
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.parquet")) and not (folder / _MANIFEST).exists():
        raise FileExistsError(
            f"output={str(folder)!r} holds other Parquet files; pass another folder."
        )
    busy = (
        f"output={str(folder)!r}: another run holds {folder / _LOCK}. Wait until it "
        "ends, or pass another folder."
    )
    models = Models(pipeline, novelty, _count_shared_steps(pipeline, novelty))
    with exclusive_lock(folder / _LOCK, busy):
        _write_or_check_manifest(folder, models, chunk_size, resume)
        remove_partial_files(folder)
        return _predict_missing(models, paths, folder, client, chunk_size, verbose)


class Models(NamedTuple):
    """What predicts and what flags, and how many first steps they share."""

    pipeline: Any
    novelty: Any
    n_shared: int


def _count_shared_steps(pipeline: Any, novelty: Any) -> int:
    """Count the first steps that two pipelines have fitted alike."""
    if not (isinstance(novelty, Pipeline) and predicts_by_steps(pipeline)):
        return 0
    pairs = zip(pipeline.steps[:-1], novelty.steps[:-1], strict=False)
    shared = takewhile(
        lambda pair: (
            hasattr(pair[0][1], "transform")
            and fingerprint_model(pair[0][1]) == fingerprint_model(pair[1][1])
        ),
        pairs,
    )
    return len(list(shared))


def _write_or_check_manifest(
    folder: Path, models: Models, chunk_size: int, resume: bool
) -> None:
    pipeline, novelty, _ = models
    model = pipeline if novelty is None else [pipeline, novelty]
    manifest = {"model": fingerprint_model(model), "chunk_size": int(chunk_size)}
    text = json.dumps({**manifest, "digest": image_key(*manifest.values())})
    path = folder / _MANIFEST
    if not path.exists():
        with atomic_write(path) as file:
            file.write(text.encode())
        return
    if not resume:
        raise FileExistsError(
            f"output={str(folder)!r} holds results already; pass resume=True to resume "
            "that run, or another folder."
        )
    try:
        found = json.loads(path.read_bytes())
        is_whole = found["digest"] == image_key(*(found[name] for name in manifest))
    except (ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise ValueError(
            f"{path} is damaged, so that the model of the results is not known; pass "
            f"another folder as output, or delete {folder} to predict all again."
        )
    for name, value in manifest.items():
        if found[name] != value:
            raise ValueError(
                f"output={str(folder)!r} holds results of another {name}, "
                f"{found[name]!r} and not {value!r}; pass another folder."
            )


def _predict_missing(
    models: Models,
    paths: Iterable[str | os.PathLike[str]],
    folder: Path,
    client: Any,
    chunk_size: int,
    verbose: int,
) -> ArchivePredictions:
    counts: Counter[str] = Counter()
    n_parts = 0

    def missing_parts() -> Iterator[tuple[Path, list[str]]]:
        nonlocal n_parts
        remaining = iter(paths)
        while chunk := as_paths(islice(remaining, chunk_size)):
            part = folder / _PART.format(n_parts)
            n_parts += 1
            counts["images"] += len(chunk)
            n_errors = _read_n_errors(models, part, chunk)
            if n_errors is None:
                yield part, chunk
            else:
                counts["resumed"] += len(chunk)
                counts["errors"] += n_errors
                progress.update(len(chunk))

    total = len(paths) if isinstance(paths, Sized) else None
    progress = Progress("archive", total, "image", verbose)
    with progress:
        for predicted in _predict_parts(models, missing_parts(), client):
            n_unavailable = predicted.n_unavailable
            _write_part(predicted, models.pipeline.classes_)
            counts["unavailable"] += n_unavailable
            counts["errors"] += predicted.n_errors - n_unavailable
            progress.update(len(predicted.paths))
    if (folder / _PART.format(n_parts)).exists():
        raise ValueError(
            f"{folder} holds results of more paths than the {counts['images']} given; "
            "pass another folder as output."
        )
    if counts["unavailable"]:
        warnings.warn(
            f"{counts['unavailable']} files were unavailable, as a disk or the network "
            "failed: call predict_archive again to try them again.",
            stacklevel=3,
        )
    return ArchivePredictions(
        folder,
        n_images=counts["images"],
        n_errors=counts["errors"],
        n_resumed=counts["resumed"],
        n_unavailable=counts["unavailable"],
    )


def _read_n_errors(models: Models, part: Path, chunk: list[str]) -> int | None:
    """Return the number of errors in a finished part, or None to predict it."""
    import pyarrow.parquet

    if not part.exists():
        return None
    try:
        table = pyarrow.parquet.ParquetFile(part).read()
        description = json.loads(table.schema.metadata[b"skcovid"])
        is_whole = description.pop("digest") == _digest_part(table, description)
    except Exception:
        # Damaged bytes raise many kinds of errors.
        is_whole = False
    if not is_whole:
        warnings.warn(f"{part} is damaged and is predicted again.", stacklevel=2)
        return None
    if description["paths"] != image_key(*map(os.fsencode, chunk)):
        raise ValueError(
            f"{part} holds results of other paths than those given, which begin with "
            f"{chunk[0]!r}; give the same paths in the same order, or another folder "
            "as output."
        )
    if description["n_unavailable"]:
        return None
    if description["files"] != _digest_status(models, chunk):
        warnings.warn(
            f"{part}: some of its images have changed; they are predicted again.",
            stacklevel=2,
        )
        return None
    return int(description["n_errors"])


def _digest_part(table: Any, description: Mapping[str, Any]) -> str:
    """Digest all values of a part, as they are read."""
    columns = [column.to_pylist() for column in table.columns]
    return image_key(sorted(description.items()), table.column_names, *columns)


def _digest_status(models: Models, paths: list[str]) -> str:
    """Digest size and time of files, and of the lung masks that a model reads."""

    def status(path: str | None) -> tuple[int, ...] | None:
        try:
            return None if path is None else size_and_time(path)[:2]
        except (OSError, ValueError):
            return None

    readers = [reader for model in models[:2] for reader in find_readers(model)]
    masks = map(find_mask, paths) if any(reader.lungs for reader in readers) else ()
    return image_key(*map(status, (*paths, *masks)))


class PredictedPart(NamedTuple):
    """Predictions of a part; a row with an error has no label and no probabilities."""

    part: Path
    paths: list[str]
    files: str  # digest of their status before they were read
    labels: NDArray[np.object_]
    probabilities: NDArray[np.float32]  # no columns where the pipeline gives none
    errors: list[str | None]
    # Of the novelty detector; no columns where there is none.
    scores: NDArray[np.float32]
    flags: NDArray[np.bool_]

    @property
    def n_errors(self) -> int:
        """Number of rows with an error."""
        return len(list(filter(None, self.errors)))

    @property
    def n_unavailable(self) -> int:
        """Number of rows with an error that may pass."""
        return sum(str(error).startswith(_UNAVAILABLE) for error in self.errors)


def _predict_parts(
    models: Models, parts: Iterator[tuple[Path, list[str]]], client: Any
) -> Iterator[PredictedPart]:
    if client is None:
        for part, chunk in parts:
            yield predict_part(models, part, chunk)
        return
    from dask.distributed import as_completed

    # With hash=True it would get the key of an earlier call's pipeline. If Dask is just
    # releasing that one, it loses the new one or hangs.
    (shared,) = client.scatter([models], broadcast=True, hash=False)

    def submit(number: int) -> Iterator[Any]:
        for part, chunk in islice(parts, number):
            yield client.submit(predict_part, shared, part, chunk, pure=False)

    # Two chunks for each thread, so that none waits for the next.
    n_ahead = 2 * max(1, sum(client.nthreads().values()))
    completed: Any = as_completed(submit(n_ahead))  # type: ignore[no-untyped-call] # Dask's
    for future in completed:
        yield future.result()
        completed.update(submit(1))


def predict_part(models: Models, part: Path, paths: list[str]) -> PredictedPart:
    """Predict files; record an error for each that can't be read or predicted."""
    pipeline = models.pipeline
    n_columns = len(pipeline.classes_) if hasattr(pipeline, "predict_proba") else 0
    n_scores = int(models.novelty is not None)
    predicted = PredictedPart(
        part,
        paths,
        _digest_status(models, paths),
        np.full(len(paths), None, dtype=object),
        np.full((len(paths), n_columns), np.nan, np.float32),
        [None] * len(paths),
        np.full((len(paths), n_scores), np.nan, np.float32),
        np.zeros((len(paths), n_scores), dtype=bool),
    )
    failures: dict[int, Exception] = {}
    for reader in find_readers(pipeline):
        found = inspect_files(
            paths,
            channels=reader.channels,
            white_level=reader.white_level,
            masks=reader.lungs is not None,
            n_jobs=reader.n_jobs,
        )
        for row, content in enumerate(found):
            if isinstance(content, Exception):
                failures[row] = content
    rows = np.setdiff1d(np.arange(len(paths)), list(failures))
    later = _predict_rows(models, predicted, rows)
    if 1 < len(later) == len(rows) and not any(
        isinstance(error, OSError | UnavailableError) for error in later.values()
    ):
        error = later[rows[0]]
        error.add_note(f"All {len(rows)} files of {part.name} give such an error.")
        raise error
    for row, error in (failures | later).items():
        predicted.errors[row] = _reason(paths[row], error)
    return predicted


def _reason(path: str, error: Exception) -> str:
    # The reader's message counts the files in its first line, then names the path.
    reason = str(error).rpartition("\n")[2].strip()
    reason = reason.removeprefix(f"{format_path(path)}: ")
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    passes = getattr(error, "errno", None) in PASSING_ERRORS
    return _UNAVAILABLE * (passes or isinstance(error, UnavailableError)) + reason


def _predict_rows(
    models: Models, predicted: PredictedPart, rows: NDArray[np.intp]
) -> dict[int, Exception]:
    """Predict rows; after an error, predict each half, down to the faulty files."""
    if not len(rows):
        return {}
    files = [predicted.paths[row] for row in rows]
    try:
        labels, probabilities, scores, flags = _apply(models, files)
    except (OSError, ValueError) as error:
        if not _is_of_a_file(error, files):
            raise
        if len(rows) == 1:
            return {int(rows[0]): error}
        first, second = np.array_split(rows, 2)
        failures = _predict_rows(models, predicted, first)
        return failures | _predict_rows(models, predicted, second)
    predicted.labels[rows] = labels
    if probabilities is not None:
        predicted.probabilities[rows] = probabilities
    if models.novelty is not None:
        predicted.scores[rows, 0], predicted.flags[rows, 0] = scores, flags
    return {}


def _apply(models: Models, files: Any) -> tuple[Any, Any, Any, Any]:
    """Return labels, probabilities, scores and flags of files."""
    pipeline, novelty, n_shared = models
    if novelty is None:
        return (*predict(pipeline, files), None, None)
    X = files
    if n_shared:
        X = novelty[:n_shared].transform(files)
        pipeline, novelty = pipeline[n_shared:], novelty[n_shared:]
    labels, probabilities = predict(pipeline, X)
    if isinstance(novelty, Pipeline) and len(novelty.steps) > 1:
        X, novelty = novelty[:-1].transform(X), novelty[-1]
    return labels, probabilities, novelty.score_samples(X), novelty.predict(X) == -1


def _is_of_a_file(error: OSError | ValueError, files: list[str]) -> bool:
    """Tell whether a file causes an error, not the disk or the process of the run."""
    if isinstance(error, OSError) and error.errno is not None:
        is_named = error.filename in files
        return is_named and error.errno not in ERRORS_OF_THE_PROCESS
    return isinstance(error, FileNotFoundError | ValueError)


def _as_utf8(value: Any) -> Any:
    """Escape the bytes of file and folder names that are not UTF-8."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode()


def _write_part(predicted: PredictedPart, classes: NDArray[Any]) -> None:
    """Write a part."""
    import pyarrow
    import pyarrow.parquet

    part, paths, files, labels, probabilities, errors, scores, flags = predicted
    failed = np.array([error is not None for error in errors])
    label_type = pyarrow.array(list(map(_as_utf8, np.asarray(classes).tolist()))).type
    table = pyarrow.table(
        {
            "path": pyarrow.array(map(_as_utf8, paths)),
            "prediction": pyarrow.array(map(_as_utf8, labels.tolist()), label_type),
            **{
                f"probability_{_as_utf8(label)}": pyarrow.array(values, mask=failed)
                for label, values in zip(classes, probabilities.T, strict=False)
            },
            **{
                name: pyarrow.array(column, mask=failed)
                for name, values in (("novelty_score", scores), ("flagged", flags))
                for column in values.T
            },
            "error": pyarrow.array(errors, pyarrow.string()),
        }
    )
    description: dict[str, Any] = {
        "paths": image_key(*map(os.fsencode, paths)),
        "files": files,
        "n_errors": predicted.n_errors,
        "n_unavailable": predicted.n_unavailable,
    }
    description["digest"] = _digest_part(table, description)
    table = table.replace_schema_metadata({"skcovid": json.dumps(description)})
    with atomic_write(part) as file:
        pyarrow.parquet.write_table(table, file)
