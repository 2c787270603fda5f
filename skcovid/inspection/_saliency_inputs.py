"""Checks of estimator, images and target that the saliency functions share."""

from collections.abc import Hashable
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skcovid._base._compatibility import HasMethods
from skcovid.images._lazy_images import LazyImages
from skcovid.preprocessing._reader import RadiographReader

Target = Hashable | ArrayLike | None

# Constraints on the parameters of every saliency function, for `validate_params`.
PARAMETERS: dict[str, Any] = {
    "estimator": [HasMethods("predict_proba")],
    "X": "no_validation",
    "target": "no_validation",
    "verbose": ["verbose"],
}


def check_target(
    target: Target, classes: NDArray[Any], n_samples: int
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
            f"target={unknown[0]!r} is not a class of the estimator; its classes are "
            f"{', '.join(map(repr, columns))}."
        )
    return np.array([columns[label] for label in labels.tolist()], dtype=np.intp)


def network_inputs(
    estimator: Any, X: Any, target: Target, caller: str
) -> tuple[Any, LazyImages, NDArray[np.intp] | None]:
    """Return the fitted network classifier, its input and the columns to explain."""
    from skcovid.estimators._classifier import TransferLearningClassifier

    in_pipeline = isinstance(estimator, Pipeline)
    classifier = estimator[-1] if in_pipeline else estimator
    if not isinstance(classifier, TransferLearningClassifier):
        raise TypeError(
            f"{caller} needs a TransferLearningClassifier, alone or as the last step "
            f"of a pipeline, got {type(classifier).__name__}; occlusion_sensitivity "
            "explains any classifier."
        )
    check_is_fitted(classifier, "history_")
    if in_pipeline and len(estimator) > 1:
        X = estimator[:-1].transform(X)
    images, _ = classifier._validate_data(X)
    return classifier, images, check_target(target, classifier.classes_, len(images))


def predictor_and_images(
    estimator: Any, X: Any
) -> tuple[Any, NDArray[Any] | LazyImages]:
    """Return images, and the part of the estimator that predicts from images.

    A pipeline that begins with a reader is split behind it; any other estimator must
    be given images.
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


def quiet_copy(estimator: Any) -> Any:
    """Copy a fitted estimator, without its progress bars and its store of features.

    Fitted attributes are shared. Altered images would fill the store of real ones.
    """
    copied = copy(estimator)
    if isinstance(estimator, Pipeline):
        copied.steps = [(name, quiet_copy(step)) for name, step in estimator.steps]
    elif hasattr(estimator, "get_params"):
        quiet = {"memory": None, "verbose": 0}
        names = quiet.keys() & estimator.get_params(deep=False)
        copied.set_params(**{name: quiet[name] for name in names})
    return copied
