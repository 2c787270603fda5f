"""Walk through the estimators in a pipeline, and copy it with changes."""

from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any

from sklearn.base import BaseEstimator

FOLDER_PARAMETERS = {"checkpoint", "memory"}


def copy_with_changes(value: Any, change: Callable[[Any, str, Any], Any]) -> Any:
    """Copy the estimators and containers in `value`, but not their arrays.

    `change` gets an owner, the name of one of its attributes ("" in a container) and
    the value, and returns a replacement, or the same value to have it copied.
    """
    copies: dict[int, Any] = {}

    def changed(owner: Any, name: str, item: Any) -> Any:
        replacement = change(owner, name, item)
        return copy(item) if replacement is item else replacement

    def copy(value: Any) -> Any:
        if id(value) in copies:
            return copies[id(value)]
        result: Any
        if type(value) in (list, tuple):
            result = type(value)(changed(value, "", item) for item in value)
        elif type(value) is dict:
            result = {key: changed(value, "", item) for key, item in value.items()}
        elif is_composite(value):
            result = object.__new__(type(value))
            for name, item in vars(value).items():
                vars(result)[name] = changed(value, name, item)
        else:
            return value
        copies[id(value)] = result
        return result

    return copy(value)


def is_composite(value: Any) -> bool:
    """Whether it is an estimator or another scikit-learn object with attributes."""
    if isinstance(value, BaseEstimator):
        return True
    is_part = type(value).__module__.startswith("sklearn.")
    return is_part and hasattr(value, "__dict__") and not isinstance(value, dict)


def iterate_parts(value: Any) -> Iterator[Any]:
    """Yield every composite and every dataclass in `value` once."""
    seen: set[int] = set()
    pending = [value]
    while pending:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) in (list, tuple):
            pending.extend(value)
        elif type(value) is dict:
            pending.extend(value.values())
        elif is_composite(value):
            yield value
            pending.extend(vars(value).values())
        elif is_dataclass(value):
            yield value


def without_folders(pipeline: Any) -> Any:
    """Copy a pipeline without its `memory` and `checkpoint` folders."""

    def change(_owner: Any, name: str, value: Any) -> Any:
        return None if name in FOLDER_PARAMETERS else value

    return copy_with_changes(pipeline, change)
