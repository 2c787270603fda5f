"""Where a network splits: finding layers, and the tensors between them."""

import math
from collections.abc import Sequence
from typing import Any

from skcovid._keras import keras
from skcovid.backbones import Backbone

__all__ = [
    "choose_layers",
    "find_layer",
    "frontier",
    "inputs_of",
    "layers_above",
    "stage_ends",
]


def find_layer(
    layers: Sequence[Any], layer: int | str, *, name: str = "fine_tune_from"
) -> int:
    """Return the index of a layer given by index or name.

    Parameters
    ----------
    layers : sequence of keras.Layer
        Where to look.
    layer : int or str
        Index or name.
    name : str, default="fine_tune_from"
        What messages call it.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    if isinstance(layer, str):
        names = [candidate.name for candidate in layers]
        if layer not in names:
            raise ValueError(
                f"{name}={layer!r} is no layer of the backbone; its last are "
                f"{', '.join(names[-5:])}."
            )
        return names.index(layer)
    if not 0 <= layer < len(layers):
        raise ValueError(
            f"{name}={layer} is out of range: the backbone has {len(layers)} "
            "layers, the first being number 0."
        )
    return int(layer)


def choose_layers(
    base: Any, backbone: Backbone, layers: Any, *, name: str = "layers"
) -> list[Any]:
    """Return the layers of a backbone whose feature maps are to be pooled.

    Parameters
    ----------
    base : keras.Model
        The backbone.
    backbone : Backbone
        Its description.
    layers : "auto" or sequence of str or int
        Names or indices; "auto" for the backbone's own `feature_layers`, or the ends of
        its stages where it has none.
    name : str, default="layers"
        What messages call it.

    Returns
    -------
    list of keras.Layer

    Raises
    ------
    ValueError
        If there is no such layer, or its output is no stack of feature maps.
    """
    chosen: Sequence[str | int] = layers
    if isinstance(layers, str):
        chosen = backbone.feature_layers or stage_ends(base)
    if not chosen:
        raise ValueError(f"{name} must name at least one layer, got none.")
    found = [base.layers[find_layer(base.layers, layer, name=name)] for layer in chosen]
    for layer in found:
        if len(layer.output.shape) != 4:
            raise ValueError(
                f"{name}: the output of {layer.name!r} has shape "
                f"{layer.output.shape}, which is no stack of feature maps."
            )
    return found


def layers_above(layers: Sequence[Any], first: int, n_backbone: int) -> list[Any]:
    """Find the layers whose output changes when those of a backbone train.

    Parameters
    ----------
    layers : sequence of keras.Layer
        The whole network's layers, the backbone's first, in their order.
    first : int
        Index of the first layer that trains.
    n_backbone : int
        How many of the layers are the backbone's.

    Returns
    -------
    list of keras.Layer
        ``layers[first:n_backbone]``, and of the head's all that builds on one of them.
    """
    above = list(layers[first:n_backbone])
    known = {id(layer) for layer in above}
    for layer in layers[n_backbone:]:
        if not known.isdisjoint(map(id, _sources(layer))):
            above.append(layer)
            known.add(id(layer))
    return above


def frontier(above: Sequence[Any]) -> list[Any]:
    """Find the tensors that enter some layers of a network from below.

    Parameters
    ----------
    above : sequence of keras.Layer
        All layers of the network from a cut on, in their order.

    Returns
    -------
    list of keras.KerasTensor
        ``keras.Model(inputs, frontier)`` is the trunk and ``keras.Model(frontier,
        output)`` the tail; they share the layers.
    """
    known = {id(layer) for layer in above}
    entering: dict[int, Any] = {}
    for layer in above:
        for tensor in inputs_of(layer):
            if id(tensor._keras_history.operation) not in known:
                entering.setdefault(id(tensor), tensor)
    # A cut at the very first layer leaves the network's input itself.
    return list(entering.values()) or [above[0].output]


def stage_ends(base: Any) -> list[str]:
    """Find the ends of a backbone's stages.

    Parameters
    ----------
    base : keras.Model
        The backbone.

    Returns
    -------
    list of str
        For each halving of the image's size, the last layer that all paths go through.
    """
    positions = {id(layer): index for index, layer in enumerate(base.layers)}
    last_use = list(range(len(base.layers)))
    for index, layer in enumerate(base.layers):
        for source in _sources(layer):
            last_use[positions[id(source)]] = index
    ends: dict[int, str] = {}
    bypassed_until = 0
    for index, layer in enumerate(base.layers):
        shape = layer.output.shape
        is_padding = isinstance(layer, keras.layers.ZeroPadding2D)
        if bypassed_until <= index and len(shape) == 4 and not is_padding:
            halvings = round(math.log2(base.input_shape[1] / shape[1]))
            ends[halvings] = layer.name
        bypassed_until = max(bypassed_until, last_use[index])
    return [name for halvings, name in ends.items() if halvings]


def inputs_of(layer: Any) -> list[Any]:
    """Return the tensors that enter a layer of a network.

    Parameters
    ----------
    layer : keras.Layer
        Of a functional network, or of several that share it.

    Returns
    -------
    list of keras.KerasTensor
    """
    # The first node is the network's own; splitting a model adds others, and then
    # `layer.input` would be ambiguous.
    return keras.tree.flatten(layer._inbound_nodes[0].input_tensors)


def _sources(layer: Any) -> list[Any]:
    return [tensor._keras_history.operation for tensor in inputs_of(layer)]
