"""The two phases of training (section 3.4 of the paper)."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray

from skcovid._base._digests import image_key
from skcovid._base._progress import Progress
from skcovid._base._version import installed_versions
from skcovid.estimators._checkpoint import History, TrainingState
from skcovid.estimators._trainable_network import (
    PHASES,
    Phase,
    TrainableNetwork,
    WholeNetwork,
)
from skcovid.estimators._training import (
    Batches,
    EpochProgress,
    TrainingSettings,
    train_phase,
)
from skcovid.images._lazy_images import LazyImages
from skcovid.networks._feature_store import fingerprint
from skcovid.networks._memory import runs_on_cpu


class LabelledImages(NamedTuple):
    """Images for training or validation, with class numbers."""

    images: LazyImages
    labels: NDArray[np.intp]
    weights: NDArray[np.float32] | None = None


def train_phases(
    network: TrainableNetwork,
    settings: TrainingSettings,
    training: LabelledImages,
    validation: LabelledImages | None,
    generator: np.random.Generator,
    state: TrainingState | None = None,
) -> History:
    """Train the head on the frozen network, then the network's last layers too."""

    def make_batches(
        phase: Phase, data: LabelledImages, generator: np.random.Generator | None = None
    ) -> Batches:
        return Batches(
            network.loader(data.images, phase),
            data.labels,
            data.weights,
            batch_size=settings.batch_size,
            generator=generator,
            n_jobs=settings.n_jobs,
        )

    faster = 'recipe "linear"' + ' or "fast"' * isinstance(network, WholeNetwork)
    faster += ", a smaller network" + ", or a GPU" * runs_on_cpu()
    history: History = {"phase": []} if state is None else state.history
    n_epochs = len(PHASES) * settings.epochs
    with Progress("training", n_epochs, "epoch", settings.verbose) as progress:
        for phase in PHASES:
            network.parts.set_trainable(phase, settings.batch_norm)
            if state is not None and phase < state.phase:
                continue
            batches = make_batches(phase, training, generator)
            monitored = None if validation is None else make_batches(phase, validation)
            shown = None
            if settings.verbose:
                n_batches = len(batches) + (0 if monitored is None else len(monitored))
                shown = EpochProgress(
                    progress, phase, settings.epochs, n_batches, faster
                )
            logs = train_phase(
                network.trained_model(phase),
                batches,
                monitored,
                settings,
                phase,
                state,
                shown,
            )
            for name, values in logs.items():
                history.setdefault(name, []).extend(values)
            history["phase"] += [phase] * len(logs["loss"])
    if state is not None:
        state.finish(network.trained_model(2))
    return history


def training_key(
    model: Any,
    parameters: Mapping[str, str],
    training: LabelledImages,
    validation: LabelledImages | None,
    generator: np.random.Generator,
) -> str:
    """Digest everything that a training depends on."""
    # The generator stands for random_state, as a RandomState may have advanced.
    described = {
        name: value for name, value in parameters.items() if name != "random_state"
    }
    settings = [installed_versions(), described, generator.bit_generator.state]
    parts = [training] if validation is None else [training, validation]
    data = [
        (part.images.keys.tolist(), part.labels.tolist(), joblib.hash(part.weights))
        for part in parts
    ]
    return image_key(fingerprint(model), json.dumps([settings, data], sort_keys=True))
