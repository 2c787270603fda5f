"""Parameters of estimators and functions that hold NumPy's numbers or text."""

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator


def as_plain(value: Any) -> Any:
    """Convert NumPy's number, boolean or text to Python's, also in a list or tuple."""
    if isinstance(value, np.number | np.bool_ | np.str_):
        return value.item()
    if type(value) in (list, tuple) and any(isinstance(i, np.generic) for i in value):
        return type(value)(map(as_plain, value))
    return value


class PlainParameters(BaseEstimator):
    """An estimator whose methods read parameters as Python's numbers and text.

    ``np.uint8(200) * 2`` overflows, and Keras and OpenCV refuse NumPy's numbers.
    ``get_params`` returns what was given.
    """

    _parameter_constraints: dict[str, Any] = {}

    if not TYPE_CHECKING:  # mypy would believe that every attribute exists

        def __getattribute__(self, name: str) -> Any:
            constraints = type(self)._parameter_constraints
            if name == "_parameter_constraints":
                # An instance's own attribute would switch validation off.
                return constraints
            value = super().__getattribute__(name)
            return as_plain(value) if name in constraints else value

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters as they were given.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of estimators that are parameters.

        Returns
        -------
        dict
            Values by name.
        """
        own = vars(self)
        return {
            name: own.get(name, value)
            for name, value in super().get_params(deep).items()
        }
