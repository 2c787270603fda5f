"""Taking networks and backbones out of a pipeline, for them to be saved apart."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np
import safetensors.numpy
from sklearn.base import BaseEstimator

from skcovid.networks.backbones import Backbone, get_backbone

__all__ = [
    "NETWORK_ATTRIBUTES",
    "ONLY_FOR_FIT",
    "BackboneReference",
    "NetworkReference",
    "composites",
    "copied",
    "detach",
    "is_composite",
    "is_network",
    "layer_classes",
    "pack_network",
    "variables_of",
    "without_memory",
]

NETWORK_ATTRIBUTES = ("model_", "trunk_")
# Of TransferLearningClassifier: what only `fit` uses, and makes anew.
ONLY_FOR_FIT = {
    "X_dtype_",
    "_fit_callbacks",
    "_generator",
    "_predict_callbacks",
    "feature_encoder_",
    "target_encoder_",
}


@dataclass(frozen=True)
class BackboneReference:
    """A registered backbone, by name, and what the pipeline took from it."""

    name: str
    mode: str
    feature_layers: tuple[str, ...]


@dataclass(frozen=True)
class NetworkReference:
    """A network by its number in the file, and what its arrays do not say."""

    index: int
    image_size: tuple[int, int]
    trainable: tuple[bool, ...]


def copied(value: Any, change: Callable[[Any, str, Any], Any], memo: dict) -> Any:
    """Copy estimators and containers, not what they hold, with attributes changed.

    `change` gets the owner, the name and the value of an attribute or item, and returns
    what the copy has, or the value itself for it to be copied.
    """

    def visit(owner: Any, name: str, value: Any) -> Any:
        changed = change(owner, name, value)
        return copied(value, change, memo) if changed is value else changed

    if id(value) in memo:
        return memo[id(value)]
    if type(value) in (list, tuple):
        copy = type(value)(visit(value, "", item) for item in value)
    elif type(value) is dict:
        copy = {key: visit(value, "", item) for key, item in value.items()}
    elif is_composite(value):
        copy = object.__new__(type(value))
        attributes = {
            name: visit(value, name, item) for name, item in vars(value).items()
        }
        vars(copy).update(attributes)
    else:
        return value
    memo[id(value)] = copy
    return copy


def is_composite(value: Any) -> bool:
    """Whether it is an estimator, or an object of scikit-learn's that may hold some."""
    if isinstance(value, BaseEstimator):
        return True
    is_part = type(value).__module__.startswith("sklearn.")
    return is_part and hasattr(value, "__dict__") and not isinstance(value, dict)


def without_memory(pipeline: Any) -> Any:
    """Copy a pipeline, its folders of kept features and fits left out."""

    def change(owner: Any, name: str, value: Any) -> Any:
        return None if name in ("checkpoint", "memory") else value

    return copied(pipeline, change, {})


def detach(pipeline: Any) -> tuple[Any, list[Any]]:
    """Copy a pipeline with references in place of its networks and backbones."""
    networks: list[Any] = []

    def change(owner: Any, name: str, value: Any) -> Any:
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, Backbone):
            return _refer_to_backbone(value)
        if is_network(value):
            if name not in NETWORK_ATTRIBUTES or not type(owner).__module__.startswith(
                "skcovid."
            ):
                raise TypeError(
                    f"This pipeline can't be saved: {type(owner).__name__} holds a "
                    "Keras network that skcovid did not build."
                )
            networks.append(value)
            return NetworkReference(
                len(networks) - 1,
                value.input_shape[1:3],
                tuple(layer.trainable for layer in value.layers),
            )
        return value

    copy = copied(without_memory(pipeline), change, {})
    for owner in composites(copy):
        if type(owner).__name__ == "TransferLearningClassifier":
            for name in ONLY_FOR_FIT & vars(owner).keys():
                delattr(owner, name)
    return copy, networks


def is_network(value: Any) -> bool:
    """Whether it is a Keras model; Keras is not imported to tell."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, keras.Model)


def _refer_to_backbone(backbone: Backbone) -> BackboneReference:
    try:
        registered = get_backbone(backbone.name)
    except ValueError:
        registered = None
    if registered != backbone:
        raise TypeError(
            f"This pipeline can't be saved: its backbone {backbone.name!r} is not the "
            "one registered by that name. Register it with skcovid.register_backbone, "
            "so that it can be found when the model is loaded."
        )
    return BackboneReference(backbone.name, backbone.mode, backbone.feature_layers)


def composites(value: Any) -> Iterator[Any]:
    """Yield every estimator and every object that holds some, once."""
    seen: set[int] = set()
    pending = [value]
    while pending:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) in (list, tuple):
            pending.extend(value)
        elif type(value) is dict:
            pending.extend(value.values())
        elif is_composite(value):
            yield value
            pending.extend(vars(value).values())
        elif is_dataclass(value):
            yield value


def pack_network(network: Any) -> tuple[bytes, list[str]]:
    """Turn a network into plain arrays and the names of its layers' classes."""
    import keras

    arrays = {
        name: np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        for name, variable in variables_of(network).items()
    }
    return safetensors.numpy.save(arrays), layer_classes(network)


def variables_of(network: Any) -> dict[str, Any]:
    """Name every weight by the place of its layer: Keras numbers its names anew."""
    return {
        f"{position:04d}/{type(layer).__name__}/{number}/{variable.name}": variable
        for position, layer in enumerate(network.layers)
        for number, variable in enumerate(layer.weights)
    }


def layer_classes(network: Any) -> list[str]:
    """Name the class of every layer, in order."""
    return [type(layer).__name__ for layer in network.layers]
