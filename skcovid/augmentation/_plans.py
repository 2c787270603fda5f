"""Plans: what is drawn for the images of a batch, and its application to them."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skcovid._base._random import split_mix
from skcovid.augmentation._transform_types import (
    AffineTransform,
    Geometry,
    IntensityTransform,
    LevelCurve,
    Levels,
    Transform,
)
from skcovid.augmentation._transforms import Elastic
from skcovid.augmentation._warp import AffineStep, BatchWarp, FieldStep

__all__ = ["AugmentationPlan", "apply_plan", "draw_plan"]


# Of 64 random bits, those that make a number in [0, 1); the others choose transforms.
_NUMBER_BITS = 53


class AugmentationPlan(NamedTuple):
    """What `draw_plan` drew for a batch of images."""

    image_shape: tuple[int, int]
    chosen: NDArray[np.bool_]
    tables: list[NDArray[np.uint8] | None]
    geometry: list[AffineStep | FieldStep]


def draw_plan(
    transforms: Sequence[Transform],
    image_shape: tuple[int, ...],
    seeds: Sequence[int | None],
    make_generator: Callable[[int], Generator] = np.random.default_rng,
) -> AugmentationPlan:
    """Draw a non-empty subset of the transforms and their parameters for each image.

    The paper's transforms make one random number of each image into what they do, all
    images at once; others draw from a generator, image by image.
    """
    height, width = image_shape[:2]
    numbers, chosen = _draw_numbers(seeds, len(transforms))
    draws = [
        _Draw(transform, np.flatnonzero(chosen[:, place]).tolist(), numbers[:, place])
        for place, transform in enumerate(transforms)
    ]
    generators = _Generators(seeds, make_generator)
    return AugmentationPlan(
        image_shape=(height, width),
        chosen=chosen,
        tables=_draw_tables(draws, len(seeds), generators),
        geometry=list(_draw_geometry(draws, height, width, generators)),
    )


class _Draw(NamedTuple):
    transform: Transform
    rows: list[int]  # the images that get it
    numbers: NDArray[np.float64]  # of these and the other images


class _Generators(dict):
    """The generator of each image, made when it is first asked for."""

    def __init__(
        self, seeds: Sequence[int | None], make: Callable[[Any], Generator]
    ) -> None:
        self._seeds = seeds
        self._make = make

    def __missing__(self, row: int) -> Generator:
        self[row] = self._make(self._seeds[row])
        return self[row]


def _draw_tables(
    draws: Sequence[_Draw], n_images: int, generators: _Generators
) -> list[NDArray[np.uint8] | None]:
    levels = np.empty((n_images, 256))
    levels[:] = np.arange(256.0)
    changed = np.zeros(n_images, dtype=bool)
    for transform, rows, numbers in draws:
        if not rows or not isinstance(transform, IntensityTransform):
            continue
        changed[rows] = True
        if isinstance(transform, LevelCurve) and _keeps_draw(transform, LevelCurve):
            if len(rows) == n_images:  # no need to copy
                levels = transform.bend(levels, numbers[:, np.newaxis])
            else:
                levels[rows] = transform.bend(levels[rows], numbers[rows, np.newaxis])
            levels.clip(0.0, 255.0, out=levels)
            continue
        for row in rows:
            drawn = transform.draw(generators[row], levels[row])
            levels[row] = _check_levels(transform, drawn)
    tables = np.rint(levels, out=levels).astype(np.uint8)
    return [table if new else None for table, new in zip(tables, changed, strict=True)]


def _draw_geometry(
    draws: Sequence[_Draw], height: int, width: int, generators: _Generators
) -> Iterator[AffineStep | FieldStep]:
    for transform, rows, numbers in draws:
        if not rows or isinstance(transform, IntensityTransform):
            continue
        if isinstance(transform, AffineTransform) and _keeps_draw(
            transform, AffineTransform
        ):
            yield AffineStep(rows, transform.matrices(numbers[rows], height, width))
        elif isinstance(transform, Elastic) and _keeps_draw(transform, Elastic):
            fields, margins = transform.fields(numbers[rows], height, width)
            yield FieldStep(rows, fields, margins)
        else:
            for row in rows:
                drawn = transform.draw(generators[row], height, width)
                yield _check_geometry(transform, drawn, row)


def _keeps_draw(transform: Transform, kind: Any) -> bool:
    # Who overrides `draw` wants it called.
    return type(transform).draw is kind.draw


def _draw_numbers(
    seeds: Sequence[int | None], n_transforms: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Random number of every transform for each image, and whether it is chosen."""
    augmented = np.array([seed is not None for seed in seeds])
    known = np.array([seed or 0 for seed in seeds], dtype=np.uint64)
    bits = split_mix(known, n_transforms)
    numbers = (bits >> np.uint64(64 - _NUMBER_BITS)) / 2**_NUMBER_BITS
    chosen = (bits & np.uint64(1)).astype(bool) & augmented[:, np.newaxis]
    attempt = 0
    while (empty := augmented & ~chosen.any(axis=1)).any():
        attempt += 1
        words, bit = divmod(attempt, 64 - _NUMBER_BITS)
        if bit == 0:
            bits = split_mix(known, (words + 1) * n_transforms)[:, -n_transforms:]
        chosen[empty] = bits[empty] >> np.uint64(bit) & np.uint64(1)
    return numbers, chosen


def _check_levels(transform: Transform, levels: Levels) -> Levels:
    levels = np.asarray(levels, dtype=np.float64)
    if levels.shape != (256,) or np.isnan(levels).any():
        raise ValueError(
            f"{transform!r}.draw must return 256 grey levels, none of them NaN. Got "
            f"an array of shape {levels.shape} instead."
        )
    return np.clip(levels, 0.0, 255.0)


def _check_geometry(
    transform: Transform, drawn: Geometry, row: int
) -> AffineStep | FieldStep:
    is_field = np.ndim(drawn) == 3
    drawn = np.asarray(drawn, dtype=np.float32 if is_field else np.float64)
    valid_shape = drawn.shape[2:] == (2,) if is_field else drawn.shape == (2, 3)
    if not valid_shape or drawn.size == 0 or not math.isfinite(drawn.sum()):
        raise ValueError(
            f"{transform!r}.draw must return finite numbers, an affine map of shape "
            "(2, 3) or a displacement field of shape (rows, columns, 2). Got an array "
            f"of shape {drawn.shape} instead."
        )
    if is_field:
        return FieldStep([row], drawn[np.newaxis])
    return AffineStep([row], drawn[..., np.newaxis])


def apply_plan(
    plan: AugmentationPlan, images: Sequence[NDArray[np.uint8]], fill: int = 0
) -> NDArray[np.uint8]:
    """Apply what was drawn to a batch of images."""
    shape = images[0].shape
    if shape[:2] != plan.image_shape:
        raise ValueError(
            "image must have the height and width the plan was drawn for, "
            f"{plan.image_shape}. Got shape {shape} instead."
        )
    result = np.empty((len(plan.tables), *shape), dtype=np.uint8)
    moving = {row for step in plan.geometry for row in step.rows}
    warp = BatchWarp(plan.geometry, *plan.image_shape, fill)
    buffer = np.empty(shape, dtype=np.uint8)
    for row, (image, table, out) in enumerate(
        zip(images, plan.tables, result, strict=True)
    ):
        source = image
        if table is not None:
            source = cv2.LUT(image, table, buffer if row in moving else out)
        if row in moving:
            warp.apply(row, source, out)
        elif table is None:
            out[...] = image
    return result
