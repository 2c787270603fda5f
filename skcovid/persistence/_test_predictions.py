"""Predictions for two test images, saved with a model.

They show whether a model that is loaded with other versions of its dependencies still
predicts the same.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skcovid._base._network_estimator import NetworkEstimator

# Rounding differs between versions and backends by less; a changed layer or
# preprocessing changes the first or second decimal.
TOLERANCE = 1e-3

_N_SAMPLES = 2


def predict_test_images(pipeline: Any) -> NDArray[np.float64] | None:
    """Predict the test images; return None if none can be made for the pipeline."""
    samples = _make_samples(pipeline)
    if samples is None:
        return None
    for method in ("predict_proba", "decision_function", "transform"):
        if hasattr(pipeline, method):
            outputs = np.asarray(getattr(pipeline, method)(samples), dtype=np.float64)
            return outputs.reshape(_N_SAMPLES, -1)
    return None


def _make_samples(pipeline: Any) -> NDArray[Any] | None:
    steps = getattr(pipeline, "steps", None)
    first = steps[0][1] if steps else pipeline
    if isinstance(first, NetworkEstimator):
        network = getattr(first, first._network_attribute)
        return (make_test_images(network.input_shape[1:]) / 255).astype(np.float32)
    if hasattr(first, "image_size_"):
        return make_test_images(first.image_size_)
    if hasattr(first, "n_features_in_"):
        return make_test_images((first.n_features_in_,)) / 255
    return None


def make_test_images(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Make the test images by arithmetic alone, so that they never change."""
    axes = np.indices((_N_SAMPLES, *shape), sparse=True)
    ramps = (slope * axis for slope, axis in zip((60, 7, 3, 40), axes, strict=False))
    return (sum(ramps, np.zeros((), np.int64)) % 256).astype(np.uint8)
