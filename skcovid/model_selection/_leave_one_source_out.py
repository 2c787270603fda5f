"""`LeaveOneSourceOut`: every source is predicted by a model that saw none of it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils.validation import check_consistent_length

from skcovid._base._label_checks import check_groups, check_indices, check_source

Rows = NDArray[np.intp]


def leave_out_each(
    source: NDArray[Any], groups: NDArray[Any] | None
) -> Iterator[tuple[Any, Rows, Rows]]:
    """Yield each source with the rows to train on and its own rows.

    The rows of its patients in other sources are in neither.
    """
    for name in np.unique(source).tolist():
        tested = source == name
        left_out = tested if groups is None else np.isin(groups, groups[tested])
        yield name, np.flatnonzero(~left_out), np.flatnonzero(tested)


def explain_too_many(source: NDArray[Any]) -> str:
    """Say that a source seems to be one image or patient; empty if it does not."""
    n_sources = len(np.unique(source))
    if n_sources <= max(1, len(source) / 2):
        return ""
    return (
        f"source has {n_sources} values for {len(source)} images, so they seem to name "
        "images or patients; pass hospitals or collections."
    )


class LeaveOneSourceOut(BaseCrossValidator):
    """Folds that test one source each, such as a hospital, and train on the others.

    No patient is on two sides: if a patient of the tested source has images in other
    sources too, the model is not trained on those, and they are tested in the folds of
    their own sources.

    See Also
    --------
    skcovid.evaluate : Does this with ``cv="leave-one-source-out"``.
    sklearn.model_selection.LeaveOneGroupOut : Has one label for each image, so that
        it can keep sources whole, or patients.

    Notes
    -----
    ``split`` requests `source` and `groups`. scikit-learn passes them in
    ``cross_val_predict``, ``cross_validate`` and searches once metadata routing is
    enabled.

    Examples
    --------
    Patient 2 has an image in each hospital, so that neither fold trains on the other
    one:

    >>> from skcovid import LeaveOneSourceOut
    >>> source = ["A", "A", "A", "B", "B", "B"]
    >>> patients = [0, 1, 2, 2, 3, 4]
    >>> X = [[0.0], [0.9], [0.2], [0.7], [0.1], [0.8]]
    >>> y = [0, 1, 0, 1, 0, 1]
    >>> for train, test in LeaveOneSourceOut().split(X, y, patients, source):
    ...     print(train, test)
    [4 5] [0 1 2]
    [0 1] [3 4 5]

    >>> from sklearn import config_context
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_predict
    >>> with config_context(enable_metadata_routing=True):
    ...     cross_val_predict(
    ...         LogisticRegression(), X, y, cv=LeaveOneSourceOut(),
    ...         params={"source": source, "groups": patients},
    ...     )
    array([0, 1, 0, 1, 0, 1])
    """

    # What scikit-learn's searches and cross-validations route to `split`.
    __metadata_request__split = {"groups": True, "source": True}

    def __init__(self) -> None:
        # Typed: to a type checker, the base class takes any arguments.
        super().__init__()

    def split(
        self,
        X: Any,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        source: ArrayLike | None = None,
    ) -> Iterator[tuple[Rows, Rows]]:
        """Split rows, one fold for each source in sorted order.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images; only their number matters.
        y : array-like of shape (n_samples,), default=None
            Class labels, to check that every fold has two classes to train on.
        groups : array-like of shape (n_samples,), default=None
            Patient of each image.
        source : array-like of shape (n_samples,)
            Source of each image, such as its hospital or collection.

        Returns
        -------
        iterator of (train, test)
            Arrays of row indices, sorted.

        Raises
        ------
        ValueError
            If `source` is not given, there is one source only, or more than half as
            many as images; if a source or patient is missing; if lengths or pandas
            indices differ; or if leaving out a source leaves no image, or one class,
            to train on.
        """
        check_consistent_length(X, y, groups, source)
        check_indices(X=X, y=y, groups=groups, source=source)
        check_groups(groups)
        sources = _check_sources(source)
        patients = None if groups is None else np.asarray(groups)
        labels = None if y is None else np.asarray(y)
        found = list(leave_out_each(sources, patients))
        for name, train, _ in found:
            classes = None if labels is None else np.unique(labels[train]).tolist()
            if not len(train):
                raise ValueError(
                    f"Without source {name!r} and its patients no image is left to "
                    "train on. Check that groups names patients, or add images of "
                    "other patients to other sources."
                )
            if classes is not None and len(classes) < 2:
                raise ValueError(
                    f"Without source {name!r} all images are of class {classes[0]!r}, "
                    "and a classifier needs two. Add images of other classes from "
                    "another source; with these images, use a number of folds as cv, "
                    "and do not call the result external."
                )
        return ((train, test) for _, train, test in found)

    def get_n_splits(
        self,
        X: Any = None,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        source: ArrayLike | None = None,
    ) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object, default=None
            Not used.
        source : array-like of shape (n_samples,)
            Source of each image.

        Returns
        -------
        int
            The number of sources.
        """
        return len(np.unique(_check_sources(source)))


def _check_sources(source: ArrayLike | None) -> NDArray[Any]:
    """Return the sources as an array, if each can be left out."""
    if source is None:
        raise ValueError(
            "LeaveOneSourceOut needs the source of each image: evaluate(..., "
            "source=source). In cross_val_predict, cross_validate and searches call "
            "sklearn.set_config(enable_metadata_routing=True) and pass "
            "params={'source': source, 'groups': patients}, to the fit of a search "
            "source=source, groups=patients."
        )
    check_source(source)
    sources = np.asarray(source)
    if problem := explain_too_many(sources):
        raise ValueError(problem)
    names = np.unique(sources).tolist()
    if len(names) < 2:
        raise ValueError(
            f"All images are of source {names[0]!r}, so that none is left to train on. "
            "Add images of another source, or use a number of folds as cv."
        )
    return sources
