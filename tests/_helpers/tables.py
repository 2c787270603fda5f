"""Estimators of images that take tables, for scikit-learn's common checks."""

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

import skcovid

NAME = "stripes"
# Grey levels per unit of a table's values; most values lie within ±4.
_LEVELS = 30
_MIDDLE = 128


def build_stripes(include_top, weights, input_shape):
    """Build the smallest possible backbone, for images of any size."""
    from keras import Input, Model, layers

    inputs = Input(input_shape)
    outputs = layers.Conv2D(4, 1)(inputs)
    return Model(inputs, layers.BatchNormalization()(outputs))


def register():
    """Make the network available as "stripes"."""
    return skcovid.register_backbone(
        NAME, builder=build_stripes, image_size=4, mode="tf", fine_tune_from=2
    )


def _as_stripes(X):
    """Make an image of one grey stripe per column, or return X if not a dense table.

    Only the shape is changed: NaN, infinite, complex and other values stay as they are.
    """
    if sparse.issparse(X) or np.asarray(X).ndim != 2:
        return X
    table = np.asarray(X)
    return np.repeat(table[:, np.newaxis, :], 2, axis=1)


class _OfTables:
    """Mixin before an estimator of images; `_images` makes them of a table."""

    def fit(self, X, y=None, **params):
        return super().fit(self._images(X), y, **params)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


class _OfPixels(_OfTables):
    def _images(self, X):
        images = _as_stripes(X)
        if images is X or images.dtype.kind not in "iuf":
            return images
        levels = np.clip(_MIDDLE + _LEVELS * images, 0, 255)
        return np.where(np.isfinite(images), levels, images)


class _OfNetworkInput(_OfTables):
    def _images(self, X):
        images = _as_stripes(X)
        if images is X:
            return images
        images = np.repeat(images[..., np.newaxis], 3, axis=-1)
        # Integers are an error: they are pixels without preprocessing.
        return images.astype(float) if images.dtype.kind in "iu" else images


class ReaderOfTables(_OfPixels, skcovid.RadiographReader):
    def transform(self, X):
        return super().transform(self._images(X))


class PreprocessorOfTables(_OfPixels, skcovid.BackbonePreprocessor):
    def transform(self, X):
        return super().transform(self._images(X))


class BalancerOfTables(_OfPixels, skcovid.AugmentationBalancer):
    def fit_resample(self, X, y):
        return super().fit_resample(self._images(X), y)


class FeaturesOfTables(_OfNetworkInput, skcovid.BackboneFeatures):
    def fit_transform(self, X, y=None):
        return super().fit_transform(self._images(X), y)

    def transform(self, X):
        return super().transform(self._images(X))


class ClassifierOfTables(_OfNetworkInput, skcovid.TransferLearningClassifier):
    # Checks look for `sample_weight` in the signature.
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight=sample_weight)

    def predict_proba(self, X):
        return super().predict_proba(self._images(X))


class ValidatedLogisticRegression(LogisticRegression):
    """A last step for HoldoutPipeline that ignores the validation data."""

    __metadata_request__fit = {"X_val": True, "y_val": True}

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None):
        return super().fit(X, y, sample_weight)
