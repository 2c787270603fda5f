"""Errors while a network trains or predicts: what they mean and what to do."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

# Each backend has its own errors and texts.
_OUT_OF_MEMORY = re.compile(
    "RESOURCE_EXHAUSTED|OOM when allocating|out of memory|can't allocate memory"
    "|Unable to allocate"
)
_GPU_FAILED = re.compile("CUDA_ERROR|CUDA error|CUDNN_STATUS|cuDNN error")


class CheckLoss(keras.callbacks.Callback):
    """Stop training with an error when the loss becomes NaN or infinite."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float((logs or {})["loss"])
        if math.isfinite(loss):
            return
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        raise FloatingPointError(
            f"The loss became {loss} in epoch {epoch + 1}, at a learning rate of "
            f"{rate:g}. Lower learning_rate or fine_tune_learning_rate; with "
            "precision='mixed_float16', try 'mixed_bfloat16' or 'float32'; check that "
            "sample weights are finite."
        )


@contextmanager
def explain_backend_errors(batch_size: int) -> Iterator[None]:
    """Add the cause and the cure to a backend's memory and GPU errors."""
    try:
        yield
    except Exception as error:
        text = str(error)
        found = f"{type(error).__name__}: {text[:300]}"
        if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(text):
            raise MemoryError(
                f"Out of memory with batch_size={batch_size}: lower it, or image_size, "
                f"or n_jobs (each thread prepares a batch ahead). {found}"
            ) from error
        if _GPU_FAILED.search(text):
            raise RuntimeError(
                "The GPU failed. Stored features and checkpoints are intact: the same "
                "call in a new process continues from them; with "
                f"CUDA_VISIBLE_DEVICES='' it runs on the CPU. {found}"
            ) from error
        raise
