"""Where a network splits: finding layers, and the tensors between them."""

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import keras

from skcovid._base._compatibility import input_tensors, layer_output, tensor_source
from skcovid.networks.backbones import Backbone

__all__ = [
    "Tail",
    "choose_layers",
    "find_layer",
    "frontier",
    "inputs_of",
    "split_tail",
    "stage_ends",
]


def find_layer(
    layers: Sequence[Any], layer: int | str, *, name: str = "fine_tune_from"
) -> int:
    """Return the index of a layer given by index or name."""
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
    """Return the layers of a backbone whose feature maps are to be pooled."""
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


def frontier(above: Sequence[Any]) -> list[Any]:
    """Find the tensors that enter some layers of a network from below."""
    known = {id(layer) for layer in above}
    entering: dict[int, Any] = {}
    for layer in above:
        for tensor in inputs_of(layer):
            if id(tensor_source(tensor).layer) not in known:
                entering.setdefault(id(tensor), tensor)
    # A cut at the very first layer leaves the network's input itself.
    return list(entering.values()) or [above[0].output]


class Tail(NamedTuple):
    """The part of a network that training changes."""

    entering: list[Any]
    head_input: Any
    output: Any


def split_tail(model: Any, head_input: Any, trained: Collection[Any]) -> Tail:
    """Cut a network where what training changes begins.

    A layer that comes late but builds on nothing that is trained belongs to the trunk.
    Joined maps are pooled part by part, which gives the same: of those parts that
    training does not change, only the pooled vectors enter the tail.
    """
    known = {id(layer) for layer in trained}
    changing: set[int] = set()
    replaced: dict[int, Any] = {}
    for layer in model.layers:
        inputs, output = inputs_of(layer), layer_output(layer)
        if id(layer) not in known and changing.isdisjoint(map(id, inputs)):
            continue
        changing.add(id(output))
        if isinstance(layer, _GLOBAL_POOLINGS):
            parts = _joined_maps(inputs[0], changing)
            if len(parts) > 1:
                replaced[id(output)] = _pool_apart(layer, parts, changing)
        elif any(id(tensor) in replaced for tensor in inputs):
            inputs = [replaced.get(id(tensor), tensor) for tensor in inputs]
            replaced[id(output)] = layer(inputs if len(inputs) > 1 else inputs[0])
            changing.add(id(replaced[id(output)]))
    head_input, output = (
        replaced.get(id(tensor), tensor) for tensor in (head_input, model.output)
    )
    return Tail(_entering(output, changing), head_input, output)


_GLOBAL_POOLINGS = keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D


def _joined_maps(maps: Any, changing: Collection[int]) -> list[Any]:
    """Take joined maps apart, where training changes some of them."""
    layer = tensor_source(maps).layer
    is_joined = isinstance(layer, keras.layers.Concatenate) and layer.axis in (-1, 3)
    if not is_joined or id(maps) not in changing:
        return [maps]
    return [
        part for tensor in inputs_of(layer) for part in _joined_maps(tensor, changing)
    ]


def _pool_apart(pooling: Any, parts: Sequence[Any], changing: set[int]) -> Any:
    """Pool each part by a layer like `pooling`, and join the vectors."""
    config = {**pooling.get_config(), "name": None}
    vectors = [type(pooling).from_config(config)(part) for part in parts]
    changing.update(
        id(vector)
        for vector, part in zip(vectors, parts, strict=True)
        if id(part) in changing
    )
    joined = keras.layers.Concatenate(dtype="float32")(vectors)
    changing.add(id(joined))
    return joined


def _entering(output: Any, changing: Collection[int]) -> list[Any]:
    """Find what does not change among the tensors that `output` is computed from."""
    entering: dict[int, Any] = {}
    pending, seen = [output], set()
    while pending:
        tensor = pending.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if id(tensor) in changing:
            inputs = input_tensors(*tensor_source(tensor))
            pending.extend(reversed(keras.tree.flatten(inputs)))
        else:
            entering[id(tensor)] = tensor
    return list(entering.values())


def stage_ends(base: Any) -> list[str]:
    """Find the ends of a backbone's stages."""
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
    """Return the tensors that enter a layer of a network."""
    return keras.tree.flatten(input_tensors(layer))


def _sources(layer: Any) -> list[Any]:
    return [tensor_source(tensor).layer for tensor in inputs_of(layer)]
