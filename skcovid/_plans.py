"""Plans: what is drawn for each image, and its application to a batch of images.

What the transforms of the paper draw is kept as it was drawn, numbers and noise, until
`apply_plans` makes levels and displacements of it, for all images of a batch at once.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skcovid._transform_types import (
    Affine,
    AffineTransform,
    Geometry,
    IntensityTransform,
    LevelCurve,
    Levels,
    Transform,
)
from skcovid._transforms import Elastic
from skcovid._warping import BatchWarp, Field

__all__ = ["AugmentationPlan", "apply_plans", "draw_plan"]

_GREYS = np.arange(256.0)


class ElasticNoise(NamedTuple):
    """What `Elastic` drew, not yet smoothed."""

    elastic: Elastic
    noise: Field


Drawn: TypeAlias = Affine | Field | ElasticNoise


class AugmentationPlan(NamedTuple):
    """What `draw_plan` drew for one image.

    Attributes
    ----------
    transforms : tuple of transforms
        The transforms the image gets, in the order they are applied.
    image_shape : tuple of int
        Height and width in pixels of the images the plan is for.
    levels : ndarray of shape (256,), float64, or None
        What the intensity transforms up to the last that is no `LevelCurve` make of
        the grey levels; None without such a transform.
    curves : tuple of (LevelCurve, float)
        The curves that the levels go through then, with the parameter of each.
    geometry : tuple of Affine, Field and ElasticNoise
        What each geometric transform drew.
    """

    transforms: tuple[Transform, ...]
    image_shape: tuple[int, int]
    levels: Levels | None
    curves: tuple[tuple[LevelCurve, float], ...]
    geometry: tuple[Drawn, ...]

    @property
    def changes_levels(self) -> bool:
        """Whether there is an intensity transform."""
        return self.levels is not None or bool(self.curves)


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
        The plan, for `apply_plans`.
    """
    height, width = image_shape[:2]
    chosen: list[bool] = []
    while not any(chosen):
        chosen = [number < 0.5 for number in rng.random(len(transforms)).tolist()]
    subset = tuple(compress(transforms, chosen))
    levels: Levels | None = None
    curves: list[tuple[LevelCurve, float]] = []
    geometry: list[Drawn] = []
    for transform in subset:
        # Who overrides `draw` wants it called.
        draw = type(transform).draw
        if draw is LevelCurve.draw:
            curves.append((transform, transform.draw_parameter(rng)))
        elif draw is AffineTransform.draw:
            geometry.append(transform.draw_affine(rng, height, width))
        elif draw is Elastic.draw:
            noise = transform.draw_noise(rng, height, width)
            geometry.append(ElasticNoise(transform, noise))
        elif isinstance(transform, IntensityTransform):
            before = _bent([levels], [curves])[0]
            levels = _check_levels(transform, transform.draw(rng, before))
            curves = []
        else:
            drawn = transform.draw(rng, height, width)
            geometry.append(_check_geometry(transform, drawn))
    return AugmentationPlan(
        transforms=subset,
        image_shape=(height, width),
        levels=levels,
        curves=tuple(curves),
        geometry=tuple(geometry),
    )


def _check_levels(transform: Transform, levels: Levels) -> Levels:
    levels = np.asarray(levels, dtype=np.float64)
    if levels.shape != (256,) or np.isnan(levels).any():
        raise ValueError(
            f"{transform!r}.draw must return 256 grey levels, none of them NaN. Got "
            f"an array of shape {levels.shape} instead."
        )
    return np.clip(levels, 0.0, 255.0)


def _check_geometry(transform: Transform, drawn: Geometry) -> Affine | Field:
    is_field = np.ndim(drawn) == 3
    drawn = np.asarray(drawn, dtype=np.float32 if is_field else np.float64)
    valid_shape = drawn.shape[2:] == (2,) if is_field else drawn.shape == (2, 3)
    if not valid_shape or drawn.size == 0 or not math.isfinite(drawn.sum()):
        raise ValueError(
            f"{transform!r}.draw must return finite numbers, an affine map of shape "
            "(2, 3) or a displacement field of shape (rows, columns, 2). Got an array "
            f"of shape {drawn.shape} instead."
        )
    return drawn if is_field else tuple(drawn.ravel().tolist())


def apply_plans(
    plans: Sequence[AugmentationPlan],
    images: Sequence[NDArray[np.uint8]],
    fill: int = 0,
) -> NDArray[np.uint8]:
    """Apply what was drawn to images, a plan to each.

    Parameters
    ----------
    plans : sequence of AugmentationPlan
        From `draw_plan`, for images of one size.
    images : sequence of ndarray (height, width) or (height, width, 3), uint8
        As many images, of one shape, of the height and width the plans were drawn for.
    fill : int, default=0
        Grey level in [0, 255] of what a moved image no longer covers.

    Returns
    -------
    ndarray of shape (n_images, height, width[, 3]), uint8
        A new array. Each image is the same as if it were the only one.

    Raises
    ------
    ValueError
        If a plan was drawn for images of another size.
    """
    shape = images[0].shape
    for plan, image in zip(plans, images, strict=True):
        if image.shape != shape or shape[:2] != plan.image_shape:
            raise ValueError(
                "image must have the height and width the plan was drawn for, "
                f"{plan.image_shape}, and the shape of the first image, {shape}. Got "
                f"shape {image.shape} instead."
            )
    levels = _bent([plan.levels for plan in plans], [plan.curves for plan in plans])
    tables = np.rint(levels).astype(np.uint8)
    geometries = _smoothed([plan.geometry for plan in plans], *shape[:2])
    warp = BatchWarp(geometries, *shape[:2], fill)
    result = np.empty((len(images), *shape), dtype=np.uint8)
    buffer = np.empty(shape, dtype=np.uint8)
    for row, (plan, image) in enumerate(zip(plans, images, strict=True)):
        source = image
        if plan.changes_levels:
            bent = buffer if plan.geometry else result[row]
            source = cv2.LUT(image, tables[row], bent)
        if plan.geometry:
            warp.apply(row, source, result[row])
        elif not plan.changes_levels:
            result[row] = image
    return result


def _bent(
    starts: Sequence[Levels | None],
    curves: Sequence[Sequence[tuple[LevelCurve, float]]],
) -> Levels:
    """Grey levels of each image, (n, 256), after its curves."""
    levels = np.array([_GREYS if start is None else start for start in starts])
    for turn in range(max(map(len, curves))):
        members: dict[LevelCurve, list[tuple[int, float]]] = defaultdict(list)
        for row, image_curves in enumerate(curves):
            for curve, parameter in image_curves[turn : turn + 1]:
                members[curve].append((row, parameter))
        for curve, drawn in members.items():
            rows = [row for row, _ in drawn]
            parameters = np.array([[parameter] for _, parameter in drawn])
            levels[rows] = np.clip(curve.bend(levels[rows], parameters), 0.0, 255.0)
    return levels


def _smoothed(
    geometries: Sequence[Sequence[Drawn]], height: int, width: int
) -> list[list[Affine | Field]]:
    """The geometry of each image, with the noise of all made fields."""
    noises: dict[Elastic, list[Field]] = defaultdict(list)
    for geometry in geometries:
        for drawn in geometry:
            if isinstance(drawn, ElasticNoise):
                noises[drawn.elastic].append(drawn.noise)
    fields = {
        elastic: iter(elastic.smooth(members, height, width))
        for elastic, members in noises.items()
    }
    return [
        [
            next(fields[drawn.elastic]) if isinstance(drawn, ElasticNoise) else drawn
            for drawn in geometry
        ]
        for geometry in geometries
    ]
