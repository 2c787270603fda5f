"""One phase of training: its settings, its batches and its epochs."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from skcovid.estimators._checkpoint import TrainingState
from skcovid.networks._errors import CheckLoss, explain_backend_errors
from skcovid.networks._memory import KeepFreedMemory, check_memory
from skcovid.networks._network import BatchNorm
from skcovid.networks._tensorflow import ignore_retracing, release_training_memory

History = dict[str, list[float]]


@dataclass(frozen=True)
class TrainingSettings:
    """How both phases train: parameters of the classifier, by the same names."""

    batch_norm: BatchNorm
    learning_rate: float
    fine_tune_learning_rate: float | None
    batch_size: int
    epochs: int
    reduce_lr_factor: float
    reduce_lr_patience: int
    early_stopping_patience: int
    keep_freed_memory: bool
    n_jobs: int
    verbose: int


class Batches(keras.utils.PyDataset):
    """Batches of inputs, labels and weights, in an order drawn anew each epoch.

    Keras loads them in threads, ahead of the network.
    """

    def __init__(
        self,
        load: Callable[[NDArray[np.intp]], Any],
        labels: NDArray[np.intp],
        sample_weight: NDArray[np.float32] | None = None,
        *,
        batch_size: int,
        generator: np.random.Generator | None = None,
        n_jobs: int = 2,
    ) -> None:
        super().__init__(workers=n_jobs, max_queue_size=2 * n_jobs)
        self.load = load
        self.labels = labels
        self.sample_weight = sample_weight
        self.batch_size = batch_size
        self.generator = generator
        self.order = np.arange(len(labels))
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        batch = (self.load(rows), self.labels[rows])
        if self.sample_weight is None:
            return batch
        return (*batch, self.sample_weight[rows])

    def on_epoch_end(self) -> None:
        """Draw the next epoch's order."""
        if self.generator is not None:
            self.order = self.generator.permutation(len(self.order))

    def release(self) -> None:
        """Drop the inputs, as TensorFlow keeps every data set it was ever given."""
        self.load = _raise_released


def _raise_released(rows: NDArray[np.intp]) -> NoReturn:
    raise RuntimeError("The training that used these batches has ended.")


class SingleReplicaAdam(keras.optimizers.Adam):
    """Adam that TensorFlow can release.

    Where TensorFlow sums gradients over replicas, it registers the gradient of the sum
    for good, with the network's weights and the optimiser's moments: every fit would
    keep three times the network. With one replica there is nothing to sum.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        if self._distribution_strategy.num_replicas_in_sync > 1:
            return super()._all_reduce_sum_gradients(grads_and_vars)
        return list(grads_and_vars)


class EpochProgress(keras.callbacks.Callback):
    """A progress bar over the epochs of one phase."""

    def __init__(self, description: str) -> None:
        super().__init__()
        self.description = description

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.bar = tqdm(
            total=self.params["epochs"],
            desc=self.description,
            unit="epoch",
            leave=False,
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        shown = {
            name: f"{value:.3f}"
            for name, value in (logs or {}).items()
            if name != "learning_rate"
        }
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update(epoch + 1 - self.bar.n)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.bar.close()


def _keep_torch_random_state() -> AbstractContextManager[None]:
    """Restore PyTorch's global random state, which its data loader draws from."""
    if keras.backend.backend() != "torch":
        return nullcontext()
    import torch

    state: AbstractContextManager[None] = torch.random.fork_rng(devices=[])
    return state


def train_phase(
    model: Any,
    training: Batches,
    validation: Batches | None,
    settings: TrainingSettings,
    *,
    learning_rate: float,
    callbacks: Sequence[Any] = (),
    phase: int = 1,
    state: TrainingState | None = None,
) -> History:
    """Train with Adam, reduce its rate on a plateau and stop early."""
    check_memory(model, settings.batch_size, train=True)
    monitor = "loss" if validation is None else "val_loss"
    optimizer: Any = SingleReplicaAdam(learning_rate)
    if any(layer.dtype_policy.name == "mixed_float16" for layer in model.layers):
        # Keras scales the loss itself only where the whole model has the policy.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor, factor=settings.reduce_lr_factor, patience=settings.reduce_lr_patience
    )
    stopping = keras.callbacks.EarlyStopping(
        monitor, patience=settings.early_stopping_patience, restore_best_weights=True
    )
    watchers = [CheckLoss(), plateau, stopping, *callbacks]
    if settings.keep_freed_memory:
        watchers.append(KeepFreedMemory())
    backup = None
    if state is not None:
        backup = state.make_backup(phase, training, [plateau, stopping])
        watchers.append(backup)
    try:
        with (
            _keep_torch_random_state(),
            explain_backend_errors(settings.batch_size),
            ignore_retracing(),
            release_training_memory(),
        ):
            if keras.backend.backend() != "tensorflow":
                # The other backends need a batch to build what is compiled. If `fit`
                # took it, threads would already have loaded more, which Keras would
                # train on first: how many depends on their number and speed.
                model.test_on_batch(*training[0])
            history = model.fit(
                training,
                validation_data=validation,
                epochs=settings.epochs,
                initial_epoch=0
                if backup is None
                else backup.first_epoch(settings.epochs),
                # The order of `training` is random already; Keras' shuffling would
                # draw from the global random state.
                shuffle=False,
                verbose=0,
                callbacks=watchers,
            )
    finally:
        training.release()
        if validation is not None:
            validation.release()
    logs = history.history if backup is None else backup.logs
    return {name: [float(value) for value in values] for name, values in logs.items()}
