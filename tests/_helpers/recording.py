"""A classifier that records its training data, and images that can be identified."""

from typing import ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

SIDE = 16


class FitCall(NamedTuple):
    X: object
    y: object
    X_val: object
    y_val: object


class RecordingClassifier(ClassifierMixin, BaseEstimator):
    """Nearest mean grey level; `calls` records every `fit`, also of clones."""

    __metadata_request__fit = {"X_val": True, "y_val": True}
    calls: ClassVar[list[FitCall]] = []

    def __init__(self, temperature=1.0):
        self.temperature = temperature

    def fit(self, X, y, X_val=None, y_val=None):
        self.calls.append(FitCall(X, y, X_val, y_val))
        self.classes_ = np.unique(y)
        levels = _mean_levels(X)
        self.means_ = np.array([levels[y == label].mean() for label in self.classes_])
        return self

    def predict_proba(self, X):
        distances = np.abs(_mean_levels(X)[:, np.newaxis] - self.means_)
        weights = np.exp(-distances / self.temperature)
        return weights / weights.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _mean_levels(X):
    return np.asarray(X, dtype=float).reshape(len(X), -1).mean(axis=1)


def numbered_images(n_images):
    """Make images that each have their own grey level, also after a shift."""
    levels = np.arange(1, n_images + 1, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None], (n_images, SIDE, SIDE)).copy()


def numbers_of(images):
    """Return the number of each image; its copies keep it, with black filled in."""
    return np.asarray(images).max(axis=(1, 2)).astype(int) - 1
