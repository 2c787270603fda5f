"""A digest of everything that a fitted pipeline's predictions depend on."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import joblib
import keras
import numpy as np

from skcovid._base._digests import image_key
from skcovid.images._fingerprints import NO_EFFECT
from skcovid.networks.backbones import Backbone
from skcovid.persistence._traversal import is_composite, unused_attributes

# Attributes that predictions do not depend on.
_IGNORED = NO_EFFECT | {"n_trunk_passes_"}


def fingerprint_model(value: Any) -> str:
    """Digest a fitted pipeline; the same in every process and after loading.

    Parameters
    ----------
    value : object
        A fitted pipeline, or any part of one.

    Returns
    -------
    str
    """
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, keras.Model):
        return image_key("network", *map(fingerprint_model, value.get_weights()))
    if is_composite(value):
        ignored = _IGNORED | unused_attributes(value)
        attributes = {k: v for k, v in vars(value).items() if k not in ignored}
        return image_key(kind, fingerprint_model(attributes))
    if isinstance(value, Backbone):
        return image_key(kind, value.name, value.mode)
    if isinstance(value, Mapping):
        items = {repr(key): fingerprint_model(item) for key, item in value.items()}
        return image_key("mapping", *sorted(items.items()))
    if isinstance(value, list | tuple):
        return image_key("sequence", *map(fingerprint_model, value))
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        content = np.ascontiguousarray(value).tobytes()
        return image_key(value.shape, value.dtype.str, content)
    if value is None or isinstance(value, str | int | float | PurePath):
        return image_key(value)
    return image_key(joblib.hash(value))
