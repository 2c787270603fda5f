"""The gradient of a network, which Keras leaves to its backends."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

__all__ = ["gradient"]


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
