"""The feature maps of a network, and their way to the size of the images."""

from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from skcovid.networks._graph import find_layer

__all__ = ["find_feature_maps", "scale_to_images"]


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
    """Enlarge maps to the images' size, cut negative values, scale the maximum to 1."""
    height, width = image_size
    positive = np.maximum(maps, 0).astype(np.float32)
    enlarged = np.stack([cv2.resize(map_, (width, height)) for map_ in positive])
    maxima = enlarged.max(axis=(1, 2), keepdims=True)
    maxima[maxima == 0] = 1
    scaled: NDArray[np.float32] = enlarged / maxima
    return scaled
