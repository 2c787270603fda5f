"""Whether a network's batch can fit in memory, before it is tried.

Where the system refuses memory, networks' libraries hang or end the process, in which
there is nothing left to catch. So what can't fit is refused before.
"""

import os
from math import prod
from pathlib import Path
from typing import Any

import keras

from skcovid.networks._graph import inputs_of

__all__ = ["check_memory"]


def check_memory(model: Any, batch_size: int, *, trained: bool = False) -> None:
    """Refuse a batch that can't fit in the memory that is left.

    What is counted is the least that it takes; a batch that passes may still be too
    large. On a GPU nothing is checked: its allocators raise errors.
    """
    room = _available()
    device = str(keras.ops.convert_to_tensor([0.0]).device)
    if room is None or "cpu" not in device.lower():
        return
    needed = batch_size * _bytes_of_an_image(model, trained=trained)
    if needed > room:
        raise MemoryError(
            f"A batch of batch_size={batch_size} images takes at least "
            f"{needed / 2**20:,.0f} MiB, and {room / 2**20:,.0f} MiB are left. Lower "
            "batch_size or image_size, or end other processes."
        )


def _bytes_of_an_image(model: Any, *, trained: bool) -> int:
    """Count what is in memory at once, at the least."""
    largest = kept = 0
    is_kept = False
    for layer in model.layers:
        is_kept = is_kept or (trained and bool(layer.trainable_weights))
        if not _takes_memory(layer):
            continue
        shape = layer.compute_output_shape(inputs_of(layer)[0].shape)
        size = prod(shape[1:]) * (2 if "16" in layer.compute_dtype else 4)
        largest = max(largest, size)
        kept += size if is_kept else 0
    return max(kept, largest)


def _takes_memory(layer: Any) -> bool:
    """Whether its output is kept for the way back, and is no other layer's too."""
    kinds = keras.layers
    return isinstance(
        layer,
        kinds.Conv2D | kinds.DepthwiseConv2D | kinds.Activation | kinds.ReLU,
    )


def _available() -> int | None:
    """Count the bytes this process may still take; None where nobody says."""
    rooms = [room for room in (_of_system(), _of_process()) if room is not None]
    return min(rooms, default=None)


def _of_system() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 2**10
    return None


def _of_process() -> int | None:
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("utf-8").split()[0])
    except (ImportError, OSError):
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    return max(0, limit - pages * os.sysconf("SC_PAGE_SIZE"))
