"""An estimator with a network, defined outside skcovid."""

import keras
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from skcovid._base._network_estimator import allow_in_model_files


@allow_in_model_files
class EdgeFeatures(TransformerMixin, BaseEstimator):
    """Mean and maximum of images after a random convolution."""

    _network_attribute = "filter_"
    _fit_attributes = frozenset({"shape_in_fit_"})
    _parameter_constraints = {"n_filters": [int], "precision": [str]}

    def __init__(self, n_filters=3, precision="float32"):
        self.n_filters = n_filters
        self.precision = precision

    def fit(self, X, y=None):
        self.shape_in_fit_ = X.shape
        self.filter_ = self._rebuild_network(X.shape[1:3], 0)
        return self

    def transform(self, X):
        return self.filter_.predict_on_batch(np.asarray(X))

    def _check_weights(self):
        """Its weights are random."""

    def _rebuild_network(self, image_size, n_weights):
        if self.n_filters > 100:
            raise ValueError(f"n_filters={self.n_filters} is more than 100")
        inputs = keras.Input((*image_size, 3))
        maps = keras.layers.Conv2D(self.n_filters, 3)(inputs)
        mean = keras.layers.GlobalAveragePooling2D()(maps)
        largest = keras.layers.GlobalMaxPooling2D()(maps)
        return keras.Model(inputs, keras.layers.Concatenate()([mean, largest]))

    def _apply_network(self, images):
        return self.filter_(images, training=False)


class UntrustedFeatures(EdgeFeatures):
    """A subclass that is not trusted in model files."""
