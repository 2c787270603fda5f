"""`BackbonePreprocessor`: from pixels to the input of a backbone."""

from functools import partial
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skcovid._base._compatibility import Interval, fit_context
from skcovid._base._label_checks import check_target
from skcovid.images._checks import as_lazy, check_images, row_index
from skcovid.images._lazy_images import LazyImages
from skcovid.networks.backbones import Backbone, BackboneParameter, get_backbone
from skcovid.preprocessing._resize import ImageTransformer, as_size, resize
from skcovid.reading._paths import holds_paths

# Channel statistics of ImageNet, RGB, as keras.applications.imagenet_utils has them.
_CAFFE_MEAN = np.array([123.68, 116.779, 103.939], dtype=np.float32)
_TORCH_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32) * 255
_TORCH_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32) * 255
_ZEROS, _ONES = np.zeros(3, dtype=np.float32), np.ones(3, dtype=np.float32)

# mode: (subtracted, divided by, whether the channels are reversed to BGR)
PIXEL_MODES: dict[str, tuple[NDArray[np.float32], NDArray[np.float32], bool]] = {
    "caffe": (_CAFFE_MEAN, _ONES, True),
    "tf": (127.5 * _ONES, 127.5 * _ONES, False),
    "torch": (_TORCH_MEAN, _TORCH_STD, False),
    "lite": (127 * _ONES, 128 * _ONES, False),
    "raw": (_ZEROS, _ONES, False),
}


class BackbonePreprocessor(BackboneParameter, ImageTransformer):
    """Prepare images for a backbone: its size, three channels, its pixel mode.

    Size and mode are those that the network was trained with on ImageNet (Table 1).

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
        """Look up the backbone and check the images.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width[, 3])
            Grey or RGB pixels in [0, 255].
        y : array-like of shape (n_samples,), default=None
            Class labels, which are only checked.

        Returns
        -------
        BackbonePreprocessor
            The fitted transformer.

        Raises
        ------
        ValueError
            If the backbone is not registered, `X` holds no valid images, or labels are
            missing or differ only by type, case or spaces.
        """
        check_target(y)
        self.backbone_ = get_backbone(self.backbone)
        own_size = (self.backbone_.image_size,) * 2
        self.image_size_ = as_size(self.image_size) or own_size
        _check_pixels(X)
        return self

    def transform(self, X: Any) -> NDArray[np.float32] | LazyImages:
        """Turn pixels into the backbone's input.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width[, 3])
            Grey or RGB pixels in [0, 255].

        Returns
        -------
        LazyImages or ndarray of shape (n_samples, height, width, 3), float32
            In the backbone's own range; channels are BGR in mode "caffe", else RGB.
            Lazy where `X` is lazy or a pandas column, whose index it then has.

        Raises
        ------
        ValueError
            If `X` holds no valid images.
        """
        check_is_fitted(self)
        images = _check_pixels(X)
        mode, size = self.backbone_.mode, self.image_size_
        prepare = partial(_prepare, size=size, mode=mode)
        prepared = as_lazy(images).map(
            prepare, f"prepare({mode}, {size})", image_shape=(*size, 3), dtype="float32"
        )
        prepared.index, prepared.pixel_mode = row_index(X), mode
        lazy = isinstance(images, LazyImages) or prepared.index is not None
        return prepared if lazy else np.asarray(prepared)

    def inverse_transform(self, X: Any) -> NDArray[np.uint8]:
        """Turn the backbone's input back into pixels that can be shown.

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
        subtracted, divisor, reverse = PIXEL_MODES[self.backbone_.mode]
        pixels = np.asarray(X, dtype=np.float32)
        pixels = pixels[..., ::-1] if reverse else pixels
        pixels = np.rint(pixels * divisor + subtracted).clip(0, 255)
        return np.asarray(pixels, dtype=np.uint8)


def _check_pixels(X: Any) -> NDArray[np.uint8] | LazyImages:
    if holds_paths(X):
        raise ValueError("X holds paths; read them with RadiographReader first.")
    return check_images(X)


def _prepare(
    image: NDArray[np.uint8], size: tuple[int, int], mode: str
) -> NDArray[np.float32]:
    image = resize(image, size)
    subtracted, divisor, reverse = PIXEL_MODES[mode]
    if image.ndim == 2:
        # A table of the 256 grey levels in all three channels is several times faster
        # than arithmetic on every pixel.
        levels = (np.arange(256, dtype=np.float32)[:, None] - subtracted) / divisor
        return np.take(levels[:, ::-1] if reverse else levels, image, axis=0)
    scaled = (image - subtracted) / divisor
    return scaled[..., ::-1] if reverse else scaled
