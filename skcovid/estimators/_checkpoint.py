"""The state of a training on disk, for it to go on as if it had not been stopped."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

import keras
from numpy.typing import NDArray

from skcovid._base._atomic_files import Record, read_record, write_record

__all__ = ["TrainingState"]

# By ReduceLROnPlateau and EarlyStopping.
_SEEN = ("best", "best_epoch", "cooldown_counter", "stopped_epoch", "wait")

History = dict[str, list]
_FINISHED = 3


class TrainingState:
    """One training's file: what it needs to go on after its last whole epoch.

    Keras' own ``BackupAndRestore`` keeps the weights, the optimiser and the number of
    the epoch. Epochs after a stop are those of a run without one only if what the
    callbacks have seen, the best weights so far and the generator of the images' order
    are kept too.
    """

    def __init__(self, folder: Any, key: str) -> None:
        self._path = Path(folder) / f"{key}.npz"
        self._saved = read_record(self._path)
        saved: dict[str, Any] = {} if self._saved is None else self._saved.description
        self._phase: int = saved.get("phase", 0)
        self.history: History = saved.get("history", {"phase": []})

    def is_past(self, phase: int) -> bool:
        """Whether a phase has ended and another one begun."""
        return phase < self._phase

    @property
    def is_finished(self) -> bool:
        """Whether all phases have ended."""
        return self._phase == _FINISHED

    @contextmanager
    def features_folder(self) -> Iterator[Path]:
        """Give a folder for features that stays after a stop, but not after the end."""
        folder = self._path.with_suffix(".features")
        yield folder
        rmtree(folder, ignore_errors=True)

    def follow(
        self, phase: int, batches: Any, callbacks: Sequence[Any]
    ) -> "StateKeeper":
        """Make the callback that restores and writes the state of a phase."""
        saved = self._saved if phase == self._phase else None
        return StateKeeper(self, phase, batches, callbacks, saved)

    def write(
        self, phase: int, description: dict[str, Any], arrays: dict[str, NDArray]
    ) -> None:
        """Write the state after an epoch."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        described = {**description, "phase": phase, "history": self.history}
        write_record(self._path, Record(described, arrays))

    def finish(self, model: Any) -> None:
        """Write what the network has become, in place of how to go on."""
        self.write(_FINISHED, {}, _numbered("variable", _trained_variables(model)))

    def restore(self, model: Any) -> None:
        """Give a network the weights that a finished training ended with."""
        assert self._saved is not None
        _assign(_trained_variables(model), self._saved.arrays, "variable")


class StateKeeper(keras.callbacks.Callback):
    """Restores a phase's state before its first epoch and writes it after each.

    It must be the last of the callbacks: what it restores, others reset before.
    """

    def __init__(
        self,
        state: TrainingState,
        phase: int,
        batches: Any,
        callbacks: Sequence[Any],
        saved: Record | None,
    ) -> None:
        super().__init__()
        self._state = state
        self._phase = phase
        self._batches = batches
        self._callbacks = callbacks
        self._saved = saved
        self.logs: History = {} if saved is None else saved.description["logs"]

    def first_epoch(self, epochs: int) -> int:
        """Return the epoch to begin with; `epochs` if training has stopped early."""
        if self._saved is None:
            return 0
        description = self._saved.description
        return epochs if description["stopped"] else description["n_epochs"]

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self._saved is None:
            return
        description, arrays = self._saved
        optimizer, model = self.model.optimizer, self.model
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        _assign(optimizer.variables, arrays, "optimizer")
        _assign(_trained_variables(model), arrays, "variable")
        for callback, numbers in zip(
            self._callbacks, description["callbacks"], strict=True
        ):
            vars(callback).update(numbers)
        trained = _positions_of_trained_weights(model)
        if "best_0" in arrays:
            weights = model.get_weights()
            for number, position in enumerate(trained):
                weights[position] = arrays[f"best_{number}"]
            self._callbacks[-1].best_weights = weights
        self._batches.generator.bit_generator.state = description["generator"]
        self._batches.order = arrays["order"]
        self._saved = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        for name, value in (logs or {}).items():
            self.logs.setdefault(name, []).append(float(value))
        arrays = {
            **_numbered("variable", _trained_variables(self.model)),
            **_numbered("optimizer", self.model.optimizer.variables),
            "order": self._batches.order,
        }
        best = self._callbacks[-1].best_weights
        if best is not None:
            for number, position in enumerate(
                _positions_of_trained_weights(self.model)
            ):
                arrays[f"best_{number}"] = best[position]
        description = {
            "n_epochs": epoch + 1,
            "stopped": bool(self.model.stop_training),
            "logs": self.logs,
            "callbacks": [_numbers(callback) for callback in self._callbacks],
            "generator": self._batches.generator.bit_generator.state,
        }
        self._state.write(self._phase, description, arrays)


def _trained_variables(model: Any) -> list[Any]:
    """Variables of the layers that train; those of the others stay what they were."""
    return [
        variable
        for layer in model.layers
        if layer.trainable
        for variable in layer.variables
    ]


def _positions_of_trained_weights(model: Any) -> list[int]:
    trained = {id(variable) for variable in _trained_variables(model)}
    return [
        position
        for position, variable in enumerate(model.weights)
        if id(variable) in trained
    ]


def _numbered(name: str, variables: Sequence[Any]) -> dict[str, NDArray]:
    return {
        f"{name}_{number}": keras.ops.convert_to_numpy(variable)
        for number, variable in enumerate(variables)
    }


def _assign(variables: Sequence[Any], arrays: Any, name: str) -> None:
    for number, variable in enumerate(variables):
        variable.assign(arrays[f"{name}_{number}"])


def _numbers(callback: Any) -> dict[str, Any]:
    """Return what a callback has seen so far; its parameters it has already."""
    return {name: vars(callback)[name] for name in _SEEN if name in vars(callback)}
