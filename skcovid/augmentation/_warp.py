"""Warp images: geometric transforms give sampling positions, and these give pixels.

Small arrays are computed for a whole batch in few calls: every call releases the
interpreter lock, and waiting for it again may take longer than the call.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

# Rows beyond the edge of a field that cubic interpolation may look at.
CUBIC_REACH = 3

# cv2.remap addresses pixels with signed 16-bit integers.
MAX_SIDE = 32_766

_LINEAR_INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

# Steps in a cell, few enough to be exact in float32 up to the largest side.
_STEPS = 256

# Pixels whose positions are interpolated in one call: those that fit into the cache.
_PIXELS_AT_ONCE = 2**18


class AffineStep(NamedTuple):
    """Affine maps of some images of a batch, of shape (2, 3, n)."""

    rows: list[int]
    matrices: NDArray[np.float64]


class FieldStep(NamedTuple):
    """Displacements of some images of a batch, of shape (n, rows, columns, 2).

    Of the rows and columns, `margins` lie beyond each edge of the image; of the rows at
    least `CUBIC_REACH`.
    """

    rows: list[int]
    fields: NDArray[np.float32]
    margins: tuple[int, int]

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Rows and columns of the cells that tile the image."""
        rows, columns = self.fields.shape[1:3]
        return rows - 2 * self.margins[0], columns - 2 * self.margins[1]


class BatchWarp:
    """How the images of a batch are warped.

    Positions go through the transforms backwards: through rotation, translation and
    zoom, and the elastic field is looked up where these lead. The composition is exact
    at the nodes of a grid about as fine as the finest field, and linear between them.
    """

    def __init__(
        self,
        steps: Sequence[AffineStep | FieldStep],
        height: int,
        width: int,
        fill: int,
    ) -> None:
        self._size = width, height
        self._border = (fill,) * 4
        self._matrices: dict[int, NDArray[np.float64]] = {}
        self._positions: dict[int, tuple[_Positions, int]] = {}
        for spacing, rows in _rows_by_spacing(steps, height, width).items():
            if spacing is None:
                matrices = _identities(len(rows))
                for step in reversed(steps):
                    if isinstance(step, AffineStep):
                        _compose(step, rows, matrices)
                maps = np.moveaxis(matrices, -1, 0).copy()
                self._matrices.update(zip(rows, maps, strict=True))
            else:
                nodes = _node_positions(steps, rows, spacing, height, width)
                positions = _Positions(nodes, spacing, height, width)
                for place, row in enumerate(rows):
                    self._positions[row] = positions, place

    def apply(self, row: int, image: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Write the warped image of a row to `out`; rows in order take least time."""
        border = cv2.BORDER_CONSTANT, self._border
        if row in self._positions:
            positions, place = self._positions[row]
            x, y = positions.of_pixels(place)
            cv2.remap(image, x, y, cv2.INTER_LINEAR, out, *border)
        else:
            matrix = self._matrices[row]
            cv2.warpAffine(image, matrix, self._size, out, _LINEAR_INVERSE, *border)


class _Positions:
    """Where the pixels are in the old images, interpolated between nodes.

    Some images are interpolated in one call, stacked, x of each above its y, with one
    cell more at every edge. The spacing is a power of two, so that all weights are
    exact and the positions of an image do not depend on the others in the call.
    """

    def __init__(
        self, nodes: NDArray[np.float32], spacing: int, height: int, width: int
    ) -> None:
        self._nodes = nodes
        n_images, rows, columns = nodes.shape
        self._at_once = min(n_images, max(1, _PIXELS_AT_ONCE // (height * width)))
        size = rows // 2 * spacing, columns * spacing
        self._memory = np.empty((self._at_once, 2, *size), dtype=np.float32)
        inner = (slice(spacing, spacing + length) for length in (height, width))
        self._pixels: NDArray[np.float32] = self._memory[:, :, *inner]
        self._start = -1

    def of_pixels(self, place: int) -> NDArray[np.float32]:
        """Return x and y of an image, valid until others are asked for."""
        within = place % self._at_once
        if place - within != self._start:
            self._start = place - within
            nodes = self._nodes[self._start : self._start + self._at_once]
            pixels = self._memory[: len(nodes)].reshape(-1, self._memory.shape[-1])
            cv2.resize(nodes.reshape(-1, nodes.shape[-1]), pixels.shape[::-1], pixels)
        return np.asarray(self._pixels[within])


def _rows_by_spacing(
    steps: Sequence[AffineStep | FieldStep], height: int, width: int
) -> dict[int | None, list[int]]:
    """Group the images that are warped by the spacing of nodes; None without a field.

    It is at most 0.8 of a cell of the finest field: with cells of sigma / 2, linear
    interpolation then loses less than 1 % of the standard deviation of `Elastic`.
    """
    spacings: dict[int, int] = {}
    for step in steps:
        if isinstance(step, FieldStep):
            rows, columns = step.grid_shape
            cell = min(height / rows, width / columns)
            own = 2 ** max(0, math.floor(math.log2(0.8 * cell)))
            spacings |= {row: min(own, spacings.get(row, own)) for row in step.rows}
    groups: dict[int | None, list[int]] = defaultdict(list)
    for row in sorted({row for step in steps for row in step.rows}):
        groups[spacings.get(row)].append(row)
    return groups


def _node_positions(
    steps: Sequence[AffineStep | FieldStep],
    rows: Sequence[int],
    spacing: int,
    height: int,
    width: int,
) -> NDArray[np.float32]:
    """Where the nodes are in the old images: (n, 2 * rows, columns), x above y."""
    x, y = _node_grid(height, width, spacing)
    pending: NDArray[np.float64] | None = _identities(len(rows))
    for step in reversed(steps):
        if isinstance(step, AffineStep):
            pending = _identities(len(rows)) if pending is None else pending
            _compose(step, rows, pending)
            continue
        places, own = _match_rows(step, rows)
        if not places:
            continue
        if pending is not None:
            nodes = _apply_maps(x, y, pending)
            x, y, pending = nodes[:, 0], nodes[:, 1], None
        fields = step._replace(fields=step.fields[own])
        nodes[places] += _look_up(fields, nodes[places], height, width)
    if pending is not None:
        nodes = _apply_maps(x, y, pending)
    return nodes.reshape(len(rows), -1, nodes.shape[-1])


def _match_rows(
    step: AffineStep | FieldStep, rows: Sequence[int]
) -> tuple[list[int] | slice, list[int] | slice]:
    """Places in `rows` of the images that the step moves, and those in the step."""
    if step.rows == rows:
        return slice(None), slice(None)
    own = {row: place for place, row in enumerate(step.rows)}
    places = [place for place, row in enumerate(rows) if row in own]
    return places, [own[rows[place]] for place in places]


def _identities(n_images: int) -> NDArray[np.float64]:
    return np.repeat(np.eye(2, 3)[..., np.newaxis], n_images, axis=-1)


def _compose(
    step: AffineStep, rows: Sequence[int], matrices: NDArray[np.float64]
) -> None:
    """Have the affine maps (2, 3, n) of the rows followed by those of the step."""
    places, own = _match_rows(step, rows)
    outer, inner = step.matrices[..., own], matrices[..., places]
    composed = outer[:, :1] * inner[0] + outer[:, 1:2] * inner[1]
    composed[:, 2] += outer[:, 2]
    matrices[..., places] = composed


def _apply_maps(
    x: NDArray[np.float32], y: NDArray[np.float32], matrices: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Positions (n, 2, rows, columns) after affine maps (2, 3, n)."""
    n_images = matrices.shape[-1]
    n_rows, n_columns = np.broadcast_shapes(x.shape[1:], y.shape[1:])
    moved = np.empty((n_images, 2, n_rows, n_columns), dtype=np.float32)
    coefficients = matrices.astype(np.float32)[..., np.newaxis, np.newaxis]
    for axis, (by_x, by_y, shift) in enumerate(coefficients):
        np.add(by_x * x + shift, by_y * y, out=moved[:, axis])
    return moved


def _look_up(
    step: FieldStep, positions: NDArray[np.float32], height: int, width: int
) -> NDArray[np.float32]:
    """Displacements at positions (n, 2, rows, columns), the fields stacked."""
    fields, (margin_y, margin_x) = step.fields, step.margins
    if max(step.grid_shape) + 2 * max(step.margins) > MAX_SIDE:
        # No room for margins: the border mode of cv2.remap continues the field.
        inner = (slice(margin, -margin or None) for margin in step.margins)
        fields, margin_y, margin_x = fields[:, *inner], 0, 0
    n_images, stride = fields.shape[:2]
    rows, columns = step.grid_shape
    limit = max(1, MAX_SIDE // max(stride, positions.shape[2]))
    x_scale, y_scale = columns / width, rows / height
    x = positions[:, 0] * np.float32(x_scale)
    x += np.float32(x_scale / 2 - 0.5 + margin_x)
    y = positions[:, 1] * np.float32(_STEPS * y_scale)
    y += np.float32(_STEPS * (y_scale / 2 - 0.5))
    # In whole steps, a position is exact wherever in the stack its field lies.
    np.rint(y, out=y)
    y.clip(-_STEPS, _STEPS * rows, out=y)
    first = np.arange(n_images, dtype=np.float32) % limit * stride + margin_y
    y += _STEPS * first[:, np.newaxis, np.newaxis]
    y /= _STEPS
    displacements = np.empty((*x.shape, 2), dtype=np.float32)
    for start in range(0, n_images, limit):
        field, x_map, y_map, out = (
            part[start : start + limit].reshape(-1, *part.shape[2:])
            for part in (fields, x, y, displacements)
        )
        # Linear interpolation would smooth the field here and again at full size.
        cv2.remap(field, x_map, y_map, cv2.INTER_CUBIC, out, cv2.BORDER_REPLICATE)
    return np.moveaxis(displacements, -1, 1)


@lru_cache(maxsize=16)
def _node_grid(
    height: int, width: int, spacing: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Positions x (1, 1, columns) and y (1, rows, 1) of the nodes of an image.

    One node lies beyond each edge, so that cv2.resize interpolates up to the edge.
    """
    y, x = (
        (
            np.arange(-1, math.ceil(side / spacing) + 1) * spacing + (spacing - 1) / 2
        ).astype(np.float32)
        for side in (height, width)
    )
    return x[np.newaxis, np.newaxis], y[np.newaxis, :, np.newaxis]
