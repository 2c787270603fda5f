"""What the training phases train and are fed: the whole network or a part of it."""

import os
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from skcovid.images._lazy_images import LazyImages
from skcovid.networks._feature_store import FeatureStore, StoredFeatures
from skcovid.networks._graph import Tail, layer_inputs, split_tail
from skcovid.networks._model_cache import build_once
from skcovid.networks._network import BatchNorm, freeze, is_batch_norm, unfreeze

Phase = Literal[1, 2]
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

    @property
    def n_trunk_passes(self) -> int:
        """Number of images whose features were computed to be stored."""

    def trained_model(self, phase: Phase) -> Any:
        """Build the model that a phase compiles; it shares the network's weights."""

    def loader(self, images: LazyImages, phase: Phase) -> Loader:
        """Return the function from row indices to the input of the trained model."""


class WholeNetwork:
    """Both phases run the whole network on the images."""

    n_trunk_passes = 0

    def __init__(self, parts: FineTunedModel) -> None:
        self.parts = parts

    def trained_model(self, phase: Phase) -> Any:
        """Build a model of the same layers, so that the optimiser isn't pickled."""
        return keras.Model(self.parts.model.input, self.parts.model.output)

    def loader(self, images: LazyImages, phase: Phase) -> Loader:
        """Return the function from row indices to images."""
        return lambda rows: np.asarray(images[rows])


class _Split(NamedTuple):
    """A network split into the layers that never train and those that do."""

    tail: Tail
    trunk: Any
    to_head: Any  # None where the trunk ends at the head
    predictor: Any


def _split(parts: FineTunedModel) -> _Split:
    model, n_backbone_layers, fine_tune_from = parts
    layers, head = model.layers[:n_backbone_layers], model.layers[n_backbone_layers:]
    # The flattened or pooled features, before the head's first trained layer.
    head_input = layer_inputs(next(filter(is_batch_norm, head)))[0]
    # Frozen batch normalisation has weights, but they do not change.
    trained = [layer for layer in layers[fine_tune_from:] if not is_batch_norm(layer)]
    tail = split_tail(
        model, head_input, [layer for layer in (*trained, *head) if layer.weights]
    )
    ends_at_head = tail.inputs[0] is tail.head_input
    return _Split(
        tail,
        trunk=keras.Model(model.input, tail.inputs),
        to_head=None if ends_at_head else keras.Model(tail.inputs, [tail.head_input]),
        predictor=keras.Model(tail.inputs, tail.output),
    )


class SplitNetwork:
    """Each phase runs only the part it trains, on stored features of the rest."""

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
        self._split = build_once(parts.model, "split", parts[1:], lambda: _split(parts))
        self._options = {"batch_size": batch_size, "n_jobs": n_jobs}
        self._verbose = verbose
        trunk, to_head = self._split.trunk, self._split.to_head
        self._trunk_store = FeatureStore(folder, trunk, dtype=dtype)
        self._head_store: FeatureStore | None = None
        if to_head is not None:
            self._head_store = FeatureStore(
                folder, to_head, dtype=dtype, source=self._trunk_store
            )

    @property
    def predictor(self) -> Any:
        """The tail for predictions, a model without an optimiser."""
        return self._split.predictor

    @property
    def n_trunk_passes(self) -> int:
        """Number of images whose features were computed to be stored."""
        return self._trunk_store.n_computed

    def trained_model(self, phase: Phase) -> Any:
        """Build the head (phase 1) or the tail (phase 2)."""
        tail = self._split.tail
        return keras.Model(
            [tail.head_input] if phase == 1 else tail.inputs, tail.output
        )

    def loader(self, images: LazyImages, phase: Phase) -> Loader:
        """Return the function from row indices to features."""
        return self.features(images, phase).load

    def features(self, images: LazyImages, phase: Phase) -> StoredFeatures:
        """Return the features that a phase takes; compute those that are missing."""
        features = self._trunk_store.fill(
            images, **self._options, verbose=self._verbose
        )
        if phase == 1 and self._head_store is not None:
            return self._head_store.fill(features, **self._options, verbose=0)
        return features
