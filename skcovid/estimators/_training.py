"""One phase of training: its settings, its batches and its epochs."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NoReturn

import keras
import numpy as np
from numpy.typing import NDArray

from skcovid._base._progress import (
    Progress,
    fits_left,
    format_duration,
    say_once,
)
from skcovid.estimators._checkpoint import History, PhaseBackup, TrainingState
from skcovid.estimators._trainable_network import Loader, Phase
from skcovid.networks._errors import CheckLoss, explain_backend_errors
from skcovid.networks._memory import KeepFreedMemory, check_memory
from skcovid.networks._network import BatchNorm
from skcovid.networks._tensorflow import ignore_retracing, release_training_memory

_TITLES: dict[Phase, str] = {1: "phase 1, head", 2: "phase 2, fine-tuning"}
# What is measured of a training, and the rest from which its duration is announced.
_MEASURED_BATCHES = 5
_LONG_SECONDS = 600


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
    """Batches of inputs, labels and weights, shuffled each epoch by the generator.

    Keras loads them in threads, ahead of the network.
    """

    def __init__(
        self,
        load: Loader,
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
        """Drop the inputs, because TensorFlow keeps a reference to every data set."""
        self.load = _raise_released


def _raise_released(rows: NDArray[np.intp]) -> NoReturn:
    raise RuntimeError("The training that used these batches has ended.")


class SingleReplicaAdam(keras.optimizers.Adam):
    """Adam whose memory TensorFlow can release.

    When TensorFlow sums gradients over replicas, it keeps the gradient of the sum until
    the process ends, with the network's weights and the optimiser's moments: three
    times the network for every fit. With one replica there is nothing to sum.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        if self._distribution_strategy.num_replicas_in_sync > 1:
            return super()._all_reduce_sum_gradients(grads_and_vars)
        return list(grads_and_vars)


class EpochProgress(keras.callbacks.Callback):
    """Counts the epochs of one phase, and says so where training may take long."""

    def __init__(
        self, progress: Progress, phase: Phase, epochs: int, n_batches: int, faster: str
    ) -> None:
        super().__init__()
        self._progress = progress
        self._title = _TITLES[phase]
        self._earlier_epochs = (phase - 1) * epochs
        self._n_batches = n_batches
        self._faster = faster
        self._measured = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # The phase before may have stopped early.
        if ahead := self._earlier_epochs + epoch - self._progress.done:
            self._progress.update(ahead, self._title)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._measured += 1
        if self._measured == 1:  # which includes compilation
            self._started = perf_counter()
        elif self._measured == 1 + _MEASURED_BATCHES:
            self._announce((perf_counter() - self._started) / _MEASURED_BATCHES)

    def _announce(self, seconds: float) -> None:
        """Say how long the rest takes at most if that is long."""
        n_fits = fits_left()
        epochs = n_fits * (self._progress.total or 0) - self._progress.done
        rest = seconds * self._n_batches * epochs
        if rest > _LONG_SECONDS:
            of_fits = f" of {n_fits} fits" if n_fits > 1 else ""
            say_once(
                "long training",
                f"Training may take up to {format_duration(rest)} on this machine: "
                f"{float(f'{seconds:.2g}'):g} s a batch × {self._n_batches} batches "
                f"× {epochs} epochs{of_fits}; early stopping may end it sooner. "
                f"Faster: {self._faster}.",
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        shown = [
            f"{name} {value:.3g}"
            for name, value in (logs or {}).items()
            if name != "learning_rate"
        ]
        self._progress.update(note=", ".join([self._title, *shown]))


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
    phase: Phase = 1,
    state: TrainingState | None = None,
    progress: EpochProgress | None = None,
) -> History:
    """Train with Adam, reduce its rate on a plateau and stop early."""
    check_memory(model, settings.batch_size, train=True)
    monitor = "loss" if validation is None else "val_loss"
    learning_rate = settings.learning_rate
    if phase == 2:
        learning_rate = settings.fine_tune_learning_rate or learning_rate
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
    callbacks = [CheckLoss(), plateau, stopping]
    if progress is not None:
        callbacks.append(progress)
    if settings.keep_freed_memory:
        callbacks.append(KeepFreedMemory())
    backup, first_epoch = None, 0
    if state is not None:
        backup = PhaseBackup(state, phase, training, [plateau, stopping])
        first_epoch = backup.first_epoch(settings.epochs)
        callbacks.append(backup)
    try:
        with (
            _keep_torch_random_state(),
            explain_backend_errors(settings.batch_size),
            ignore_retracing(),
            release_training_memory(),
        ):
            if keras.backend.backend() != "tensorflow":
                # The other backends need a batch to build what is compiled. If `fit`
                # took it, threads would have loaded further ones, in a number that
                # depends on their speed, and Keras would train on these first.
                model.test_on_batch(*training[0])
            history = model.fit(
                training,
                validation_data=validation,
                epochs=settings.epochs,
                initial_epoch=first_epoch,
                # The order of `training` is random already; Keras' shuffling would
                # draw from the global random state.
                shuffle=False,
                verbose=0,
                callbacks=callbacks,
            )
    finally:
        training.release()
        if validation is not None:
            validation.release()
    logs = history.history if backup is None else backup.logs
    return {name: [float(value) for value in values] for name, values in logs.items()}
