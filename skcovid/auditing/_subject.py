"""`Subject`: the images, labels, patients and folds that are audited."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skcovid._base._validation_splits import requests
from skcovid.images._pixels import list_paths, name_images
from skcovid.metrics._estimates import Estimate
from skcovid.metrics._proportions import estimate_share
from skcovid.model_selection._evaluate import evaluate
from skcovid.model_selection._result import EvaluationResult

# Why a check is not run, where a table of predictions has no folds.
UNKNOWN_FOLDS = (
    "It is not known which images the model was trained on; add a column "
    '"fold" to the table of predictions.'
)

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


def list_parts(estimator: Any) -> list[Any]:
    """List an estimator and all that are inside it."""
    parts = [estimator, *estimator.get_params().values()]
    return [one for one in parts if isinstance(one, BaseEstimator)]


@dataclass(frozen=True)
class Subject:
    """The images, labels, patients and folds that are audited."""

    X: Any
    y: NDArray[Any]
    groups: NDArray[Any] | None
    # None also where it seems to name images.
    source: NDArray[Any] | None
    result: EvaluationResult
    pipeline: Any
    random_state: int
    n_jobs: int
    verbose: int
    # Rows of training and of test in each fold of the result. Where those are not
    # known, of folds for the baselines.
    splits: list[Split]

    @property
    def chance(self) -> float:
        """Share of the largest class among the images that were predicted."""
        _, counts = np.unique(self.y[self.result.test_indices], return_counts=True)
        return float(counts.max() / counts.sum())

    @property
    def paths(self) -> list[str] | None:
        """Paths of the images, None where `X` holds their pixels."""
        return list_paths(self.X)

    def patients(self, rows: NDArray[np.intp]) -> NDArray[Any] | None:
        """Patients of some images, None where they are not known."""
        return None if self.groups is None else self.groups[rows]

    def estimate_share(
        self, hits: NDArray[np.bool_], rows: NDArray[np.intp]
    ) -> Estimate:
        """Share of hits among some images, its interval by patients."""
        return estimate_share(hits, self.patients(rows))

    def names(self, rows: Iterable[int]) -> list[str]:
        """Name images by their path below the common folder, or as "image 3"."""
        return name_images(self.X, rows)

    def find_leaked(self, units: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each image is tested in a fold that is trained on its unit."""
        leaked = np.zeros(len(units), dtype=bool)
        for train, test in self.splits:
            leaked[test] = np.isin(units[test], units[train])
        return leaked

    def evaluate(
        self,
        classifier: Any,
        X: Any,
        *,
        y: NDArray[Any] | None = None,
        rows: NDArray[np.intp] | None = None,
        splits: Sequence[Split] | None = None,
    ) -> EvaluationResult:
        """Cross-validate a classifier on the model's folds."""
        rows = np.arange(len(self.y)) if rows is None else rows
        labels = self.y if y is None else y
        if splits is None:
            pairs = [
                tuple(np.flatnonzero(np.isin(rows, part)) for part in split)
                for split in self.splits
            ]
            splits = [(train, test) for train, test in pairs if len(test)]
        # The leakage check reports folds that split patients.
        whole = self.groups is not None and not self.find_leaked(self.groups).any()
        source = self.source if requests(classifier, "source") else None
        return evaluate(
            classifier,
            X,
            labels[rows],
            cv=splits,
            groups=self.patients(rows) if whole else None,
            source=None if source is None else source[rows],
            verbose=0,
        )
