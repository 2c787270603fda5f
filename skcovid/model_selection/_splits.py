"""The rows of each fold: for training, validation and test."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import (
    BaseCrossValidator,
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedKFold,
)

from skcovid._base._compatibility import safe_indexing
from skcovid._base._label_checks import check_groups, check_source
from skcovid._base._validation_splits import requests
from skcovid.metrics._estimates import Estimate
from skcovid.metrics._proportions import estimate_share

Protocol = Literal["cross_val_predict", "paper"]
Seed = int | np.random.RandomState | None


class Split(NamedTuple):
    """Rows of one fold; `validation` is empty unless the protocol sets it aside."""

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]


def split(
    y: ArrayLike,
    *,
    cv: BaseCrossValidator,
    groups: ArrayLike | None = None,
    source: ArrayLike | None = None,
    protocol: Protocol = "cross_val_predict",
    random_state: Seed = 0,
) -> Iterator[Split]:
    """Split rows as a protocol does.

    Parameters
    ----------
    y, groups, source
        As for :func:`skcovid.evaluate`.
    cv : cross-validator
        Makes the folds.
    protocol : {"cross_val_predict", "paper"}, default="cross_val_predict"
        Whether test folds are halved into validation and test.
    random_state : int, RandomState instance or None, default=0
        Seed of the halves.

    Yields
    ------
    Split
        Arrays `train`, `validation` and `test` of row indices.

    Raises
    ------
    ValueError
        If a fold has no training or no test rows; if protocol "paper" has to halve a
        test fold of a single patient, or of a source that is to be left out; or as the
        cross-validator does.

    Examples
    --------
    The paper's numbers: training folds of 2,324, test folds of 581, halved.

    >>> import numpy as np
    >>> from sklearn.model_selection import StratifiedKFold
    >>> from skcovid.model_selection import split
    >>> y = np.repeat(["COVID-19", "NORMAL", "Viral Pneumonia"], [219, 1341, 1345])
    >>> rows = next(split(y, cv=StratifiedKFold(5), protocol="paper"))
    >>> [len(part) for part in rows]
    [2324, 291, 290]
    """
    check_groups(groups)
    check_source(source)
    labels = np.asarray(y)
    metadata = {}
    if requests(cv, "source", "split"):
        metadata = {"source": source}
        if protocol == "paper":
            raise ValueError(
                f"protocol='paper' trains with half of each test fold as validation "
                f"data, so that cv={cv!r} would leave no source out. Use "
                "protocol='cross_val_predict'."
            )
    nothing = np.empty(0, dtype=np.intp)
    everyone = np.arange(len(labels))
    for sides in cv.split(np.empty(len(labels)), labels, groups, **metadata):
        if 0 in map(len, sides):
            raise ValueError(
                f"cv={cv!r} gives a fold without training or without test images."
            )
        # Sides may be lists, masks, or count from the end.
        train, test = (everyone[np.asarray(side)] for side in sides)
        if protocol == "cross_val_predict":
            yield Split(train, nothing, test)
            continue
        # "The test split is further divided into 50%": not stratified, as the 19
        # COVID-19 images of the paper's testing halves show.
        halver = ShuffleSplit if groups is None else GroupShuffleSplit
        patients = None if groups is None else safe_indexing(groups, test)
        if patients is not None and len(np.unique(patients)) < 2:
            raise ValueError(
                "protocol='paper' halves every test fold, but one holds a single "
                "patient. Use fewer folds or protocol='cross_val_predict'."
            )
        halves = halver(n_splits=1, test_size=0.5, random_state=random_state)
        parts = next(halves.split(test, groups=patients))
        larger, smaller = sorted(parts, key=len, reverse=True)
        yield Split(train, np.sort(test[larger]), np.sort(test[smaller]))


def check_splits(
    splits: list[Split], cv: BaseCrossValidator, groups: ArrayLike | None
) -> None:
    """Raise an error if a row is tested twice, or a patient is on two sides."""
    if not splits:
        raise ValueError(f"cv={cv!r} gives no folds.")
    held_out = np.concatenate([[*rows.validation, *rows.test] for rows in splits])
    if len(np.unique(held_out)) != len(held_out):
        raise ValueError(
            f"cv={cv!r} tests some images more than once; use a partition, such as "
            "StratifiedKFold."
        )
    unit = "image" if groups is None else "patient"
    n_samples = 1 + max(part.max(initial=0) for rows in splits for part in rows)
    units = np.arange(n_samples) if groups is None else np.asarray(groups)
    for rows in splits:
        for first, second in combinations(rows, 2):
            shared = np.intersect1d(units[first], units[second]).tolist()
            if shared:
                raise ValueError(
                    f"cv={cv!r} has {unit} {shared[0]!r} on two sides of a split; use "
                    "a number of folds, or a cross-validator that keeps groups whole, "
                    "such as StratifiedGroupKFold."
                )


def name_folds(splits: list[Split], source: NDArray[Any] | None) -> list[str]:
    """Name each fold by its number, and by the source that it leaves out."""
    names = [f"fold {number}" for number in range(1, len(splits) + 1)]
    if source is None:
        return names
    return [
        f"{name} (source {source[rows.test].tolist()[0]!r})"
        if len(np.unique(source[rows.test])) == 1
        and not np.isin(source[rows.train], source[rows.test]).any()
        else name
        for name, rows in zip(names, splits, strict=True)
    ]


def find_patient_overlap(
    y: NDArray[Any],
    groups: ArrayLike,
    n_folds: int,
    protocol: Protocol,
    random_state: Seed,
) -> Estimate | None:
    """Return the share of test images with a training image of their patient."""
    if not 2 <= n_folds <= np.unique(y, return_counts=True)[1].min():
        return None
    patients = np.asarray(groups)
    plain = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    tests, shared = [], []
    for rows in split(y, cv=plain, protocol=protocol, random_state=random_state):
        tests.append(rows.test)
        shared.append(np.isin(patients[rows.test], patients[rows.train]))
    return estimate_share(np.concatenate(shared), patients[np.concatenate(tests)])
