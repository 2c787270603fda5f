"""Take networks and backbones out of a pipeline to save it, and put them back.

A file holds only the weights of a network. The estimator builds the layers again from
its own parameters, so that no code or configuration is loaded.
"""

import os
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import safetensors.numpy

from skcovid._base._network_estimator import NetworkEstimator
from skcovid.networks.backbones import Backbone, get_backbone, list_backbones
from skcovid.persistence._traversal import (
    FOLDER_PARAMETERS,
    copy_with_changes,
    unused_attributes,
)
from skcovid.persistence._zip_container import ModelFileError

# A hostile file could ask for an image that fills the memory; no radiograph is larger.
_MAX_SIDE = 8192
# The header names every array, in about 100 bytes; networks have at most 2000.
_MAX_HEADER_BYTES = 2_000_000
# Class attributes that the attributes of an object from a file must not hide.
_CLASS_ATTRIBUTES = {"_fit_attributes", "_network_attribute", "_parameter_constraints"}


@dataclass(frozen=True)
class BackboneReference:
    """Name and pixel mode of a registered backbone."""

    name: str
    mode: str


@dataclass(frozen=True)
class NetworkReference:
    """Number of a network in the file, its image size and its trainable layers."""

    index: int
    image_size: tuple[int, int]
    trainable: tuple[bool, ...]


def extract_networks(pipeline: Any) -> tuple[Any, list[Any]]:
    """Copy a pipeline with references in place of its networks and backbones."""
    networks: list[Any] = []

    def refer(owner: Any, name: str, value: Any) -> Any:
        if name in FOLDER_PARAMETERS:
            return None
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, Backbone):
            if value.name not in list_backbones() or get_backbone(value.name) != value:
                raise TypeError(
                    f"This pipeline can't be saved: its backbone {value.name!r} is not "
                    "the one registered by that name. Register it with "
                    "skcovid.register_backbone, so that it is found when the model is "
                    "loaded."
                )
            return BackboneReference(value.name, value.mode)
        if not isinstance(value, keras.Model):
            return value
        if not _is_network_attribute(owner, name):
            raise TypeError(
                f"This pipeline can't be saved: {type(owner).__name__} holds a Keras "
                "network that skcovid did not build."
            )
        networks.append(value)
        return NetworkReference(
            len(networks) - 1,
            value.input_shape[1:3],
            tuple(layer.trainable for layer in value.layers),
        )

    copy, parts = copy_with_changes(pipeline, refer)
    for part in parts:
        for name in unused_attributes(part):
            delattr(part, name)
    return copy, networks


def _is_network_attribute(owner: Any, name: str) -> bool:
    return isinstance(owner, NetworkEstimator) and owner._network_attribute == name


def pack_weights(network: Any) -> bytes:
    """Write the weights of a network as safetensors."""
    arrays = {
        name: np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        for name, variable in _name_variables(network).items()
    }
    return safetensors.numpy.save(arrays)


def _name_variables(network: Any) -> dict[str, Any]:
    """Name every weight by the position of its layer, as Keras' own names vary."""
    return {
        f"{position:04d}/{type(layer).__name__}/{number}/{variable.name}": variable
        for position, layer in enumerate(network.layers)
        for number, variable in enumerate(layer.weights)
    }


def list_layer_classes(network: Any) -> list[str]:
    """Return the class name of every layer, in order."""
    return [type(layer).__name__ for layer in network.layers]


def restore_networks(pipeline: Any, networks: list[tuple[bytes, list[str]]]) -> Any:
    """Copy a pipeline with networks and backbones in place of the references."""

    def resolve(owner: Any, name: str, value: Any) -> Any:
        if isinstance(value, BackboneReference):
            try:
                backbone = get_backbone(value.name)
            except ValueError as error:
                raise ModelFileError(
                    f"its backbone must be registered before it is loaded: {error}"
                ) from error
            if backbone.mode != value.mode:
                raise ModelFileError(
                    f"backbone {value.name!r} is registered with mode "
                    f"{backbone.mode!r}; the model was saved with mode {value.mode!r}"
                )
            return backbone
        return None if name in FOLDER_PARAMETERS else value

    copy, parts = copy_with_changes(pipeline, resolve)
    for part in parts:
        _check_part(part)
    restored: set[Any] = set()
    for part in parts:
        for name, value in list(vars(part).items()):
            if isinstance(value, NetworkReference):
                if value.index in restored:
                    raise ModelFileError(
                        f"its network {value.index} belongs to two estimators"
                    )
                restored.add(value.index)
                setattr(part, name, _restore_network(part, name, value, networks))
    return copy


def _check_part(part: Any) -> None:
    """Check the attributes of an object from a file before any of them is used."""
    kind = type(part).__name__
    for name in vars(part):
        if name in _CLASS_ATTRIBUTES or callable(getattr(type(part), name, None)):
            raise ModelFileError(
                f"its {kind} has data in place of its class attribute {name!r}"
            )
    try:
        if hasattr(part, "_parameter_constraints"):
            part._validate_params()
        elif hasattr(part, "__post_init__"):
            part.__post_init__()
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelFileError(f"its {kind} is not valid: {error}") from error
    if "image_size_" in vars(part):
        _check_size(part.image_size_, f"image_size_ of its {kind}")


def _check_size(size: Any, name: str) -> None:
    sides = size if isinstance(size, tuple) else ()
    if len(sides) != 2 or not all(
        isinstance(side, int | np.integer) and 1 <= side <= _MAX_SIDE for side in sides
    ):
        raise ModelFileError(
            f"{name} must be two sides of 1 to {_MAX_SIDE} pixels, got {size!r}"
        )


def _restore_network(
    owner: Any,
    name: str,
    reference: NetworkReference,
    networks: list[tuple[bytes, list[str]]],
) -> Any:
    kind = type(owner).__name__
    if not _is_network_attribute(owner, name):
        raise ModelFileError(f"its {kind} has a network as {name!r}")
    if reference.index not in range(len(networks)):
        raise ModelFileError(f"the network of its {kind} is missing")
    _check_size(reference.image_size, f"the image size of its {kind}")
    content, layer_classes = networks[reference.index]
    header_size = int.from_bytes(content[:8], "little")
    if header_size > _MAX_HEADER_BYTES:
        raise ModelFileError(
            f"the Safetensor header of network {reference.index} has {header_size:,} "
            f"bytes, more than {_MAX_HEADER_BYTES:,}"
        )
    arrays = safetensors.numpy.load(content)
    n_weights = sum(array.size for array in arrays.values())
    try:
        network = owner._rebuild_network(reference.image_size, n_weights)
    except ValueError as error:
        raise ModelFileError(f"its {kind} is not valid: {error}") from error
    if layer_classes != list_layer_classes(network):
        raise ModelFileError(
            f"its network of {len(layer_classes)} layers does not match the parameters "
            f"of its {kind}; Keras' backbone may differ between versions"
        )
    variables = _name_variables(network)
    found = {name: (array.shape, array.dtype.name) for name, array in arrays.items()}
    needed = {name: (tuple(v.shape), v.dtype) for name, v in variables.items()}
    if found != needed:
        wrong = min(found.items() ^ needed.items())[0]
        raise ModelFileError(
            f"its weights {wrong!r} are {found.get(wrong, 'missing')}, but its "
            f"parameters need {needed.get(wrong, 'none')}"
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
    for layer, trainable in zip(network.layers, reference.trainable, strict=True):
        layer.trainable = bool(trainable)
    return network
