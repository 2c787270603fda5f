"""Warping images: geometric transforms become sampling positions, and these pixels.

What is small is computed for a batch of images together, so that the interpreter lock
is held for little of the time.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["AffineStep", "BatchWarp", "FieldStep"]

_LINEAR_INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

# cv2.remap addresses pixels with signed 16-bit integers.
_MAX_ROWS = 32_766

# Rows that cubic interpolation may look at beyond the edge of a field.
_PADDING = 3


class AffineStep(NamedTuple):
    """Affine maps of some images of a batch, of shape (2, 3, n)."""

    rows: list[int]
    matrices: NDArray[np.float64]


class FieldStep(NamedTuple):
    """Displacements of some images of a batch, of shape (n, rows, columns, 2)."""

    rows: list[int]
    fields: NDArray[np.float32]


class BatchWarp:
    """How the images of a batch are warped.

    The transform that is applied last says first where a pixel comes from, so the
    positions go through the transforms backwards: through rotation, translation and
    zoom, and the elastic field is looked up where these lead. The composition is exact
    at the nodes of a grid about as fine as the finest field, and linear between them.

    Parameters
    ----------
    steps : sequence of AffineStep and FieldStep
        What the geometric transforms drew, in the order of application.
    height, width : int
        Size of the images in pixels.
    fill : int
        Grey level of what an image does not cover.
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
        self._nodes: dict[int, _Nodes] = {}
        for spacing, rows in _rows_by_spacing(steps, height, width).items():
            if spacing is None:
                matrices = np.moveaxis(_composed(steps, rows), -1, 0)
                self._matrices.update(
                    zip(rows, np.ascontiguousarray(matrices), strict=True)
                )
            else:
                x, y = _node_positions(steps, rows, spacing, height, width)
                pixels = _Pixels(spacing, height, width)
                for row, x_nodes, y_nodes in zip(rows, x, y, strict=True):
                    self._nodes[row] = _Nodes(x_nodes, y_nodes, pixels)

    def apply(self, row: int, image: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Write the image of a row of the batch, warped, to `out`."""
        border = cv2.BORDER_CONSTANT, self._border
        if row in self._nodes:
            x_nodes, y_nodes, pixels = self._nodes[row]
            x, y = pixels.positions(x_nodes, y_nodes)
            cv2.remap(image, x, y, cv2.INTER_LINEAR, out, *border)
        else:
            matrix = self._matrices[row]
            cv2.warpAffine(image, matrix, self._size, out, _LINEAR_INVERSE, *border)


class _Pixels:
    """From positions of the nodes to those of the pixels, in memory used again."""

    def __init__(self, spacing: int, height: int, width: int) -> None:
        rows, columns = (math.ceil(side / spacing) + 2 for side in (height, width))
        self._size = columns * spacing, rows * spacing
        self._x, self._y = np.empty((2, *self._size[::-1]), dtype=np.float32)
        inner = np.s_[spacing : spacing + height, spacing : spacing + width]
        self._inner = self._x[inner], self._y[inner]

    def positions(
        self, x_nodes: NDArray[np.float32], y_nodes: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return x and y of the pixels, valid until the next call."""
        cv2.resize(x_nodes, self._size, self._x)
        cv2.resize(y_nodes, self._size, self._y)
        return self._inner


class _Nodes(NamedTuple):
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    pixels: _Pixels


def _rows_by_spacing(
    steps: Sequence[AffineStep | FieldStep], height: int, width: int
) -> dict[int | None, list[int]]:
    """Group the images that are warped by the spacing of nodes; None without a field.

    It is in whole pixels, at most 0.8 of a cell of the finest field: with cells of
    sigma / 2, linear interpolation between nodes then loses less than 1 % of the
    standard deviation of `Elastic`.
    """
    spacings: dict[int, int | None] = {}
    for step in steps:
        for row in step.rows:
            spacings.setdefault(row, None)
        if isinstance(step, FieldStep):
            rows, columns = step.fields.shape[1:3]
            spacing = max(1, int(0.8 * min(height / rows, width / columns)))
            for row in step.rows:
                spacings[row] = min(spacing, spacings[row] or spacing)
    groups: dict[int | None, list[int]] = defaultdict(list)
    for row in sorted(spacings):
        groups[spacings[row]].append(row)
    return groups


def _composed(
    steps: Sequence[AffineStep | FieldStep], rows: Sequence[int]
) -> NDArray[np.float64]:
    """Affine maps (2, 3, n) of images without a field."""
    matrices = _identities(len(rows))
    for step in reversed(steps):
        if isinstance(step, AffineStep):
            matrices = _compose(_spread(step, rows), matrices)
    return matrices


def _node_positions(
    steps: Sequence[AffineStep | FieldStep],
    rows: Sequence[int],
    spacing: int,
    height: int,
    width: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where the nodes of each image are in the old one: x and y, (n, rows, columns)."""
    x, y = _node_grid(height, width, spacing)
    pending: NDArray[np.float64] | None = _identities(len(rows))
    for step in reversed(steps):
        if set(rows).isdisjoint(step.rows):
            continue
        if isinstance(step, AffineStep):
            matrices = _spread(step, rows)
            pending = matrices if pending is None else _compose(matrices, pending)
            continue
        if pending is not None:
            x, y = _moved(x, y, pending)
            pending = None
        places, own = _matching(step, rows)
        x_change, y_change = _looked_up(
            step.fields[own], x[places], y[places], height, width
        )
        x[places] += x_change
        y[places] += y_change
    return (x, y) if pending is None else _moved(x, y, pending)


def _matching(
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


def _spread(step: AffineStep, rows: Sequence[int]) -> NDArray[np.float64]:
    """Affine maps (2, 3, n) of the rows, the identity where the step moves none."""
    matrices = _identities(len(rows))
    places, own = _matching(step, rows)
    matrices[..., places] = step.matrices[..., own]
    return matrices


def _compose(
    outer: NDArray[np.float64], inner: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Affine maps that apply `inner`, then `outer`."""
    matrices = outer[:, :1] * inner[0] + outer[:, 1:2] * inner[1]
    matrices[:, 2] += outer[:, 2]
    return matrices


def _moved(
    x: NDArray[np.float32], y: NDArray[np.float32], matrices: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    coefficients = matrices.astype(np.float32)[..., np.newaxis, np.newaxis]
    (xx, xy, x_shift), (yx, yy, y_shift) = coefficients
    return (xx * x + x_shift) + xy * y, (yy * y + y_shift) + yx * x


def _looked_up(
    fields: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    height: int,
    width: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Displacements at the positions; beyond the image, those at its edge.

    The fields of several images lie one upon the other, with rows between them that
    continue each beyond its edges, so that one call serves all.
    """
    n_images, rows, columns = fields.shape[:3]
    limit = max(1, _MAX_ROWS // max(rows + 2 * _PADDING, x.shape[1]))
    padding = _PADDING if limit > 1 else 0
    stride = rows + 2 * padding
    x = _in_cells(x, columns / width)
    # A whole number of 1 / 32, which is what cv2.remap distinguishes: so it is the same
    # wherever in the stack a field lies.
    y = np.rint(32 * np.clip(_in_cells(y, rows / height), -1, rows))
    offsets = np.arange(n_images) % limit * stride + padding
    y = (y + 32 * offsets.astype(np.float32)[:, np.newaxis, np.newaxis]) / 32
    padded = np.empty((n_images, stride, columns, 2), dtype=np.float32)
    padded[:, padding : padding + rows] = fields
    padded[:, :padding] = fields[:, :1]
    padded[:, padding + rows :] = fields[:, -1:]
    displacements = np.empty((*x.shape, 2), dtype=np.float32)
    for start in range(0, n_images, limit):
        stack = slice(start, start + limit)
        # Linear interpolation would blunt the field here and once more on full size.
        cv2.remap(
            padded[stack].reshape(-1, columns, 2),
            x[stack].reshape(-1, x.shape[-1]),
            y[stack].reshape(-1, x.shape[-1]),
            cv2.INTER_CUBIC,
            displacements[stack].reshape(-1, x.shape[-1], 2),
            cv2.BORDER_REPLICATE,
        )
    return displacements[..., 0], displacements[..., 1]


def _in_cells(positions: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    return positions * np.float32(scale) + np.float32(scale / 2 - 0.5)


@lru_cache(maxsize=16)
def _node_grid(
    height: int, width: int, spacing: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres of the square cells that cover the image and of one more at each edge.

    With these cv2.resize has nodes to interpolate between up to the edge. They are x of
    shape (1, columns) and y of shape (rows, 1).
    """
    x, y = (
        (np.arange(math.ceil(side / spacing) + 2) - 1) * spacing + (spacing - 1) / 2
        for side in (width, height)
    )
    return x.astype(np.float32)[np.newaxis], y.astype(np.float32)[:, np.newaxis]
