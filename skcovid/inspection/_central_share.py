"""How much of a saliency lies in the central part of the image."""

import math
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skcovid._base._compatibility import Interval, validate_params


@validate_params(
    {"saliency": ["array-like"], "fraction": [Interval(Real, 0, 1, closed="neither")]}
)
def central_share(saliency: ArrayLike, fraction: float = 0.5) -> NDArray[np.float64]:
    """Share of each image's saliency that lies in the central part of the image.

    A frontal radiograph shows the lungs in its centre and, near its edges, what differs
    between machines and hospitals: letters, collimation, arms, borders.

    Parameters
    ----------
    saliency : array-like of shape (n_samples, height, width)
        Saliency of images. Only positive values count.
    fraction : float, default=0.5
        Size of the central part, a rectangle of the image's shape about its centre, as
        a share of the image's area, in (0, 1). Its sides are rounded to whole pixels.

    Returns
    -------
    ndarray of shape (n_samples,), float64 in [0, 1]
        `fraction`, except for rounding, where the saliency is constant; NaN where it
        has no positive values.

    Raises
    ------
    ValueError
        If `saliency` does not have three dimensions, or holds NaN or infinite values.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.inspection import central_share
    >>> saliency = np.zeros((2, 8, 8))
    >>> saliency[0, 3:5, 3:5] = 1  # in the middle
    >>> saliency[1, 0, 0] = 1  # in a corner
    >>> central_share(saliency, fraction=0.25)
    array([1., 0.])
    """
    maps = np.asarray(saliency, dtype=np.float64)
    if maps.ndim != 3 or not np.isfinite(maps).all():
        raise ValueError(
            "saliency must hold finite numbers of shape (n_samples, height, width), "
            f"got shape {maps.shape}."
        )
    positive = np.maximum(maps, 0)
    lengths = [max(1, round(math.sqrt(fraction) * side)) for side in maps.shape[1:]]
    rows, columns = (
        slice((side - length) // 2, (side + length) // 2)
        for side, length in zip(maps.shape[1:], lengths, strict=True)
    )
    central = positive[:, rows, columns].sum(axis=(1, 2))
    with np.errstate(invalid="ignore"):
        return np.asarray(central / positive.sum(axis=(1, 2)))
