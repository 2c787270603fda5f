"""The six transforms of section 3.2 of the paper, and the two kinds they are of."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, InvalidParameterError

__all__ = [
    "PAPER_TRANSFORMS",
    "Brightness",
    "Elastic",
    "Gamma",
    "GeometricTransform",
    "Geometry",
    "IntensityTransform",
    "Levels",
    "Rotation",
    "Transform",
    "Translation",
    "Zoom",
]

Levels: TypeAlias = NDArray[np.float64]
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


Transform: TypeAlias = IntensityTransform | GeometricTransform


def _check_parameters(
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


def _check_range(transform: Any, valid: Interval) -> None:
    _check_parameters(transform, ("low", "high"), valid)
    if transform.low > transform.high:
        raise InvalidParameterError(
            f"The 'low' parameter of {type(transform).__name__} must not exceed "
            f"'high'. Got low={transform.low!r} and high={transform.high!r} instead."
        )


_POSITIVE = Interval(Real, 0, None, closed="neither")


@dataclass(frozen=True)
class Brightness(IntensityTransform):
    """Multiply the grey levels by a factor and clip them at 255.

    Parameters
    ----------
    low, high : float, default=1.05, 1.10
        Range the factor is drawn from (section 3.2, function 1). Above 0; factors
        below 1 darken.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.augmentation import Brightness, augment
    >>> image = np.array([[0, 100, 250]], dtype=np.uint8)
    >>> augment(image, transforms=[Brightness(1.1, 1.1)])
    array([[  0, 110, 255]], dtype=uint8)
    """

    low: float = 1.05
    high: float = 1.10

    def __post_init__(self) -> None:
        _check_range(self, _POSITIVE)

    def draw(self, rng: Generator, levels: Levels) -> Levels:
        """Draw the factor and multiply `levels` by it."""
        return levels * rng.uniform(self.low, self.high)


@dataclass(frozen=True)
class Gamma(IntensityTransform):
    """Change the contrast: ``255 * (level / 255) ** gamma``.

    Parameters
    ----------
    low, high : float, default=1.05, 1.11
        Range gamma is drawn from (section 3.2, function 2). Above 0; a gamma above 1
        darkens the middle greys, one below 1 lightens them.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.augmentation import Gamma, augment
    >>> image = np.array([[0, 100, 255]], dtype=np.uint8)
    >>> augment(image, transforms=[Gamma(2.0, 2.0)])
    array([[  0,  39, 255]], dtype=uint8)
    """

    low: float = 1.05
    high: float = 1.11

    def __post_init__(self) -> None:
        _check_range(self, _POSITIVE)

    def draw(self, rng: Generator, levels: Levels) -> Levels:
        """Draw gamma and raise `levels` to it."""
        return 255.0 * (levels / 255.0) ** rng.uniform(self.low, self.high)


@dataclass(frozen=True)
class Elastic(GeometricTransform):
    """Displace every pixel by smoothed noise, after Simard et al. (2003).

    The noise is uniform in [-1, 1], one value for x and one for y at every pixel,
    smoothed by a Gaussian of `sigma` and multiplied by `alpha`. The displacements so
    have a standard deviation of ``alpha / (2 * sqrt(3 * pi) * sigma)`` pixels whatever
    the size of the image (3.26 with the defaults): below about 100 pixels that is a
    strong distortion.

    Parameters
    ----------
    alpha : float, default=2.0
        Strength, as a multiple of the image height (section 3.2, function 3: "twice
        that of the image height"). At least 0.
    sigma : float, default=0.1
        Standard deviation of the Gaussian, as a multiple of the image height
        (section 3.2, function 3: "10% of the image height"). Above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.augmentation import Elastic, augment
    >>> image = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    >>> warped = augment(image, transforms=[Elastic()], random_state=0)
    >>> warped.shape, bool((warped != image).any())
    ((64, 64), True)
    """

    alpha: float = 2.0
    sigma: float = 0.1

    def __post_init__(self) -> None:
        _check_parameters(self, ["alpha"], Interval(Real, 0, None, closed="left"))
        _check_parameters(self, ["sigma"], _POSITIVE)

    def draw(self, rng: Generator, height: int, width: int) -> Geometry:
        """Draw the displacements, in cells of at most sigma / 3."""
        sigma = self.sigma * height
        # A field this smooth loses less than 1 % of its standard deviation on such a
        # grid and costs a fraction. Where sigma is small, a cell is one pixel.
        largest_cell = max(1.0, sigma / 3)
        rows = math.ceil(height / largest_cell)
        columns = math.ceil(width / largest_cell)
        # One cell may well be wider than a narrow image.
        cell_height = height / rows if rows > 1 else largest_cell
        cell_width = width / columns if columns > 1 else largest_cell
        kernel_y = _gaussian_kernel(sigma / cell_height)
        kernel_x = _gaussian_kernel(sigma / cell_width)
        margin_y, margin_x = len(kernel_y) // 2, len(kernel_x) // 2
        # The noise goes on beyond the image, so that displacements are as strong at
        # its edges as in its middle.
        noise = rng.random(
            (rows + 2 * margin_y, columns + 2 * margin_x, 2), dtype=np.float32
        )
        # One value stands for the mean of the noise in a cell, whose standard deviation
        # is that of one pixel over the square root of the number of pixels.
        strength = self.alpha * height / math.sqrt(cell_height * cell_width)
        # 2 * noise - 1 is uniform in [-1, 1]; the filter is linear and does it as well.
        field = cv2.sepFilter2D(
            noise, -1, 2 * strength * kernel_x, kernel_y, delta=-strength
        )
        return field[margin_y:-margin_y, margin_x:-margin_x]


@lru_cache(maxsize=16)
def _gaussian_kernel(sigma: float) -> NDArray[np.float32]:
    """Gaussian that sums to 1, cut off at three sigma."""
    margin = math.ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-margin, margin + 1) / sigma) ** 2)
    return (kernel / kernel.sum()).astype(np.float32)


def _about_centre(xx: float, xy: float, height: int, width: int) -> Geometry:
    """Scale and turn by ((xx, xy), (-xy, xx)) so that the centre stays in place."""
    x, y = (width - 1) / 2, (height - 1) / 2
    return np.array([[xx, xy, x - xx * x - xy * y], [-xy, xx, y + xy * x - xx * y]])


@dataclass(frozen=True)
class Zoom(GeometricTransform):
    """Enlarge the image about its centre and crop it to its former size.

    Parameters
    ----------
    low, high : float, default=1.05, 1.10
        Range the enlargement is drawn from (section 3.2, function 4). Above 0; below 1
        the image shrinks inside a frame of ``fill``.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.augmentation import Zoom, augment
    >>> image = np.array([[10, 20, 30, 40, 50]], dtype=np.uint8)
    >>> augment(image, transforms=[Zoom(2.0, 2.0)])
    array([[20, 25, 30, 35, 40]], dtype=uint8)
    """

    low: float = 1.05
    high: float = 1.10

    def __post_init__(self) -> None:
        _check_range(self, _POSITIVE)

    def draw(self, rng: Generator, height: int, width: int) -> Geometry:
        """Draw the enlargement."""
        scale = 1 / rng.uniform(self.low, self.high)
        return _about_centre(scale, 0.0, height, width)


@dataclass(frozen=True)
class Translation(GeometricTransform):
    """Shift the image along its diagonal, to the left and top or the right and bottom.

    Parameters
    ----------
    low, high : float, default=0.90, 0.97
        Range of the share of each side that stays in the image (section 3.2,
        function 5). Above 0 and at most 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.augmentation import Translation, augment
    >>> image = np.full((4, 4), 9, dtype=np.uint8)
    >>> augment(image, transforms=[Translation(0.75, 0.75)], random_state=0)
    array([[0, 0, 0, 0],
           [0, 9, 9, 9],
           [0, 9, 9, 9],
           [0, 9, 9, 9]], dtype=uint8)
    """

    low: float = 0.90
    high: float = 0.97

    def __post_init__(self) -> None:
        _check_range(self, Interval(Real, 0, 1, closed="right"))

    def draw(self, rng: Generator, height: int, width: int) -> Geometry:
        """Draw the share that stays and the direction."""
        shift = 1 - rng.uniform(self.low, self.high)
        if rng.random() < 0.5:
            shift = -shift
        return np.array([[1.0, 0.0, shift * width], [0.0, 1.0, shift * height]])


@dataclass(frozen=True)
class Rotation(GeometricTransform):
    """Rotate the image about its centre.

    Parameters
    ----------
    low, high : float, default=-5.0, 5.0
        Range of the angle in degrees (section 3.2, function 6), counter-clockwise
        where positive. In [-180, 180].

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.augmentation import Rotation, augment
    >>> image = np.array([[1, 2], [3, 4]], dtype=np.uint8)
    >>> augment(image, transforms=[Rotation(90, 90)])
    array([[2, 4],
           [1, 3]], dtype=uint8)
    """

    low: float = -5.0
    high: float = 5.0

    def __post_init__(self) -> None:
        _check_range(self, Interval(Real, -180, 180, closed="both"))

    def draw(self, rng: Generator, height: int, width: int) -> Geometry:
        """Draw the angle."""
        angle = math.radians(rng.uniform(self.low, self.high))
        return _about_centre(math.cos(angle), -math.sin(angle), height, width)


#: The transforms of section 3.2 with the paper's ranges, in the paper's order.
PAPER_TRANSFORMS: tuple[Transform, ...] = (
    Brightness(),
    Gamma(),
    Elastic(),
    Zoom(),
    Translation(),
    Rotation(),
)
