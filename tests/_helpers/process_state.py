"""The state of a process after some imports, and after some more.

    cd tests && python -m _helpers.process_state states.json "import cv2" "import keras"

writes both as JSON, to be compared.
"""

import json
import logging
import os
import random
import resource
import signal
import sys
import threading
import warnings
from hashlib import sha256
from pathlib import Path

import numpy as np


def origin(value):
    """Return where a function or class was defined."""
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"


def open_files():
    """Return the descriptor and target of each open file; pipes are all the same."""
    found = {}
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 (symbolic links)
        link = Path("/proc/self/fd", number)
        if link.is_symlink():
            found[number] = str(link.readlink()).partition(":[")[0]
    return found


def logger_state(name):
    logger = logging.getLogger(name)
    return [
        logger.level,
        [origin(found) for found in logger.filters],
        [origin(type(handler)) for handler in logger.handlers],
    ]


def digest(value):
    return sha256(repr(value).encode()).hexdigest()


def freed_memory_is_kept():
    """Return whether an array of 64 MiB reuses memory just freed, without faults."""
    np.ones(2**26, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**26, np.uint8)
    # 64 MiB are 16,384 pages, or 32 of the large ones.
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 16


def two_cpu_devices():
    """Configure TensorFlow, which fails once a device has been initialised."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.set_visible_devices([], "GPU")
    (cpu,) = tf.config.list_physical_devices("CPU")
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, halves)
    return len(tf.config.list_logical_devices("CPU"))


def state(imports):
    """Run imports; return the state, of TensorFlow's devices at the end only."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (to see whether an import draws from it)
    exec(imports, {})
    import cv2
    import keras
    import sklearn

    return {
        "environment variables": dict(os.environ),
        "open files": open_files(),
        "warning filters": list(map(str, warnings.filters)),
        "loggers": {
            name: logger_state(name) for name in ("", "absl", "keras", "tensorflow")
        },
        "Keras' classes": {
            f"{owner.__name__}.{name}": origin(value)
            for owner in (
                keras.Model,
                keras.layers.Layer,
                keras.losses.Loss,
                keras.metrics.Metric,
                keras.optimizers.Optimizer,
            )
            for name, value in vars(owner).items()
        },
        "Keras' settings": [keras.config.floatx(), keras.config.dtype_policy().name],
        "scikit-learn's settings": sklearn.get_config(),
        "OpenCV's threads": cv2.getNumThreads(),
        "random numbers": [
            digest(random.getstate()),
            digest(np.random.get_state()),  # noqa: NPY002 (to watch it)
        ],
        "NumPy's errors": np.geterr(),
        "signal handlers": [
            str(signal.getsignal(number)) if number != signal.SIGINT else ""
            for number in sorted(signal.valid_signals())
        ],
        "hooks": [origin(sys.excepthook), origin(warnings.showwarning)],
        "threads": threading.active_count(),
        "working directory": str(Path.cwd()),
        "freed memory is kept": freed_memory_is_kept(),
    }


if __name__ == "__main__":
    # Libraries draw random numbers when they are imported for the first time.
    exec(sys.argv[2], {})
    states = [state(imports) for imports in sys.argv[2:]]
    # It is known to be possible after the first imports.
    for found, number in zip(states, (2, two_cpu_devices()), strict=True):
        found["TensorFlow's devices"] = number
    Path(sys.argv[1]).write_text(json.dumps(states))
