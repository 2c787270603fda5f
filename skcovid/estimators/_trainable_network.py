"""The model that each training phase compiles, and its input."""

import os
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, Protocol, get_args

import keras
import numpy as np
from numpy.typing import NDArray

from skcovid._base._kept_features import keeps_features_of_predictions
from skcovid.images._lazy_images import LazyImages
from skcovid.networks._feature_store import FeatureStore, StoredFeatures
from skcovid.networks._graph import Tail, layer_inputs, split_tail
from skcovid.networks._model_cache import build_once
from skcovid.networks._network import BatchNorm, freeze, is_batch_norm, unfreeze

Phase = Literal[1, 2]
PHASES: tuple[Phase, ...] = get_args(Phase)
Loader = Callable[[NDArray[np.intp]], Any]


class FineTunedModel(NamedTuple):
    """A backbone with a head, and the first layer that phase 2 trains."""

    model: Any
    n_backbone_layers: int
    fine_tune_from: int

    def set_trainable(self, phase: Phase, batch_norm: BatchNorm) -> None:
        """Freeze the backbone; in phase 2, unfreeze its last layers."""
        layers = self.model.layers[: self.n_backbone_layers]
        freeze(layers, batch_norm)
        if phase == 2:
            unfreeze(layers[self.fine_tune_from :], batch_norm)


class TrainableNetwork(Protocol):
    """A network that trains in two phases."""

    parts: FineTunedModel

    def trained_model(self, phase: Phase) -> Any:
        """Build the model that a phase compiles; it shares the network's weights."""

    def loader(self, images: LazyImages, phase: Phase) -> Loader:
        """Return the function from row indices to the input of the trained model."""


class WholeNetwork:
    """Trains with passes of all images through the whole network in both phases."""

    n_trunk_passes = 0

    def __init__(self, parts: FineTunedModel) -> None:
        self.parts = parts

    def trained_model(self, phase: Phase) -> Any:
        """Build a separate model to compile: the optimiser is not pickled with it."""
        return keras.Model(self.parts.model.input, self.parts.model.output)

    def loader(self, images: LazyImages, phase: Phase) -> Loader:
        """Return the function from row indices to images."""
        return lambda rows: np.asarray(images[rows])


def _split(parts: FineTunedModel) -> tuple[Tail, Any, Any, Any]:
    """Split a network into the layers that never train (the trunk) and the tail.

    Return the tail, the trunk, the model from the trunk to the head (None if the trunk
    ends there), and the tail as a model for predictions, without an optimiser.
    """
    model, n_backbone_layers, fine_tune_from = parts
    layers, head = model.layers[:n_backbone_layers], model.layers[n_backbone_layers:]
    # The flattened or pooled features, before the head's first trained layer.
    head_input = layer_inputs(next(filter(is_batch_norm, head)))[0]
    # Frozen batch normalisation has weights, but they do not change.
    trained = [layer for layer in layers[fine_tune_from:] if not is_batch_norm(layer)]
    tail = split_tail(
        model, head_input, [layer for layer in (*trained, *head) if layer.weights]
    )
    trunk, to_head = keras.Model(model.input, tail.inputs), None
    if tail.inputs[0] is not tail.head_input:
        to_head = keras.Model(tail.inputs, [tail.head_input])
    return tail, trunk, to_head, keras.Model(tail.inputs, tail.output)


class SplitNetwork:
    """Trains only a part of the network, on stored features of the other layers."""

    def __init__(
        self,
        parts: FineTunedModel,
        folder: str | os.PathLike[str],
        *,
        dtype: str,
        batch_size: int,
        n_jobs: int,
        verbose: int,
    ) -> None:
        self.parts = parts
        self._tail, trunk, to_head, self.predictor = build_once(
            parts.model, "split", parts.fine_tune_from, lambda: _split(parts)
        )
        self._options = {"batch_size": batch_size, "n_jobs": n_jobs}
        self._verbose = verbose
        self._trunk_store = FeatureStore(folder, trunk, dtype=dtype)
        self._head_store: FeatureStore | None = None
        if to_head is not None:
            self._head_store = FeatureStore(
                folder, to_head, dtype=dtype, source=self._trunk_store
            )

    @property
    def n_trunk_passes(self) -> int:
        """Number of images whose features were computed to be stored."""
        return self._trunk_store.n_computed

    def trained_model(self, phase: Phase) -> Any:
        """Build the model that a phase compiles: the head, or in phase 2 the tail."""
        inputs = [self._tail.head_input] if phase == 1 else self._tail.inputs
        return keras.Model(inputs, self._tail.output)

    def loader(self, images: LazyImages, phase: Phase) -> Loader:
        """Return the function from row indices to features."""
        return self.features(images, phase).load

    def prediction_batches(self, images: LazyImages) -> Iterator[tuple[Any, Any]]:
        """Yield rows and what the predictor takes for them."""
        return self._trunk_store.batches(
            images,
            keep=keeps_features_of_predictions(),
            **self._options,
            verbose=self._verbose,
        )

    def features(self, images: LazyImages, phase: Phase) -> StoredFeatures:
        """Return the features that a phase takes; compute those that are missing."""
        features = self._trunk_store.fill(
            images, **self._options, verbose=self._verbose
        )
        if phase == 1 and self._head_store is not None:
            return self._head_store.fill(features, **self._options, verbose=0)
        return features
