"""A fit that fails or is interrupted leaves its estimator not fitted."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from sklearn.base import BaseEstimator

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def atomic_fit(fit: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Remove the estimator's fitted attributes, old ones too, if its ``fit`` fails."""

    @wraps(fit)
    def fit_or_forget(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return fit(*args, **kwargs)
        except BaseException:
            _forget_fit(cast(Any, args[0]))
            raise

    return fit_or_forget


def _forget_fit(estimator: Any) -> None:
    for name in list(vars(estimator)):
        # What `check_is_fitted` takes for a fitted attribute.
        if name.endswith("_") and not name.startswith("__"):
            delattr(estimator, name)
    # A pipeline is fitted if its last step is.
    for step in getattr(estimator, "steps", ()):
        if isinstance(step[-1], BaseEstimator):
            _forget_fit(step[-1])
