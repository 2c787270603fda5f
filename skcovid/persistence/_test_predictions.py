"""Predictions for two test images, saved with a model.

They show whether a model that is loaded with other versions of its dependencies still
predicts the same.
"""

from typing import Any

import numpy as np
from joblib import parallel_config
from numpy.typing import NDArray

from skcovid._base._network_estimator import NetworkEstimator

# Rounding differs between versions and backends by less; a changed layer or
# preprocessing changes the first or second decimal.
TOLERANCE = 1e-3

_N_SAMPLES = 2
_MAX_FEATURES = 2**17  # of a sample; so many of its outputs are kept
# Where an estimator keeps those that it hands its samples to, once fitted or before.
_INNER = (
    *("steps", "best_estimator_", "estimator_", "estimators_"),
    *("calibrated_classifiers_", "estimator"),
)


def predict_test_images(pipeline: Any) -> NDArray[np.float64] | None:
    """Predict the test images; return None if none can be made for the pipeline."""
    samples = _make_samples(pipeline)
    if samples is None:
        return None
    # In this process and thread alone, for any `n_jobs`.
    with parallel_config(backend="sequential"):
        for method in ("predict_proba", "decision_function", "transform"):
            if hasattr(pipeline, method):
                outputs = np.asarray(getattr(pipeline, method)(samples), np.float64)
                return outputs.reshape(_N_SAMPLES, -1)[:, :_MAX_FEATURES]
    return None


def _make_samples(pipeline: Any) -> NDArray[Any] | None:
    first = _first_step(pipeline)
    if isinstance(first, NetworkEstimator):
        network = getattr(first, first._network_attribute)
        return (make_test_images(network.input_shape[1:]) / 255).astype(np.float32)
    if hasattr(first, "image_size_"):
        return make_test_images(first.image_size_)
    for estimator in (pipeline, first):
        n_features = getattr(estimator, "n_features_in_", None)
        if n_features is not None and n_features <= _MAX_FEATURES:
            return make_test_images((n_features,)) / 255
    return None


def _first_step(estimator: Any) -> Any:
    """Find the step that gets the samples first, inside pipelines and ensembles."""
    for name in _INNER:
        inner = getattr(estimator, name, None)
        if name == "steps" and inner:
            inner = [step for _, step in inner if step != "passthrough"]
        if isinstance(inner, list | np.ndarray):
            inner = inner[0] if len(inner) else None
        if inner is not None:
            return _first_step(inner)
    return estimator


def make_test_images(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Make the test images by arithmetic alone, so that they never change."""
    axes = np.indices((_N_SAMPLES, *shape), sparse=True)
    ramps = (slope * axis for slope, axis in zip((60, 7, 3, 40), axes, strict=False))
    return (sum(ramps, np.zeros((), np.int64)) % 256).astype(np.uint8)
