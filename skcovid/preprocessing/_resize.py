"""Tags, the `image_size` parameter and resizing, for both transformers."""

from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skcovid._base._parameters import PlainParameters


class ImageTransformer(TransformerMixin, PlainParameters):
    """Base class of transformers that take images in place of a table."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Images are not put into tables, whatever `transform_output` is.
        super().__init_subclass__(auto_wrap_output_keys=None, **kwargs)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Leave images as they are; tables are what other steps make of them.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            Ignored.

        Returns
        -------
        self
            The transformer.
        """
        return self

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the input.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the input; None for "image".

        Returns
        -------
        ndarray of str
            The same names.
        """
        check_is_fitted(self)
        names = ["image"] if input_features is None else input_features
        return np.asarray(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def as_size(image_size: int | tuple[int, ...] | None) -> tuple[int, int] | None:
    """Return an `image_size` parameter as (height, width)."""
    if image_size is None:
        return None
    size = image_size if isinstance(image_size, tuple) else (image_size,) * 2
    valid = [isinstance(side, int | np.integer) and side > 0 for side in size]
    if len(size) != 2 or not all(valid):
        raise ValueError(
            f"image_size must be a side or (height, width) in pixels, got {image_size}."
        )
    return int(size[0]), int(size[1])


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an image to (height, width)."""
    height, width = size
    if image.shape[:2] == size:
        return image
    shrinks = image.shape[0] > height or image.shape[1] > width
    # Averaging over areas keeps fine structure from aliasing when an image shrinks.
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(image, (width, height), interpolation=method)
    return np.asarray(resized, dtype=np.uint8)
