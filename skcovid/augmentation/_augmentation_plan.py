"""Plans: what is drawn for the images of a batch, and its application to them."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skcovid._base._random import split_mix
from skcovid.augmentation._transform_types import (
    BatchNumbers,
    Geometry,
    IntensityTransform,
    Transform,
)
from skcovid.augmentation._transforms import DRAW_BATCHES, Elastic
from skcovid.augmentation._warp import CUBIC_REACH, AffineStep, BatchWarp, FieldStep

# Of 64 random bits, those that make a number in [0, 1); the others choose transforms.
_NUMBER_BITS = 53


class AugmentationPlan(NamedTuple):
    """Drawn for a batch: chosen transforms, tables of grey levels, geometric steps."""

    chosen: NDArray[np.bool_]
    tables: list[NDArray[np.uint8] | None]
    geometry: list[AffineStep | FieldStep]


def draw_plan(
    transforms: Sequence[Transform],
    image_shape: tuple[int, ...],
    seeds: Sequence[int | None],
    make_generator: Callable[[int | None], Generator] = np.random.default_rng,
) -> AugmentationPlan:
    """Draw a non-empty subset of transforms for each image; none where a seed is None.

    The paper's transforms draw for all images at once, from one random number of each;
    others draw from a generator, image by image.
    """
    height, width = image_shape[:2]
    numbers, chosen = _draw_numbers(seeds, len(transforms))
    draws = [
        (transform, np.flatnonzero(chosen[:, place]).tolist(), numbers[:, place])
        for place, transform in enumerate(transforms)
        if chosen[:, place].any()
    ]
    generator = cache(lambda row: make_generator(seeds[row]))
    levels = np.tile(np.arange(256.0), (len(seeds), 1))
    changed = np.zeros(len(seeds), dtype=bool)
    geometry: list[AffineStep | FieldStep] = []
    for transform, rows, own in draws:
        if not isinstance(transform, IntensityTransform):
            continue
        changed[rows] = True
        if type(transform).draw in DRAW_BATCHES:
            batch: Any = BatchNumbers(own[rows, np.newaxis])
            levels[rows] = transform.draw(batch, levels[rows]).clip(0.0, 255.0)
            continue
        for row in rows:
            drawn = np.asarray(transform.draw(generator(row), levels[row]), np.float64)
            if drawn.shape != (256,) or np.isnan(drawn).any():
                raise ValueError(
                    f"{transform!r}.draw must return 256 grey levels, none of them "
                    f"NaN. Got an array of shape {drawn.shape} instead."
                )
            levels[row] = drawn.clip(0.0, 255.0)
    for transform, rows, own in draws:
        if isinstance(transform, IntensityTransform):
            continue
        if isinstance(transform, Elastic) and type(transform).draw is Elastic.draw:
            fields, margins = transform.fields(own[rows], height, width)
            geometry.append(FieldStep(rows, fields, margins))
        elif type(transform).draw in DRAW_BATCHES:
            batch = BatchNumbers(own[rows])
            geometry.append(AffineStep(rows, transform.draw(batch, height, width)))
        else:
            for row in rows:
                drawn = transform.draw(generator(row), height, width)
                geometry.append(_check_geometry(transform, drawn, row))
    tables = np.rint(levels).astype(np.uint8)
    return AugmentationPlan(
        chosen,
        [table if new else None for table, new in zip(tables, changed, strict=True)],
        geometry,
    )


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
        widths = (0, 0), (CUBIC_REACH, CUBIC_REACH), (0, 0), (0, 0)
        return FieldStep([row], np.pad(drawn[None], widths, "edge"), (CUBIC_REACH, 0))
    return AffineStep([row], drawn[..., np.newaxis])


def apply_plan(
    plan: AugmentationPlan, images: Sequence[NDArray[np.uint8]], fill: int = 0
) -> NDArray[np.uint8]:
    """Apply what was drawn to a batch of images of one shape."""
    shape = images[0].shape
    result = np.empty((len(plan.tables), *shape), dtype=np.uint8)
    moved = {row for step in plan.geometry for row in step.rows}
    warp = BatchWarp(plan.geometry, shape[0], shape[1], fill)
    buffer = np.empty(shape, dtype=np.uint8)
    for row, (image, table, out) in enumerate(
        zip(images, plan.tables, result, strict=True)
    ):
        if table is not None:
            image = cv2.LUT(image, table, buffer if row in moved else out)
        if row in moved:
            warp.apply(row, image, out)
        elif table is None:
            out[...] = image
    return result
