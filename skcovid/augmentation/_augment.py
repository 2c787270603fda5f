"""Augmentation of one image, and of a batch."""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
from numpy.random import Generator, RandomState
from numpy.typing import NDArray

from skcovid._base._compatibility import Interval, validate_params
from skcovid.augmentation._augmentation_plan import apply_plan, draw_plan
from skcovid.augmentation._transform_types import Transform, check_transforms
from skcovid.augmentation._transforms import PAPER_TRANSFORMS
from skcovid.augmentation._warp import MAX_SIDE

# The map of an image has up to two rows and columns more than the image itself.
_MAX_IMAGE_SIDE = MAX_SIDE - 2

# Pixels of images that are augmented at once, which bounds the memory for their fields.
_MAX_PIXELS = 6_000_000

_SEEDS = [Interval(Integral, 0, None, closed="left"), RandomState, Generator, None]


@validate_params(
    {"random_state": _SEEDS, "fill": [Interval(Integral, 0, 255, closed="both")]}
)
def augment(
    image: NDArray[np.uint8],
    *,
    transforms: Sequence[Transform] | None = None,
    random_state: int | RandomState | Generator | None = None,
    fill: int = 0,
) -> NDArray[np.uint8]:
    """Apply a random non-empty subset of the transforms to an image.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3), uint8 in [0, 255]
        A grey image, or one in RGB order, whose channels are all treated alike. It is
        left unchanged.
    transforms : sequence of transforms, default=None
        Instances of subclasses of `IntensityTransform` and `GeometricTransform` to
        choose from, in the order to apply them. Each is chosen with probability 1/2; an
        empty choice is drawn again. None means `PAPER_TRANSFORMS`. Source: "one or
        more of the following functions is applied" (section 3.2).
    random_state : int, RandomState, Generator or None, default=None
        Source of the random numbers. An int gives the same result in every call,
        thread and process; a generator advances; None differs from call to call.
    fill : int, default=0
        Grey level in [0, 255] of pixels that the moved image does not cover.

    Returns
    -------
    ndarray of the same shape and dtype
        The augmented image, a new array.

    Raises
    ------
    ValueError
        If `image` has the wrong shape, or another parameter a value out of range.
    TypeError
        If `image` is not uint8, or `transforms` holds other objects.

    Notes
    -----
    Intensity transforms become one table of 256 grey levels, applied first, so that
    `fill` keeps its value. Geometric ones become one map of sampling positions, so that
    an image is interpolated once, and no pixel that a later one moves back is lost.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid.augmentation import augment
    >>> image = np.full((32, 32), 100, dtype=np.uint8)
    >>> copy = augment(image, random_state=0)
    >>> copy.shape, copy.dtype
    ((32, 32), dtype('uint8'))
    >>> np.array_equal(copy, augment(image, random_state=0))
    True
    """
    image = _check_image(image)
    pool = PAPER_TRANSFORMS if transforms is None else check_transforms(transforms)
    rng = np.random.default_rng(
        random_state.randint(2**32, size=4, dtype=np.uint32)
        if isinstance(random_state, RandomState)
        else random_state
    )
    seed = int(rng.integers(2**64, dtype=np.uint64))
    plan = draw_plan(pool, image.shape, [seed], lambda _: rng)
    return np.asarray(apply_plan(plan, [image], int(fill))[0])


def augment_batch(
    images: Sequence[NDArray[np.uint8]],
    seeds: Sequence[int | None],
    *,
    transforms: Sequence[Transform] = PAPER_TRANSFORMS,
    fill: int = 0,
) -> NDArray[np.uint8]:
    """Apply a random non-empty subset of the transforms to each image of a batch.

    It takes less time than `augment` for each: most of the work is done for all images
    at once, seldom holding the interpreter lock, so that threads run in parallel.
    """
    first = _check_image(images[0])
    for image in images:
        if image.shape != first.shape or image.dtype != first.dtype:
            raise ValueError(
                f"images must be of one shape and type. Got {first.shape} and "
                f"{first.dtype}, then {image.shape} and {image.dtype}."
            )
    size = max(1, _MAX_PIXELS // (first.shape[0] * first.shape[1]))
    parts = []
    for start in range(0, len(images), size):
        part = slice(start, start + size)
        plan = draw_plan(transforms, first.shape, seeds[part])
        parts.append(apply_plan(plan, images[part], fill))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _check_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = np.ascontiguousarray(image)
    if image.dtype != np.uint8:
        raise TypeError(
            f"image must be uint8 in [0, 255]. Got an array of {image.dtype} instead."
        )
    if (
        image.ndim not in (2, 3)
        or image.shape[2:] not in ((), (3,))
        or not 0 < min(image.shape[:2]) <= max(image.shape[:2]) <= _MAX_IMAGE_SIDE
    ):
        raise ValueError(
            "image must have shape (height, width) or (height, width, 3) and sides of "
            f"1 to {_MAX_IMAGE_SIDE} pixels. Got shape {image.shape} instead."
        )
    return image
