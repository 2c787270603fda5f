"""Transformers from files to what a backbone takes as input."""

from functools import partial
from numbers import Integral
from typing import Any, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skcovid._base._compatibility import Interval, StrOptions, fit_context
from skcovid._base._digests import image_key
from skcovid.images._checks import check_images
from skcovid.images._lazy_images import LazyImages
from skcovid.networks.backbones import Backbone, get_backbone
from skcovid.reading._read import as_paths, check_files, holds_paths, read_radiograph

__all__ = ["BackbonePreprocessor", "RadiographReader"]

# Channel statistics of ImageNet, RGB, as keras.applications.imagenet_utils has them.
_CAFFE_MEAN = np.array([123.68, 116.779, 103.939], dtype=np.float32)
_TORCH_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32) * 255
_TORCH_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32) * 255

# mode: (subtracted, divided by, whether the channels are reversed to BGR)
_MODES: dict[str, tuple[NDArray, NDArray, bool]] = {
    "caffe": (_CAFFE_MEAN, np.ones(3, np.float32), True),
    "tf": (np.full(3, 127.5, np.float32), np.full(3, 127.5, np.float32), False),
    "torch": (_TORCH_MEAN, _TORCH_STD, False),
    "raw": (np.zeros(3, np.float32), np.ones(3, np.float32), False),
}


class _ImageTransformer(TransformerMixin, BaseEstimator):
    """What both transformers share: tags, and eager in, eager out."""

    def fit_transform(self, X: Any, y: Any = None) -> "NDArray | LazyImages":
        """Fit to `X` and transform it."""
        return self.fit(X, y).transform(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


class RadiographReader(_ImageTransformer):
    """Read radiographs from files, or take arrays, at one common size.

    Parameters
    ----------
    image_size : int or tuple of int, default=None
        Side, or (height, width), in pixels that every image is resized to. None keeps
        the images' own size, which must then be the same for all.
    channels : {"grey", "rgb"}, default="grey"
        Whether files are read as one grey level or as three RGB channels. Arrays keep
        the channels they have under "grey" and become RGB under "rgb".
    lazy : bool or "auto", default="auto"
        Whether images are computed on access (:class:`LazyImages`) rather than at once.
        "auto": lazily from paths, at once from arrays.
    n_jobs : int, default=2
        Threads that check files.

    Attributes
    ----------
    image_size_ : tuple of int
        (height, width) of the output, in pixels.

    See Also
    --------
    BackbonePreprocessor : Prepares the images for a network.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid import RadiographReader
    >>> X = np.zeros((2, 10, 12), dtype=np.uint8)
    >>> RadiographReader(image_size=8).fit_transform(X).shape
    (2, 8, 8)
    """

    _parameter_constraints = {
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, None],
        "channels": [StrOptions({"grey", "rgb"})],
        "lazy": ["boolean", StrOptions({"auto"})],
        "n_jobs": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        image_size: int | tuple[int, int] | None = None,
        *,
        channels: Literal["grey", "rgb"] = "grey",
        lazy: bool | Literal["auto"] = "auto",
        n_jobs: int = 2,
    ) -> None:
        self.image_size = image_size
        self.channels = channels
        self.lazy = lazy
        self.n_jobs = n_jobs

    @fit_context()
    def fit(self, X: Any, y: Any = None) -> Self:
        """Determine the size of the images.

        Parameters
        ----------
        X : array-like of shape (n_samples,) of paths, LazyImages, or array-like of \
                shape (n_samples, height, width[, 3])
            Files as str or path-like, in a list, array, pandas or polars column (not
            a table); or grey or RGB pixels in [0, 255].
        y : None
            Ignored.

        Returns
        -------
        RadiographReader
            The fitted transformer.

        Raises
        ------
        FileNotFoundError
            If files are missing (all are listed).
        ValueError
            If files can't be read (all are listed), pixels are outside [0, 255], or
            images differ in size and `image_size` is None.
        """
        size = _as_size(self.image_size)
        images, _ = self._take(X, size)
        _, height, width = images.shape[:3]
        self.image_size_ = (height, width) if size is None else size
        return self

    def transform(self, X: Any) -> "NDArray[np.uint8] | LazyImages":
        """Read or take the images and resize them.

        Every file is decoded once here to make sure that it can be.

        Parameters
        ----------
        X : array-like of shape (n_samples,) of paths, LazyImages, or array-like of \
                shape (n_samples, height, width[, 3])
            Files as str or path-like, in a list, array, pandas or polars column (not
            a table); or grey or RGB pixels in [0, 255].

        Returns
        -------
        LazyImages or ndarray of shape (n_samples, height, width[, 3]), \
                uint8 in [0, 255], RGB
            The images.

        Raises
        ------
        FileNotFoundError
            If files are missing (all are listed).
        ValueError
            If files can't be read (all are listed) or pixels are outside [0, 255].
        """
        check_is_fitted(self)
        size = self.image_size_
        images, from_array = self._take(X, size)
        if images.shape[1:3] != size:
            images = images.map(
                partial(_resize, size=size),
                f"resize({size})",
                image_shape=(*size, *images.shape[3:]),
            )
        eager = from_array if self.lazy == "auto" else not self.lazy
        return np.asarray(images) if eager else images

    def _take(self, X: Any, size: tuple[int, int] | None) -> tuple[LazyImages, bool]:
        if isinstance(X, LazyImages):
            images, from_array = _as_lazy(check_images(X)), False
        elif holds_paths(X):
            return self._open(as_paths(X), size), False
        else:
            images, from_array = _as_lazy(check_images(X)), True
        if self.channels == "rgb" and images.ndim == 3:
            images = images.map(_to_rgb, "rgb", image_shape=(*images.shape[1:], 3))
        return images, from_array

    def _open(self, paths: list[str], size: tuple[int, int] | None) -> LazyImages:
        files = check_files(paths, channels=self.channels, n_jobs=self.n_jobs)
        sizes = [(file.height, file.width) for file in files]
        if size is None:
            size = sizes[0]
            odd = [path for path, own in zip(paths, sizes, strict=True) if own != size]
            if odd:
                raise ValueError(
                    f"image_size=None keeps the files' own size, but {len(odd)} files "
                    f"are not {size[0]}×{size[1]} as {paths[0]} is, {odd[0]} for one. "
                    "Pass image_size to resize them."
                )
        operation = f"read({self.channels}, {size})"
        return LazyImages(
            partial(_read_resized, size=size, channels=self.channels),
            paths,
            image_shape=size if self.channels == "grey" else (*size, 3),
            keys=[image_key(file.digest, operation) for file in files],
        )


class BackbonePreprocessor(_ImageTransformer):
    """Prepare images for a backbone: its size, three channels, its pixel mode.

    Table 1 of the paper, which takes both from the networks' training on ImageNet.

    Parameters
    ----------
    backbone : str or Backbone, default="inceptionv3"
        A registered network.
    image_size : int or tuple of int, default=None
        Side, or (height, width), in pixels; None for the backbone's own.

    Attributes
    ----------
    backbone_ : Backbone
        The network's description.
    image_size_ : tuple of int
        (height, width) of the output, in pixels.

    See Also
    --------
    RadiographReader : Reads the images.
    TransferLearningClassifier : Takes the output.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid import BackbonePreprocessor
    >>> X = np.full((1, 96, 96), 255, dtype=np.uint8)
    >>> Xt = BackbonePreprocessor("inceptionv3").fit_transform(X)
    >>> Xt.shape, Xt.dtype, float(Xt.max())
    ((1, 299, 299, 3), dtype('float32'), 1.0)
    """

    _parameter_constraints = {
        "backbone": [str, Backbone],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, None],
    }

    def __init__(
        self,
        backbone: str | Backbone = "inceptionv3",
        *,
        image_size: int | tuple[int, int] | None = None,
    ) -> None:
        self.backbone = backbone
        self.image_size = image_size

    @fit_context()
    def fit(self, X: Any, y: Any = None) -> Self:
        """Look up the backbone and validate the images.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width[, 3])
            Grey or RGB pixels in [0, 255].
        y : None
            Ignored.

        Returns
        -------
        BackbonePreprocessor
            The fitted transformer.

        Raises
        ------
        ValueError
            If the backbone is not registered or `X` holds no valid images.
        """
        self.backbone_ = get_backbone(self.backbone)
        own_size = (self.backbone_.image_size,) * 2
        self.image_size_ = _as_size(self.image_size) or own_size
        _check_no_paths(X)
        check_images(X)
        return self

    def transform(self, X: Any) -> "NDArray[np.float32] | LazyImages":
        """Turn pixels into the backbone's input.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width[, 3])
            Grey or RGB pixels in [0, 255].

        Returns
        -------
        LazyImages or ndarray of shape (n_samples, height, width, 3), float32
            In the backbone's own range; channels are BGR in mode "caffe", else RGB.

        Raises
        ------
        ValueError
            If `X` holds no valid images.
        """
        check_is_fitted(self)
        _check_no_paths(X)
        images = check_images(X)
        source = _as_lazy(images)
        mode, size = self.backbone_.mode, self.image_size_
        prepared = source.map(
            partial(_prepare, size=size, mode=mode),
            f"prepare({mode}, {size})",
            image_shape=(*size, 3),
            dtype=np.float32,
        )
        return prepared if source is images else np.asarray(prepared)

    def inverse_transform(self, X: Any) -> NDArray[np.uint8]:
        """Turn network input back into pixels that can be shown.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width, 3)
            What ``transform`` returned; the resizing is not undone.

        Returns
        -------
        ndarray of shape (n_samples, height, width, 3), uint8 in [0, 255], RGB
            The pixels.
        """
        check_is_fitted(self)
        subtracted, divisor, reverse = _MODES[self.backbone_.mode]
        pixels = np.asarray(X, dtype=np.float32)
        pixels = pixels[..., ::-1] if reverse else pixels
        return np.clip(np.rint(pixels * divisor + subtracted), 0, 255).astype(np.uint8)


def _as_size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    size = (image_size,) * 2 if isinstance(image_size, int | np.integer) else image_size
    if len(size) != 2 or any(
        not isinstance(side, Integral) or side < 1 for side in size
    ):
        raise ValueError(
            f"image_size must be a side or (height, width) in pixels, got {image_size}."
        )
    return int(size[0]), int(size[1])


def _as_lazy(images: "NDArray | LazyImages") -> LazyImages:
    return images if isinstance(images, LazyImages) else LazyImages.from_array(images)


def _check_no_paths(X: Any) -> None:
    if not isinstance(X, LazyImages) and holds_paths(X):
        raise ValueError("X holds paths; read them with RadiographReader first.")


def _resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    if image.shape[:2] == size:
        return image
    shrinks = image.shape[0] > height or image.shape[1] > width
    # Averaging over areas keeps fine structure from aliasing when an image shrinks.
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def _to_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)


def _read_resized(
    path: str, size: tuple[int, int], channels: Literal["grey", "rgb"]
) -> NDArray[np.uint8]:
    return _resize(read_radiograph(path, channels=channels), size)


def _prepare(
    image: NDArray[np.uint8], size: tuple[int, int], mode: str
) -> NDArray[np.float32]:
    image = _resize(image, size)
    subtracted, divisor, reverse = _MODES[mode]
    if image.ndim == 2:
        # Of a grey level all three channels are known: a look-up is several times
        # faster than arithmetic on every pixel.
        levels = (np.arange(256, dtype=np.float32)[:, None] - subtracted) / divisor
        return np.take(levels[:, ::-1] if reverse else levels, image, axis=0)
    scaled = (image - subtracted) / divisor
    return scaled[..., ::-1] if reverse else scaled
