"""Plans: what is drawn for the images of a batch, and its application to them."""

import math
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skcovid._transform_types import (
    AffineTransform,
    Geometry,
    IntensityTransform,
    LevelCurve,
    Levels,
    Transform,
)
from skcovid._transforms import Elastic
from skcovid._warping import AffineStep, BatchWarp, FieldStep

__all__ = ["AugmentationPlan", "apply_plan", "draw_plan"]

_GREYS = np.arange(256.0)


class Step(NamedTuple):
    """What a transform drew.

    Attributes
    ----------
    transform : Transform
        The transform.
    by_number : bool
        Whether it draws one number, of which the rest follows for all images at once.
    rows : list of int
        The images that get it, in ascending order.
    drawn : list
        The number of each; or else the grey levels, affine map or displacement field.
    """

    transform: Any
    by_number: bool
    rows: list[int]
    drawn: list[Any]


class AugmentationPlan(NamedTuple):
    """What `draw_plan` drew for a batch of images.

    Attributes
    ----------
    n_images : int
        Number of images.
    image_shape : tuple of int
        Height and width in pixels of the images.
    steps : tuple of Step
        What each transform drew, in the order of application.
    """

    n_images: int
    image_shape: tuple[int, int]
    steps: tuple[Step, ...]


def draw_plan(
    transforms: Sequence[Transform],
    image_shape: tuple[int, ...],
    generators: Sequence[Generator | None],
) -> AugmentationPlan:
    """Draw a non-empty subset of the transforms and their parameters for each image.

    Parameters
    ----------
    transforms : sequence of transforms
        As returned by `check_transforms`.
    image_shape : tuple of int
        Shape of each image: height, width and possibly channels.
    generators : sequence of Generator or None
        The only source of randomness of each image. None leaves it as it is.

    Returns
    -------
    AugmentationPlan
        The plan, for `apply_plan`.
    """
    height, width = image_shape[:2]
    steps = tuple(Step(each, _draws_number(each), [], []) for each in transforms)
    for row, rng in enumerate(generators):
        if rng is None:
            continue
        for step in _draw_subset(steps, rng):
            if step.by_number:
                drawn = step.transform.draw_parameter(rng)
            elif isinstance(step.transform, IntensityTransform):
                drawn = step.transform.draw(rng, _levels_before(step, steps, row))
                drawn = _check_levels(step.transform, drawn)
            else:
                drawn = step.transform.draw(rng, height, width)
                drawn = _check_geometry(step.transform, drawn)
            step.rows.append(row)
            step.drawn.append(drawn)
    return AugmentationPlan(len(generators), (height, width), steps)


def _draws_number(transform: Transform) -> bool:
    # Who overrides `draw` wants it called.
    inherited = LevelCurve.draw, AffineTransform.draw, Elastic.draw
    return type(transform).draw in inherited


def _draw_subset(steps: Sequence[Step], rng: Generator) -> Iterator[Step]:
    random = rng.random
    chosen: list[bool] = []
    while not any(chosen):
        # One number a call: NumPy lets the interpreter lock go to fill an array.
        chosen = [random() < 0.5 for _ in steps]
    return compress(steps, chosen)


def _levels_before(current: Step, steps: Sequence[Step], row: int) -> Levels:
    levels = _GREYS[np.newaxis]
    for step in steps[: steps.index(current)]:
        if isinstance(step.transform, IntensityTransform) and row in step.rows[-1:]:
            levels = _bend(levels, step, step.drawn[-1:])
    return levels[0]


def _bend(levels: Levels, step: Step, drawn: Sequence[Any]) -> Levels:
    if not step.by_number:
        return np.array(drawn)
    bent = step.transform.bend(levels, np.array(drawn)[:, np.newaxis])
    return np.clip(bent, 0.0, 255.0)


def _check_levels(transform: Transform, levels: Levels) -> Levels:
    levels = np.asarray(levels, dtype=np.float64)
    if levels.shape != (256,) or np.isnan(levels).any():
        raise ValueError(
            f"{transform!r}.draw must return 256 grey levels, none of them NaN. Got "
            f"an array of shape {levels.shape} instead."
        )
    return np.clip(levels, 0.0, 255.0)


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
    plan: AugmentationPlan, images: Sequence[NDArray[np.uint8]], fill: int = 0
) -> NDArray[np.uint8]:
    """Apply what was drawn to a batch of images.

    Parameters
    ----------
    plan : AugmentationPlan
        From `draw_plan`.
    images : sequence of ndarray (height, width) or (height, width, 3), uint8
        As many images as the plan is for, of the height and width it is for.
    fill : int, default=0
        Grey level in [0, 255] of what a moved image no longer covers.

    Returns
    -------
    ndarray of shape (n_images, height, width[, 3]), uint8
        A new array. Each image is the same as in a batch of its own.

    Raises
    ------
    ValueError
        If an image has another size than the plan is for, or another shape than the
        first.
    """
    shape = images[0].shape
    for image in images:
        if image.shape != shape or shape[:2] != plan.image_shape:
            raise ValueError(
                "image must have the height and width the plan was drawn for, "
                f"{plan.image_shape}, and the shape of the first image, {shape}. Got "
                f"shape {image.shape} instead."
            )
    result = np.empty((plan.n_images, *shape), dtype=np.uint8)
    tables = _tables(plan)
    geometry = list(_geometry(plan))
    moving = {row for step in geometry for row in step.rows}
    warp = BatchWarp(geometry, *plan.image_shape, fill)
    buffer = np.empty(shape, dtype=np.uint8)
    for row, (image, table, out) in enumerate(zip(images, tables, result, strict=True)):
        source = image
        if table is not None:
            source = cv2.LUT(image, table, buffer if row in moving else out)
        if row in moving:
            warp.apply(row, source, out)
        elif table is None:
            out[...] = image
    return result


def _tables(plan: AugmentationPlan) -> list[NDArray[np.uint8] | None]:
    """Return the new level of every grey level, None where all keep theirs."""
    levels = np.tile(_GREYS, (plan.n_images, 1))
    changed = [False] * plan.n_images
    for step in plan.steps:
        if step.rows and isinstance(step.transform, IntensityTransform):
            levels[step.rows] = _bend(levels[step.rows], step, step.drawn)
            for row in step.rows:
                changed[row] = True
    tables = np.rint(levels).astype(np.uint8)
    return [
        table if is_new else None for table, is_new in zip(tables, changed, strict=True)
    ]


def _geometry(plan: AugmentationPlan) -> Iterator[AffineStep | FieldStep]:
    for step in plan.steps:
        transform = step.transform
        if not step.rows or isinstance(transform, IntensityTransform):
            continue
        if not step.by_number:
            for row, drawn in zip(step.rows, step.drawn, strict=True):
                if drawn.ndim == 2:
                    yield AffineStep([row], drawn[..., np.newaxis])
                else:
                    yield FieldStep([row], drawn[np.newaxis])
        elif isinstance(transform, Elastic):
            fields = transform.fields(np.array(step.drawn), *plan.image_shape)
            yield FieldStep(step.rows, fields)
        else:
            matrices = transform.matrices(np.array(step.drawn), *plan.image_shape)
            yield AffineStep(step.rows, matrices)
