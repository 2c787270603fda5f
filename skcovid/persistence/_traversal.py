"""Copy the estimators in a pipeline with changes."""

from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

from imblearn.base import SamplerMixin
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

from skcovid._base._network_estimator import NetworkEstimator

FOLDER_PARAMETERS = {"checkpoint", "memory"}


def copy_with_changes(
    value: Any, change: Callable[[Any, str, Any], Any]
) -> tuple[Any, list[Any]]:
    """Copy the estimators and containers in `value`, but not their arrays.

    `change` gets an owner, the name of one of its attributes ("" in a container) and
    the value. It returns a replacement, or the same value, which is then copied. The
    list holds the copy of every composite, and every dataclass.
    """
    copies: dict[int, Any] = {}
    parts: list[Any] = []

    def copy_item(owner: Any, name: str, item: Any) -> Any:
        replacement = change(owner, name, item)
        return copy(item) if replacement is item else replacement

    def copy(value: Any) -> Any:
        if id(value) in copies:
            return copies[id(value)]
        result = value
        if type(value) in (list, tuple):
            result = type(value)(copy_item(value, "", item) for item in value)
        elif type(value) in (dict, Bunch):
            result = type(value)()
            for key, item in value.items():
                result[key] = copy_item(value, "", item)
        elif is_composite(value):
            result = object.__new__(type(value))
            for name, item in vars(value).items():
                vars(result)[name] = copy_item(value, name, item)
            parts.append(result)
        elif is_dataclass(value):
            parts.append(value)
        copies[id(value)] = result
        return result

    return copy(value), parts


def unused_attributes(part: Any) -> set[str]:
    """Name the fitted attributes of an estimator that its predictions do not use."""
    if isinstance(part, NetworkEstimator):
        return set(part._fit_attributes & vars(part).keys())
    if isinstance(part, SamplerMixin) and type(part).__module__.startswith("imblearn."):
        fitted = {name for name in vars(part) if name.endswith("_")}
        return fitted - {"feature_names_in_", "n_features_in_"}
    return set()


def is_composite(value: Any) -> bool:
    """Tell whether a value is a scikit-learn object with attributes."""
    constructor: Any = type(value).__new__
    return isinstance(value, BaseEstimator) or (
        type(value).__module__.startswith("sklearn.")
        and hasattr(value, "__dict__")
        # Compiled types and containers make their objects themselves.
        and constructor is object.__new__
    )


def without_folders(pipeline: Any) -> Any:
    """Copy a pipeline without its `memory` and `checkpoint` folders."""

    def change(_owner: Any, name: str, value: Any) -> Any:
        return None if name in FOLDER_PARAMETERS else value

    return copy_with_changes(pipeline, change)[0]
