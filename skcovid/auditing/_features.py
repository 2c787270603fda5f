"""The model's own features: what its last step is given."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from skcovid._base._validation_splits import requests
from skcovid.auditing._refit import Refit
from skcovid.auditing._subject import Subject

# Why `model_features` gives None, for the verdict of a check that needs features.
NO_FEATURES = (
    "The classifier has no step before its last that makes a row of numbers of an "
    "image; pass as refit a pipeline that has, such as "
    'make_transfer_pipeline(recipe="linear").'
)


def model_features(subject: Subject, refit: Refit) -> NDArray[np.float64] | None:
    """Compute what the last step of the classifier to refit is given.

    The steps before it are fitted to all images of `refit` without their labels.
    Samplers are left out, and so is every step from the first that needs labels on. For
    a model that fine-tunes its network on the labels, ``refit="auto"`` takes the linear
    recipe. Of a search, the steps have the parameters that it was given with.

    Returns
    -------
    ndarray of shape (n, d), float64, or None
        A row for each of ``refit.rows``. None where the last step is given paths or
        images itself, or the classifier is an ensemble of several pipelines.
    """
    X, source = refit.X, subject.source
    for step in _list_transformers(refit.classifier):
        try:
            if source is not None and requests(step, "source"):
                of_rows = source[refit.rows]
                X = step.fit(X, source=of_rows).transform(X, source=of_rows)
            else:
                X = step.fit_transform(X, None)
        except (TypeError, ValueError):
            # It was fitted with labels when the model was evaluated: it needs them.
            break
    if len(np.shape(X)) != 2:
        return None
    features = np.asarray(X)
    return features.astype(np.float64) if features.dtype.kind in "biuf" else None


def _list_transformers(classifier: Any) -> Iterator[Any]:
    """Yield new copies of the transformers before the classifier."""
    while isinstance(inner := getattr(classifier, "estimator", None), BaseEstimator):
        classifier = inner
    if isinstance(classifier, Pipeline):
        for _, step in classifier.steps[:-1]:
            if step not in (None, "passthrough") and not hasattr(step, "fit_resample"):
                yield clone(step)
        yield from _list_transformers(classifier[-1])
