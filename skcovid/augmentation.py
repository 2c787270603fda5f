"""The six image transforms of section 3.2 of the paper, applied in one pass.

An augmented image gets a random non-empty subset of the transforms. `draw_plan` turns
a random generator into a plan, `apply_plan` applies the plan to an image, and `augment`
does both.

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

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import compress
from numbers import Integral
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator, RandomState
from numpy.typing import NDArray

from skcovid._transforms import (
    PAPER_TRANSFORMS,
    Brightness,
    Elastic,
    Gamma,
    GeometricTransform,
    Geometry,
    IntensityTransform,
    Levels,
    Rotation,
    Transform,
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


@dataclass(frozen=True, eq=False)
class AugmentationPlan:
    """What `draw_plan` drew for one image.

    Attributes
    ----------
    transforms : tuple of transforms
        The transforms the image gets, in the order they are applied.
    image_shape : tuple of int
        Height and width in pixels of the images the plan is for.
    grey_levels : ndarray of shape (256,), uint8, or None
        The new level of every grey level; None without an intensity transform.
    geometry : tuple of ndarray
        What each geometric transform drew: affine maps and displacement fields, as
        described in `GeometricTransform.draw`.
    """

    transforms: tuple[Transform, ...]
    image_shape: tuple[int, int]
    grey_levels: NDArray[np.uint8] | None
    geometry: tuple[Geometry, ...]


def draw_plan(
    transforms: Sequence[Transform], image_shape: tuple[int, ...], rng: Generator
) -> AugmentationPlan:
    """Draw a non-empty subset of the transforms and the parameters of each.

    Parameters
    ----------
    transforms : sequence of transforms
        As returned by `check_transforms`.
    image_shape : tuple of int
        Shape of the image: height, width and possibly channels.
    rng : numpy.random.Generator
        The only source of randomness.

    Returns
    -------
    AugmentationPlan
        The plan, for `apply_plan`.
    """
    height, width = image_shape[:2]
    chosen = rng.random(len(transforms)) < 0.5
    while not chosen.any():
        chosen = rng.random(len(transforms)) < 0.5
    subset = tuple(compress(transforms, chosen))
    levels = np.arange(256.0)
    geometry = []
    for transform in subset:
        if isinstance(transform, IntensityTransform):
            levels = _check_levels(transform, transform.draw(rng, levels))
        else:
            drawn = transform.draw(rng, height, width)
            geometry.append(_check_geometry(transform, drawn))
    any_intensity = len(geometry) < len(subset)
    return AugmentationPlan(
        transforms=subset,
        image_shape=(height, width),
        grey_levels=np.rint(levels).astype(np.uint8) if any_intensity else None,
        geometry=tuple(geometry),
    )


def _check_levels(transform: Transform, levels: Levels) -> Levels:
    levels = np.asarray(levels, dtype=np.float64)
    if levels.shape != (256,) or np.isnan(levels).any():
        raise ValueError(
            f"{transform!r}.draw must return 256 grey levels, none of them NaN. Got "
            f"an array of shape {levels.shape} instead."
        )
    return np.minimum(np.maximum(levels, 0.0), 255.0)  # a third of np.clip's overhead


def _check_geometry(transform: Transform, drawn: Geometry) -> Geometry:
    is_field = np.ndim(drawn) == 3
    drawn = np.asarray(drawn, dtype=np.float32 if is_field else np.float64)
    valid_shape = drawn.shape[2:] == (2,) if is_field else drawn.shape == (2, 3)
    if not valid_shape or drawn.size == 0 or not math.isfinite(drawn.sum()):
        raise ValueError(
            f"{transform!r}.draw must return finite numbers, an affine map of shape "
            "(2, 3) or a displacement field of shape (rows, columns, 2). Got an array "
            f"of shape {drawn.shape} instead."
        )
    return drawn


def apply_plan(
    plan: AugmentationPlan, image: NDArray[np.uint8], fill: int = 0
) -> NDArray[np.uint8]:
    """Apply what was drawn to an image.

    Parameters
    ----------
    plan : AugmentationPlan
        From `draw_plan`.
    image : ndarray of shape (height, width) or (height, width, 3), uint8
        The image, of the height and width the plan was drawn for.
    fill : int, default=0
        Grey level in [0, 255] of what the moved image no longer covers.

    Returns
    -------
    ndarray of the same shape and dtype
        A new array.

    Raises
    ------
    ValueError
        If the plan was drawn for images of another size.
    """
    if image.shape[:2] != plan.image_shape:
        raise ValueError(
            "image must have the height and width the plan was drawn for, "
            f"{plan.image_shape}. Got shape {image.shape} instead."
        )
    result: NDArray[Any] = image
    if plan.grey_levels is not None:
        result = cv2.LUT(result, plan.grey_levels)
    if plan.geometry:
        result = _warp(result, plan.geometry, fill)
    return result


def _warp(image: NDArray[Any], geometry: Sequence[Geometry], fill: int) -> NDArray[Any]:
    height, width = image.shape[:2]
    border: dict[str, Any] = {
        "borderMode": cv2.BORDER_CONSTANT,
        "borderValue": (fill,) * 4,
    }
    if any(step.ndim == 3 for step in geometry):
        positions = _sampling_map(geometry, height, width)
        return cv2.remap(image, positions, _NO_MAP, cv2.INTER_LINEAR, **border)
    matrix = reduce(_compose, geometry)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (width, height), flags=flags, **border)


_NO_MAP: Any = None  # cv2.remap takes it beside a map of pairs; its type stubs do not


def _compose(outer: Geometry, inner: Geometry) -> Geometry:
    """Affine map that applies `inner`, then `outer`."""
    matrix = outer[:, :2] @ inner
    matrix[:, 2] += outer[:, 2]
    return matrix


def _sampling_map(
    geometry: Sequence[Geometry], height: int, width: int
) -> NDArray[Any]:
    """Where every pixel of the new image is in the old one, (height, width, 2).

    The transform that is applied last says first where a pixel comes from, so the
    positions go through the transforms backwards: through rotation, translation and
    zoom, and the elastic field is looked up where these lead. The composition is exact
    at the nodes of a grid as fine as the finest field, and linear between them.
    """
    cells = [
        min(height / step.shape[0], width / step.shape[1])
        for step in geometry
        if step.ndim == 3
    ]
    spacing = max(1, int(min(cells)))
    positions: NDArray[Any] = _node_grid(height, width, spacing)
    pending = np.eye(2, 3)
    for transform in reversed(geometry):
        if transform.ndim == 2:
            pending = _compose(transform, pending)
        else:
            positions = cv2.transform(positions, pending)
            positions += _sample_field(transform, positions, height, width)
            pending = np.eye(2, 3)
    positions = cv2.transform(positions, pending)
    rows, columns = positions.shape[:2]
    positions = cv2.resize(positions, (columns * spacing, rows * spacing))
    return positions[spacing : spacing + height, spacing : spacing + width]


@lru_cache(maxsize=16)
def _node_grid(height: int, width: int, spacing: int) -> NDArray[np.float32]:
    """Centres of the square cells that cover the image and of one more at each edge.

    With these cv2.resize has nodes to interpolate between up to the edge.
    """
    y, x = (
        (np.arange(math.ceil(side / spacing) + 2) - 1) * spacing + (spacing - 1) / 2
        for side in (height, width)
    )
    nodes = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)
    nodes.flags.writeable = False
    return nodes


def _sample_field(
    field: Geometry, positions: NDArray[Any], height: int, width: int
) -> NDArray[Any]:
    """Displacements at the positions; beyond the image, those at its edge."""
    x_scale, y_scale = field.shape[1] / width, field.shape[0] / height
    to_cells = np.array(
        [[x_scale, 0.0, x_scale / 2 - 0.5], [0.0, y_scale, y_scale / 2 - 0.5]]
    )
    # Linear interpolation would blunt the field here and once more on full size.
    return cv2.remap(
        field,
        cv2.transform(positions, to_cells),
        _NO_MAP,
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
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
    return apply_plan(draw_plan(transforms, image.shape, rng), image, int(fill))


def check_transforms(transforms: Sequence[Transform]) -> tuple[Transform, ...]:
    """Return the transforms as a tuple, or say what is wrong with them.

    Parameters
    ----------
    transforms : sequence of transforms
        At least one instance of a subclass of `IntensityTransform` or
        `GeometricTransform`.

    Returns
    -------
    tuple of transforms
        The same transforms.

    Raises
    ------
    TypeError
        If it is not a sequence, or something in it is not a transform.
    ValueError
        If it is empty.
    """
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
