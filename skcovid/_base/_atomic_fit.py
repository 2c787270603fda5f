"""A fit that fails or is interrupted leaves its estimator not fitted."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from sklearn.base import BaseEstimator

Fit = TypeVar("Fit", bound=Callable[..., Any])


def atomic_fit(fit: Fit) -> Fit:
    """Remove the estimator's fitted attributes, old ones too, if its ``fit`` fails."""

    @wraps(fit)
    def fit_or_forget(estimator: Any, *args: Any, **params: Any) -> Any:
        try:
            return fit(estimator, *args, **params)
        except BaseException:
            _forget_fit(estimator)
            raise

    return cast(Fit, fit_or_forget)


def _forget_fit(estimator: Any) -> None:
    for name in list(vars(estimator)):
        # What `check_is_fitted` takes for a fitted attribute.
        if name.endswith("_") and not name.startswith("__"):
            delattr(estimator, name)
    for step in getattr(estimator, "steps", ()):
        if isinstance(step[-1], BaseEstimator):
            _forget_fit(step[-1])
