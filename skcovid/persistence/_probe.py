"""Two test images, asked about when a model is saved and when versions differ.

Whether a model still means the same under other versions of what it was made with can't
be read off the versions; it can be tried.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["TOLERANCE", "ask", "stripes"]

# Other versions and backends round otherwise; a changed layer or preprocessing answers
# differently in the first or second decimal.
TOLERANCE = 1e-3

_N_SAMPLES = 2


def ask(pipeline: Any) -> NDArray[np.float64] | None:
    """Predict the test images."""
    samples = _samples(pipeline)
    if samples is None:
        return None
    for method in ("predict_proba", "decision_function", "transform"):
        if hasattr(pipeline, method):
            answers = np.asarray(getattr(pipeline, method)(samples), dtype=np.float64)
            return answers.reshape(_N_SAMPLES, -1)
    return None


def _samples(pipeline: Any) -> NDArray | None:
    steps = getattr(pipeline, "steps", None)
    first = steps[0][1] if steps else pipeline
    kind = type(first).__name__
    if kind in ("RadiographReader", "BackbonePreprocessor"):
        height, width = first.image_size_
        return stripes((height, width))
    if kind in ("TransferLearningClassifier", "BackboneFeatures"):
        network = first.model_ if hasattr(first, "model_") else first.trunk_
        return (stripes(network.input_shape[1:]) / 255).astype(np.float32)
    if hasattr(first, "n_features_in_"):
        return stripes((first.n_features_in_,)) / 255
    return None


def stripes(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Make the test images, by arithmetic alone, so that they are the same for ever."""
    axes = np.ogrid[tuple(slice(side) for side in (_N_SAMPLES, *shape))]
    images = np.zeros((_N_SAMPLES, *shape), dtype=np.uint8)
    for slope, axis in zip((60, 7, 3, 40), axes, strict=False):
        images += (slope * axis % 256).astype(np.uint8)  # wraps around
    return images
