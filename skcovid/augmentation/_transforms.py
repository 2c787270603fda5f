"""The six transforms of section 3.2 of the paper."""

import math
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skcovid._base._compatibility import Interval
from skcovid._base._random import hashed_noise
from skcovid.augmentation._transform_types import (
    BatchNumbers,
    GeometricTransform,
    Geometry,
    IntensityTransform,
    Levels,
    Transform,
)
from skcovid.augmentation._warp import CUBIC_REACH

_POSITIVE = Interval(Real, 0, None, closed="neither")
_SHARE = Interval(Real, 0, 1, closed="right")
_ANGLE = Interval(Real, -180, 180, closed="both")


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
    _intervals = {"low": _POSITIVE, "high": _POSITIVE}

    def draw(self, rng: Generator | BatchNumbers, levels: Levels) -> Levels:
        """Multiply the levels by a factor."""
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
    _intervals = {"low": _POSITIVE, "high": _POSITIVE}

    def draw(self, rng: Generator | BatchNumbers, levels: Levels) -> Levels:
        """Raise the levels to a gamma."""
        gamma = rng.uniform(self.low, self.high)
        return np.asarray(levels**gamma * 255.0 ** (1.0 - gamma))


@dataclass(frozen=True)
class Elastic(GeometricTransform):
    """Displace every pixel by smoothed noise, after Simard et al. (2003).

    The noise is uniform in [-1, 1], one value for x and one for y at every pixel,
    smoothed by a Gaussian of `sigma` and multiplied by `alpha`. The displacements have
    a standard deviation of ``alpha / (2 * sqrt(3 * pi) * sigma)`` pixels at any image
    size (3.26 with the defaults): below about 100 pixels a strong distortion.

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
    _intervals = {"alpha": Interval(Real, 0, None, closed="left"), "sigma": _POSITIVE}

    def draw(self, rng: Generator, height: int, width: int) -> Geometry:
        """Draw the displacements, in cells of at most sigma / 2."""
        fields, (above, beside) = self.fields(np.array([rng.random()]), height, width)
        return fields[0, above:-above, beside:-beside]

    def fields(
        self, numbers: NDArray[np.float64], height: int, width: int
    ) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Make the displacements of each image, and of some cells beyond each edge.

        Also returns how many rows and columns of cells lie beyond an edge.
        """
        (rows, columns), margins, (kernel_y, kernel_x), strength = _plan_noise(
            self, height, width
        )
        noise = hashed_noise((numbers * 2**32).astype(np.uint32), rows * columns)
        # The images are stacked: what a kernel takes from a neighbour lies too far
        # beyond the edge to be looked up. The filter also scales noise to [-1, 1].
        fields: NDArray[np.float32] = cv2.sepFilter2D(
            noise.reshape(-1, columns, 2),
            cv2.CV_32F,
            2 * strength / 255 * kernel_x,
            kernel_y,
            delta=-strength,
        ).reshape(-1, rows, columns, 2)
        return fields, margins


@lru_cache(maxsize=16)
def _plan_noise(
    elastic: Elastic, height: int, width: int
) -> tuple[tuple[int, int], tuple[int, int], list[NDArray[np.float32]], float]:
    """Shape of the noise, its margins, its kernels (y and x) and its strength."""
    sigma = elastic.sigma * height
    # A field this smooth loses less than 1 % of its standard deviation on such a
    # grid and costs a fraction. Where sigma is small, a cell is one pixel.
    largest_cell = max(1.0, sigma / 2)
    rows = math.ceil(height / largest_cell)
    columns = math.ceil(width / largest_cell)
    # One cell may be wider than a narrow image.
    cell_height = height / rows if rows > 1 else largest_cell
    cell_width = width / columns if columns > 1 else largest_cell
    kernels = [_gaussian_kernel(sigma / cell) for cell in (cell_height, cell_width)]
    # The noise continues beyond the image, so that displacements are as strong at its
    # edges as in its middle.
    margins = len(kernels[0]) // 2 + CUBIC_REACH, len(kernels[1]) // 2
    noise_shape = rows + 2 * margins[0], columns + 2 * margins[1]
    # One value stands for the mean of the noise in a cell, whose standard deviation
    # is that of one pixel over the square root of the number of pixels.
    strength = elastic.alpha * height / math.sqrt(cell_height * cell_width)
    return noise_shape, margins, kernels, strength


def _gaussian_kernel(sigma: float) -> NDArray[np.float32]:
    """Gaussian that sums to 1, cut off at three sigma."""
    margin = math.ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-margin, margin + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def _about_centre(xx: Any, xy: Any, height: int, width: int) -> Geometry:
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
    _intervals = {"low": _POSITIVE, "high": _POSITIVE}

    def draw(self, rng: Generator | BatchNumbers, height: int, width: int) -> Geometry:
        """Draw the enlargement as an affine map."""
        scale = 1 / rng.uniform(self.low, self.high)
        return _about_centre(scale, 0 * scale, height, width)


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
    _intervals = {"low": _SHARE, "high": _SHARE}

    def draw(self, rng: Generator | BatchNumbers, height: int, width: int) -> Geometry:
        """Draw the shift as an affine map."""
        # The first half of the numbers for one direction, the second for the other.
        number = np.asarray(rng.random())
        sign = np.where(number < 0.5, 1.0, -1.0)
        shift = sign * (1 - BatchNumbers(2 * number % 1).uniform(self.low, self.high))
        one, zero = np.ones_like(shift), np.zeros_like(shift)
        return np.array([[one, zero, shift * width], [zero, one, shift * height]])


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
    _intervals = {"low": _ANGLE, "high": _ANGLE}

    def draw(self, rng: Generator | BatchNumbers, height: int, width: int) -> Geometry:
        """Draw the rotation as an affine map."""
        angle = np.radians(rng.uniform(self.low, self.high))
        return _about_centre(np.cos(angle), -np.sin(angle), height, width)


#: The transforms of section 3.2 with the paper's ranges, in the paper's order.
PAPER_TRANSFORMS: tuple[Transform, ...] = (
    Brightness(),
    Gamma(),
    Elastic(),
    Zoom(),
    Translation(),
    Rotation(),
)

#: Methods that draw for a whole batch, given its `BatchNumbers`.
DRAW_BATCHES = {type(transform).draw for transform in PAPER_TRANSFORMS}
