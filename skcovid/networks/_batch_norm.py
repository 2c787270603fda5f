"""Batch normalisation folded into convolutions, for networks in inference mode."""

from collections import Counter
from typing import Any

import keras
import numpy as np

from skcovid._base._compatibility import tensor_source
from skcovid.networks._graph import inputs_of
from skcovid.networks._network import is_batch_norm

__all__ = ["fold_batch_norm"]


def fold_batch_norm(model: Any) -> Any:
    """Put batch normalisation into the convolution before it.

    In inference mode it multiplies every channel and adds to it, which the kernel and
    the bias can do as well. Keras does it in passes of their own over the feature maps,
    a tenth of the time of a network.
    """
    uses = Counter(id(tensor) for layer in model.layers for tensor in inputs_of(layer))
    uses.update(map(id, model.outputs))
    convolutions, folded = {}, set()
    for layer in filter(is_batch_norm, model.layers):
        (maps,) = inputs_of(layer)
        before = tensor_source(maps).layer
        if _folds(before) and uses[id(maps)] == 1 and layer.axis in (-1, 3):
            convolutions[id(before)] = _folded(before, layer)
            folded.add(id(layer))

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if id(layer) in folded:
            return args[0]
        return convolutions.get(id(layer), layer)(*args, **kwargs)

    return keras.models.clone_model(
        model, clone_function=lambda layer: layer, call_function=call
    )


def _folds(layer: Any) -> bool:
    return (
        type(layer) is keras.layers.Conv2D
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
    )


def _folded(convolution: Any, batch_norm: Any) -> Any:
    config = {
        **convolution.get_config(),
        "name": None,
        "use_bias": True,
        # Keras would draw a seed for others, from the global random state.
        "kernel_initializer": "zeros",
    }
    result = keras.layers.Conv2D.from_config(config)
    result.build(inputs_of(convolution)[0].shape)
    kernel, *bias = convolution.get_weights()
    ops = keras.ops
    scale = 1 / np.sqrt(
        ops.convert_to_numpy(batch_norm.moving_variance) + batch_norm.epsilon
    )
    if batch_norm.scale:
        scale = scale * ops.convert_to_numpy(batch_norm.gamma)
    shift = -ops.convert_to_numpy(batch_norm.moving_mean)
    if bias:
        shift = shift + bias[0]
    shift = shift * scale
    if batch_norm.center:
        shift = shift + ops.convert_to_numpy(batch_norm.beta)
    result.set_weights([kernel * scale, shift])
    return result
