"""Labels and probabilities of a fitted classifier, each from its own method."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skcovid._base._validation_splits import requests

_PIPELINES = ("sklearn.pipeline", "imblearn.pipeline", "skcovid.pipeline")


class Predictions(NamedTuple):
    """Predicted labels, and probabilities in the order of ``classes_`` or None."""

    labels: NDArray[Any]
    probabilities: NDArray[Any] | None


def predict(classifier: Any, X: Any, source: Any = None) -> Predictions:
    """Return what ``predict`` says, and the probabilities if the classifier has them.

    Steps of a pipeline that transform by source get that of the images, if it is given.
    The classifier computes once what both have in common: a pipeline its transformers,
    a classifier with ``_to_labels`` its probabilities. Subclasses that define their own
    ``predict`` are asked twice.
    """
    if source is not None:
        # A search predicts by the best of its pipelines, without a source.
        classifier = getattr(classifier, "best_estimator_", classifier)
    if predicts_by_steps(classifier):
        for _, step in classifier.steps[:-1]:
            # Samplers, which have no transform, leave X alone in predictions.
            if hasattr(step, "transform"):
                given = source is not None and requests(step, "source", "transform")
                X = step.transform(X, **{"source": source} if given else {})
        return predict(classifier.steps[-1][1], X, source)
    if not hasattr(classifier, "predict_proba"):
        return Predictions(np.asarray(classifier.predict(X)), None)
    probabilities = classifier.predict_proba(X)
    check_probabilities(classifier, probabilities)
    if "_to_labels" in vars(_owner(classifier, "predict")):
        return Predictions(classifier._to_labels(probabilities), probabilities)
    return Predictions(np.asarray(classifier.predict(X)), probabilities)


def predicts_by_steps(classifier: Any) -> bool:
    """Tell whether a classifier predicts as pipelines do, by one step after another."""
    owners = (_owner(classifier, name) for name in ("predict", "predict_proba"))
    return all(base.__module__ in _PIPELINES for base in owners)


def check_probabilities(classifier: Any, probabilities: NDArray[Any]) -> None:
    """Raise if a probability is NaN, from which argmax would make the first class."""
    found = np.asarray(probabilities, dtype=float).reshape(len(probabilities), -1)
    faulty = np.flatnonzero(np.isnan(found).any(axis=1))
    if len(faulty):
        rows = ", ".join(map(str, faulty[:5])) + (", …" if len(faulty) > 5 else "")
        raise FloatingPointError(
            f"{type(classifier).__name__} gives NaN probabilities for {len(faulty)} of "
            f"{len(probabilities)} images (rows {rows}): its weights or its input are "
            "too large or not numbers. Fit it again on finite input; a network with a "
            "lower learning_rate, or precision='float32' in place of 'mixed_float16'."
        )


def _owner(classifier: Any, method: str) -> Any:
    """Return the class that defines a method."""
    bases = type(classifier).__mro__
    return next((base for base in bases if method in vars(base)), type(classifier))
