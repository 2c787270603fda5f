"""The graph of a network: its layers, the tensors between them, where it splits."""

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import keras

from skcovid._base._compatibility import input_tensors, layer_output, tensor_source
from skcovid.networks.backbones import Backbone

_GLOBAL_POOLINGS = keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D


def layer_inputs(layer: Any) -> list[Any]:
    """List the tensors that enter a layer of a network."""
    return list(keras.tree.flatten(input_tensors(layer)))


def find_layer(
    layers: Sequence[Any], layer: int | str, *, name: str = "fine_tune_from"
) -> int:
    """Return the index of a layer given by index or name."""
    if isinstance(layer, str):
        names = [candidate.name for candidate in layers]
        if layer not in names:
            raise ValueError(
                f"{name}={layer!r} is not a layer of the backbone; its last ones are "
                f"{', '.join(names[-5:])}."
            )
        return names.index(layer)
    if not 0 <= layer < len(layers):
        raise ValueError(
            f"{name}={layer} is out of range: the backbone's {len(layers)} layers "
            f"have the indices 0 to {len(layers) - 1}."
        )
    return int(layer)


def choose_layers(
    base: Any, backbone: Backbone, layers: Any, *, name: str = "layers"
) -> list[Any]:
    """Find the layers of a backbone whose feature maps will be pooled."""
    chosen: Sequence[str | int] = layers
    if isinstance(layers, str):
        chosen = backbone.feature_layers or stage_ends(base)
    if not chosen:
        raise ValueError(f"{name} must name at least one layer, got {layers!r}.")
    found = [base.layers[find_layer(base.layers, layer, name=name)] for layer in chosen]
    for position, layer in enumerate(found):
        if layer in found[:position]:
            raise ValueError(f"{name} names the layer {layer.name!r} twice.")
        if len(layer.output.shape) != 4:
            raise ValueError(
                f"{name}: the output of {layer.name!r} has shape "
                f"{layer.output.shape}; choose a layer with feature maps, shape "
                "(None, height, width, channels)."
            )
    return found


def frontier(above: Sequence[Any]) -> list[Any]:
    """Find the tensors that enter some layers of a network from below."""
    known = {id(layer) for layer in above}
    entering: dict[int, Any] = {}
    for layer in above:
        for tensor in layer_inputs(layer):
            if id(tensor_source(tensor).layer) not in known:
                entering.setdefault(id(tensor), tensor)
    # A cut at the very first layer leaves the network's input itself.
    return list(entering.values()) or [above[0].output]


class Tail(NamedTuple):
    """The part of a network that training changes: symbolic tensors."""

    inputs: list[Any]
    head_input: Any
    output: Any


def split_tail(model: Any, head_input: Any, trained: Collection[Any]) -> Tail:
    """Find the tail of a network, given the layers that are trained.

    A late layer that depends on no trained one belongs to the trunk. Concatenated maps
    are pooled part by part, with the same result: of the parts that training does not
    change, only the pooled vectors enter the tail.
    """
    known = {id(layer) for layer in trained}
    changing: set[int] = set()
    replaced: dict[int, Any] = {}
    for layer in model.layers:
        inputs, output = layer_inputs(layer), layer_output(layer)
        if id(layer) not in known and changing.isdisjoint(map(id, inputs)):
            continue
        changing.add(id(output))
        if isinstance(layer, _GLOBAL_POOLINGS):
            parts = _concatenated_maps(inputs[0], changing)
            if len(parts) > 1:
                replaced[id(output)] = _pool_parts(layer, parts, changing)
        elif any(id(tensor) in replaced for tensor in inputs):
            inputs = [replaced.get(id(tensor), tensor) for tensor in inputs]
            replaced[id(output)] = layer(inputs if len(inputs) > 1 else inputs[0])
            changing.add(id(replaced[id(output)]))
    head_input, output = (
        replaced.get(id(tensor), tensor) for tensor in (head_input, model.output)
    )
    return Tail(_constant_inputs(output, changing), head_input, output)


def _concatenated_maps(maps: Any, changing: Collection[int]) -> list[Any]:
    """Return the parts of concatenated maps if training changes some, else the maps."""
    layer = tensor_source(maps).layer
    is_joined = isinstance(layer, keras.layers.Concatenate) and layer.axis in (-1, 3)
    if not is_joined or id(maps) not in changing:
        return [maps]
    return [
        part
        for tensor in layer_inputs(layer)
        for part in _concatenated_maps(tensor, changing)
    ]


def _pool_parts(pooling: Any, parts: Sequence[Any], changing: set[int]) -> Any:
    """Pool each part with a layer like `pooling`, and concatenate the vectors."""
    config = {**pooling.get_config(), "name": None}
    vectors = [type(pooling).from_config(config)(part) for part in parts]
    changing.update(
        id(vector)
        for vector, part in zip(vectors, parts, strict=True)
        if id(part) in changing
    )
    concatenated = keras.layers.Concatenate(dtype="float32")(vectors)
    changing.add(id(concatenated))
    return concatenated


def _constant_inputs(output: Any, changing: Collection[int]) -> list[Any]:
    """Find the unchanging tensors that `output` is computed from."""
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
    """Find the last layer, on every path, before each halving of the maps' size."""
    positions = {id(layer): index for index, layer in enumerate(base.layers)}
    last_use = list(range(len(base.layers)))
    for index, layer in enumerate(base.layers):
        for tensor in layer_inputs(layer):
            last_use[positions[id(tensor_source(tensor).layer)]] = index
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
