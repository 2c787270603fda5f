"""Folds of an evaluation kept in a directory, for it to go on after a stop."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from skcovid._base._atomic_files import (
    Record,
    atomic_write,
    exclusive_lock,
    read_record,
    remove_partial_files,
    write_record,
)
from skcovid._base._digests import image_key
from skcovid._base._version import installed_versions
from skcovid.images._fingerprints import describe_parameters, digest_samples
from skcovid.model_selection._result import Fold

__all__ = ["EvaluationCheckpoint", "describe_evaluation", "open_checkpoint"]

_MANIFEST = "evaluation.json"
_LOCK = "lock"
_FORMAT_VERSION = 1
# Differences that are named one by one.
_MAX_NAMED = 10


class EvaluationCheckpoint(NamedTuple):
    """Where the folds of one evaluation are kept."""

    directory: Path
    evaluation: str

    def training_folder(self, number: int) -> Path:
        """Return the folder where the trainings inside a fold keep their state."""
        return self.directory / f"fold-{number}-training"

    def _path(self, number: int) -> Path:
        return self.directory / f"fold-{number}.npz"

    def write(self, number: int, fold: Fold) -> None:
        """Keep a fold that has ended; its trainings need no state any more."""
        values = vars(fold)
        arrays = {
            name: value
            for name, value in values.items()
            if isinstance(value, np.ndarray) and not value.dtype.hasobject
        }
        others = {name: value for name, value in values.items() if name not in arrays}
        plain = json.loads(json.dumps(others, default=_to_plain))
        description = {"evaluation": self.evaluation, "number": number, "values": plain}
        write_record(self._path(number), Record(description, arrays))
        rmtree(self.training_folder(number), ignore_errors=True)

    def read(self, number: int) -> Fold | None:
        """Read a fold."""
        record = read_record(self._path(number))
        if record is None:
            return None
        found = record.description
        if (found["evaluation"], found["number"]) != (self.evaluation, number):
            raise ValueError(
                f"{self._path(number)} is of another evaluation than the directory it "
                "is in, or of another fold; delete it."
            )
        values = {**found["values"], **record.arrays}
        # Labels of mixed or any length are objects, which are not read from files.
        if isinstance(values["predictions"], list):
            values["predictions"] = np.array(values["predictions"], dtype=object)
        return Fold(**values)

    def check_written(self, number: int) -> Fold:
        """Read a fold that some process has just written."""
        fold = self.read(number)
        if fold is None:
            raise OSError(
                f"{self._path(number)} was written by a worker but is not there. "
                "checkpoint must be a folder on a file system that all workers see "
                "under the same path."
            )
        return fold


def _to_plain(value: Any) -> Any:
    """Turn NumPy's numbers and arrays in a history into what JSON knows."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(
        f"A fold's history holds {value!r} of type {type(value).__name__}, which can't "
        "be kept; checkpoint needs numbers and text in history_."
    )


@contextmanager
def open_checkpoint(
    directory: Path, description: Mapping[str, Any]
) -> Iterator[EvaluationCheckpoint]:
    """Lock a directory and make sure that it is of this evaluation."""
    busy = (
        f"checkpoint={str(directory)!r}: another evaluation is at work on it and holds "
        f"{directory / _LOCK}. Wait until it ends, or pass another directory."
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(directory, error) from error
    _check_ours(directory)
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive_lock(directory / _LOCK, busy))
        except BlockingIOError:
            raise
        except OSError as error:
            raise _not_writable(directory, error) from error
        remove_partial_files(directory)
        _compare(directory, description)
        evaluation = image_key(json.dumps(description, sort_keys=True))
        yield EvaluationCheckpoint(directory, evaluation)


def _not_writable(directory: Path, error: OSError) -> OSError:
    return OSError(
        error.errno,
        f"checkpoint={str(directory)!r} can't be written to: {error}. Pass a folder "
        "that can be",
    )


def _check_ours(directory: Path) -> None:
    names = {entry.name for entry in directory.iterdir()}
    others = sorted(
        name for name in names - {_LOCK} if not fnmatch(name, f".{_MANIFEST}.*.part")
    )
    if others and _MANIFEST not in names:
        raise FileExistsError(
            f"checkpoint={str(directory)!r} holds {others[0]!r} but no {_MANIFEST}, so "
            "it is no evaluation's. Pass a new or empty directory."
        )


def _compare(directory: Path, description: Mapping[str, Any]) -> None:
    """Write down what is evaluated, or compare it with what was."""
    path = directory / _MANIFEST
    if not path.exists():
        with atomic_write(path) as file:
            file.write(json.dumps(description, indent=1).encode())
        return
    try:
        before = json.loads(path.read_bytes())
        differences = list(_differences(before, description))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}), so nobody knows what the folds beside it "
            "are of. Delete the directory, or pass another as checkpoint."
        ) from error
    if differences:
        unnamed = len(differences) - _MAX_NAMED
        lines = differences[:_MAX_NAMED]
        if unnamed > 0:
            lines.append(f"and {unnamed} more")
        raise ValueError(
            f"checkpoint={str(directory)!r} is of another evaluation; {path} says:\n"
            + "\n".join(f"  {line}" for line in lines)
            + "\nRun what was run before to go on with it, or pass another directory."
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for part in ("format_version", "versions", "parameters", "evaluation"):
        old, new = before[part], now[part]
        if not isinstance(new, dict):
            old, new = {part: old}, {part: new}
        for name in [*new, *(name for name in old if name not in new)]:
            if old.get(name) != new.get(name):
                label = name or "estimator"
                yield (
                    f"{label}: {old.get(name, 'nothing')} there, "
                    f"{new.get(name, 'nothing')} now"
                )
    yield from _differences_of_samples(before["samples"], now["samples"])


def _differences_of_samples(before: list[str], now: list[str]) -> Iterator[str]:
    if len(before) != len(now):
        yield f"X: {len(before)} samples there, {len(now)} now"
        return
    changed = np.flatnonzero(np.not_equal(before, now)).tolist()
    if changed:
        row = changed[0]
        yield (
            f"X: {len(changed)} of {len(now)} digests differ, the first is X[{row}]: "
            f"{before[row]} there, {now[row]} now"
        )


def describe_evaluation(
    pipeline: Any,
    X: Any,
    y: NDArray,
    groups: ArrayLike | None,
    splits: list,
    protocol: str,
) -> dict[str, Any]:
    """Describe all that the results of an evaluation depend on."""
    _check_seeded(pipeline)
    counts = dict(zip(*np.unique(y, return_counts=True), strict=True))
    labels = ", ".join(f"{label} {count}" for label, count in counts.items())
    patients = "none"
    if groups is not None:
        n_patients = len(np.unique(np.asarray(groups)))
        patients = f"{n_patients} of digest {joblib.hash(np.asarray(groups).tolist())}"
    rows = [[part.tolist() for part in fold] for fold in splits]
    return {
        "format_version": _FORMAT_VERSION,
        "versions": installed_versions(),
        "parameters": describe_parameters(pipeline),
        "evaluation": {
            "protocol": protocol,
            "y": f"{labels} of digest {joblib.hash(y.tolist())}",
            "groups": patients,
            "folds": f"{len(splits)} of digest {joblib.hash(rows)}",
        },
        "samples": digest_samples(X),
    }


def _check_seeded(pipeline: Any) -> None:
    """Refuse estimators of skcovid that would draw otherwise in a run that goes on."""
    params = pipeline.get_params(deep=True)
    for name, value in params.items():
        prefix, _, own = name.rpartition("__")
        owner = params[prefix] if prefix else pipeline
        package = type(owner).__module__.partition(".")[0]
        if own == "random_state" and value is None and package == "skcovid":
            raise ValueError(
                f"checkpoint needs {name} of {type(owner).__name__} to be an integer "
                "or a RandomState, got None: drawn anew after a stop, results would "
                "not be those of one run. make_transfer_pipeline(random_state=0) sets "
                "that of every step."
            )
