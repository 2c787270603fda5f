"""The state of a training on disk, from which it continues to the same result."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

import keras
from numpy.typing import NDArray

from skcovid._base._atomic_files import (
    Record,
    exclusive_lock,
    read_record,
    write_record,
)

Arrays = dict[str, NDArray[Any]]
History = dict[str, list[float]]

# Attributes of ReduceLROnPlateau and EarlyStopping.
_CALLBACK_STATE = ("best", "best_epoch", "cooldown_counter", "stopped_epoch", "wait")
_FINISHED = 3  # the phase after the last


class TrainingState:
    """One training's file: its state after the last complete epoch.

    Keras' ``BackupAndRestore`` saves the weights, the optimiser and the epoch. To train
    exactly as without an interruption, the callbacks' state, the best weights so far
    and the generator of the images' order are needed too.
    """

    def __init__(self, folder: str | os.PathLike[str], key: str) -> None:
        self._path = Path(folder) / f"{key}.npz"
        self.saved = read_record(self._path)
        saved: dict[str, Any] = {} if self.saved is None else self.saved.description
        self.phase: int = saved.get("phase", 0)
        self.history: History = saved.get("history", {"phase": []})

    @contextmanager
    def features_folder(self) -> Iterator[Path]:
        """Yield a folder for features, and delete it if training ends normally."""
        folder = self._path.with_suffix(".features")
        folder.parent.mkdir(parents=True, exist_ok=True)
        # The same training, in another process, uses the same folder.
        with exclusive_lock(self._path.with_suffix(".lock")):
            yield folder
            rmtree(folder, ignore_errors=True)

    def write(self, phase: int, description: dict[str, Any], arrays: Arrays) -> None:
        """Write the state after an epoch."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        described = {**description, "phase": phase, "history": self.history}
        write_record(self._path, Record(described, arrays))

    def finish(self, model: Any) -> None:
        """Save the trained weights, or restore those of a training that has ended."""
        if self.saved is not None and self.phase == _FINISHED:
            _assign(_trained_variables(model), self.saved.arrays, "variable")
        else:
            self.write(_FINISHED, {}, _to_arrays(_trained_variables(model), "variable"))


class PhaseBackup(keras.callbacks.Callback):
    """Restores a phase's state before its first epoch and saves it after each.

    It must be the last callback, because the others reset what it restores.
    """

    def __init__(
        self, state: TrainingState, phase: int, batches: Any, callbacks: Sequence[Any]
    ) -> None:
        super().__init__()
        self._state = state
        self._phase = phase
        self._batches = batches
        self._callbacks = callbacks
        self._saved = saved = state.saved if phase == state.phase else None
        self.logs: History = {} if saved is None else saved.description["logs"]

    def first_epoch(self, epochs: int) -> int:
        """Return the epoch to start with; `epochs` if training has stopped early."""
        if self._saved is None:
            return 0
        description = self._saved.description
        return int(epochs if description["stopped"] else description["n_epochs"])

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._saved is None:
            return
        description, arrays = self._saved
        optimizer, model = self.model.optimizer, self.model
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        _assign(optimizer.variables, arrays, "optimizer")
        _assign(_trained_variables(model), arrays, "variable")
        for callback, values in zip(
            self._callbacks, description["callbacks"], strict=True
        ):
            vars(callback).update(values)
        if "best_0" in arrays:
            weights = model.get_weights()
            for number, position in enumerate(_trained_positions(model)):
                weights[position] = arrays[f"best_{number}"]
            self._callbacks[-1].best_weights = weights
        self._batches.generator.bit_generator.state = description["generator"]
        self._batches.order = arrays["order"]
        self._saved = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, value in (logs or {}).items():
            self.logs.setdefault(name, []).append(float(value))
        model = self.model
        arrays = {
            **_to_arrays(_trained_variables(model), "variable"),
            **_to_arrays(model.optimizer.variables, "optimizer"),
            "order": self._batches.order,
        }
        best = self._callbacks[-1].best_weights
        if best is not None:
            for number, position in enumerate(_trained_positions(model)):
                arrays[f"best_{number}"] = best[position]
        description = {
            "n_epochs": epoch + 1,
            "stopped": bool(model.stop_training),
            "logs": self.logs,
            "callbacks": [
                {
                    name: vars(callback)[name]
                    for name in _CALLBACK_STATE
                    if name in vars(callback)
                }
                for callback in self._callbacks
            ],
            "generator": self._batches.generator.bit_generator.state,
        }
        self._state.write(self._phase, description, arrays)


def _trained_variables(model: Any) -> list[Any]:
    """List the variables of the layers that train; all others are constant."""
    return [
        variable
        for layer in model.layers
        if layer.trainable
        for variable in layer.variables
    ]


def _trained_positions(model: Any) -> list[int]:
    """List the indices of the trained variables among the model's weights."""
    trained = {id(variable) for variable in _trained_variables(model)}
    return [
        position
        for position, variable in enumerate(model.weights)
        if id(variable) in trained
    ]


def _to_arrays(variables: Sequence[Any], name: str) -> Arrays:
    return {
        f"{name}_{number}": keras.ops.convert_to_numpy(variable)
        for number, variable in enumerate(variables)
    }


def _assign(
    variables: Sequence[Any], arrays: Mapping[str, NDArray[Any]], name: str
) -> None:
    for number, variable in enumerate(variables):
        variable.assign(arrays[f"{name}_{number}"])
