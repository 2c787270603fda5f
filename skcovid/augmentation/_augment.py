"""The six image transforms of section 3.2 of the paper, applied in one pass.

An augmented image gets a random non-empty subset of the transforms (see `augment`).

The intensity transforms of a plan become one table of 256 grey levels, its geometric
transforms one map of sampling positions, so that an image is interpolated and rounded
once however many transforms it gets. Two consequences are worth knowing:

- grey levels change before the image is warped, so ``fill`` keeps its value;
- nothing is cropped between two geometric transforms: what one moves over the edge of
  the image and the next moves back is still there.

A transform of your own is a subclass of `IntensityTransform` or `GeometricTransform`
with a ``draw`` method; those two classes each show one.

Positions are ``(x, y)`` in pixels, x to the right and y down; pixel centres have whole
coordinates and ``(0, 0)`` is the centre of the first pixel.
"""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
from numpy.random import Generator, RandomState
from numpy.typing import NDArray

from skcovid.augmentation._plans import apply_plan, draw_plan
from skcovid.augmentation._transform_types import (
    GeometricTransform,
    IntensityTransform,
    Transform,
)
from skcovid.augmentation._transforms import (
    PAPER_TRANSFORMS,
    Brightness,
    Elastic,
    Gamma,
    Rotation,
    Translation,
    Zoom,
)

__all__ = [
    "augment",
    "PAPER_TRANSFORMS",
    "Brightness",
    "Gamma",
    "Elastic",
    "Zoom",
    "Translation",
    "Rotation",
    "IntensityTransform",
    "GeometricTransform",
]

# cv2.remap addresses pixels with signed 16-bit integers, and the map of an image has
# up to two rows and columns more than the image itself.
_MAX_SIDE = 32_764

# Pixels of images that are augmented at once, which bounds the memory for their fields.
_MOST_PIXELS = 6_000_000


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
        choose from, in the order to apply them. Each is chosen with probability 1/2;
        an empty choice is drawn again. None stands for `PAPER_TRANSFORMS`. Source:
        "one or more of the following functions is applied" (section 3.2).
    random_state : int, RandomState, Generator or None, default=None
        Source of the random numbers. An int gives the same result in every call,
        thread and process; a generator advances; None differs from call to call.
    fill : int, default=0
        Grey level in [0, 255] of what the moved image no longer covers.

    Returns
    -------
    ndarray of the same shape and dtype
        The augmented image, a new array.

    Raises
    ------
    ValueError
        If `image` has the wrong shape, or another parameter a value out of range.
    TypeError
        If `image` is not uint8, or another parameter has the wrong type.

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
    transforms = (
        PAPER_TRANSFORMS if transforms is None else check_transforms(transforms)
    )
    if isinstance(fill, bool) or not isinstance(fill, Integral):
        raise TypeError(f"fill must be an int in [0, 255]. Got {fill!r} instead.")
    if not 0 <= fill <= 255:
        raise ValueError(f"fill must be in [0, 255]. Got {fill!r} instead.")
    rng = _check_generator(random_state)
    seed = int(rng.integers(2**64, dtype=np.uint64))
    plan = draw_plan(transforms, image.shape, [seed], lambda _: rng)
    return apply_plan(plan, [image], int(fill))[0]


def augment_batch(
    images: Sequence[NDArray[np.uint8]],
    seeds: Sequence[int | None],
    *,
    transforms: Sequence[Transform] = PAPER_TRANSFORMS,
    fill: int = 0,
) -> NDArray[np.uint8]:
    """Apply a random non-empty subset of the transforms to each image of a batch.

    It takes less time than `augment` for each: most of the work is done for all images
    at once. So the interpreter lock is held for little of the time, and threads with a
    batch each run side by side.
    """
    first = _check_image(images[0])
    for image in images:
        if image.shape != first.shape or image.dtype != first.dtype:
            raise ValueError(
                f"images must be of one shape and type, as the first is, {first.shape} "
                f"and {first.dtype}. Got {image.shape} and {image.dtype} too."
            )
    height, width = first.shape[:2]
    size = max(1, _MOST_PIXELS // (height * width))
    parts = []
    for start in range(0, len(images), size):
        part = slice(start, start + size)
        plan = draw_plan(transforms, (height, width), seeds[part])
        parts.append(apply_plan(plan, images[part], fill))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def check_transforms(transforms: Sequence[Transform]) -> tuple[Transform, ...]:
    """Return the transforms as a tuple, or say what is wrong with them."""
    if not isinstance(transforms, Sequence):
        raise TypeError(
            "transforms must be a list or tuple of transforms such as [Brightness()]. "
            f"Got {transforms!r} instead."
        )
    for transform in transforms:
        if not isinstance(transform, Transform):
            raise TypeError(
                "transforms must hold instances of IntensityTransform and "
                f"GeometricTransform, such as Brightness(). Got {transform!r} instead."
            )
    if not transforms:
        raise ValueError("transforms must hold at least one transform. Got none.")
    return tuple(transforms)


def _check_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = np.ascontiguousarray(image)
    if image.dtype != np.uint8:
        raise TypeError(
            f"image must be uint8 in [0, 255]. Got an array of {image.dtype} instead."
        )
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(
            "image must have shape (height, width) or (height, width, 3). Got shape "
            f"{image.shape} instead."
        )
    if not 0 < min(image.shape[:2]) <= max(image.shape[:2]) <= _MAX_SIDE:
        raise ValueError(
            f"image must be 1 to {_MAX_SIDE} pixels high and wide. Got shape "
            f"{image.shape} instead."
        )
    return image


def _check_generator(
    random_state: int | RandomState | Generator | None,
) -> Generator:
    if isinstance(random_state, Generator):
        return random_state
    if isinstance(random_state, RandomState):
        # Advances the RandomState, so that the next call draws something else.
        return np.random.default_rng(
            random_state.randint(2**32, size=4, dtype=np.uint32)
        )
    if random_state is None:
        return np.random.default_rng()
    if isinstance(random_state, bool) or not isinstance(random_state, Integral):
        raise TypeError(
            "random_state must be None, an int, a RandomState or a Generator. Got "
            f"{random_state!r} instead."
        )
    if random_state < 0:
        raise ValueError(
            f"random_state must not be negative. Got {random_state!r} instead."
        )
    return np.random.default_rng(int(random_state))
