"""How many patients an interval of a wanted width takes."""

import math
from numbers import Real

from scipy.stats import norm

from skcovid._base._compatibility import Interval, validate_params
from skcovid.metrics._wilson import CONFIDENCE_LEVEL


@validate_params(
    {
        "value": [Interval(Real, 0, 1, closed="both")],
        "half_width": [Interval(Real, 0, 0.5, closed="neither")],
        "images_per_patient": [Interval(Real, 1, None, closed="left")],
        "correlation": [Interval(Real, 0, 1, closed="both")],
        "confidence_level": CONFIDENCE_LEVEL,
    }
)
def sample_size(
    value: float,
    half_width: float,
    *,
    images_per_patient: float = 1.0,
    correlation: float = 1.0,
    confidence_level: float = 0.95,
) -> int:
    """Count the patients that an interval of a wanted width takes.

    For the sensitivity count patients of the class, for the specificity those of the
    rest, for accuracy all.

    Parameters
    ----------
    value : float
        The share that is expected, such as a sensitivity of 0.9, in [0, 1]. 0.5 takes
        the most patients.
    half_width : float
        Half the width that the interval shall have at most, in (0, 0.5).
    images_per_patient : float, default=1.0
        Mean number of images of a patient, 1 or more.
    correlation : float, default=1.0
        Correlation of the images of one patient being right, in [0, 1]. By default they
        are all right or all wrong, so that more images of a patient add nothing.
    confidence_level : float, default=0.95
        Confidence level of the interval.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Notes
    -----
    Wilson's interval of n independent images is solved for n. Of m images a patient, of
    correlation r, n (1 + (m - 1) r) / m patients are as good [1]_.

    References
    ----------
    .. [1] Rao, J. N. K., and Scott, A. J. (1992). A simple method for the analysis of
       clustered binary data. Biometrics, 48, 577-585.

    Examples
    --------
    For a sensitivity of about 90 %, known to 5 points either way:

    >>> from skcovid.metrics import sample_size
    >>> sample_size(0.9, 0.05)
    141
    """
    variance = value * (1 - value)
    # The half width h solves h² (1 + u)² = variance · u + u² / 4, where u = z² / n.
    linear = variance - 2 * half_width**2
    quadratic = 0.25 - half_width**2
    root = math.sqrt(linear**2 + 4 * quadratic * half_width**2)
    ratio = (root - linear) / (2 * quadratic)
    n_images = float(norm.ppf((1 + confidence_level) / 2)) ** 2 / ratio
    design_effect = 1 + (images_per_patient - 1) * correlation
    return max(1, math.ceil(n_images * design_effect / images_per_patient))
