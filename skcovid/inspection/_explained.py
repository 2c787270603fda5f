"""What is explained: the images and the predictor of an estimator, and the class."""

from collections.abc import Hashable
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skcovid.images._lazy_images import LazyImages
from skcovid.preprocessing._reader import RadiographReader

__all__ = [
    "check_target",
    "disposable_copy",
    "network_and_input",
    "predictor_and_images",
]

Target = Hashable | ArrayLike | None


def check_target(
    target: Target, classes: NDArray, n_samples: int
) -> NDArray[np.intp] | None:
    """Return the column of each image's target among the classes, None for None."""
    if target is None:
        return None
    labels = np.asarray(target)
    if labels.ndim == 0:
        labels = np.full(n_samples, labels)
    if labels.shape != (n_samples,):
        raise ValueError(
            f"target must be one class, or one for each of the {n_samples} images of "
            f"X; got an array of shape {labels.shape}."
        )
    columns = {label: column for column, label in enumerate(classes.tolist())}
    unknown = [label for label in labels.tolist() if label not in columns]
    if unknown:
        raise ValueError(
            f"target={unknown[0]!r} is no class of the estimator, which has "
            f"{', '.join(map(repr, columns))}."
        )
    return np.array([columns[label] for label in labels.tolist()], dtype=np.intp)


def network_and_input(estimator: Any, X: Any, caller: str) -> tuple[Any, LazyImages]:
    """Return the fitted network classifier of an estimator, and what enters it."""
    from skcovid.estimators._classifier import TransferLearningClassifier

    in_pipeline = isinstance(estimator, Pipeline)
    classifier = estimator[-1] if in_pipeline else estimator
    if not isinstance(classifier, TransferLearningClassifier):
        raise TypeError(
            f"{caller} needs a network from image to class, a "
            "TransferLearningClassifier alone or as the last step of a pipeline, got "
            f"{type(classifier).__name__}. occlusion_sensitivity explains any "
            "classifier."
        )
    check_is_fitted(classifier, "history_")
    if in_pipeline and len(estimator) > 1:
        X = estimator[:-1].transform(X)
    images, _ = classifier._validate_data(X)
    return classifier, images


def predictor_and_images(
    estimator: Any, X: Any
) -> tuple[Any, "NDArray[np.number] | LazyImages"]:
    """Return images, and the part of the estimator that predicts from images.

    They are `X` and the estimator, unless it is a pipeline that begins by reading: then
    they are what its reader makes of `X`, and its other steps.
    """
    if isinstance(estimator, Pipeline) and isinstance(estimator[0], RadiographReader):
        return estimator[1:], estimator[0].transform(X)
    images = X if isinstance(X, LazyImages) else np.asarray(X)
    if images.ndim not in (3, 4) or images.dtype.kind not in "uif" or not len(images):
        raise ValueError(
            "X must hold images, numbers of shape (n_samples, height, width[, 3]), "
            "unless the estimator is a pipeline that begins with a RadiographReader; "
            f"got shape {images.shape} and {images.dtype}."
        )
    return estimator, images


def disposable_copy(estimator: Any) -> Any:
    """Return the fitted estimator, to be silent and to keep no features on disk.

    Fitted attributes are shared. Images that are made up to explain a prediction would
    otherwise fill the folder of the features of real ones.
    """
    if isinstance(estimator, Pipeline):
        copied = copy(estimator)
        copied.steps = [(name, disposable_copy(step)) for name, step in estimator.steps]
        return copied
    if not hasattr(estimator, "get_params"):
        return estimator
    parameters = estimator.get_params(deep=False)
    quiet = {"memory": None, "verbose": 0}
    changed = {name: quiet[name] for name in quiet if name in parameters}
    copied = copy(estimator)
    if changed:
        copied.set_params(**changed)
    return copied
