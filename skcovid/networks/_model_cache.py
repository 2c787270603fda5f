"""Models that are built once, and kept until another one takes their place."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast
from zlib import crc32

import numpy as np

from skcovid.networks._tensorflow import check_not_forked

Built = TypeVar("Built")

_LOCK = threading.RLock()
_last: dict[str, tuple[object, Any]] = {}


def build_once(
    model: Any, name: str, settings: object, build: Callable[[], Built]
) -> Built:
    """Return what was built from a model under this name and with these settings.

    Each model built from another one's layers adds nodes to them and is compiled again;
    building one for every prediction would fill the memory.
    """
    check_not_forked()
    # With setattr, Keras would track the built models as parts of this one. With a weak
    # dictionary, the garbage collector would need one more pass for each model.
    kept: dict[str, tuple[Any, Any]] = vars(model).setdefault("_skcovid_built", {})
    if name not in kept or kept[name][0] != settings:
        kept[name] = settings, build()
    return cast(Built, kept[name][1])


def keep_last(name: str, settings: object, build: Callable[[], Built]) -> Built:
    """Return what was last built under this name, if it was with these settings.

    Folds and searches fit clones, which would each build the same network.
    """
    check_not_forked()
    with _LOCK:
        if name not in _last or _last[name][0] != settings:
            _last[name] = settings, build()
        return cast(Built, _last[name][1])


def weight_checksums(model: Any) -> list[int]:
    """Return a checksum of each array of weights, to tell whether they changed."""
    return [
        crc32(np.ascontiguousarray(weights).data.cast("B"))
        for weights in model.get_weights()
    ]
