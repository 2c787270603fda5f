"""A network cut at the feature maps of a layer, and maps brought to image size."""

from collections.abc import Iterator
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from skcovid.images._lazy_images import LazyImages
from skcovid.networks._graph import find_layer, frontier
from skcovid.networks._network import predict_batches

__all__ = ["CutNetwork", "find_feature_maps", "scale_to_images"]


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
            f"layer={layer!r}: the output of {layers[index].name!r} has shape {shape}, "
            "which is no stack of feature maps."
        )
    return index


class CutNetwork:
    """A classifier's network as two: up to a layer's feature maps, and above them."""

    def __init__(self, classifier: Any, layer: int | str | None) -> None:
        model = classifier.model_
        index = find_feature_maps(classifier, layer)
        entering = frontier(model.layers[index + 1 :])
        maps = model.layers[index].output
        self.trunk = keras.Model(model.inputs[0], entering)
        self.tail = keras.Model(entering, model.layers[-2].output)
        self.position = [tensor is maps for tensor in entering].index(True)
        self.kernel, self.bias = model.layers[-1].get_weights()
        self._loading = (classifier.batch_size, classifier.n_jobs)

    def batches(self, images: LazyImages) -> Iterator[tuple[slice, list[NDArray]]]:
        """Compute, batch by batch, what enters the tail, in float32."""
        batch_size, n_jobs = self._loading
        batches = images.batches(batch_size, n_jobs=n_jobs)
        for rows, tensors in predict_batches(self.trunk, batches):
            yield rows, [tensor.astype(np.float32) for tensor in tensors]


def scale_to_images(maps: NDArray, image_size: tuple[int, ...]) -> NDArray[np.float32]:
    """Enlarge maps to the images' size, cut negative values, scale the maximum to 1."""
    height, width = image_size
    positive = np.maximum(maps, 0).astype(np.float32)
    enlarged = np.stack(
        [
            cv2.resize(map_, (width, height), interpolation=cv2.INTER_LINEAR)
            for map_ in positive
        ]
    )
    maxima = enlarged.max(axis=(1, 2), keepdims=True)
    maxima[maxima == 0] = 1
    return enlarged / maxima
