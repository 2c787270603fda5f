"""What a phase of training runs: its part of the network, its batches, its epochs."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from skcovid.images._lazy_images import LazyImages
from skcovid.networks import _network as network
from skcovid.networks._derived import derived_once
from skcovid.networks._faults import NonFiniteLoss, explained_faults
from skcovid.networks._feature_store import FeatureStore, StoredFeatures
from skcovid.networks._graph import Tail, inputs_of, split_tail
from skcovid.networks._memory import check_memory
from skcovid.networks._tensorflow_memory import forgotten_afterwards

__all__ = ["Batches", "EpochProgress", "KeptFeatures", "WholeNetwork", "train"]

History = dict[str, list[float]]


class WholeNetwork:
    """Both phases run the whole network on the images."""

    n_trunk_passes = 0

    def __init__(self, model: Any) -> None:
        self._model = model

    def trained_part(self, phase: int) -> Any:
        """Return the network, apart from the one whose weights it shares.

        The optimiser's state so stays out of what is pickled.
        """
        return keras.Model(self._model.input, self._model.output)

    def inputs(self, images: LazyImages, phase: int) -> Callable:
        """Return the function from row indices to input of the trained part."""
        return lambda rows: np.asarray(images[rows])


@dataclass(frozen=True)
class _Parts:
    """A network split into the layers that never train and those that do."""

    tail: Tail
    trunk: Any
    to_head: Any
    predictor: Any


def _split(model: Any, n_backbone_layers: int, fine_tune_from: int) -> _Parts:
    layers, head = model.layers[:n_backbone_layers], model.layers[n_backbone_layers:]
    # Once flattened or pooled, features are small; normalising them is trained.
    head_input = inputs_of(next(filter(network.is_batch_norm, head)))[0]
    # Frozen batch normalisation has weights and keeps them.
    trained = [
        layer for layer in layers[fine_tune_from:] if not network.is_batch_norm(layer)
    ]
    tail = split_tail(
        model, head_input, [layer for layer in (*trained, *head) if layer.weights]
    )
    # Where the head alone is trained, the trunk's features are what it sees.
    sees_trunk = tail.entering[0] is tail.head_input
    return _Parts(
        tail,
        trunk=keras.Model(model.input, tail.entering),
        to_head=(None if sees_trunk else keras.Model(tail.entering, [tail.head_input])),
        predictor=keras.Model(tail.entering, tail.output),
    )


class KeptFeatures:
    """Each phase runs what it trains alone, on kept features of the layers below."""

    def __init__(
        self,
        model: Any,
        *,
        n_backbone_layers: int,
        fine_tune_from: int,
        directory: Any,
        dtype: str,
        batch_size: int,
        n_jobs: int,
        verbose: int,
    ) -> None:
        places = (n_backbone_layers, fine_tune_from)
        self._parts = derived_once(
            model, "parts", places, lambda model: _split(model, *places)
        )
        self._filling = {"batch_size": batch_size, "n_jobs": n_jobs, "verbose": verbose}
        self._trunk_store = FeatureStore(directory, self._parts.trunk, dtype=dtype)
        self._head_store: FeatureStore | None = None
        if self._parts.to_head is not None:
            self._head_store = FeatureStore(
                directory, self._parts.to_head, dtype=dtype, source=self._trunk_store
            )

    @property
    def predictor(self) -> Any:
        """The tail, for predictions: no optimiser stays with it."""
        return self._parts.predictor

    @property
    def n_trunk_passes(self) -> int:
        """Images that went through the trunk so far."""
        return self._trunk_store.n_computed

    def trained_part(self, phase: int) -> Any:
        """Return the head (phase 1) or the tail (phase 2), sharing the weights."""
        tail = self._parts.tail
        if phase == 1:
            return keras.Model([tail.head_input], tail.output)
        return keras.Model(tail.entering, tail.output)

    def inputs(self, images: LazyImages, phase: int) -> Callable:
        """Return the function from row indices to input of the trained part."""
        return self.features(images, phase).load

    def features(self, images: LazyImages, phase: int) -> StoredFeatures:
        """Return the input of the trained part, computing what is missing."""
        features = self._trunk_store.fill(images, **self._filling)
        if phase == 1 and self._head_store is not None:
            features = self._head_store.fill(
                features, **{**self._filling, "verbose": 0}
            )
        return features


class Batches(keras.utils.PyDataset):
    """Batches of inputs, labels and weights, in an order drawn anew each epoch.

    Keras computes them in threads, ahead of the network.
    """

    def __init__(
        self,
        load: Callable[[NDArray[np.intp]], Any],
        labels: NDArray[np.intp],
        sample_weight: NDArray | None = None,
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
        """Let go of the inputs: TensorFlow keeps every data set it was ever given."""
        self.load = _released


def _released(rows: NDArray[np.intp]) -> NoReturn:
    raise RuntimeError("The training that these batches were made for has ended.")


class SingleReplicaAdam(keras.optimizers.Adam):
    """Adam that TensorFlow can forget.

    Summing the gradients over replicas, TensorFlow registers a gradient of that sum for
    good, and with it the network's weights and the optimiser's moments: every fit would
    keep three times the network. Of a single replica there is nothing to sum.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list[Any]:
        if self._distribution_strategy.num_replicas_in_sync > 1:
            return super()._all_reduce_sum_gradients(grads_and_vars)
        return list(grads_and_vars)


class EpochProgress(keras.callbacks.Callback):
    """A progress bar over the epochs of one phase."""

    def __init__(self, description: str) -> None:
        super().__init__()
        self.description = description

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.bar = tqdm(
            total=self.params["epochs"],
            desc=self.description,
            unit="epoch",
            leave=False,
        )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        shown = {
            name: f"{value:.3f}"
            for name, value in (logs or {}).items()
            if name != "learning_rate"
        }
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update(epoch + 1 - self.bar.n)

    def on_train_end(self, logs: dict | None = None) -> None:
        self.bar.close()


def _global_random_state_kept() -> AbstractContextManager:
    """PyTorch's data loader draws from the global state, whatever it loads."""
    if keras.backend.backend() != "torch":
        return nullcontext()
    import torch

    return torch.random.fork_rng(devices=[])


def train(
    model: Any,
    training: Batches,
    validation: Batches | None,
    *,
    learning_rate: float,
    epochs: int,
    reduce_lr_factor: float,
    reduce_lr_patience: int,
    early_stopping_patience: int,
    callbacks: Sequence[Any] = (),
    follow: Callable[[Batches, Sequence[Any]], Any] | None = None,
) -> History:
    """Train one phase: Adam, the rate reduced on a plateau, early stopping."""
    check_memory(model, training.batch_size, trained=True)
    monitor = "loss" if validation is None else "val_loss"
    optimizer: Any = SingleReplicaAdam(learning_rate)
    if any(layer.dtype_policy.name == "mixed_float16" for layer in model.layers):
        # Keras scales the loss on its own only where the whole model has the policy.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    if keras.backend.backend() != "tensorflow":
        # The others take a batch to build what has just been compiled. If `fit` took
        # it, threads would have loaded more by then, which Keras keeps and trains on
        # first: how many depends on their number and pace.
        with explained_faults(training.batch_size):
            model.test_on_batch(*training[0])
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor, factor=reduce_lr_factor, patience=reduce_lr_patience
    )
    stopping = keras.callbacks.EarlyStopping(
        monitor, patience=early_stopping_patience, restore_best_weights=True
    )
    keeper = None if follow is None else follow(training, [plateau, stopping])
    followers = [] if keeper is None else [keeper]
    try:
        with (
            _global_random_state_kept(),
            explained_faults(training.batch_size),
            forgotten_afterwards(),
        ):
            history = model.fit(
                training,
                validation_data=validation,
                epochs=epochs,
                initial_epoch=0 if keeper is None else keeper.first_epoch(epochs),
                # The batches are in a random order already; Keras' own shuffling would
                # draw from the global random state.
                shuffle=False,
                verbose=0,
                callbacks=[
                    NonFiniteLoss(),
                    plateau,
                    stopping,
                    *callbacks,
                    *followers,
                ],
            )
    finally:
        training.release()
        if validation is not None:
            validation.release()
    epochs_seen = history.history if keeper is None else keeper.logs
    return {
        name: [float(value) for value in values] for name, values in epochs_seen.items()
    }
