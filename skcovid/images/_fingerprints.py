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
from skcovid.reading._lung_masks import find_mask
from skcovid.reading._paths import as_paths, holds_paths

# Parameters that change no result.
NO_EFFECT = {"checkpoint", "keep_freed_memory", "memory", "n_jobs", "verbose"}
# In the default repr of objects and functions.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def describe_parameters(estimator: Any) -> dict[str, str]:
    """Describe the parameters of an estimator and its parts that may change a result.

    A file is described by its content, a function by its name alone.
    """
    params = estimator.get_params(deep=True)
    described = {"": _class_name(estimator)}
    for name, value in sorted(params.items()):
        prefix, _, own = name.rpartition("__")
        if own in NO_EFFECT:
            continue
        members = {other.removeprefix(f"{prefix}__") for other in params}
        if isinstance(value, list) and all(
            isinstance(item, tuple) and len(item) > 1 and item[0] in members
            for item in value
        ):
            # The estimators of a pipeline or ensemble have their own entries.
            value = [(member, *rest) for member, _, *rest in value]
        described[name] = _describe(name, value)
    return described


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
            f"{name}={value!r} can't be pickled ({error}). Pass a function defined at "
            "the top of a module instead of a lambda."
        ) from error
    shown = _ADDRESS.sub("", repr(value))
    return f"{shown:.60} of digest {digest}"


def _class_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def digest_samples(X: Any, *, masks: bool = False) -> list[str]:
    """Digest the content of every sample; for a path, that of the file and its mask."""
    if isinstance(X, LazyImages):
        return list(map(str, X.keys))
    if hasattr(X, "columns"):
        # A column of paths may stand beside the patients' attributes.
        columns = [[name, digest_samples(X[name], masks=masks)] for name in X.columns]
        return [joblib.hash(columns)]
    if issparse(X):
        return [joblib.hash(X)]
    if holds_paths(X):
        files = ([path, find_mask(path) if masks else None] for path in as_paths(X))
        # Strings that are not the names of files may be texts to classify.
        return [
            image_key(
                *(read_bytes(name) if exists(name) else name for name in own if name)
            )
            for own in files
        ]
    samples = np.asarray(X)
    if samples.dtype.hasobject:
        return [joblib.hash(samples)]
    return [
        image_key(sample.dtype.str, sample.shape, sample.tobytes())
        for sample in samples
    ]
