"""`AugmentationBalancer`: equal classes by augmentation, as an imblearn sampler."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, NoReturn

import numpy as np
from imblearn.base import BaseSampler
from imblearn.utils import check_sampling_strategy
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skcovid._base._compatibility import Interval, StrOptions
from skcovid._base._digests import image_key
from skcovid._base._random import draw_seed
from skcovid.augmentation._augment import augment_batch, check_transforms
from skcovid.augmentation._transform_types import Transform
from skcovid.augmentation._transforms import PAPER_TRANSFORMS
from skcovid.images._checks import check_images
from skcovid.images._lazy_images import LazyImages

__all__ = ["AugmentationBalancer"]

_BATCH = 32

# Part of the keys, so that what is kept of other copies, by another version, is not
# taken for that of these.
_DRAWS = 3


class AugmentationBalancer(BaseSampler):
    """Balance the classes of a training set with augmented copies of its images.

    Section 3.2 of the paper: each class ends with `factor` × (size of the largest
    class) new images, drawn by cycling over the class's images in order, each with a
    random non-empty subset of the transforms applied.

    Copy number *j* of an image depends on `random_state`, the image itself and *j*
    alone: not on the other images, on threads, or on the order of access. So a
    cross-validation makes the same copies of an image in every fold.

    Parameters
    ----------
    sampling_strategy : str, float, dict or callable, default="all"
        In the vocabulary of imbalanced-learn. Which classes are resampled: "all",
        "not majority" (or "auto"), "not minority" or "minority"; each ends with
        `factor` × (size of the largest class) images. Or how many images classes end
        with, `factor` playing no part: a dict from class to number, a callable that
        returns one, or, for two classes, a float, the size of the smaller class as a
        share of the larger one's. Classes left out keep their images as they are.
    factor : float, default=2
        How many times the largest class's size each class ends with (section 3.2:
        "multiplies it by 2").
    include_originals : bool, default=False
        Whether the images themselves are among those a resampled class ends with. In
        the paper they are not; with few images in the largest class and a `factor`
        below 1, they may not fit, which is an error.
    transforms : sequence of Transform, default=None
        What a subset is drawn from; None for the paper's six.
    fill : int, default=0
        Grey level of what a geometric transform uncovers, in [0, 255].
    random_state : int, RandomState instance or None, default=None
        Seed of the copies.
    n_jobs : int, default=2
        Threads that compute the copies of an array; of lazy images they are computed
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

    _sampling_type = "over-sampling"

    _parameter_constraints = {
        "sampling_strategy": [
            Interval(Real, 0, 1, closed="right"),
            StrOptions({"all", "auto", "minority", "not minority", "not majority"}),
            Mapping,
            callable,
        ],
        "factor": [Interval(Real, 0, None, closed="neither")],
        "include_originals": ["boolean"],
        "transforms": [list, tuple, None],
        "fill": [Interval(Integral, 0, 255, closed="both")],
        "random_state": ["random_state"],
        "n_jobs": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        sampling_strategy: str | float | Mapping | Callable = "all",
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

    def fit(self, X: Any, y: ArrayLike) -> "AugmentationBalancer":
        """Validate the input and determine how many images each class ends with.

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

    def fit_resample(
        self, X: Any, y: ArrayLike
    ) -> "tuple[NDArray[np.uint8] | LazyImages, NDArray]":
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
            uint8; lazy if `X` is. Classes follow one another in sorted order.
        y_resampled : ndarray of shape (n_new_samples,)
            Their labels.

        Raises
        ------
        ValueError
            If `X` holds no valid images, `X` and `y` differ in length, or a parameter
            does not suit the classes.
        """
        self._validate_params()
        X, y = self._check_X_y(X, y)
        self.sampling_strategy_ = self._class_sizes(y)
        return self._fit_resample(X, y)

    @property
    def get_feature_names_out(self) -> NoReturn:
        """Not there: images have no features to name."""
        raise AttributeError("AugmentationBalancer has no get_feature_names_out.")

    def _fit_resample(
        self, X: "NDArray[np.uint8] | LazyImages", y: NDArray
    ) -> "tuple[NDArray[np.uint8] | LazyImages, NDArray]":
        plans = [self._plan_class(label, y) for label in np.unique(y)]
        self.sample_indices_ = np.concatenate([indices for indices, _ in plans])
        self.copy_numbers_ = np.concatenate([copies for _, copies in plans])
        return self._images(X), y[self.sample_indices_]

    def _check_X_y(  # noqa: N802 (imblearn's name)
        self,
        X: Any,
        y: ArrayLike,
        accept_sparse: Any = None,
    ) -> "tuple[NDArray[np.uint8] | LazyImages, NDArray]":
        X = check_images(X)
        check_classification_targets(y)
        labels: NDArray = column_or_1d(y)
        check_consistent_length(X, labels)
        return X, labels

    def _validate_params(self) -> None:
        super()._validate_params()
        # Now rather than when the first lazy copy is computed.
        if self.transforms is not None:
            check_transforms(self.transforms)

    def _class_sizes(self, y: NDArray) -> dict[Any, int]:
        counts = Counter(y.tolist())
        if len(counts) < 2:
            raise ValueError(
                f"y holds one class only, {next(iter(counts))!r}; balancing needs two."
            )
        # imblearn answers with how many images to add to a class.
        added = check_sampling_strategy(self.sampling_strategy, y, self._sampling_type)
        if isinstance(self.sampling_strategy, str):
            size = math.floor(self.factor * max(counts.values()) + 0.5)
            sizes = {label: size for label in sorted(counts) if label in added}
        else:
            sizes = {
                label: counts[label] + int(extra) for label, extra in added.items()
            }
        self._check_sizes(sizes, counts)
        return sizes

    def _check_sizes(self, sizes: dict[Any, int], counts: Counter) -> None:
        for label, size in sizes.items():
            if size < 1:
                raise ValueError(
                    f"factor={self.factor} leaves class {label!r} with no image."
                )
            if self.include_originals and size < counts[label]:
                raise ValueError(
                    f"include_originals=True can't be: class {label!r} is to end with "
                    f"{size} images and has {counts[label]}. Raise factor, now "
                    f"{self.factor}, or pass include_originals=False."
                )

    def _plan_class(
        self, label: Any, y: NDArray
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Source and copy number of every image of a class in the output."""
        members = np.flatnonzero(y == label)
        originals = members if self._keeps_originals(label) else members[:0]
        n_new = self.sampling_strategy_.get(label, len(members)) - len(originals)
        order = np.arange(n_new)
        indices = np.concatenate([originals, members[order % len(members)]])
        copies = np.concatenate([np.full(len(originals), -1), order // len(members)])
        return indices.astype(np.intp), copies.astype(np.intp)

    def _keeps_originals(self, label: Any) -> bool:
        return self.include_originals or label not in self.sampling_strategy_

    def _images(
        self, X: "NDArray[np.uint8] | LazyImages"
    ) -> "NDArray[np.uint8] | LazyImages":
        source: LazyImages = (
            X if isinstance(X, LazyImages) else LazyImages.from_array(X)
        )
        transforms = (
            PAPER_TRANSFORMS if self.transforms is None else tuple(self.transforms)
        )
        entropy = draw_seed(self.random_state)
        pairs = zip(self.sample_indices_, self.copy_numbers_, strict=True)
        seeds = [
            None if copy < 0 else _seed(entropy, source.keys[index], copy)
            for index, copy in pairs
        ]
        resampled = source.derive(
            partial(augment_batch, transforms=transforms, fill=self.fill),
            self.sample_indices_,
            seeds,
            self._keys(
                source, seeds, f"augment {_DRAWS}({transforms!r}, fill={self.fill})"
            ),
        )
        return resampled if source is X else _compute(resampled, self.n_jobs)

    def _keys(
        self, source: LazyImages, seeds: list[int | None], operation: str
    ) -> list[str]:
        return [
            key if seed is None else image_key(key, operation, seed)
            for key, seed in zip(source.keys[self.sample_indices_], seeds, strict=True)
        ]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = False
        tags.input_tags.dataframe = False
        tags.sampler_tags.sample_indices = True
        return tags


def _seed(entropy: int, key: str, copy: int) -> int:
    return int(image_key(entropy, key, copy)[:16], 16)


def _compute(images: LazyImages, n_jobs: int) -> NDArray[np.uint8]:
    computed = np.empty(images.shape, images.dtype)
    for rows, batch in images.batches(_BATCH, n_jobs=n_jobs):
        computed[rows] = batch
    return computed
