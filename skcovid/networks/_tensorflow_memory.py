"""What TensorFlow keeps of trainings and networks that are gone, and how it lets go.

Megabytes a fit; neither has a public way. Where a version lacks these attributes, there
is nothing to let go of.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

__all__ = ["forget_gone", "forgotten_afterwards"]

# The functions that feed data sets stay with the global graph
# (https://github.com/tensorflow/tensorflow/pull/123530).
_FEEDS = "_py_funcs_used_in_graph"

_followed: "weakref.WeakSet[Any]" = weakref.WeakSet()
_gone: list[None] = []  # one for each network


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


def forget_gone(model: Any) -> None:
    """Have TensorFlow let go of what networks that are gone were compiled to."""
    if keras.backend.backend() != "tensorflow":
        return
    if _gone:
        _gone.clear()
        _clear_kernels()
    if model not in _followed:
        _followed.add(model)
        # TensorFlow isn't called from here: the garbage collector runs anywhere.
        weakref.finalize(model, _gone.append, None).atexit = False


def _clear_kernels() -> None:
    from tensorflow.python.eager import context

    clear = getattr(context.context(), "clear_kernel_cache", None)
    if clear is not None:
        clear()
