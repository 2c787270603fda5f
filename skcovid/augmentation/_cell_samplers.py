"""Samplers that balance classes within each source, and within attributes of images."""

from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from imblearn.base import BaseSampler
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    column_or_1d,
    validate_data,
)

from skcovid._base._atomic_fit import atomic_fit
from skcovid._base._compatibility import Interval, StrOptions, safe_indexing
from skcovid._base._label_checks import check_indices, check_samples, is_missing
from skcovid._base._parameters import PlainParameters
from skcovid.reading._paths import holds_paths

Rows = NDArray[np.intp]


class _CellSampler(PlainParameters, BaseSampler):
    """Base class: find the images of each class in each stratum, and choose some."""

    # What pipelines route without being told to.
    __metadata_request__fit = {"source": True, "attributes": True}
    __metadata_request__fit_resample = {"source": True, "attributes": True}

    _parameter_constraints = {
        "by": [list, tuple],
        "unmatched": [StrOptions({"raise", "drop"})],
        "random_state": ["random_state"],
    }

    by: Sequence[str]
    unmatched: str
    random_state: int | np.random.RandomState | None

    def fit(self, X: Any, y: ArrayLike, **params: Any) -> "_CellSampler":
        """Choose the images as ``fit_resample`` does, and return the sampler."""
        self.fit_resample(X, y, **params)
        return self

    @atomic_fit
    def fit_resample(
        self,
        X: Any,
        y: ArrayLike,
        *,
        source: ArrayLike | None = None,
        attributes: Mapping[str, ArrayLike] | None = None,
    ) -> tuple[Any, Any]:
        """Resample the images.

        Parameters
        ----------
        X : LazyImages, array-like or sparse matrix of shape (n_samples, ...)
            Images, paths or features; only their number matters.
        y : array-like of shape (n_samples,)
            Class labels.
        source : array-like of shape (n_samples,), default=None
            Source of each image, such as its hospital; None if all have the same.
        attributes : mapping of str to array-like of shape (n_samples,), default=None
            Attributes of the images, such as ``attributes`` of
            :func:`skcovid.datasets.load_radiographs`, or a table with such columns.

        Returns
        -------
        X_resampled, y_resampled : objects of the types of `X` and `y`
            The rows `sample_indices_`.

        Raises
        ------
        ValueError
            If there is one class only, an attribute is not given or has another
            length, an image can't be balanced and `unmatched` is "raise", none can be,
            or labels or sources are missing or misspelt.
        """
        self._validate_params()
        check_samples(X, y, None, source)
        check_indices(X=X, y=y, source=source, attributes=attributes)
        check_classification_targets(y)
        if hasattr(X, "columns"):
            validate_data(self, X, skip_check_array=True)
        elif np.ndim(X) < 3 and not holds_paths(X):
            table = validate_data(
                self, X, dtype=None, accept_sparse="csr", ensure_all_finite=False
            )
            # A list stays one; not every sparse format has rows.
            X = table if issparse(X) else X
        labels = column_or_1d(y)
        near = getattr(self, "near", None)
        classes = np.unique(labels).tolist()
        if len(classes) < 2:
            raise ValueError(f"y holds one class only, {classes[0]!r}; pass two.")
        columns = [_read_attribute(attributes, name, X) for name in self.by]
        names = [*self.by]
        if source is not None:
            columns.insert(0, np.asarray(source).tolist())
            names.insert(0, "source")
        values = np.zeros(len(labels))
        if near is not None:
            found = _read_attribute(attributes, near, X)
            try:
                values = np.array(found, dtype=float)
            except (TypeError, ValueError) as error:
                raise ValueError(f"near={near!r} is not of numbers: {error}.") from None
        keys = list(zip(*columns, strict=True)) or [()] * len(labels)
        # The images of each class, in each source and combination of attributes.
        strata: dict[tuple[Any, ...], dict[Any, list[int]]] = {}
        unknown = []
        for row, (key, label) in enumerate(zip(keys, labels.tolist(), strict=True)):
            if None in key or np.isnan(values[row]):
                unknown.append(row)
            else:
                cells = strata.setdefault(key, {label: [] for label in classes})
                cells[label].append(row)
        problems = [f"an attribute of row {row} is missing" for row in unknown[:1]]
        generator = check_random_state(self.random_state)
        chosen: list[Rows] = [np.empty(0, dtype=np.intp)]
        for key, cells in strata.items():
            absent = [label for label, rows in cells.items() if not rows]
            if not absent:
                members = [generator.permutation(rows) for rows in cells.values()]
                chosen.append(self._fit_resample(members, values))
            if absent or not len(chosen[-1]):
                name = ", ".join(map("{} {!r}".format, names, key)) or "X"
                what = f"image of class {absent[0]!r}" if absent else "match"
                problems.append(f"{name} has no {what}")
        self.sample_indices_ = np.concatenate(chosen)
        if problems and (self.unmatched == "raise" or not len(self.sample_indices_)):
            more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise ValueError(
                f"{'; '.join(problems[:5])}{more}. Add what is missing, leave out what "
                "it would be compared with, as unmatched='drop' does if some images "
                "are left, or balance by fewer attributes."
            )
        resampled = safe_indexing(y, self.sample_indices_)
        self.sampling_strategy_ = dict(Counter(labels[self.sample_indices_].tolist()))
        return safe_indexing(X, self.sample_indices_), resampled

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.sampler_tags.sample_indices = True
        # What X holds is not looked at.
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.three_d_array = True
        return tags


def _read_attribute(attributes: Any, name: str, X: Any) -> list[Any]:
    """Return the values of an attribute, one for each image, None if not known."""
    found = [] if attributes is None else getattr(attributes, "columns", attributes)
    if name not in list(found):
        raise ValueError(
            f"attributes must have {name!r}, got {list(found) or 'none'}. Pass "
            "attributes, as data.attributes of load_radiographs, or balance without it."
        )
    check_consistent_length(X, attributes[name])
    values = np.asarray(attributes[name], dtype=object).tolist()
    return [None if is_missing(value) else value for value in values]


class CellOverSampler(_CellSampler):
    """Balance the classes within each source by repeating images.

    Where one source has mostly one class, a model learns to tell sources apart. Here
    each class ends with as many images of a source, and combination of attributes, as
    the largest class has of it: all its own, each as often as the others or once more.

    Parameters
    ----------
    by : sequence of str, default=()
        Names of attributes, such as "view", within whose values classes are balanced
        too. One with many values, such as the age, must be cut into bands before.
    unmatched : {"raise", "drop"}, default="raise"
        What becomes of images that can't be balanced, since their source, or
        combination of attributes, lacks a class, or an attribute is unknown: an error
        that names them, or they are left out.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice of images that are repeated once more.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_new_samples,)
        Index of the image that each output row is.
    sampling_strategy_ : dict
        Number of images each class ends with.

    See Also
    --------
    MatchingUnderSampler : Leaves images out instead.
    AugmentationBalancer : Balances classes alone, with augmented copies.

    Notes
    -----
    A later step that splits what it is given must keep the copies of an image
    together. The pipelines of :func:`skcovid.make_transfer_pipeline` see to it.

    Examples
    --------
    >>> from skcovid import CellOverSampler
    >>> y = ["COVID-19", "NORMAL", "NORMAL", "COVID-19", "NORMAL"]
    >>> source = ["A", "A", "A", "B", "B"]
    >>> sampler = CellOverSampler()
    >>> X, y = sampler.fit_resample([[0], [1], [2], [3], [4]], y, source=source)
    >>> sampler.sample_indices_
    array([0, 0, 1, 2, 3, 4])
    """

    def __init__(
        self,
        *,
        by: Sequence[str] = (),
        unmatched: str = "raise",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.by = by
        self.unmatched = unmatched
        self.random_state = random_state

    def _fit_resample(self, members: list[Rows], values: NDArray[Any]) -> Rows:
        """Repeat the images of each class until they are as many as the largest's."""
        size = max(map(len, members))
        return np.concatenate([np.sort(np.resize(rows, size)) for rows in members])


class MatchingUnderSampler(_CellSampler):
    """Keep images of each class that match in source, sex, view and age.

    Where patients with COVID-19 are older, or were imaged lying, a model learns that.
    Each image that is kept has a counterpart in every other class: of the same source
    and attributes, and of an age within the caliper. As many sets are kept as can be.

    Parameters
    ----------
    by : sequence of str, default=("sex", "view")
        Names of the attributes that must be the same, beside the source.
    near : str or None, default="age"
        Name of the attribute, of numbers, that may differ by `caliper`; None for none.
    caliper : float, default=5
        Largest difference of `near` in a set of matched images, at least 0: years,
        if it is the age. Five-year bands are the usual ones of age-standardised rates.
    unmatched : {"raise", "drop"}, default="raise"
        What becomes of a source, or combination of attributes, that lacks a class or
        has no match, and of images of which an attribute is unknown: an error that
        names them, or they are left out. Images beyond the first matches always are.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice among images of the same value of `near`.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_new_samples,)
        Index of the image that each output row is; for each source and combination of
        attributes the images of the first class, then their counterparts in order.
    sampling_strategy_ : dict
        Number of images each class ends with.

    See Also
    --------
    CellOverSampler : Leaves no image out.

    Examples
    --------
    >>> from skcovid import MatchingUnderSampler
    >>> y = ["COVID-19", "COVID-19", "NORMAL", "NORMAL", "NORMAL"]
    >>> age = [60, 80, 4, 57, 62]
    >>> sampler = MatchingUnderSampler(by=(), random_state=0)
    >>> X, y = sampler.fit_resample([[0]] * 5, y, attributes={"age": age})
    >>> sampler.sample_indices_
    array([0, 3])
    """

    _parameter_constraints = {
        **_CellSampler._parameter_constraints,
        "near": [str, None],
        "caliper": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        by: Sequence[str] = ("sex", "view"),
        near: str | None = "age",
        caliper: float = 5,
        unmatched: str = "raise",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.by = by
        self.near = near
        self.caliper = caliper
        self.unmatched = unmatched
        self.random_state = random_state

    def _fit_resample(self, members: list[Rows], values: NDArray[Any]) -> Rows:
        """Match images from the lowest value on, which gives the most sets."""
        queues = [
            rows[np.argsort(values[rows], kind="stable")].tolist() for rows in members
        ]
        matched = []
        while all(queues):
            heads = values[[queue[0] for queue in queues]]
            if np.ptp(heads) <= self.caliper:
                matched.append([queue.pop(0) for queue in queues])
            else:
                queues[int(np.argmin(heads))].pop(0)
        return np.array(matched, dtype=np.intp).T.ravel()
