"""Memory on the CPU: check that a batch fits, and keep freed blocks for reuse.

Where the system refuses memory, Keras' backends hang or end the process instead of
raising an error. A batch that can't fit is therefore refused beforehand.
"""

import ctypes
import os
from math import prod
from pathlib import Path
from typing import Any

import keras

from skcovid.networks._graph import layer_inputs

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
# Larger than any block that a training step asks for, small enough that arrays of many
# images go back to the system once freed.
_KEPT_BYTES = 2**28
_PADDING_BYTES = 2**26

# Layers that allocate their output, which backpropagation needs.
_ALLOCATING_LAYERS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Activation,
    keras.layers.ReLU,
)


class KeepFreedMemory(keras.callbacks.Callback):
    """Make glibc keep freed blocks of up to 256 MiB, in training on a CPU and after.

    By default it returns large blocks to the system at once. The next step asks for the
    same again, and the system fills it with zeros, page by page. Nothing is changed
    with another C library or where the environment configures the allocator.
    """

    # Not just once: with its first data set in a process, TensorFlow 2.21 on Python
    # 3.11 sets the threshold itself, to 128 KiB.
    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if os.name != "posix" or not runs_on_cpu():
            return
        if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
            return
        library = ctypes.CDLL(None)
        if hasattr(library, "gnu_get_libc_version"):
            library.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
            library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
            library.mallopt(_M_TOP_PAD, _PADDING_BYTES)


def check_memory(model: Any, batch_size: int, *, train: bool = False) -> None:
    """Refuse a batch that can't fit in the memory that is left.

    This counts the least that a batch takes; a batch that passes may still be too
    large. On a GPU nothing is checked, as its allocators raise errors.
    """
    available = min(_available_memory(), default=None)
    if available is None or not runs_on_cpu():
        return
    needed = batch_size * _bytes_per_image(model, train=train)
    if needed > available:
        raise MemoryError(
            f"A batch of batch_size={batch_size} images takes at least "
            f"{needed / 2**20:,.0f} MiB, and {available / 2**20:,.0f} MiB are left. "
            "Lower batch_size or image_size, or end other processes."
        )


def runs_on_cpu() -> bool:
    """Tell whether the backend computes on the CPU."""
    return "cpu" in str(keras.ops.convert_to_tensor([0.0]).device).lower()


def _bytes_per_image(model: Any, *, train: bool) -> int:
    """Return the least memory that one image of a batch takes."""
    largest = kept = 0
    is_kept = False
    for layer in model.layers:
        is_kept = is_kept or (train and bool(layer.trainable_weights))
        if not isinstance(layer, _ALLOCATING_LAYERS):
            continue
        shape = layer.compute_output_shape(layer_inputs(layer)[0].shape)
        size = prod(shape[1:]) * (2 if "16" in layer.compute_dtype else 4)
        largest = max(largest, size)
        kept += size if is_kept else 0
    return max(kept, largest)


def _available_memory() -> list[int]:
    """List the bytes left in the system and within the process' limit, if known."""
    available = []
    try:
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        available += [
            int(line.split()[1]) * 2**10
            for line in lines
            if line.startswith("MemAvailable:")
        ]
        import resource

        pages = int(Path("/proc/self/statm").read_text("utf-8").split()[0])
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            available.append(max(0, limit - pages * os.sysconf("SC_PAGE_SIZE")))
    except (ImportError, OSError):
        pass
    return available
