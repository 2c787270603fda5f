"""The folder that keeps the folds of an evaluation, so that it can be resumed."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
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
from skcovid._base._validation_splits import list_parameters
from skcovid._base._version import installed_versions
from skcovid.images._fingerprints import describe_parameters, digest_samples
from skcovid.model_selection._external_set import ExternalSet
from skcovid.model_selection._result import Fold
from skcovid.preprocessing._reader import find_readers

_MANIFEST = "evaluation.json"
_LOCK = "lock"
_FORMAT_VERSION = 1
# Number of differences that an error lists.
_MAX_LISTED = 10


class EvaluationCheckpoint(NamedTuple):
    """The folder of one evaluation, whose digest is `evaluation`."""

    directory: Path
    evaluation: str

    def training_folder(self, number: int) -> Path:
        """Return the folder for the state of the trainings inside a fold."""
        return self.directory / f"fold-{number}-training"

    def lock(self, number: int) -> AbstractContextManager[None]:
        """Hold a fold; wait for a worker that has outlived a stopped evaluation."""
        return exclusive_lock(self.directory / f"fold-{number}.lock")

    def _path(self, number: int) -> Path:
        return self.directory / f"fold-{number}.npz"

    def write(self, number: int, fold: Fold) -> None:
        """Write a completed fold, and remove the state of its trainings."""
        arrays, others = {}, {}
        for name, value in vars(fold).items():
            if isinstance(value, np.ndarray) and not value.dtype.hasobject:
                arrays[name] = value
            else:
                others[name] = value
        plain = json.loads(json.dumps(others, default=_to_plain))
        description = {"evaluation": self.evaluation, "number": number, "values": plain}
        write_record(self._path(number), Record(description, arrays))
        rmtree(self.training_folder(number), ignore_errors=True)

    def read(self, number: int) -> Fold | None:
        """Read a fold, or return None if it has not been completed."""
        record = read_record(self._path(number))
        if record is None:
            return None
        found = record.description
        if (found["evaluation"], found["number"]) != (self.evaluation, number):
            raise ValueError(
                f"{self._path(number)} belongs to another evaluation or fold; delete "
                "it."
            )
        values = {**found["values"], **record.arrays}
        # Labels of mixed types are arrays of objects, which are kept as lists.
        if isinstance(values["predictions"], list):
            values["predictions"] = np.array(values["predictions"], dtype=object)
        return Fold(**values)

    def check_written(self, number: int) -> Fold:
        """Read a fold that this or another process has just written."""
        fold = self.read(number)
        if fold is None:
            raise OSError(
                f"{self._path(number)} was written by a worker but is not there. "
                "checkpoint must be a folder on a file system that all workers see "
                "under the same path."
            )
        return fold


def _to_plain(value: Any) -> Any:
    """Turn labels in an array of objects into a list."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(
        f"A fold's history holds {value!r} of type {type(value).__name__}; checkpoint "
        "needs numbers and text in history_."
    )


@contextmanager
def open_checkpoint(
    directory: Path, description: Mapping[str, Any]
) -> Iterator[EvaluationCheckpoint]:
    """Lock a folder, and check that it is new or belongs to this evaluation."""
    busy = (
        f"checkpoint={str(directory)!r}: another evaluation holds {directory / _LOCK}. "
        "Wait until it ends, or pass another directory."
    )
    with _report_unwritable(directory):
        directory.mkdir(parents=True, exist_ok=True)
    names = {entry.name for entry in directory.iterdir()}
    for name in sorted(names - {_LOCK} if _MANIFEST not in names else ()):
        if not fnmatch(name, f".{_MANIFEST}.*.part"):
            raise FileExistsError(
                f"checkpoint={str(directory)!r} holds {name!r} but no {_MANIFEST}, so "
                "it belongs to something else. Pass a new or empty directory."
            )
    with ExitStack() as stack:
        with _report_unwritable(directory):
            stack.enter_context(exclusive_lock(directory / _LOCK, busy))
        remove_partial_files(directory)
        _check_description(directory, description)
        evaluation = image_key(json.dumps(description, sort_keys=True))
        yield EvaluationCheckpoint(directory, evaluation)


@contextmanager
def _report_unwritable(directory: Path) -> Iterator[None]:
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        raise OSError(
            error.errno,
            f"checkpoint={str(directory)!r} is not writable: {error}. Pass a folder "
            "that is",
        ) from error


def _check_description(directory: Path, description: Mapping[str, Any]) -> None:
    """Write the description of the evaluation, or compare it with the one there."""
    path = directory / _MANIFEST
    if not path.exists():
        with atomic_write(path) as file:
            file.write(json.dumps(description, indent=1).encode())
        return
    try:
        before = json.loads(path.read_bytes())
        differences = list(_list_differences(before, description))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}), so the folds beside it can't be used. "
            "Delete the directory, or pass another as checkpoint."
        ) from error
    if differences:
        lines = differences[:_MAX_LISTED]
        if len(differences) > _MAX_LISTED:
            lines.append(f"and {len(differences) - _MAX_LISTED} more")
        raise ValueError(
            f"checkpoint={str(directory)!r} belongs to another evaluation; {path} "
            "says:\n"
            + "\n".join(f"  {line}" for line in lines)
            + "\nRepeat the earlier call to resume it, or pass another directory."
        )


def _list_differences(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[str]:
    for part in ("format_version", "versions", "parameters", "evaluation"):
        old, new = before[part], now[part]
        if not isinstance(new, dict):
            old, new = {part: old}, {part: new}
        for name in [*new, *(name for name in old if name not in new)]:
            if old.get(name) != new.get(name):
                yield (
                    f"{name or 'estimator'}: {old.get(name, 'nothing')} before, "
                    f"{new.get(name, 'nothing')} now"
                )
    old, new = before["samples"], now["samples"]
    if len(old) != len(new):
        yield f"X: {len(old)} samples before, {len(new)} now"
        return
    changed = np.flatnonzero(np.not_equal(old, new)).tolist()
    if changed:
        row = changed[0]
        yield (
            f"X: {len(changed)} of {len(new)} digests differ, the first is X[{row}]: "
            f"{old[row]} before, {new[row]} now"
        )


def describe_evaluation(
    pipeline: Any,
    X: Any,
    y: NDArray[Any],
    groups: ArrayLike | None,
    splits: Sequence[Sequence[NDArray[np.intp]]],
    protocol: str,
    test: ExternalSet | None = None,
    source: NDArray[Any] | None = None,
    *,
    attributes: Any = None,
    adapt: bool = False,
) -> dict[str, Any]:
    """Describe what the results of an evaluation depend on."""
    for name, value in own_parameters(pipeline, "random_state").items():
        if value is None:
            raise ValueError(
                f"checkpoint needs {name} to be an integer or a RandomState, got None: "
                "a resumed evaluation would draw other random numbers. "
                "make_transfer_pipeline(random_state=0) sets that of every step."
            )
    rows = [[part.tolist() for part in fold] for fold in splits]
    others = {}
    masks = any(reader.lungs for reader in find_readers(pipeline))
    if source is not None:
        others["source"] = _describe_column(source)
    if test is not None:
        scored = joblib.hash(test.rows.tolist())
        others |= {
            **_describe_labels(test.y, test.groups, "test: "),
            "test: rows": f"{len(test.rows)} of digest {scored}",
            "test: X": f"digest {joblib.hash(digest_samples(test.X, masks=masks))}",
        }
    if attributes is not None:
        names = list(getattr(attributes, "columns", attributes))
        columns = [np.asarray(attributes[name]).tolist() for name in names]
        others["attributes"] = f"{names} of digest {joblib.hash(columns)}"
    if adapt:
        by_source = np.asarray(getattr(test, "source", None)).tolist()
        others["adapt"] = f"sources of test of digest {joblib.hash(by_source)}"
    return {
        "format_version": _FORMAT_VERSION,
        "versions": installed_versions() | _estimators_versions(pipeline),
        "parameters": describe_parameters(pipeline),
        "evaluation": {
            "protocol": protocol,
            **_describe_labels(y, groups),
            "folds": f"{len(splits)} of digest {joblib.hash(rows)}",
            **others,
        },
        "samples": digest_samples(X, masks=masks),
    }


def _describe_labels(
    y: NDArray[Any], groups: ArrayLike | None, prefix: str = ""
) -> dict[str, str]:
    """Describe labels and patients by their numbers and digests."""
    counts = dict(zip(*np.unique(y, return_counts=True), strict=True))
    labels = ", ".join(f"{label} {count}" for label, count in counts.items())
    return {
        f"{prefix}y": f"{labels} of digest {joblib.hash(y.tolist())}",
        f"{prefix}groups": "none" if groups is None else _describe_column(groups),
    }


def _describe_column(values: ArrayLike) -> str:
    """Describe sources or patients by their number and digest."""
    column = np.asarray(values)
    return f"{len(np.unique(column))} of digest {joblib.hash(column.tolist())}"


def _estimators_versions(pipeline: Any) -> dict[str, str]:
    """Return the versions of the packages that the estimators come from."""
    parts = [pipeline, *pipeline.get_params(deep=True).values()]
    names = {
        base.__module__.partition(".")[0]
        for part in parts
        if hasattr(part, "get_params")
        for base in type(part).__mro__
    }
    return {
        name: sys.modules[name].__version__
        for name in sorted(names)
        if hasattr(sys.modules.get(name), "__version__")
    }


def own_parameters(pipeline: Any, own_name: str) -> dict[str, Any]:
    """Return the parameters of this name that skcovid's estimators in it have."""
    return {
        name: value
        for name, value, owner in list_parameters(pipeline)
        if name.rpartition("__")[-1] == own_name
        and any(base.__module__.startswith("skcovid.") for base in type(owner).__mro__)
    }
