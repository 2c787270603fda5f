"""What a transform is: the base classes, and the two kinds that batches are made of."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skcovid._base._compatibility import Interval, InvalidParameterError

__all__ = [
    "POSITIVE",
    "AffineTransform",
    "Geometry",
    "GeometricTransform",
    "IntensityTransform",
    "LevelCurve",
    "Levels",
    "Numbers",
    "Transform",
    "check_parameters",
    "check_range",
    "in_range",
]

Levels: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[np.float64]
Geometry: TypeAlias = NDArray[Any]  # an affine map (2, 3) or a field (rows, columns, 2)


class _Transform:
    def __repr__(self) -> str:
        # Part of the key under which augmented images are kept, so it has to state
        # every parameter also where a subclass is not a dataclass.
        parameters = ", ".join(
            f"{name}={value!r}" for name, value in vars(self).items()
        )
        return f"{type(self).__qualname__}({parameters})"


class IntensityTransform(_Transform, ABC):
    """Base class of transforms that change the grey levels, wherever they are.

    A subclass keeps its parameters as attributes, best as a frozen dataclass: its repr
    is part of the key under which augmented images are kept.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> from skcovid.augmentation import IntensityTransform, augment
    >>> @dataclass(frozen=True)
    ... class Darken(IntensityTransform):
    ...     low: float = 0.0
    ...     high: float = 50.0
    ...
    ...     def draw(self, rng, levels):
    ...         return levels - rng.uniform(self.low, self.high)
    >>> image = np.array([[10, 100, 200]], dtype=np.uint8)
    >>> augment(image, transforms=[Darken(low=20, high=20)])
    array([[  0,  80, 180]], dtype=uint8)
    """

    @abstractmethod
    def draw(self, rng: Generator, levels: Levels) -> Levels:
        """Draw the transform and apply it to the grey levels.

        Parameters
        ----------
        rng : numpy.random.Generator
            The only source of randomness to use.
        levels : ndarray of shape (256,), float64 in [0, 255]
            What the transforms before this one make of the grey levels 0 to 255, not
            rounded. To be left unchanged.

        Returns
        -------
        ndarray of shape (256,), float64
            The new levels. They will be clipped to [0, 255], and rounded at the end.
        """


class GeometricTransform(_Transform, ABC):
    """Base class of transforms that move pixels.

    A subclass keeps its parameters as attributes, best as a frozen dataclass: its repr
    is part of the key under which augmented images are kept.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> from skcovid.augmentation import GeometricTransform, augment
    >>> @dataclass(frozen=True)
    ... class ShiftLeft(GeometricTransform):
    ...     low: float = 0.0
    ...     high: float = 2.0
    ...
    ...     def draw(self, rng, height, width):
    ...         pixels = rng.uniform(self.low, self.high)
    ...         return np.array([[1.0, 0.0, pixels], [0.0, 1.0, 0.0]])
    >>> image = np.array([[10, 20, 30]], dtype=np.uint8)
    >>> augment(image, transforms=[ShiftLeft(low=1, high=1)])
    array([[20, 30,  0]], dtype=uint8)
    """

    @abstractmethod
    def draw(self, rng: Generator, height: int, width: int) -> Geometry:
        """Draw where each pixel of the new image takes its value from.

        Parameters
        ----------
        rng : numpy.random.Generator
            The only source of randomness to use.
        height, width : int
            Size of the image in pixels.

        Returns
        -------
        ndarray of shape (2, 3) or (rows, columns, 2)
            Either an affine map: the pixel at ``(x, y)`` of the new image shows the
            old one at ``matrix @ (x, y, 1)``. Or a displacement field: it shows the
            old one at ``(x, y)`` plus the field there, ``(dx, dy)`` in pixels. The
            field is given at the centres of `rows` x `columns` equal cells that tile
            the image, so ``(height, width, 2)`` is one value a pixel, and a smooth
            field may be given on a coarser grid.
        """


class LevelCurve(IntensityTransform):
    """Base class of intensity transforms that one random number determines.

    `bend` does for many images at once what `draw` does for one.
    """

    @abstractmethod
    def bend(self, levels: Levels, numbers: Numbers) -> Levels:
        """Apply a curve to the levels of each image."""

    def draw(self, rng: Generator, levels: Levels) -> Levels:
        """Draw the transform and apply it to the grey levels."""
        return self.bend(levels, rng.random(1))


class AffineTransform(GeometricTransform):
    """Base class of geometric transforms that one random number makes an affine map.

    `matrices` does for many images at once what `draw` does for one.
    """

    @abstractmethod
    def matrices(self, numbers: Numbers, height: int, width: int) -> Geometry:
        """Make the affine map of each image."""

    def draw(self, rng: Generator, height: int, width: int) -> Geometry:
        """Draw the affine map."""
        return self.matrices(rng.random(1), height, width)[..., 0]


Transform: TypeAlias = IntensityTransform | GeometricTransform


def in_range(transform: Any, numbers: Numbers) -> Numbers:
    """Take numbers in [0, 1) to the range from `low` to `high`."""
    return transform.low + (transform.high - transform.low) * numbers


def check_parameters(
    transform: Transform, names: Sequence[str], valid: Interval
) -> None:
    """Raise if a parameter is not in the interval, and make it a plain float.

    Plain floats keep equal transforms equal in their repr too.
    """
    for name in names:
        value = getattr(transform, name)
        if isinstance(value, bool) or not (
            valid.is_satisfied_by(value) and math.isfinite(value)
        ):
            raise InvalidParameterError(
                f"The {name!r} parameter of {type(transform).__name__} must be "
                f"{valid}. Got {value!r} instead."
            )
        object.__setattr__(transform, name, float(value))


def check_range(transform: Any, valid: Interval) -> None:
    """Raise unless `low` and `high` are in the interval and in order."""
    check_parameters(transform, ("low", "high"), valid)
    if transform.low > transform.high:
        raise InvalidParameterError(
            f"The 'low' parameter of {type(transform).__name__} must not exceed "
            f"'high'. Got low={transform.low!r} and high={transform.high!r} instead."
        )


POSITIVE = Interval(Real, 0, None, closed="neither")
