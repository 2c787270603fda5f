"""Which images of a training set are set aside to validate on."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

__all__ = ["split_off"]


def split_off(
    y: NDArray,
    groups: ArrayLike | None,
    validation_fraction: float,
    random_state: int | np.random.RandomState | None,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split images in two, stratified by class, whole groups on one side.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Class labels.
    groups : array-like of shape (n_samples,) or None
        Patients.
    validation_fraction : float
        Share that is set aside, in (0, 0.5].
    random_state : int, RandomState instance or None
        Seed of the split.

    Returns
    -------
    train, held_out : ndarray of int
        Indices of the images that stay and of those set aside.

    Raises
    ------
    ValueError
        If a class would be without an image on either side.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid._holdout import split_off
    >>> y = np.repeat(["COVID-19", "NORMAL"], 10)
    >>> train, held_out = split_off(y, None, 0.2, random_state=0)
    >>> len(train), np.sort(y[held_out]).tolist()
    (16, ['COVID-19', 'COVID-19', 'NORMAL', 'NORMAL'])
    """
    _check_fraction(
        y, np.arange(len(y)) if groups is None else groups, validation_fraction
    )
    splitter: Any
    if groups is None:
        splitter = StratifiedShuffleSplit(
            n_splits=1, test_size=validation_fraction, random_state=random_state
        )
    else:
        splitter = StratifiedGroupKFold(
            n_splits=round(1 / validation_fraction),
            shuffle=True,
            random_state=random_state,
        )
    classes = np.unique(y)
    for train, held_out in splitter.split(np.empty(len(y)), y, groups):
        absent = np.setdiff1d(classes, np.intersect1d(y[train], y[held_out]))
        if not len(absent):
            return train, held_out
    raise ValueError(
        f"validation_fraction={validation_fraction} sets aside {len(held_out)} images; "
        f"class {absent.tolist()[0]!r} is not both among them and among the rest. "
        "Raise validation_fraction."
    )


def _check_fraction(y: NDArray, units: ArrayLike, validation_fraction: float) -> None:
    units = np.asarray(units)
    classes = np.unique(y).tolist()
    counts = [len(np.unique(units[y == label])) for label in classes]
    smallest = int(np.argmin(counts))
    n_units = len(np.unique(units))
    n_held_out = round(validation_fraction * n_units)
    if counts[smallest] < 2 or n_held_out < len(classes):
        raise ValueError(
            f"validation_fraction={validation_fraction} of {n_units} images or groups "
            f"leaves a class without a validation image: class {classes[smallest]!r} "
            f"has {counts[smallest]}. Raise validation_fraction or add images."
        )
