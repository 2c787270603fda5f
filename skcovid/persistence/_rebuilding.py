"""Putting networks and backbones back into a pipeline that came out of a file.

The layers are built anew by skcovid, from the estimator's own parameters, and the
arrays of the file put in, so that no code or configuration comes out of it.
"""

import math
from numbers import Integral
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from skcovid.images._lazy_images import LazyImages
from skcovid.networks.backbones import Backbone, get_backbone
from skcovid.persistence._container import ModelFileError
from skcovid.persistence._networks import (
    NETWORK_ATTRIBUTES,
    BackboneReference,
    NetworkReference,
    composites,
    copied,
    layer_classes,
    variables_of,
)

__all__ = ["attach"]

# A file could ask for an image that fills the memory; no radiograph is as large.
_MAX_SIDE = 8192


def attach(pipeline: Any, networks: list[tuple[bytes, list[str]]]) -> Any:
    """Put networks and backbones in the place of the references to them."""

    def change(owner: Any, name: str, value: Any) -> Any:
        if isinstance(value, BackboneReference):
            return _find_backbone(value)
        return None if name in ("checkpoint", "memory") else value

    copy = copied(pipeline, change, {})
    for owner in composites(copy):
        _check_object(owner)
    for owner in composites(copy):
        for name in NETWORK_ATTRIBUTES:
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
    variables = variables_of(network)
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
        from skcovid.networks._network import build_backbone

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
    if layers != layer_classes(network) or arrays.keys() != variables.keys():
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
