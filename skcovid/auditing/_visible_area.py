"""Images whose centre is black, and the share of them that stays visible."""

import math
from typing import Any

from numpy.typing import NDArray

# A frontal chest radiograph is collimated to the lungs: their fields come to within 5 %
# of its edges, but seldom further.
MIN_BORDER_FRACTION = 0.9


def blank_centre(image: NDArray[Any], fraction: float) -> NDArray[Any]:
    """Black out the centre of an image.

    Parameters
    ----------
    image : ndarray of shape (height, width[, 3])
        The image; it is not changed.
    fraction : float
        Height and width of the blanked area, as a share of the image's, in (0, 1).

    Returns
    -------
    ndarray of the same shape and dtype
        A copy.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.auditing import blank_centre
    >>> blank_centre(np.ones((4, 4), np.uint8), 0.5)
    array([[1, 1, 1, 1],
           [1, 0, 0, 1],
           [1, 0, 0, 1],
           [1, 1, 1, 1]], dtype=uint8)
    """
    blanked = image.copy()
    blanked[_centre(image.shape, fraction)] = 0
    return blanked


def visible_share(shape: tuple[int, ...], fraction: float) -> float:
    """Share of an image's pixels that :func:`blank_centre` leaves.

    Parameters
    ----------
    shape : tuple of int
        (height, width[, 3]) of the image.
    fraction : float
        As for :func:`blank_centre`.

    Returns
    -------
    float
        In [0, 1].
    """
    height, width = shape[:2]
    rows, columns = _centre(shape, fraction)
    blanked = (rows.stop - rows.start) * (columns.stop - columns.start)
    return float(1 - blanked / (height * width))


def _centre(shape: tuple[int, ...], fraction: float) -> tuple[slice, slice]:
    # Rounded down, so that at least this fraction is blanked.
    top, left = (math.floor(side * (1 - fraction) / 2 + 1e-9) for side in shape[:2])
    return slice(top, shape[0] - top), slice(left, shape[1] - left)
