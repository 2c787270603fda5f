"""Release memory that TensorFlow keeps, ignore a warning, and refuse forks.

It keeps megabytes of every fit and has no public function to release them. In versions
without the private attributes used here, nothing is released.
"""

import logging
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

# The global graph keeps the functions that feed data sets
# (https://github.com/tensorflow/tensorflow/pull/123530).
_FEEDS = "_py_funcs_used_in_graph"

_process = os.getpid()
_seen_models: "weakref.WeakSet[Any]" = weakref.WeakSet()
_dead_models: list[None] = []  # one entry a model


def check_not_forked() -> None:
    """Raise in a fork of a process that has used TensorFlow, which would hang."""
    global _process
    if os.getpid() == _process or keras.backend.backend() != "tensorflow":
        return
    from tensorflow.python.eager import context

    if getattr(context.context(), "_initialized", False):
        raise RuntimeError(
            "This process was forked from one that has used TensorFlow, whose threads "
            "a fork does not have: it would wait for ever. Use joblib's default "
            "backend, 'loky', or the start method 'spawn' of multiprocessing."
        )
    _process = os.getpid()


@contextmanager
def release_training_memory() -> Iterator[None]:
    """Release the input and compiled functions of a training that TensorFlow keeps."""
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


def release_dead_models(model: Any) -> None:
    """Release the compiled functions of deleted models, and watch `model`."""
    if keras.backend.backend() != "tensorflow":
        return
    if _dead_models:
        _dead_models.clear()
        _clear_kernels()
    if model not in _seen_models:
        _seen_models.add(model)
        # The garbage collector may run anywhere, so TensorFlow isn't called from it.
        weakref.finalize(model, _dead_models.append, None).atexit = False


def _clear_kernels() -> None:
    from tensorflow.python.eager import context

    clear = getattr(context.context(), "clear_kernel_cache", None)
    if clear is not None:
        clear()


@contextmanager
def ignore_retracing() -> Iterator[None]:
    """Drop TensorFlow's warning that a function is compiled too often.

    Each fold has its own network; TensorFlow counts them as one that is recompiled.
    """

    def keep(record: logging.LogRecord) -> bool:
        return "triggered tf.function retracing" not in str(record.msg)

    logger = logging.getLogger("tensorflow")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
