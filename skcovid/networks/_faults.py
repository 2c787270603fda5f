"""What goes wrong while a network trains or predicts, in words that say what to do."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import keras

__all__ = ["NonFiniteLoss", "explained_faults"]

# Each backend has its own errors, and texts of its own.
_OUT_OF_MEMORY = (
    "RESOURCE_EXHAUSTED",
    "OOM when allocating",
    "out of memory",
    "can't allocate memory",
    "Unable to allocate",
)
_GPU_FAILED = ("CUDA_ERROR", "CUDA error", "CUDNN_STATUS", "cuDNN error")


class NonFiniteLoss(keras.callbacks.Callback):
    """Ends a training whose loss is no number any more."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        loss = float((logs or {})["loss"])
        if math.isfinite(loss):
            return
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        raise FloatingPointError(
            f"The loss became {loss} in epoch {epoch + 1}, at a learning rate of "
            f"{rate:g}: the weights are lost. Lower learning_rate or "
            "fine_tune_learning_rate; with precision='mixed_float16', try "
            "'mixed_bfloat16' or 'float32'. Sample weights must be finite."
        )


@contextmanager
def explained_faults(batch_size: int) -> Iterator[None]:
    """Say of a backend's error what it means and what to do."""
    try:
        yield
    except Exception as error:
        text = str(error)
        if isinstance(error, MemoryError) or _names_one_of(text, _OUT_OF_MEMORY):
            raise MemoryError(
                f"Memory ran out with batch_size={batch_size}: lower it, or "
                "image_size, or n_jobs, as each thread prepares a batch ahead. "
                f"{type(error).__name__}: {text[:300]}"
            ) from error
        if _names_one_of(text, _GPU_FAILED):
            raise RuntimeError(
                "The GPU failed or is gone. Kept features and checkpoints are whole: "
                "the same call in a new process goes on with them; "
                "CUDA_VISIBLE_DEVICES='' has the processor compute. "
                f"{type(error).__name__}: {text[:300]}"
            ) from error
        raise


def _names_one_of(text: str, causes: tuple[str, ...]) -> bool:
    return any(cause in text for cause in causes)
