"""Warping images: geometric transforms become sampling positions, and these pixels.

What is small is computed for a batch of images together, in plain floats and in arrays
over all of them, so that the interpreter lock is held for little of the time.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from skcovid._transform_types import Affine

__all__ = ["BatchWarp", "Field"]

Field: TypeAlias = NDArray[np.float32]  # displacements (rows, columns, 2)

_IDENTITY: Affine = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_LINEAR_INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


class BatchWarp:
    """How the images of a batch are warped.

    The transform that is applied last says first where a pixel comes from, so the
    positions go through the transforms backwards: through rotation, translation and
    zoom, and the elastic field is looked up where these lead. The composition is exact
    at the nodes of a grid as fine as the finest field, and linear between them.

    Parameters
    ----------
    geometries : sequence of sequences of Affine and Field
        What the geometric transforms of each image drew, in the order of application.
    height, width : int
        Size of the images in pixels.
    fill : int
        Grey level of what an image does not cover.
    """

    def __init__(
        self,
        geometries: Sequence[Sequence[Affine | Field]],
        height: int,
        width: int,
        fill: int,
    ) -> None:
        self._height, self._width = height, width
        self._border = (fill,) * 4
        self._matrices: dict[int, NDArray[np.float64]] = {}
        self._nodes: dict[int, tuple[Field, Field, _PixelGrid]] = {}
        same_spacing: dict[int, list[tuple[int, _Steps]]] = defaultdict(list)
        for row, geometry in enumerate(geometries):
            steps = _Steps(geometry)
            if steps.fields:
                spacing = _node_spacing(steps.fields, height, width)
                same_spacing[spacing].append((row, steps))
            else:
                self._matrices[row] = np.array(steps.affines[0]).reshape(2, 3)
        for spacing, members in same_spacing.items():
            x, y = _node_positions(
                [steps for _, steps in members], spacing, height, width
            )
            grid = _PixelGrid(spacing, height, width)
            for (row, _), node_x, node_y in zip(members, x, y, strict=True):
                self._nodes[row] = node_x, node_y, grid

    def apply(self, row: int, image: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Write the image of a row of the batch, warped, to `out`."""
        if row in self._matrices:
            cv2.warpAffine(
                image,
                self._matrices[row],
                (self._width, self._height),
                out,
                _LINEAR_INVERSE,
                cv2.BORDER_CONSTANT,
                self._border,
            )
            return
        node_x, node_y, grid = self._nodes[row]
        x, y = grid.interpolate(node_x, node_y)
        cv2.remap(image, x, y, cv2.INTER_LINEAR, out, cv2.BORDER_CONSTANT, self._border)


class _Steps:
    """The transforms of one image, backwards: affine, field, affine, …, affine."""

    def __init__(self, geometry: Sequence[Affine | Field]) -> None:
        self.affines: list[Affine] = []
        self.fields: list[Field] = []
        pending = None
        for step in reversed(geometry):
            if isinstance(step, tuple):
                pending = step if pending is None else _compose(step, pending)
            else:
                self.affines.append(pending or _IDENTITY)
                self.fields.append(step)
                pending = None
        self.affines.append(pending or _IDENTITY)


def _compose(outer: Affine, inner: Affine) -> Affine:
    """Affine map that applies `inner`, then `outer`."""
    xx, xy, x, yx, yy, y = outer
    inner_xx, inner_xy, inner_x, inner_yx, inner_yy, inner_y = inner
    return (
        xx * inner_xx + xy * inner_yx,
        xx * inner_xy + xy * inner_yy,
        xx * inner_x + xy * inner_y + x,
        yx * inner_xx + yy * inner_yx,
        yx * inner_xy + yy * inner_yy,
        yx * inner_x + yy * inner_y + y,
    )


def _node_spacing(fields: Iterable[Field], height: int, width: int) -> int:
    """Whole pixels, at most 0.8 of a cell of the finest field.

    With cells of sigma / 2, linear interpolation between nodes then loses less than 1 %
    of the standard deviation of `Elastic`.
    """
    cells = [min(height / len(field), width / field.shape[1]) for field in fields]
    return max(1, int(0.8 * min(cells)))


def _node_positions(
    batch: Sequence[_Steps], spacing: int, height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where the nodes of each image are in the old one: x and y, (n, rows, columns)."""
    x, y = _moved(*_node_grid(height, width, spacing), [s.affines[0] for s in batch])
    for turn in range(max(len(steps.fields) for steps in batch)):
        fields = [steps.fields[turn : turn + 1] for steps in batch]
        _displace(x, y, fields, height, width)
        affines = [(steps.affines[turn + 1 :] or [_IDENTITY])[0] for steps in batch]
        if any(affine is not _IDENTITY for affine in affines):
            x, y = _moved(x, y, affines)
    return x, y


def _moved(
    x: NDArray[np.float32], y: NDArray[np.float32], affines: Sequence[Affine]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    coefficients = np.array(affines, dtype=np.float32).T[:, :, np.newaxis, np.newaxis]
    xx, xy, x_shift, yx, yy, y_shift = coefficients
    return (xx * x + x_shift) + xy * y, (yy * y + y_shift) + yx * x


def _displace(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    fields: Sequence[Sequence[Field]],
    height: int,
    width: int,
) -> None:
    """Add the field of each image, if any, there or at the nearest edge."""
    cells = [field[0].shape[:2] if field else (height, width) for field in fields]
    scales = np.divide(cells, (height, width), dtype=np.float32).T
    y_scale, x_scale = scales[:, :, np.newaxis, np.newaxis]
    x_in_cells = x * x_scale
    x_in_cells += x_scale / 2 - 0.5
    y_in_cells = y * y_scale
    y_in_cells += y_scale / 2 - 0.5
    displacements = np.zeros((*x.shape, 2), dtype=np.float32)
    for row, field in enumerate(fields):
        if field:
            # Linear interpolation would blunt the field here and once more on full size.
            cv2.remap(
                field[0],
                x_in_cells[row],
                y_in_cells[row],
                cv2.INTER_CUBIC,
                displacements[row],
                cv2.BORDER_REPLICATE,
            )
    x += displacements[..., 0]
    y += displacements[..., 1]


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


class _PixelGrid:
    """From positions of the nodes to those of the pixels, in memory used again."""

    def __init__(self, spacing: int, height: int, width: int) -> None:
        rows, columns = (math.ceil(side / spacing) + 2 for side in (height, width))
        self._size = columns * spacing, rows * spacing
        self._x, self._y = np.empty((2, *self._size[::-1]), dtype=np.float32)
        inner = np.s_[spacing : spacing + height, spacing : spacing + width]
        self._inner_x, self._inner_y = self._x[inner], self._y[inner]

    def interpolate(self, node_x: Field, node_y: Field) -> tuple[Field, Field]:
        """Return the positions of the pixels, valid until the next call."""
        cv2.resize(node_x, self._size, self._x)
        cv2.resize(node_y, self._size, self._y)
        return self._inner_x, self._inner_y
