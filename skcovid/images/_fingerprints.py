"""Parameters and samples as text and digests that are the same in any process."""

import os
import pickle
import re
from typing import Any

import joblib
import numpy as np
from scipy.sparse import issparse

from skcovid._base._digests import image_key
from skcovid.images._lazy_images import LazyImages
from skcovid.reading._files import exists, read_bytes
from skcovid.reading._paths import as_paths, holds_paths

# Parameters that change no result.
NO_EFFECT = {"checkpoint", "keep_freed_memory", "memory", "n_jobs", "verbose"}
# In the repr of objects and functions without one of their own.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def describe_parameters(estimator: Any) -> dict[str, str]:
    """Describe the parameters of an estimator and its parts that may change a result.

    A file is described by its content, a function by its name alone.
    """
    params = estimator.get_params(deep=True)
    described = {"": _class_name(estimator)}
    for name, value in sorted(params.items()):
        prefix, _, own = name.rpartition("__")
        if own not in NO_EFFECT:
            members = {other.removeprefix(f"{prefix}__") for other in params}
            described[name] = _describe(name, _without_members(value, members))
    return described


def _without_members(value: Any, members: set[str]) -> Any:
    """Leave out the estimators of a pipeline or ensemble, which are described apart."""
    is_composition = isinstance(value, list) and all(
        isinstance(item, tuple) and len(item) > 1 and item[0] in members
        for item in value
    )
    return [(name, *rest) for name, _, *rest in value] if is_composition else value


def _describe(name: str, value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str | os.PathLike) and os.path.isfile(value):  # noqa: PTH113 (false for a text too long to be a path)
        return f"file of digest {image_key(read_bytes(value))}"
    if hasattr(value, "get_params") and not isinstance(value, type):
        return _class_name(value)
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    try:
        digest = joblib.hash(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{name}={value!r} must be a value that can be pickled, such as a function "
            f"of a module in place of a lambda: {error}"
        ) from error
    shown = _ADDRESS.sub("", repr(value))
    return f"{shown:.60} of digest {digest}"


def _class_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def digest_samples(X: Any) -> list[str]:
    """Digest the content of every sample, also of files."""
    if isinstance(X, LazyImages):
        return list(map(str, X.keys))
    if hasattr(X, "columns") or issparse(X):
        return [joblib.hash(X)]
    if holds_paths(X):
        # A name that no file has may be a text that is to be classified.
        return [
            image_key(read_bytes(path) if exists(path) else path)
            for path in as_paths(X)
        ]
    samples = np.asarray(X)
    if samples.dtype.hasobject:
        return [joblib.hash(samples)]
    return [
        image_key(sample.dtype.str, sample.shape, sample.tobytes())
        for sample in samples
    ]
