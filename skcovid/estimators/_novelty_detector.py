"""`NoveltyDetector`: flags images that are unlike those of a collection."""

import warnings
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from sklearn.utils.validation import check_is_fitted, validate_data

from skcovid._base._compatibility import Interval, fit_context
from skcovid._base._label_checks import check_samples
from skcovid._base._network_estimator import allow_in_model_files
from skcovid._base._parameters import PlainParameters
from skcovid._base._random import draw_seed

_N_FOLDS = 10


@allow_in_model_files
class NoveltyDetector(OutlierMixin, PlainParameters):
    """Score images by how unlike a collection they are, and flag the most unlike.

    It is the last step of a pipeline that gives standardised features of images. The
    threshold is chosen on images that were held out: each tenth of the patients is
    scored by a detector that was fitted on the others.

    Parameters
    ----------
    n_components : int, default=20
        Principal components of the features that make up the plane; at most a quarter
        as many as images.
    flag_rate : float, default=0.01
        Share of new images of the same collection that are flagged, in (0, 0.5].
    random_state : int, RandomState instance or None, default=None
        Seed of the principal component analysis.

    Attributes
    ----------
    pca_ : sklearn.decomposition.PCA
        The components.
    ridge_ : sklearn.linear_model.Ridge
        Predicts the distance from the plane by the place in the plane.
    means_, deviations_ : ndarray of shape (2,), float64
        Of the distances in and from the plane, of training images.
    offset_ : float
        Threshold of the scores: images with a lower one are flagged.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,), object
        Names of the columns, where they have names that are text.

    Warns
    -----
    UserWarning
        If there are fewer images than the threshold of `flag_rate` needs.

    See Also
    --------
    predict_archive : Writes score and flag beside predictions.

    Notes
    -----
    Two distances are compared with those of the training images, in standard deviations
    of their logarithms: the Mahalanobis distance in the plane of the components, and
    the distance from the plane, less what a ridge regression expects at that place, as
    images of high contrast are far from every plane. The score is minus the larger.
    ``fit_predict`` is left out: flags are for new images.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid import NoveltyDetector
    >>> X = np.random.default_rng(0).normal(size=(500, 50))
    >>> detector = NoveltyDetector(random_state=0).fit(X)
    >>> detector.predict([X[0], X[0] + 3])
    array([ 1, -1])
    """

    # What pipelines and scikit-learn's metadata routing pass to `fit`.
    __metadata_request__fit = {"groups": True}

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "flag_rate": [Interval(Real, 0, 0.5, closed="right")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        n_components: int = 20,
        flag_rate: float = 0.01,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.flag_rate = flag_rate
        self.random_state = random_state

    @fit_context()
    def fit(self, X: Any, y: Any = None, *, groups: ArrayLike | None = None) -> Self:
        """Learn the distances of the collection, and choose the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of images, standardised.
        y : None
            Ignored.
        groups : array-like of shape (n_samples,), default=None
            Patient of each image; None takes every image for another patient.

        Returns
        -------
        NoveltyDetector
            The fitted detector.

        Raises
        ------
        ValueError
            If there are fewer than two images or patients, `X` is not a table of finite
            numbers, or `groups` has another length or pandas index, or misses a value.
        """
        check_samples(X, None, groups)
        table = validate_data(
            self, X, dtype=[np.float64, np.float32], ensure_min_samples=2
        )
        n_samples = len(table)
        patients = np.arange(n_samples) if groups is None else np.asarray(groups)
        n_patients = len(np.unique(patients))
        if n_patients < 2:
            raise ValueError(
                f"groups has one patient, {patients[0]!r}; pass images of at least two."
            )
        seed = draw_seed(self.random_state)
        scores = np.empty(n_samples)
        folds = GroupKFold(min(_N_FOLDS, n_patients))
        for train, held_out in folds.split(table, groups=patients):
            self._fit_plane(table[train], seed)
            scores[held_out] = self._score(table[held_out])
        self._fit_plane(table, seed)
        # A new image is below the k-th lowest of n scores in k of n + 1 cases.
        rank = int(self.flag_rate * (n_samples + 1))
        if rank < 1:
            warnings.warn(
                f"X has {n_samples} images: about 1 in {n_samples + 1} new ones will "
                f"be flagged. Pass at least {int(np.ceil(1 / self.flag_rate)) - 1} for "
                f"flag_rate={self.flag_rate}.",
                stacklevel=4,
            )
        self.offset_ = float(np.sort(scores)[max(rank, 1) - 1])
        return self

    def _fit_plane(self, table: NDArray[np.floating], seed: int) -> None:
        """Fit the components, and what is expected of the distances."""
        n_components = min(self.n_components, table.shape[1], max(1, len(table) // 4))
        self.pca_ = PCA(n_components, random_state=seed).fit(table)
        places, distances = self._measure(table)
        self.ridge_ = Ridge().fit(places, distances[:, 1])
        distances[:, 1] -= self.ridge_.predict(places)
        self.means_ = distances.mean(axis=0)
        # Where all images are as far, a difference within rounding is none.
        self.deviations_ = np.maximum(distances.std(axis=0), 0.01)

    def _measure(
        self, table: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return places in the plane, and log distances in it and from it."""
        variance = self.pca_.explained_variance_.astype(np.float64)
        projected = self.pca_.transform(table).astype(np.float64)
        centred = table - self.pca_.mean_
        squares = np.einsum("ij,ij->i", centred, centred, dtype=np.float64)
        outside = np.maximum(squares - np.square(projected).sum(axis=1), 0)
        # Distances below the precision of float32 are rounding errors.
        least = 1e-6 * variance.sum() or 1.0
        places = projected / np.sqrt(np.maximum(variance, least))
        inside = np.square(places).mean(axis=1)
        logs = np.log([inside + 1e-6, outside + least]).T / 2
        return np.column_stack([places, logs[:, 0]]), logs

    def _score(self, table: NDArray[np.floating]) -> NDArray[np.float64]:
        """Score images that have been checked."""
        places, distances = self._measure(table)
        distances[:, 1] -= self.ridge_.predict(places)
        scores: NDArray[np.float64] = -(
            (distances - self.means_) / self.deviations_
        ).max(axis=1)
        return scores

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Score images; the lower, the more unlike the collection.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of images.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            In standard deviations, the lower the more unlike.

        Raises
        ------
        ValueError
            If `X` has other columns than in ``fit``, or numbers that are not finite.
        """
        check_is_fitted(self)
        table = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return self._score(table)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return how far the scores are above the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of images.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            ``score_samples(X) - offset_``; below 0 for images that are flagged.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.intp]:
        """Tell which images are unlike the collection.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of images.

        Returns
        -------
        ndarray of shape (n_samples,), int
            -1 for an image that is flagged, 1 for any other.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    @property
    def fit_predict(self) -> Any:
        """Refuse: flags are for new images."""
        raise AttributeError(
            "NoveltyDetector has no fit_predict: call fit, then predict for new images."
        )
