"""Parameters of estimators and functions that hold NumPy's numbers or text."""

import difflib
from collections.abc import Mapping
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


def full_names(overrides: Mapping[str, Any], pipeline: Any) -> dict[str, Any]:
    """Find the full names of the parameters that each override sets."""
    known = set(pipeline.get_params()) - {"steps", *pipeline.named_steps}
    # The pipeline's memory and verbose have another meaning than the steps'.
    of_pipeline = known & {"random_state", "validation_fraction"}
    values = {}
    # A value for one step overrides that for all steps, in any order.
    for name, value in sorted(overrides.items(), key=lambda item: "__" in item[0]):
        if "__" in name:
            full_names = [name] if name in known else []
        else:
            full_names = [full for full in known if full.endswith(f"__{name}")]
            full_names += [name] if name in of_pipeline else []
        if not full_names:
            plain = {full.rpartition("__")[2] for full in known}
            nearest = difflib.get_close_matches(name, sorted(known | plain), n=1)
            hint = " make_transfer_pipeline(...).get_params() lists those of a recipe."
            if nearest:
                hint = f" Did you mean {nearest[0]!r}?"
            raise TypeError(f"The pipeline's steps have no parameter {name!r}.{hint}")
        values.update(dict.fromkeys(full_names, value))
    return values
