"""Synthetic chest radiographs, for tests, examples and trying things out."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal, overload

import numpy as np
from numpy.random import RandomState, SeedSequence
from numpy.typing import NDArray
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params

from skcovid.datasets._phantom import (
    FINDINGS,
    draw_anatomy,
    draw_projection,
    render,
)

__all__ = ["make_radiographs"]

# First entry of a seed's spawn key: patients and images draw from separate streams.
_PATIENT, _IMAGE = 0, 1
