"""`SourceStandardScaler`: features standardised by the images of their own source."""

from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import (
    FLOAT_DTYPES,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from skcovid._base._compatibility import Interval, fit_context
from skcovid._base._label_checks import check_indices, check_source
from skcovid._base._parameters import PlainParameters


class SourceStandardScaler(OneToOneFeatureMixin, TransformerMixin, PlainParameters):
    """Standardise features by the mean and deviation of their own source.

    What differs between hospitals in every image, such as exposure or framing, is then
    no longer in the features. Labels are not used: a source may have one class only.
    Images without a source are standardised by the mean of all training images and the
    deviation within sources; after ``adapt``, by those of a new hospital's images.

    Parameters
    ----------
    shrinkage : float, default=1
        Number of images, at least 0, that the statistics of all training images count
        for beside a source's own, since the mean of few images is mostly chance: in
        the mean of n images, n / (n + shrinkage) is their own. The default is the least
        that leaves a source of one image features other than 0.

    Attributes
    ----------
    sources_ : ndarray of shape (n_sources,)
        Names of the training sources, sorted.
    means_, scales_ : ndarray of shape (n_sources, n_features), float64
        What is subtracted from the features of a source, and what they are divided by.
    pooled_mean_ : ndarray of shape (n_features,), float64
        Mean of all training images.
    pooled_variance_ : ndarray of shape (n_features,), float64
        Variance within sources.
    mean_, scale_ : ndarray of shape (n_features,), float64
        As `means_` and `scales_`, for images without a source.

    See Also
    --------
    skcovid.evaluate : With ``adapt=True``, adapts each fold to its source.

    Notes
    -----
    A hospital with another share of a class than the training sources has another mean
    for that reason too, which standardising removes: thresholds do not carry over, and
    with one class only no image stands out. A feature that is constant in a source has
    the scale within all sources, or 1.

    Examples
    --------
    >>> from skcovid import SourceStandardScaler
    >>> X = [[1.0], [3.0], [11.0], [13.0]]
    >>> scaler = SourceStandardScaler(shrinkage=0)
    >>> scaler.fit_transform(X, source=["A", "A", "B", "B"]).ravel().round(3)
    array([-0.707,  0.707, -0.707,  0.707])
    >>> scaler.adapt([[101.0], [103.0]]).transform([[102.0]])
    array([[0.]])
    """

    # What pipelines route without being told to.
    __metadata_request__fit = {"source": True}
    __metadata_request__transform = {"source": True}

    _parameter_constraints = {"shrinkage": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, *, shrinkage: float = 1) -> None:
        self.shrinkage = shrinkage

    @fit_context()
    def fit(self, X: Any, y: Any = None, *, source: ArrayLike | None = None) -> Self:
        """Find the mean and deviation of each source.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : object, default=None
            Not used.
        source : array-like of shape (n_samples,), default=None
            Source of each image, such as its hospital; None if all have the same.

        Returns
        -------
        SourceStandardScaler
            The fitted transformer.

        Raises
        ------
        ValueError
            If there are fewer than two images, features are not finite, a source is
            missing or misspelt, lengths or indices differ, or no source has two images.
        """
        check_indices(X=X, source=source)
        X = validate_data(self, X, dtype=FLOAT_DTYPES, ensure_min_samples=2)
        names = np.zeros(len(X)) if source is None else _check_names(X, source)
        self.sources_, rows = np.unique(names, return_inverse=True)
        parts = [X[rows == number] for number in range(len(self.sources_))]
        n_spare = len(X) - len(parts)
        if not n_spare:
            raise ValueError(
                f"source has another value for each of {len(X)} images, so it seems to "
                "name images; pass hospitals or collections."
            )
        self.pooled_mean_ = X.mean(axis=0, dtype=np.float64)
        squares = np.sum([_squares(part) for part in parts], axis=0)
        self.pooled_variance_ = _variance(squares, n_spare, X)
        pairs = [self._statistics(part) for part in parts]
        self.means_, self.scales_ = map(np.array, zip(*pairs, strict=True))
        self.mean_, self.scale_ = self.pooled_mean_, _scale(self.pooled_variance_)
        return self

    def fit_transform(
        self, X: Any, y: Any = None, *, source: ArrayLike | None = None
    ) -> NDArray[np.floating]:
        """Fit, and standardise the same features.

        Parameters
        ----------
        X, y, source : object
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            As of ``transform``.
        """
        return self.fit(X, y, source=source).transform(X, source=source)

    def transform(
        self, X: Any, *, source: ArrayLike | None = None
    ) -> NDArray[np.floating]:
        """Standardise features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        source : array-like of shape (n_samples,), default=None
            Source of each image, one of `sources_`. None for images of a new hospital:
            the one that ``adapt`` was given, or any.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Standardised features, float32 if `X` is, else float64.

        Raises
        ------
        ValueError
            If a source was not in ``fit``, or as in ``fit``.
        """
        check_is_fitted(self)
        check_indices(X=X, source=source)
        X = validate_data(self, X, dtype=FLOAT_DTYPES, reset=False)
        mean, scale = self.mean_, self.scale_
        if source is not None:
            known = {name: row for row, name in enumerate(self.sources_.tolist())}
            names = _check_names(X, source).tolist()
            if new := sorted(set(names) - known.keys(), key=str):
                raise ValueError(
                    f"source {new[0]!r} was not in fit, which had "
                    f"{', '.join(map(repr, known))}. Call adapt with its images, and "
                    "transform without source."
                )
            rows = [known[name] for name in names]
            mean, scale = self.means_[rows], self.scales_[rows]
        return np.asarray((X - mean) / scale, dtype=X.dtype)

    def adapt(self, X: Any) -> Self:
        """Standardise images without a source by these images from now on.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of a new hospital's images, without labels. They replace those of
            an earlier call.

        Returns
        -------
        SourceStandardScaler
            The adapted transformer.

        Raises
        ------
        ValueError
            If `X` is empty, its features are not finite, or their number differs.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOAT_DTYPES, reset=False)
        self.mean_, self.scale_ = self._statistics(X)
        return self

    def _statistics(
        self, X: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean and scale of one source's images, shrunk to the pooled."""
        n, pooled = len(X), self.pooled_variance_
        # Where no training source varies, the difference between means is not chance.
        weight = np.where(pooled > 0, self.shrinkage, 0)
        own = X.mean(axis=0, dtype=np.float64)
        mean = (n * own + weight * self.pooled_mean_) / (n + weight)
        variance = _variance(_squares(X) + weight * pooled, n - 1 + weight, X)
        return mean, _scale(np.where(variance > 0, variance, pooled))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _check_names(X: NDArray[Any], source: ArrayLike) -> NDArray[Any]:
    """Return one complete name of a source for each image."""
    check_consistent_length(X, source)
    check_source(source)
    # A pandas column of text would be an array of objects.
    return np.asarray(np.asarray(source).tolist())


def _squares(X: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the sum of squared differences from the mean of each feature."""
    differences = X - X.mean(axis=0, dtype=np.float64)
    return np.asarray((differences**2).sum(axis=0))


def _variance(
    squares: NDArray[np.float64], freedom: ArrayLike, X: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Divide squares by degrees of freedom; 0 if they are due to rounding."""
    variance = squares / np.where(np.asarray(freedom) > 0, freedom, 1)
    rounding = len(X) * np.finfo(np.float64).eps * np.abs(X).max(axis=0)
    return np.where(variance > rounding**2, variance, 0)


def _scale(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the deviation, 1 where a feature is constant."""
    return np.sqrt(np.where(variance > 0, variance, 1))
