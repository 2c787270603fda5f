"""Models built from another model, once, and kept as long as that model."""

from collections.abc import Callable
from typing import Any, TypeVar, cast
from zlib import crc32

import numpy as np

from skcovid.networks._tensorflow import check_not_forked

Built = TypeVar("Built")


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


def weight_checksums(model: Any) -> list[int]:
    """Return a checksum of each array of weights, to tell whether they changed."""
    return [
        crc32(np.ascontiguousarray(weights).data.cast("B"))
        for weights in model.get_weights()
    ]
