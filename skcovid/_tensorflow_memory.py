"""What TensorFlow keeps of trainings and networks that are gone, and how it lets go.

Megabytes a fit; neither has a public way. Where a version lacks these attributes, there
is nothing to let go of.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skcovid._keras import keras

__all__ = ["forget_with", "forgotten_afterwards"]

# The functions that feed data sets stay with the global graph
# (https://github.com/tensorflow/tensorflow/pull/123530).
_FEEDS = "_py_funcs_used_in_graph"

_followed: "weakref.WeakSet[Any]" = weakref.WeakSet()


@contextmanager
def forgotten_afterwards() -> Iterator[None]:
    """Have TensorFlow let go of what a training was fed by and compiled to."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    graph = tf.compat.v1.get_default_graph()
    n_before = len(getattr(graph, _FEEDS, ()))
    try:
        yield
    finally:
        del getattr(graph, _FEEDS, [])[n_before:]
        _clear_kernels()


def forget_with(model: Any) -> None:
    """Have TensorFlow let go of what a network was compiled to once it is gone.

    Parameters
    ----------
    model : keras.Model
        The network.
    """
    if keras.backend.backend() != "tensorflow" or model in _followed:
        return
    _followed.add(model)
    weakref.finalize(model, _clear_kernels).atexit = False


def _clear_kernels() -> None:
    from tensorflow.python.eager import context

    clear = getattr(context.context(), "clear_kernel_cache", None)
    if clear is not None:
        clear()
