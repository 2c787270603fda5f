"""A digest of all that a fitted pipeline's predictions depend on."""

import os
from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np

from skcovid._base._digests import image_key
from skcovid.networks.backbones import Backbone
from skcovid.persistence._networks import ONLY_FOR_FIT, is_composite, is_network

__all__ = ["fingerprint_model"]

# What changes nothing of the predictions.
_LEFT_OUT = ONLY_FOR_FIT | {
    "checkpoint",
    "memory",
    "n_jobs",
    "n_trunk_passes_",
    "verbose",
}


def fingerprint_model(value: Any) -> str:
    """Digest a fitted pipeline, the same in every process and after loading it.

    Parameters
    ----------
    value : object
        A fitted pipeline, or anything that one holds.

    Returns
    -------
    str
    """
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if is_network(value):
        return image_key("network", *map(fingerprint_model, value.get_weights()))
    if is_composite(value):
        attributes = {
            name: item for name, item in vars(value).items() if name not in _LEFT_OUT
        }
        return image_key(kind, fingerprint_model(attributes))
    if isinstance(value, Backbone):
        return image_key(kind, value.name, value.mode)
    if isinstance(value, Mapping):
        items = {repr(key): fingerprint_model(item) for key, item in value.items()}
        return image_key("mapping", *sorted(items.items()))
    if isinstance(value, list | tuple):
        return image_key("sequence", *map(fingerprint_model, value))
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        pixels = np.ascontiguousarray(value)
        return image_key(value.shape, value.dtype.str, pixels.tobytes())
    if isinstance(value, os.PathLike):
        return image_key(os.fspath(value))
    if value is None or isinstance(value, str | int | float):
        return image_key(value)
    return image_key(joblib.hash(value))
