"""Feature maps of a network, their gradients, and their size."""

from collections.abc import Sequence
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from skcovid.networks._graph import find_layer


def find_feature_maps(classifier: Any, layer: int | str | None) -> int:
    """Return the index of the layer whose feature maps explain a prediction."""
    layers = classifier.model_.layers[: classifier.n_backbone_layers_]
    if layer is None:
        poolings = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
        return max(
            index
            for index, candidate in enumerate(layers)
            if len(candidate.output.shape) == 4 and not isinstance(candidate, poolings)
        )
    index = find_layer(layers, layer, name="layer")
    shape = layers[index].output.shape
    if len(shape) != 4:
        raise ValueError(
            f"layer={layer!r}: the output of {layers[index].name!r} has shape {shape}; "
            "choose a layer with feature maps, of four dimensions."
        )
    return index


def scale_to_images(
    maps: NDArray[np.floating], image_size: tuple[int, ...]
) -> NDArray[np.float32]:
    """Enlarge maps to the images' size, clip them at 0 and scale the maximum to 1."""
    height, width = image_size
    positive = np.maximum(maps, 0).astype(np.float32)
    enlarged = np.stack([cv2.resize(map_, (width, height)) for map_ in positive])
    maxima = enlarged.max(axis=(1, 2), keepdims=True)
    maxima[maxima == 0] = 1
    return np.asarray(enlarged / maxima)


def gradient(
    model: Any,
    inputs: Sequence[NDArray[np.float32]],
    position: int,
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Differentiate the weighted sum of a network's output by one of its inputs."""
    backend = keras.backend.backend()
    if backend not in _GRADIENTS:
        raise NotImplementedError(
            f"The Keras backend {backend!r} has no gradients, which Grad-CAM needs; "
            f"use {', '.join(map(repr, _GRADIENTS))}, or score_cam or "
            "occlusion_sensitivity, which need none."
        )
    tensors = [keras.ops.convert_to_tensor(values) for values in inputs]
    weight_tensor = keras.ops.convert_to_tensor(weights)
    return np.asarray(_GRADIENTS[backend](model, tensors, position, weight_tensor))


def _tensorflow(model: Any, inputs: list[Any], position: int, weights: Any) -> Any:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(inputs[position])
        total = keras.ops.sum(model(inputs, training=False) * weights)
    return tape.gradient(total, inputs[position])


def _jax(model: Any, inputs: list[Any], position: int, weights: Any) -> Any:
    import jax

    state = [
        [variable.value for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]

    def total(values: Any) -> Any:
        changed = [*inputs[:position], values, *inputs[position + 1 :]]
        outputs, _ = model.stateless_call(*state, changed, training=False)
        return keras.ops.sum(outputs * weights)

    return jax.grad(total)(inputs[position])


def _torch(model: Any, inputs: list[Any], position: int, weights: Any) -> Any:
    import torch

    with torch.enable_grad():
        inputs[position].requires_grad_()
        total = keras.ops.sum(model(inputs, training=False) * weights)
    (found,) = torch.autograd.grad(total, inputs[position])
    return found.cpu()


_GRADIENTS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
