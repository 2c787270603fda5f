"""Whether predictions add the features that they compute to the user's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_KEEP = ContextVar("keep_features_of_predictions", default=False)


@contextmanager
def keep_features_of_predictions() -> Iterator[None]:
    """Let predictions store features: later folds train on the images of this one."""
    token = _KEEP.set(True)
    try:
        yield
    finally:
        _KEEP.reset(token)


def keeps_features_of_predictions() -> bool:
    """Tell whether predictions store features."""
    return _KEEP.get()
