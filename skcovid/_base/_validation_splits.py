"""Splits inside a ``fit``: validation data and inner folds, of whole groups."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import has_fit_parameter

Seed = int | np.random.RandomState | None
Rows = NDArray[np.intp]


class StratifiedFolds(StratifiedGroupKFold):
    """Stratified folds, of whole groups where groups are given."""

    def split(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> Any:
        """Return the training and the test rows of each fold."""
        if groups is None:
            options = {"shuffle": self.shuffle, "random_state": self.random_state}
            return StratifiedKFold(self.n_splits, **options).split(X, y)
        labels, folds = np.asarray(y), list(super().split(X, y, groups))
        for train, _ in folds:
            for label in np.setdiff1d(labels, labels[train]).tolist():
                raise ValueError(
                    f"All images of class {label!r} are of patients in one of "
                    f"n_splits={self.n_splits} inner folds, so that training lacks "
                    "the class. Add patients, or fit without groups."
                )
        return iter(folds)


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
            "a validation image or without a training image: class "
            f"{classes.tolist()[rarest]!r} has {counts[rarest]} "
            f"{'images' if groups is None else 'groups'}. Raise validation_fraction or "
            "add images."
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


def requests(estimator: Any, name: str, method: str = "fit") -> bool:
    """Whether a method of an estimator, or of its parts, requests metadata."""
    try:
        return bool(estimator.get_metadata_routing().consumes(method, {name}))
    except (AttributeError, NotImplementedError):
        return False


def list_parameters(estimator: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, value and owner of each parameter of an estimator and its parts."""
    params = estimator.get_params()
    for name, value in params.items():
        prefix = name.rpartition("__")[0]
        yield name, value, params.get(prefix) if prefix else estimator


def check_inner_splits(estimator: Any, n_rows: int) -> None:
    """Raise if a part of an estimator would split patients inside its ``fit``."""
    for name, value, owner in list_parameters(estimator):
        parameter, cure = name.rpartition("__")[-1], None
        if parameter == "cv":
            frozen = isinstance(getattr(owner, "estimator", None), FrozenEstimator)
            prefit = isinstance(value, str) and value == "prefit"
            if not (frozen or prefit or requests(value, "groups", "split")):
                cure = "a cross-validator that keeps groups whole, such as "
                cure += "StratifiedGroupKFold(3)"
            elif not (frozen or prefit):
                _check_passes(owner, "groups")
        elif parameter == "validation_split" and value:
            cure = "0"
        elif getattr(owner, "validation_fraction", None) is not None:
            # What "auto" of scikit-learn's gradient boosting means.
            if parameter == "early_stopping":
                stops = value is True or (value == "auto" and n_rows > 10_000)
                cure = "False" if stops else None
            elif parameter == "n_iter_no_change" and not hasattr(
                owner, "early_stopping"
            ):
                cure = None if value is None else "None"
        if cure is not None:
            raise ValueError(
                f"{name}={value!r} of {type(owner).__name__} splits patients inside "
                f"fit; set {name} to {cure}."
            )
        if parameter == "steps" and not has_fit_parameter(owner, "groups"):
            _check_samplers(owner, "groups")


def check_inner_sources(estimator: Any, source: ArrayLike | None) -> None:
    """Raise if a part of an estimator leaves sources out, but would not get them."""
    for name, value, owner in list_parameters(estimator):
        parameter = name.rpartition("__")[-1]
        if parameter == "cv" and requests(value, "source", "split"):
            if source is None:
                raise ValueError(
                    f"{name}={value!r} needs the source of each image; pass source."
                )
            _check_passes(owner, "source")
            if not requests(estimator, "source"):
                raise ValueError(
                    f"{name}={value!r} needs source, which a part of "
                    f"{type(estimator).__name__} does not pass on; set {name} to "
                    "StratifiedGroupKFold(3)."
                )
            inner = getattr(owner, "estimator", None)
            scores = getattr(owner, "scoring", "") is None
            if scores and requests(inner, "source", "score"):
                raise ValueError(
                    f"{name}={value!r} scores sources that were not in fit, for which "
                    "a step of the search's pipeline has no statistics; name a scoring "
                    "of the search, such as 'accuracy', which passes it no source."
                )
        if parameter == "steps" and not has_fit_parameter(owner, "groups"):
            _check_samplers(owner, "source")


def _check_passes(owner: Any, metadata: str) -> None:
    """Raise if an estimator's folds or its last step would not get the metadata."""
    parts: list[Any] = []
    if isinstance(owner, StackingClassifier):
        parts = [part for _, part in owner.estimators if part != "drop"]
        # It passes all metadata to the final estimator, even if that takes none.
        parts.append(owner.final_estimator)
    elif getattr(owner, "ensemble", True) is False:
        parts = [owner.estimator]
    for part in parts:
        if not requests(part, metadata):
            cure = "cv=StratifiedGroupKFold(3)."
            if metadata == "groups":
                cure = (
                    "a pipeline of make_transfer_pipeline, or a search on whole "
                    "patients such as GridSearchCV(LogisticRegression(), {'C': [0.1, "
                    f"1, 10]}}, {cure[:-1]})."
                )
            whole = {"groups": "patients", "source": "sources"}[metadata]
            raise ValueError(
                f"{type(owner).__name__} keeps {whole} whole only if each of its "
                f"estimators takes {metadata}, and {part!r} takes none. Use {cure}"
            )


def _check_samplers(pipeline: Any, metadata: str) -> None:
    """Raise if a pipeline resamples images, but not the metadata that a step needs."""
    sampler = None
    for name, step in pipeline.steps:
        if sampler is not None and requests(step, metadata):
            raise ValueError(
                f"Step {name!r} needs {metadata}, but {type(pipeline).__name__} does "
                f"not resample them as step {sampler!r} does the images. Put the "
                f"sampler inside {name!r}: GridSearchCV(Pipeline([sampler, "
                "classifier]), …)."
            )
        if hasattr(step, "fit_resample"):
            sampler = name
