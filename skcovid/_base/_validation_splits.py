"""Splits inside a ``fit``: validation data and inner folds, of whole groups."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.utils import check_random_state

Seed = int | np.random.RandomState | None
Rows = NDArray[np.intp]


class StratifiedFolds(StratifiedGroupKFold):
    """Stratified folds, of whole groups where groups are given."""

    def split(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> Any:
        """Return the training and the test rows of each fold."""
        if groups is not None:
            return super().split(X, y, groups)
        options = {"shuffle": self.shuffle, "random_state": self.random_state}
        return StratifiedKFold(self.n_splits, **options).split(X, y)


def split_validation(
    y: NDArray[Any], groups: ArrayLike | None, fraction: float, random_state: Seed
) -> tuple[Rows, Rows]:
    """Split rows in two, stratified by class, with whole groups on one side."""
    classes = np.unique(y)
    units = np.arange(len(y)) if groups is None else np.asarray(groups)
    counts = [len(np.unique(units[y == label])) for label in classes]
    train = held_out = np.empty(0, dtype=np.intp)
    if min(counts) > 1 and round(fraction * len(y)) >= len(classes):
        if groups is None:
            splitter = StratifiedShuffleSplit(
                n_splits=1, test_size=fraction, random_state=random_state
            )
            train, held_out = next(splitter.split(np.empty(len(y)), y))
        else:
            chosen = _choose_groups(y, units, fraction, random_state)
            train, held_out = np.flatnonzero(~chosen), np.flatnonzero(chosen)
    both = np.isin(classes, y[train]) & np.isin(classes, y[held_out])
    if not both.all():
        rarest = min(np.flatnonzero(~both), key=lambda number: counts[number])
        raise ValueError(
            f"validation_fraction={fraction} of {len(y)} images leaves a class without "
            f"validation or training images: class {classes.tolist()[rarest]!r} has "
            f"{counts[rarest]} {'images' if groups is None else 'groups'}. Raise "
            "validation_fraction or add images."
        )
    return train, held_out


def _choose_groups(
    y: NDArray[Any], groups: NDArray[Any], fraction: float, random_state: Seed
) -> NDArray[np.bool_]:
    """Choose the rows of groups that are nearest to a fraction of each class."""
    classes, labels = np.unique(y, return_inverse=True)
    names, units = np.unique(groups, return_inverse=True)
    # Images of each class, and of all, in each group.
    counts = np.zeros((len(names), len(classes) + 1), dtype=np.intp)
    np.add.at(counts, (units, labels), 1)
    counts[:, -1] = counts.sum(axis=1)
    totals = counts.sum(axis=0)
    target = fraction * totals

    def cost(held: NDArray[np.intp]) -> float:
        return float(sum((held - target) ** 2) + 1e15 * sum(held == 0))

    generator = check_random_state(random_state)
    found = []
    # Where there are few groups, one order seldom gives the best choice.
    for _ in range(10_000 // len(names) + 1):
        chosen, held = np.zeros(len(names), dtype=bool), np.zeros_like(totals)
        for group in generator.permutation(len(names)):
            after = held + counts[group]
            # Each class keeps a group for training.
            if cost(after) < cost(held) and (after < totals).all():
                chosen[group], held = True, after
        distance = np.abs(held - target)
        found.append((sum(held == 0), distance[-1].round(6), cost(held), chosen))
        if held.all() and distance.max() <= 0.5:
            break
    best: NDArray[np.bool_] = min(found, key=lambda choice: choice[:3])[-1]
    return best[units]


def requests_groups(estimator: Any) -> bool:
    """Whether an estimator's ``fit`` requests groups, for itself or for its parts."""
    try:
        return bool(estimator.get_metadata_routing().consumes("fit", {"groups"}))
    except (AttributeError, NotImplementedError):
        return False
