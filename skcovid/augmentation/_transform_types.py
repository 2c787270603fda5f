"""Base classes of transforms, and checks of their parameters."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skcovid._base._compatibility import Interval, InvalidParameterError

Levels: TypeAlias = NDArray[np.float64]
Geometry: TypeAlias = NDArray[Any]  # an affine map (2, 3) or a field (rows, columns, 2)


class _Transform:
    _intervals: Mapping[str, Interval] = {}  # of the parameters that are checked

    def __post_init__(self) -> None:
        for name, valid in self._intervals.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not valid.is_satisfied_by(value):
                raise InvalidParameterError(
                    f"The {name!r} parameter of {type(self).__name__} must be {valid}. "
                    f"Got {value!r} instead."
                )
            # Equal transforms then have equal reprs.
            object.__setattr__(self, name, float(value))
        if "low" in self._intervals and vars(self)["low"] > vars(self)["high"]:
            raise InvalidParameterError(
                f"The 'low' parameter of {type(self).__name__} must not exceed 'high'. "
                f"Got {self!r} instead."
            )

    def __repr__(self) -> str:
        # Keys of augmented images include it, so it states every parameter, also of a
        # subclass that is not a dataclass.
        states = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__qualname__}({states})"


class IntensityTransform(_Transform, ABC):
    """Base class of transforms that change grey levels, alike in the whole image.

    A subclass keeps its parameters as attributes, best as a frozen dataclass: its repr
    is part of the keys of augmented images.

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
            rounded. Must be left unchanged.

        Returns
        -------
        ndarray of shape (256,), float64
            The new levels. They are clipped to [0, 255] next, and rounded at the end.
        """


class GeometricTransform(_Transform, ABC):
    """Base class of transforms that move pixels.

    A subclass keeps its parameters as one of `IntensityTransform` does.

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
            An affine map: the pixel at ``(x, y)`` of the new image shows the old one at
            ``matrix @ (x, y, 1)``. Or a displacement field: it shows the old one at
            ``(x, y)`` plus the field there, ``(dx, dy)`` in pixels, given at the
            centres of `rows` x `columns` equal cells that tile the image. ``x`` points
            right and ``y`` down, from the centre of the first pixel.
        """


class BatchNumbers:
    """One random number of each image of a batch, read as a generator's first draw."""

    def __init__(self, numbers: NDArray[np.float64]) -> None:
        self._numbers = numbers

    def random(self) -> NDArray[np.float64]:
        """Return the numbers, in [0, 1)."""
        return self._numbers

    def uniform(self, low: float, high: float) -> NDArray[np.float64]:
        """Return the numbers scaled to [low, high)."""
        return low + (high - low) * self._numbers


Transform: TypeAlias = IntensityTransform | GeometricTransform


def check_transforms(transforms: Sequence[Transform]) -> tuple[Transform, ...]:
    """Require transforms, at least one; return them as a tuple."""
    given = transforms if isinstance(transforms, Sequence) else ()
    if not given or not all(isinstance(transform, Transform) for transform in given):
        raise InvalidParameterError(
            "transforms must hold one or more instances of IntensityTransform and "
            f"GeometricTransform, such as [Brightness()]. Got {transforms!r} instead."
        )
    return tuple(transforms)
