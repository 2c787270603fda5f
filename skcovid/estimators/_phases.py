"""The two phases of the training (section 3.4 of the paper)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray

from skcovid._base._digests import image_key
from skcovid._base._version import installed_versions
from skcovid.estimators._checkpoint import TrainingState
from skcovid.estimators._training import (
    Batches,
    EpochProgress,
    KeptFeatures,
    WholeNetwork,
    train,
)
from skcovid.images._fingerprints import describe_parameters
from skcovid.images._lazy_images import LazyImages
from skcovid.networks import _network as network
from skcovid.networks._feature_store import fingerprint

__all__ = ["LabelledImages", "keep_features", "train_phases"]

_PHASES = {1: "phase 1, head", 2: "phase 2, fine-tuning"}


class LabelledImages(NamedTuple):
    """Images to train or monitor on."""

    images: LazyImages
    labels: NDArray[np.intp]
    weights: NDArray | None = None

    @classmethod
    def encoded(
        cls,
        encoder: Any,
        images: LazyImages,
        y: NDArray,
        weights: NDArray | None = None,
    ) -> "LabelledImages":
        """Take labels as they are given; a fitted transformer makes classes of them."""
        return cls(images, encoder.transform(y).astype(np.intp), weights)


def train_phases(
    classifier: Any,
    training: LabelledImages,
    validation: LabelledImages | None,
    generator: np.random.Generator,
) -> tuple[dict[str, list], int]:
    """Train a head on the frozen network, then the network's last layers too."""
    state = None
    if classifier.checkpoint is not None:
        key = _training_key(classifier, training, validation, generator)
        state = TrainingState(classifier.checkpoint, key)
    with _features_folder(classifier, state) as folder:
        feed = (
            keep_features(classifier, folder)
            if classifier.keep_features
            else WholeNetwork(classifier.model_)
        )
        history = _train_on(feed, classifier, training, validation, generator, state)
    return history, feed.n_trunk_passes


def _train_on(
    feed: WholeNetwork | KeptFeatures,
    classifier: Any,
    training: LabelledImages,
    validation: LabelledImages | None,
    generator: np.random.Generator,
    state: TrainingState | None,
) -> dict[str, list]:
    history: dict[str, list] = {"phase": []} if state is None else state.history
    for phase, title in _PHASES.items():
        learning_rate = _prepare(classifier, phase)
        if state is not None and state.is_past(phase):
            continue
        monitored = None
        trained = _batches(classifier, feed, phase, training, generator)
        if validation is not None:
            monitored = _batches(classifier, feed, phase, validation)
        epochs = train(
            feed.trained_part(phase),
            trained,
            monitored,
            learning_rate=learning_rate,
            epochs=classifier.epochs,
            reduce_lr_factor=classifier.reduce_lr_factor,
            reduce_lr_patience=classifier.reduce_lr_patience,
            early_stopping_patience=classifier.early_stopping_patience,
            callbacks=[EpochProgress(title)] if classifier.verbose else [],
            follow=None if state is None else partial(state.follow, phase),
        )
        for name, values in epochs.items():
            history.setdefault(name, []).extend(values)
        history["phase"] += [phase] * len(epochs["loss"])
    if state is not None:
        end = state.restore if state.is_finished else state.finish
        end(feed.trained_part(2))
    return history


def keep_features(classifier: Any, folder: Any) -> KeptFeatures:
    """Split a classifier's network into what is kept and what is trained."""
    return KeptFeatures(
        classifier.model_,
        n_backbone_layers=classifier.n_backbone_layers_,
        fine_tune_from=classifier.fine_tune_from_,
        directory=folder,
        dtype=classifier.features_dtype,
        batch_size=classifier.batch_size,
        n_jobs=classifier.n_jobs,
        verbose=classifier.verbose,
    )


def _prepare(classifier: Any, phase: int) -> float:
    """Freeze and unfreeze layers for a phase; return its first learning rate."""
    layers = classifier.model_.layers[: classifier.n_backbone_layers_]
    network.freeze(layers, classifier.batch_norm)
    if phase == 1:
        return classifier.learning_rate
    network.unfreeze(layers[classifier.fine_tune_from_ :], classifier.batch_norm)
    return classifier.fine_tune_learning_rate or classifier.learning_rate


def _batches(
    classifier: Any,
    feed: WholeNetwork | KeptFeatures,
    phase: int,
    data: LabelledImages,
    generator: np.random.Generator | None = None,
) -> Batches:
    return Batches(
        feed.inputs(data.images, phase),
        data.labels,
        data.weights,
        batch_size=classifier.batch_size,
        generator=generator,
        n_jobs=classifier.n_jobs,
    )


def _training_key(
    classifier: Any,
    training: LabelledImages,
    validation: LabelledImages | None,
    generator: np.random.Generator,
) -> str:
    """Digest all that a training depends on."""
    parameters = describe_parameters(classifier)
    # It may be an instance that has been drawn from; the generator says what it drew.
    del parameters["random_state"]
    settings = [installed_versions(), parameters, generator.bit_generator.state]
    parts = [training] if validation is None else [training, validation]
    data = [
        (part.images.keys.tolist(), part.labels.tolist(), joblib.hash(part.weights))
        for part in parts
    ]
    return image_key(
        fingerprint(classifier.model_), json.dumps([settings, data], sort_keys=True)
    )


@contextmanager
def _features_folder(classifier: Any, state: TrainingState | None) -> Iterator[Any]:
    """Give the folder where features are kept while a classifier is fitted."""
    if classifier.memory is not None or not classifier.keep_features:
        yield classifier.memory
    elif state is not None:
        with state.features_folder() as folder:
            yield folder
    else:
        with TemporaryDirectory(prefix="skcovid-") as folder:
            yield folder
