"""Keras and scikeras, imported without TensorFlow's start-up chatter."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _standard_error_held_back() -> Iterator[None]:
    """Keep what is written to the process's standard error unless an import fails."""
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(original, held_back.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)


_is_first = "keras" not in sys.modules
if _is_first:
    # TensorFlow logs from C++ before its log level can be set from Python, straight to
    # the file descriptor, so neither `warnings` nor `logging` can stop it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with _standard_error_held_back():
    import keras

    # TensorFlow's search for devices logs too, when it first happens.
    if _is_first and keras.backend.backend() == "tensorflow":
        keras.distribution.list_devices()
    # It imports TensorFlow on every backend, where it is installed.
    from scikeras.wrappers import KerasClassifier


def _is_news(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


# Every fold compiles a network of its own, which TensorFlow takes for one function
# compiled again and again by mistake.
logging.getLogger("tensorflow").addFilter(_is_news)

__all__ = ["KerasClassifier", "keras"]
