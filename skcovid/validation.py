"""What images have to be like, and what is said when they are not."""

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    column_or_1d,
)

from skcovid.images import LazyImages

Pooling = Literal["avg", "max"]

__all__ = [
    "check_images",
    "check_network_input",
    "check_pooling",
    "check_validation_data",
    "weigh_samples",
]


def check_images(images: Any, *, name: str = "X") -> "NDArray[np.uint8] | LazyImages":
    """Validate grey or RGB images and bring their pixels to uint8.

    Parameters
    ----------
    images : LazyImages or array-like of shape (n_samples, height, width[, 3])
        Pixels in [0, 255]. Unsigned 16-bit pixels are scaled by their full range
        (65535 becomes 255); other integers and floats must lie in [0, 255] already
        and floats are rounded.
    name : str, default="X"
        What messages call the images.

    Returns
    -------
    LazyImages or ndarray of shape (n_samples, height, width[, 3]), uint8
        `images` itself where nothing had to be changed.

    Raises
    ------
    ValueError
        If there is no image, images differ in shape, the rank or the number of channels
        is wrong, or the pixels are NaN, infinite, outside [0, 255], boolean, complex,
        or look already normalised.
    TypeError
        If `images` is a sparse array.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.validation import check_images
    >>> print(check_images(np.full((1, 8, 8), 65535, dtype=np.uint16)).max())
    255
    """
    if not isinstance(images, LazyImages):
        images = _as_array(images, name)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] != 3):
        raise ValueError(
            f"{name} must hold grey images (n_samples, height, width) or RGB images "
            f"(n_samples, height, width, 3), got shape {images.shape}."
        )
    if 0 in images.shape:
        raise ValueError(f"{name} holds no pixels: its shape is {images.shape}.")
    if isinstance(images, LazyImages):
        if images.dtype != np.uint8:
            raise ValueError(
                f"{name} must hold uint8 pixels, got LazyImages of {images.dtype}."
            )
        return images
    return _to_uint8(images, name)


def _as_array(images: Any, name: str) -> NDArray:
    _check_dense(images, name)
    try:
        array = np.asarray(images)
        # An object array of images, as a pandas column holds them, is a list of them.
        holds_arrays = array.dtype == object and array.ndim == 1 and array.size > 0
        return np.stack(list(array)) if holds_arrays else array
    except ValueError as error:
        raise ValueError(
            f"{name} must hold images of one shape; RadiographReader brings files of "
            "any size to one."
        ) from error


def _check_dense(images: Any, name: str) -> None:
    if issparse(images):
        raise TypeError(
            f"{name} must hold images in a dense array, got a sparse one of shape "
            f"{images.shape}; pass {name}.toarray() reshaped to (n_samples, height, "
            "width)."
        )


def _check_real(images: NDArray | LazyImages, name: str) -> None:
    if images.dtype.kind == "c":
        raise ValueError(
            f"{name} must hold real numbers, got dtype {images.dtype}. "
            f"Complex data not supported; take np.abs({name}), say."
        )


def _to_uint8(images: NDArray, name: str) -> NDArray[np.uint8]:
    if images.dtype == np.uint8:
        return images
    _check_real(images, name)
    if images.dtype.kind == "u" and images.dtype.itemsize == 2:  # of any byte order
        return ((images.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if images.dtype.kind not in "iuf":
        raise ValueError(
            f"{name} must hold numbers in [0, 255], got dtype {images.dtype}."
        )
    if not np.isfinite(images).all():
        raise ValueError(f"{name} holds NaN or infinite pixels.")
    low, high = images.min(), images.max()
    if images.dtype.kind == "f" and (low < 0 or 0 < high <= 1):
        raise ValueError(
            f"{name} looks already normalised: its pixels lie in [{low:g}, {high:g}]. "
            "Pass the pixels as read, in [0, 255]."
        )
    if low < 0 or high > 255:
        raise ValueError(
            f"{name} must lie in [0, 255], got pixels in [{low:g}, {high:g}]."
        )
    return np.rint(images).astype(np.uint8)


def check_network_input(X: Any, *, name: str = "X") -> LazyImages:
    """Validate preprocessed images; an array comes back behind `LazyImages`.

    Parameters
    ----------
    X : LazyImages or array-like of shape (n_samples, height, width, 3), float
        What :class:`skcovid.BackbonePreprocessor` makes.
    name : str, default="X"
        What messages call the images.

    Returns
    -------
    LazyImages of shape (n_samples, height, width, 3), float32
        The images.

    Raises
    ------
    ValueError
        If the rank, the number of channels or the dtype is wrong, or there is NaN.
    TypeError
        If `X` is a sparse array.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.validation import check_network_input
    >>> check_network_input(np.zeros((2, 8, 8, 3)))
    LazyImages(shape=(2, 8, 8, 3), dtype=float32)
    """
    _check_dense(X, name)
    images = X if isinstance(X, LazyImages) else np.asarray(X)
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
        raise ValueError(
            f"{name} must hold preprocessed images (n_samples, height, width, 3), got "
            f"shape {images.shape}."
        )
    _check_real(images, name)
    if images.dtype.kind != "f":
        raise ValueError(
            f"{name} must hold preprocessed images in float32, got {images.dtype}; put "
            "a BackbonePreprocessor before this step."
        )
    if isinstance(images, LazyImages):
        return images
    if not np.isfinite(images).all():
        raise ValueError(f"{name} holds NaN or infinite values.")
    return LazyImages.from_array(images.astype(np.float32, copy=False))


def check_pooling(pooling: Any) -> tuple[Pooling, ...]:
    """Validate global poolings.

    Parameters
    ----------
    pooling : {"avg", "max"} or sequence of them
        One pooling or several.

    Returns
    -------
    tuple of {"avg", "max"}

    Raises
    ------
    ValueError
        If there is none or it is not known.

    Examples
    --------
    >>> from skcovid.validation import check_pooling
    >>> check_pooling("max")
    ('max',)
    """
    chosen = (pooling,) if isinstance(pooling, str) else tuple(pooling)
    if not chosen or not set(chosen) <= {"avg", "max"}:
        raise ValueError(
            f"pooling must be 'avg', 'max' or a sequence of them, got {pooling!r}."
        )
    return chosen


def check_validation_data(
    X_val: Any, y_val: ArrayLike | None, image_shape: tuple[int, ...], classes: NDArray
) -> tuple[LazyImages, NDArray] | None:
    """Validate the images and labels that training is monitored on.

    Parameters
    ----------
    X_val : LazyImages or array-like of shape (n_val, height, width, 3), or None
        Preprocessed images.
    y_val : array-like of shape (n_val,) or None
        Their labels.
    image_shape : tuple of int
        (height, width, 3) of the training images.
    classes : ndarray of shape (n_classes,)
        The labels there may be.

    Returns
    -------
    tuple of (LazyImages, ndarray) or None
        Images and labels; None where none were given.

    Raises
    ------
    ValueError
        If one of the two is missing, they differ in length, the images are of another
        shape, or a label is unknown.

    Warns
    -----
    UserWarning
        If a class has no image among them.
    """
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val must be given together.")
    if X_val is None:
        return None
    images = check_network_input(X_val, name="X_val")
    if images.shape[1:] != image_shape:
        raise ValueError(
            f"X_val has images of shape {images.shape[1:]}, but those of X have shape "
            f"{image_shape}."
        )
    labels = column_or_1d(y_val)
    check_consistent_length(images, labels)
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(f"y_val holds classes that y does not: {unknown.tolist()}.")
    unseen = np.setdiff1d(classes, labels)
    if len(unseen):
        warnings.warn(
            "The validation data are too few to monitor training: among "
            f"{len(labels)} images there is none of the classes {unseen.tolist()}, "
            "which the validation loss, and the learning rate that follows it, won't "
            "see. Give more images as X_val, or none: then the training loss is "
            "monitored.",
            stacklevel=3,
        )
    return images, labels


def weigh_samples(
    sample_weight: ArrayLike | None, class_weight: dict | str | None, y: NDArray
) -> NDArray[np.float32] | None:
    """Multiply the weights of samples by those of their classes.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None
        Weights, not negative.
    class_weight : dict, "balanced" or None
        As in scikit-learn.
    y : ndarray of shape (n_samples,)
        Labels.

    Returns
    -------
    ndarray of shape (n_samples,), float32, or None
        None where nothing is weighted.

    Raises
    ------
    ValueError
        If weights are negative, all zero or not one a sample.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = _check_sample_weight(sample_weight, y, ensure_non_negative=True)
    if class_weight is not None:
        weights = weights * compute_sample_weight(class_weight, y)
    if not weights.any():
        raise ValueError(
            f"sample_weight and class_weight={class_weight!r} give every sample a "
            "weight of zero; at least one must have more."
        )
    return weights.astype(np.float32)
