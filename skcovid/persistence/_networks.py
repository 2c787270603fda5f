"""Taking networks out of a pipeline and putting them back.

A network is kept as plain arrays. The layers around them are built anew by skcovid,
from the estimator's own parameters, so that no code or configuration comes out of a
file.
"""

import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass
from numbers import Integral
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skcovid.backbones import Backbone, get_backbone
from skcovid.images import LazyImages
from skcovid.persistence._container import ModelFileError

__all__ = [
    "ONLY_FOR_FIT",
    "attach",
    "detach",
    "is_composite",
    "is_network",
    "pack_network",
    "without_memory",
]

_NETWORKS = ("model_", "trunk_")
# Of TransferLearningClassifier: what only `fit` uses, and makes anew.
ONLY_FOR_FIT = {
    "X_dtype_",
    "_fit_callbacks",
    "_generator",
    "_predict_callbacks",
    "feature_encoder_",
    "target_encoder_",
}
# A file could ask for an image that fills the memory; no radiograph is as large.
_MAX_SIDE = 8192


@dataclass(frozen=True)
class BackboneReference:
    """A registered backbone, by name, and what the pipeline took from it."""

    name: str
    mode: str
    feature_layers: tuple[str, ...]


@dataclass(frozen=True)
class NetworkReference:
    """A network, by its number in the file, and what is not to be told from its arrays.

    Parameters
    ----------
    index : int
        Its number.
    image_size : tuple of int
        (height, width) of its input, in pixels.
    trainable : tuple of bool
        Whether each layer was trained in the end.
    """

    index: int
    image_size: tuple[int, int]
    trainable: tuple[bool, ...]


def _copied(value: Any, change: Callable[[Any, str, Any], Any], memo: dict) -> Any:
    """Copy estimators and containers, not what they hold, with attributes changed.

    `change` gets the owner, the name and the value of an attribute or item, and returns
    what the copy has, or the value itself for it to be copied.
    """

    def visit(owner: Any, name: str, value: Any) -> Any:
        changed = change(owner, name, value)
        return _copied(value, change, memo) if changed is value else changed

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
    """Copy a pipeline, its folders of kept features and fits left out.

    Parameters
    ----------
    pipeline : estimator
        The pipeline; arrays and networks are shared with it.

    Returns
    -------
    estimator
    """

    def change(owner: Any, name: str, value: Any) -> Any:
        return None if name == "memory" else value

    return _copied(pipeline, change, {})


def detach(pipeline: Any) -> tuple[Any, list[Any]]:
    """Copy a pipeline with references in place of its networks and backbones.

    Parameters
    ----------
    pipeline : estimator
        The fitted pipeline; it stays as it is.

    Returns
    -------
    pipeline : estimator
        The copy.
    networks : list of keras.Model
        The networks that it refers to by number.

    Raises
    ------
    TypeError
        If there is a network that no skcovid estimator built, or a backbone that is not
        registered.
    """
    networks: list[Any] = []

    def change(owner: Any, name: str, value: Any) -> Any:
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, Backbone):
            return _refer_to_backbone(value)
        if is_network(value):
            if name not in _NETWORKS or not type(owner).__module__.startswith(
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

    copy = _copied(without_memory(pipeline), change, {})
    for owner in _composites(copy):
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


def _composites(value: Any) -> Iterator[Any]:
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
    """Turn a network into plain arrays and the names of its layers' classes.

    Parameters
    ----------
    network : keras.Model
        The network.

    Returns
    -------
    arrays : bytes
        In the safetensors format.
    layers : list of str
        Class of every layer, in order.
    """
    arrays = {
        name: np.ascontiguousarray(variable.numpy())
        if hasattr(variable, "numpy")
        else np.ascontiguousarray(variable)
        for name, variable in _variables(network).items()
    }
    return safetensors.numpy.save(arrays), _layer_classes(network)


def _variables(network: Any) -> dict[str, Any]:
    """Every weight, named by the place of its layer: Keras' names are numbered anew."""
    return {
        f"{position:04d}/{type(layer).__name__}/{number}/{variable.name}": variable
        for position, layer in enumerate(network.layers)
        for number, variable in enumerate(layer.weights)
    }


def _layer_classes(network: Any) -> list[str]:
    return [type(layer).__name__ for layer in network.layers]


def attach(pipeline: Any, networks: list[tuple[bytes, list[str]]]) -> Any:
    """Put networks and backbones in the place of the references to them.

    Parameters
    ----------
    pipeline : estimator
        What came out of a file.
    networks : list of (bytes, list of str)
        What `pack_network` made.

    Returns
    -------
    estimator

    Raises
    ------
    ModelFileError
        If a backbone is not registered here, parameters or sizes are not valid, or the
        arrays don't fit the network.
    """

    def change(owner: Any, name: str, value: Any) -> Any:
        if isinstance(value, BackboneReference):
            return _find_backbone(value)
        return None if name == "memory" else value

    copy = _copied(pipeline, change, {})
    for owner in _composites(copy):
        _check_object(owner)
    for owner in _composites(copy):
        for name in _NETWORKS:
            reference = vars(owner).get(name)
            if isinstance(reference, NetworkReference):
                setattr(owner, name, _rebuilt(owner, reference, networks))
    return copy


def _find_backbone(reference: BackboneReference) -> Backbone:
    try:
        backbone = get_backbone(reference.name)
    except ValueError as error:
        raise ModelFileError(
            f"its backbone has to be registered before it is loaded: {error}"
        ) from error
    if backbone.mode != reference.mode:
        raise ModelFileError(
            f"backbone {backbone.name!r} is registered with mode {backbone.mode!r}; "
            f"the model was made with {reference.mode!r}"
        )
    return backbone


def _check_object(owner: Any) -> None:
    """Look at what an object from a file holds before any of it is used."""
    kind = type(owner).__name__
    for name in vars(owner):
        if callable(getattr(type(owner), name, None)):
            raise ModelFileError(f"its {kind} has data in place of the method {name!r}")
    try:
        if hasattr(owner, "_parameter_constraints"):
            owner._validate_params()
        elif hasattr(owner, "__post_init__"):
            owner.__post_init__()
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelFileError(f"its {kind} is not valid: {error}") from error
    if "image_size_" in vars(owner):
        _check_size(owner.image_size_, f"image_size_ of its {kind}")


def _check_size(size: Any, name: str) -> None:
    if not (
        isinstance(size, tuple)
        and len(size) == 2
        and all(_is_whole(side) and 1 <= side <= _MAX_SIDE for side in size)
    ):
        raise ModelFileError(
            f"{name} must be two sides of 1 to {_MAX_SIDE} pixels, and is {size!r}"
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _rebuilt(
    owner: Any, reference: NetworkReference, networks: list[tuple[bytes, list[str]]]
) -> Any:
    kind = type(owner).__name__
    if not _is_whole(reference.index) or not 0 <= reference.index < len(networks):
        raise ModelFileError(f"the network of its {kind} is missing")
    _check_size(reference.image_size, f"the image size of its {kind}")
    content, layers = networks[reference.index]
    arrays = safetensors.numpy.load(content)
    build = {
        "TransferLearningClassifier": _build_classifier_network,
        "BackboneFeatures": _build_trunk,
    }[kind]
    network = build(owner, reference.image_size, arrays)
    variables = _variables(network)
    _check_fit(arrays, layers, network, variables)
    for name, variable in variables.items():
        variable.assign(arrays[name])
    for layer, trainable in zip(network.layers, reference.trainable, strict=True):
        layer.trainable = bool(trainable)
    return network


def _build_classifier_network(
    classifier: Any, image_size: tuple[int, int], arrays: dict[str, NDArray]
) -> Any:
    classes = vars(classifier).get("classes_")
    if not isinstance(classes, np.ndarray) or classes.ndim != 1 or len(classes) < 2:
        raise ModelFileError("its classifier has no list of classes")
    if classifier.n_classes_ != len(classes):
        raise ModelFileError(
            "its classifier has another number of classes than it says"
        )
    if tuple(classifier.X_shape_[1:]) != (*image_size, 3):
        raise ModelFileError(
            "its classifier and its network take images of other sizes"
        )
    _check_head(classifier, image_size, arrays)
    anew = object.__new__(type(classifier))
    vars(anew).update({**vars(classifier), "weights": None, "random_state": 0})
    model = anew._build_keras_model()
    for name in ("n_backbone_layers_", "fine_tune_from_"):
        if vars(anew)[name] != vars(classifier)[name]:
            raise ModelFileError(
                f"{name} of its classifier is {vars(classifier)[name]!r}, and "
                f"{vars(anew)[name]} in the network built here"
            )
    return model


def _check_head(
    classifier: Any, image_size: tuple[int, int], arrays: dict[str, NDArray]
) -> None:
    """Refuse a head larger than the file before anything of that size is made."""
    n_inputs = 1
    if classifier.pooling is None:
        from skcovid.network import build_backbone

        base = build_backbone(classifier.backbone_, None, image_size=image_size)
        n_inputs = math.prod(base.output_shape[1:])
    if n_inputs * classifier.dense_units > sum(part.size for part in arrays.values()):
        raise ModelFileError(
            f"its classifier has a head of {n_inputs} × {classifier.dense_units} "
            "weights at least, and the file holds fewer"
        )


def _build_trunk(
    features: Any, image_size: tuple[int, int], arrays: dict[str, NDArray]
) -> Any:
    layers = features.layers
    if layers == "auto" and get_backbone(features.backbone).feature_layers:
        # The names stay what they are where another version chooses others.
        layers = features.layer_names_
    parameters = {
        **features.get_params(),
        "weights": None,
        "layers": layers,
        "random_state": 0,
    }
    anew = type(features)(**parameters)
    # Only the size of the images is asked for.
    anew.fit(LazyImages(np.zeros, [0], image_shape=(*image_size, 3), dtype=np.float32))
    if anew.n_features_out_ != features.n_features_out_:
        raise ModelFileError(
            f"its features have {features.n_features_out_} columns, and the network "
            f"built here gives {anew.n_features_out_}"
        )
    return anew.trunk_


def _check_fit(
    arrays: dict[str, NDArray],
    layers: list[str],
    network: Any,
    variables: dict[str, Any],
) -> None:
    if layers != _layer_classes(network) or arrays.keys() != variables.keys():
        raise ModelFileError(
            f"it holds a network of {len(layers)} layers and {len(arrays)} arrays that "
            "are not those that its parameters describe; the backbone may be another "
            "in the Keras version installed"
        )
    for name, variable in variables.items():
        found = arrays[name]
        if found.shape != tuple(variable.shape) or found.dtype.name != variable.dtype:
            raise ModelFileError(
                f"weights {name!r} have shape {found.shape} and {found.dtype}; "
                f"{tuple(variable.shape)} and {variable.dtype} are needed"
            )
