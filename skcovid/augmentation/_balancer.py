"""`AugmentationBalancer`: equal classes by augmentation, as an imblearn sampler."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, NoReturn

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_sampling_strategy
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skcovid._base._atomic_fit import atomic_fit
from skcovid._base._compatibility import Interval
from skcovid._base._digests import image_key
from skcovid._base._label_checks import check_labels
from skcovid._base._parameters import PlainParameters
from skcovid._base._random import draw_seed
from skcovid.augmentation._augment import augment_batch
from skcovid.augmentation._transform_types import Transform, check_transforms
from skcovid.augmentation._transforms import PAPER_TRANSFORMS
from skcovid.images._checks import as_lazy, check_images
from skcovid.images._lazy_images import LazyImages

# Version of how copies are drawn. It is part of their keys, so that stored features of
# copies that another version drew are not used.
_DRAWS = 3


class AugmentationBalancer(PlainParameters, BaseOverSampler):
    """Balance the classes of a training set with augmented copies of its images.

    Section 3.2 of the paper: each class ends with `factor` × (size of the largest
    class) new images, drawn by cycling over the class's images in order, each with a
    random non-empty subset of the transforms applied.

    Copy number *j* of an image depends on `random_state`, the image itself and *j*
    alone, so all folds of a cross-validation get the same copies of an image.

    Parameters
    ----------
    sampling_strategy : str, float, dict or callable, default="all"
        As in imbalanced-learn. Which classes are resampled: "all", "not majority" (or
        "auto"), "not minority" or "minority"; each ends with `factor` × (size of the
        largest class) images. Or, in place of `factor`, how many images each class ends
        with: a dict from class to number, a callable that returns one, or, for two
        classes, a float, the size of the smaller class as a share of the larger one's.
        Classes left out keep their images.
    factor : float, default=2
        Size that each class ends with, as a multiple of the largest class's size
        (section 3.2: "multiplies it by 2").
    include_originals : bool, default=False
        Whether a resampled class also holds its original images, for which `factor`
        must leave room. In the paper it does not.
    transforms : sequence of Transform, default=None
        Transforms to choose from; None means the paper's six.
    fill : int, default=0
        Grey level of pixels that a geometric transform uncovers, in [0, 255].
    random_state : int, RandomState instance or None, default=None
        Seed of the copies.
    n_jobs : int, default=2
        Threads that compute the copies of an array; those of lazy images are computed
        on access.

    Attributes
    ----------
    sampling_strategy_ : dict
        Number of images each resampled class ends with.
    sample_indices_ : ndarray of shape (n_new_samples,)
        Index of the image that each output image was made from.
    copy_numbers_ : ndarray of shape (n_new_samples,)
        Which copy of its source each output image is, from 0; -1 for an original.

    See Also
    --------
    skcovid.augment : The transforms alone, on one image.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid import AugmentationBalancer
    >>> X = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    >>> y = ["COVID-19", "NORMAL", "NORMAL", "NORMAL", "NORMAL"]
    >>> balancer = AugmentationBalancer(random_state=0)
    >>> X_resampled, y_resampled = balancer.fit_resample(X, y)
    >>> X_resampled.shape
    (16, 32, 32)
    >>> balancer.sample_indices_
    array([0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 1, 2, 3, 4])
    """

    _parameter_constraints = {
        **BaseOverSampler._parameter_constraints,
        "factor": [Interval(Real, 0, None, closed="neither")],
        "include_originals": ["boolean"],
        "transforms": [list, tuple, None],
        "fill": [Interval(Integral, 0, 255, closed="both")],
        "random_state": ["random_state"],
        "n_jobs": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        sampling_strategy: str | float | Mapping[Any, int] | Callable[..., Any] = "all",
        *,
        factor: float = 2,
        include_originals: bool = False,
        transforms: Sequence[Transform] | None = None,
        fill: int = 0,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int = 2,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.factor = factor
        self.include_originals = include_originals
        self.transforms = transforms
        self.fill = fill
        self.random_state = random_state
        self.n_jobs = n_jobs

    @atomic_fit
    def fit(self, X: Any, y: ArrayLike) -> "AugmentationBalancer":
        """Check the images and determine how many each class ends with.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width[, 3])
            Grey or RGB pixels in [0, 255].
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        AugmentationBalancer
            The sampler.
        """
        self._validate_params()
        _, y = self._check_X_y(X, y)
        self.sampling_strategy_ = self._class_sizes(y)
        return self

    @atomic_fit
    def fit_resample(
        self, X: Any, y: ArrayLike
    ) -> tuple[NDArray[np.uint8] | LazyImages, NDArray[Any]]:
        """Resample the images.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width[, 3])
            Grey or RGB pixels in [0, 255].
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        X_resampled : LazyImages or ndarray of shape (n_new_samples, height, width[, 3])
            uint8; lazy if `X` is. Classes are in sorted order.
        y_resampled : ndarray of shape (n_new_samples,)
            Their labels.

        Raises
        ------
        ValueError
            If `X` holds no valid images, `X` and `y` differ in length, labels are
            missing or differ only by type, case or spaces, or a parameter does not suit
            the classes.
        """
        self._validate_params()
        X, y = self._check_X_y(X, y)
        self.sampling_strategy_ = self._class_sizes(y)
        return self._fit_resample(X, y)

    @property
    def get_feature_names_out(self) -> NoReturn:
        """Raise AttributeError: images have no named features."""
        raise AttributeError("AugmentationBalancer has no get_feature_names_out.")

    def _fit_resample(
        self, X: NDArray[np.uint8] | LazyImages, y: NDArray[Any]
    ) -> tuple[NDArray[np.uint8] | LazyImages, NDArray[Any]]:
        parts = [self._copies_of_class(label, y) for label in np.unique(y)]
        self.sample_indices_ = np.concatenate([indices for indices, _ in parts])
        self.copy_numbers_ = np.concatenate([copies for _, copies in parts])
        transforms = PAPER_TRANSFORMS if self.transforms is None else self.transforms
        source, entropy = as_lazy(X), draw_seed(self.random_state)
        keys = source.keys[self.sample_indices_]
        seeds = [
            None if copy < 0 else int(image_key(entropy, key, copy)[:16], 16)
            for key, copy in zip(keys, self.copy_numbers_, strict=True)
        ]
        operation = f"augment {_DRAWS}({tuple(transforms)!r}, fill={self.fill})"
        resampled = source.derive(
            partial(augment_batch, transforms=tuple(transforms), fill=self.fill),
            self.sample_indices_,
            seeds,
            [
                key if seed is None else image_key(key, operation, seed)
                for key, seed in zip(keys, seeds, strict=True)
            ],
        )
        labels = y[self.sample_indices_]
        if isinstance(X, LazyImages):
            return resampled, labels
        images = np.empty(resampled.shape, np.uint8)
        for rows, batch in resampled.batches(32, n_jobs=self.n_jobs):
            images[rows] = batch
        return images, labels

    def _check_X_y(  # noqa: N802 (imblearn's name)
        self, X: Any, y: ArrayLike, accept_sparse: Any = None
    ) -> tuple[NDArray[np.uint8] | LazyImages, NDArray[Any]]:
        check_labels(y)
        X = check_images(X)
        check_classification_targets(y)
        labels: NDArray[Any] = column_or_1d(y)
        check_consistent_length(X, labels)
        return X, labels

    def _validate_params(self) -> None:
        super()._validate_params()
        # Checked here, before the first lazy copy is computed.
        if self.transforms is not None:
            check_transforms(self.transforms)

    def _class_sizes(self, y: NDArray[Any]) -> dict[Any, int]:
        """Return the number of images that each resampled class ends with."""
        counts = Counter(y.tolist())
        if len(counts) < 2:
            raise ValueError(
                f"y holds one class only, {next(iter(counts))!r}; balancing needs two."
            )
        # How many images to add to each class.
        added = check_sampling_strategy(self.sampling_strategy, y, self._sampling_type)
        if not isinstance(self.sampling_strategy, str):
            return {label: counts[label] + int(new) for label, new in added.items()}
        size = math.floor(self.factor * max(counts.values()) + 0.5)
        sizes = {label: size for label in sorted(counts) if label in added}
        for label in sizes:
            needed = counts[label] if self.include_originals else 1
            if size < needed:
                raise ValueError(
                    f"factor={self.factor} leaves {size} images for class {label!r}, "
                    f"but include_originals={self.include_originals} needs at least "
                    f"{needed}. Raise factor."
                )
        return sizes

    def _copies_of_class(
        self, label: Any, y: NDArray[Any]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Source and copy number of every image of a class in the output."""
        members = np.flatnonzero(y == label)
        keeps = self.include_originals or label not in self.sampling_strategy_
        originals = members if keeps else members[:0]
        n_new = self.sampling_strategy_.get(label, len(members)) - len(originals)
        order = np.arange(n_new)
        indices = np.concatenate([originals, members[order % len(members)]])
        copies = np.concatenate([np.full(len(originals), -1), order // len(members)])
        return indices.astype(np.intp), copies.astype(np.intp)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = False
        tags.input_tags.dataframe = False
        tags.sampler_tags.sample_indices = True
        return tags
