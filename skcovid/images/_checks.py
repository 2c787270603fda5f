"""Checks of images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skcovid.images._lazy_images import LazyImages


def as_lazy(images: NDArray[Any] | LazyImages) -> LazyImages:
    """Wrap an array in `LazyImages`, unless it is one."""
    return images if isinstance(images, LazyImages) else LazyImages.from_array(images)


def row_index(X: Any) -> Any:
    """Return the index of a pandas object, or of images made from one, else None."""
    index = getattr(X, "index", None)
    return None if callable(index) else index  # lists have a method of that name


def check_images(images: Any, *, name: str = "X") -> NDArray[np.uint8] | LazyImages:
    """Require grey or RGB images and bring their pixels to uint8."""
    if not isinstance(images, LazyImages):
        images = _as_array(images, name)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] != 3):
        raise ValueError(
            f"{name} must hold grey images (n_samples, height, width) or RGB images "
            f"(n_samples, height, width, 3), got shape {images.shape}."
        )
    if images.ndim == 3 and images.shape[1] > images.shape[2] in (3, 4):
        raise ValueError(
            f"{name} of shape {images.shape} looks like one image with its channels. "
            f"Pass a batch: images[:1] in place of images[0], or {name}[np.newaxis]."
        )
    if 0 in images.shape:
        raise ValueError(f"{name} holds no pixels: its shape is {images.shape}.")
    if not isinstance(images, LazyImages):
        return _to_uint8(images, name)
    if images.dtype != np.uint8:
        raise ValueError(
            f"{name} must hold uint8 pixels, got LazyImages of {images.dtype}."
        )
    return images


def _as_array(images: Any, name: str) -> NDArray[Any]:
    _check_dense(images, name)
    try:
        array = np.asarray(images)
        # A pandas column holds images as an object array of arrays.
        holds_arrays = array.dtype == object and array.ndim == 1 and array.size > 0
        return np.stack(list(array)) if holds_arrays else array
    except ValueError as error:
        raise ValueError(
            f"{name} must hold images of one shape; RadiographReader resizes files to "
            "one size."
        ) from error


def _check_dense(images: Any, name: str) -> None:
    if issparse(images):
        raise TypeError(
            f"{name} must hold images in a dense array, got a sparse one of shape "
            f"{images.shape}; pass {name}.toarray() reshaped to (n_samples, height, "
            "width)."
        )


def _check_real(images: NDArray[Any] | LazyImages, name: str) -> None:
    if images.dtype.kind == "c":
        raise ValueError(
            f"{name} must hold real numbers, got dtype {images.dtype}. "
            f"Complex data not supported; pass np.abs({name}), for example."
        )


def _to_uint8(images: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if images.dtype == np.uint8:
        return images
    _check_real(images, name)
    if images.dtype.kind == "u" and images.dtype.itemsize == 2:  # of any byte order
        return np.asarray((images.astype(np.uint32) + 128) // 257, dtype=np.uint8)
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
    return np.asarray(np.rint(images), dtype=np.uint8)


def check_network_input(
    X: Any, *, name: str = "X", mode: str | None = None
) -> LazyImages:
    """Require images preprocessed in a `mode`, and wrap an array in `LazyImages`."""
    _check_dense(X, name)
    images = X if isinstance(X, LazyImages) else np.asarray(X)
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
        raise ValueError(
            f"{name} must hold preprocessed images (n_samples, height, width, 3), got "
            f"shape {images.shape}; put a BackbonePreprocessor before this step."
        )
    _check_real(images, name)
    if images.dtype.kind != "f":
        raise ValueError(
            f"{name} must hold preprocessed images in float32, got {images.dtype}; put "
            "a BackbonePreprocessor before this step."
        )
    if isinstance(images, LazyImages):
        if mode is not None and images.pixel_mode not in (None, mode):
            raise ValueError(
                f"{name} was prepared in mode {images.pixel_mode!r}, but the backbone "
                f"of this step needs {mode!r}. Give BackbonePreprocessor and this step "
                "the same backbone."
            )
        return images
    if not np.isfinite(images).all():
        raise ValueError(f"{name} holds NaN or infinite values.")
    return LazyImages.from_array(images.astype(np.float32, copy=False))
