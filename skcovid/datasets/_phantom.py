"""Draw one synthetic chest radiograph: anatomy, lung findings, exposure.

A frontal chest is drawn as a map of X-ray attenuation, the sum over its organs. Lengths
are fractions of the image side; x runs from the midline of the body to the right of the
image, which is the patient's left, and y downwards. The numbers are proportions chosen
by eye, not measurements.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

# Coordinates along the last axis; masks and attenuation, one value a pixel.
Points = NDArray[np.float64]
Pixels = NDArray[np.floating[Any]]

# Every image is drawn at this size and resampled, so that an image shows the same
# patient at every `image_size`.
_CANVAS = 192
_SUBPIXEL_BITS = 4

# One lung, on the positive side; repeated points keep the costophrenic angle sharp.
_LUNG = np.array(
    [
        (0.10, 0.16), (0.18, 0.11), (0.26, 0.17), (0.33, 0.32), (0.37, 0.52),
        (0.385, 0.70), (0.385, 0.81), (0.385, 0.81), (0.31, 0.745), (0.20, 0.72),
        (0.09, 0.75), (0.08, 0.55), (0.07, 0.35),
    ]
)  # fmt: skip
_HALF_TORSO = np.array(
    [
        (0.10, -0.20), (0.10, 0.04), (0.26, 0.09), (0.42, 0.13), (0.44, 0.30),
        (0.42, 0.55), (0.43, 0.80), (0.45, 1.20),
    ]
)  # fmt: skip
_ARM = [(0.40, 0.17), (0.46, 0.22), (0.51, 0.33), (0.56, 0.50)]
_CLAVICLE = [(0.03, 0.17), (0.16, 0.135), (0.28, 0.14), (0.40, 0.09)]
_HILUM = (0.11, 0.44)
_SIDES = (-1, 1)
_PATIENT_RIGHT = -1
_RIBS = 10


class Anatomy:
    """What differs from patient to patient and stays from image to image."""

    def __init__(self, rng: Generator) -> None:
        self.width = rng.uniform(0.88, 1.08)
        self.heart = rng.uniform(0.85, 1.2)
        self.dome = rng.uniform(0.0, 0.035)
        self.rib_distance = rng.uniform(0.066, 0.078)
        self.rib_slope = rng.uniform(0.06, 0.14)
        self.rib_contrast = rng.uniform(0.14, 0.26)
        self.soft_tissue = rng.uniform(0.75, 1.0)
        self.findings_seed = int(rng.integers(2**63))


class Projection:
    """What differs from image to image of one patient: position and exposure."""

    def __init__(self, rng: Generator) -> None:
        self.rotation = rng.normal(0.0, 0.03)
        self.scale = rng.uniform(0.98, 1.14)
        self.shift = rng.normal(0.0, 0.02), rng.normal(0.0, 0.02)
        self.contrast = rng.uniform(0.85, 1.25)
        # As the automatic exposure control of an X-ray unit does: the mean grey level
        # does not depend on the lungs.
        self.exposure = rng.uniform(0.42, 0.58)
        self.severity = rng.uniform(0.6, 1.4)


class Look:
    """What differs from hospital to hospital: processing, noise, border and mark."""

    def __init__(self, rng: Generator, number: int) -> None:
        self.gamma = np.exp(rng.uniform(-0.4, 0.4))
        self.contrast = rng.uniform(0.7, 1.2)
        self.noise = np.exp2(rng.uniform(-1.0, 1.0))
        self.border = rng.uniform(0.0, 0.06)
        self.mark = rng.uniform(190, 250)
        # Of the mark.
        self.corner = number % 4

    def apply(self, grey: Pixels, framed: bool) -> Pixels:
        """Return an image as this hospital's equipment gives it.

        Only `framed` ones have border and mark.
        """
        grey = 255.0 * (np.clip(grey, 0, 255) / 255.0) ** self.gamma
        mean = grey.mean()
        grey = mean + self.contrast * (grey - mean)
        if not framed:
            return grey
        size = len(grey)
        # A mark is beside the body, as the letter of the side is.
        mark = slice(round(0.08 * size), round(0.08 * size) + max(2, size // 14))
        np.rot90(grey, self.corner)[mark, mark] = self.mark
        inside = slice(round(self.border * size), size - round(self.border * size))
        picture = np.zeros_like(grey, dtype=np.float32)
        picture[inside, inside] = grey[inside, inside]
        return picture


def render(
    anatomy: Anatomy,
    projection: Projection,
    finding: str,
    image_size: int,
    lesion_contrast: float,
) -> Pixels:
    """Draw a radiograph without noise."""
    pen = _Pen(projection)
    rng = np.random.default_rng(anatomy.findings_seed)
    lungs = _lungs(pen, anatomy)
    vessels = _vessels(pen, rng)
    severity = lesion_contrast * projection.severity
    opacity = vessels + severity * FINDINGS[finding](pen, rng, anatomy)
    wall = _soft_tissue(pen, anatomy)
    chest = (
        anatomy.soft_tissue * wall * (1.0 - 0.68 * lungs)
        + _mediastinum(pen, anatomy)
        + wall * _bones(pen, anatomy)
        + 0.02
    )
    attenuation = chest + lungs * opacity
    grey: Pixels = 1.0 - np.exp(-projection.contrast * attenuation)
    method = cv2.INTER_AREA if image_size < _CANVAS else cv2.INTER_CUBIC
    grey = cv2.resize(grey, (image_size, image_size), interpolation=method)
    grey *= np.float32(255.0 * projection.exposure / grey.mean())
    return grey


class _Pen:
    """Draws shapes, given in the coordinates of the body, as masks in [0, 1]."""

    def __init__(self, projection: Projection) -> None:
        cosine = projection.scale * np.cos(projection.rotation)
        sine = projection.scale * np.sin(projection.rotation)
        self._matrix = np.array([(cosine, sine), (-sine, cosine)])
        self._origin = np.array(projection.shift) + 0.5

    def fill(self, *outlines: ArrayLike, blur: float) -> Pixels:
        """Fill polygons, their corners rounded."""
        mask = np.zeros((_CANVAS, _CANVAS), np.uint8)
        for outline in outlines:
            points = self._pixels(_round_corners(np.asarray(outline), closed=True))
            cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
        return _blur(mask, blur)

    def lines(self, lines: ArrayLike, thickness: float, blur: float) -> Pixels:
        """Draw lines of equally many points, their corners rounded."""
        mask = np.zeros((_CANVAS, _CANVAS), np.uint8)
        points = self._pixels(_round_corners(np.asarray(lines), closed=False))
        pixels = max(1, round(thickness * _CANVAS))
        cv2.polylines(
            mask, list(points), False, 255, pixels, cv2.LINE_AA, _SUBPIXEL_BITS
        )
        return _blur(mask, blur)

    def _pixels(self, points: Points) -> NDArray[np.int32]:
        centred = points - (0.0, 0.5)
        pixels = (centred @ self._matrix + self._origin) * _CANVAS
        rounded: Points = np.rint(pixels * 2**_SUBPIXEL_BITS)
        return rounded.astype(np.int32)


def _round_corners(points: Points, closed: bool) -> Points:
    # Chaikin's corner cutting, of the last but one axis.
    for _ in range(3):
        if closed:
            points = np.concatenate([points, points[..., :1, :]], axis=-2)
        shape = (*points.shape[:-2], 2 * (points.shape[-2] - 1), 2)
        cut = np.empty(shape)
        cut[..., ::2, :] = 0.75 * points[..., :-1, :] + 0.25 * points[..., 1:, :]
        cut[..., 1::2, :] = 0.25 * points[..., :-1, :] + 0.75 * points[..., 1:, :]
        points = cut
    return points


def _blur(mask: NDArray[np.uint8], sigma: float) -> Pixels:
    # A stack blur of radius r has the variance r(r + 2) / 6. It takes as long for a
    # large radius as for a small one.
    radius = round(np.sqrt(6 * (sigma * _CANVAS) ** 2 + 1) - 1)
    size = 2 * max(1, radius) + 1
    blurred: Pixels = cv2.stackBlur(mask, (size, size)).astype(np.float32)
    return blurred / np.float32(255.0)


def _both_sides(points: ArrayLike, width: float = 1.0) -> Points:
    """Mirror points of the positive side; both sides are along a new first axis."""
    points = np.asarray(points, dtype=np.float64)
    return np.stack([points * np.array([side * width, 1.0]) for side in _SIDES])


def _ellipse(centre: ArrayLike, radii: ArrayLike, angle: float = 0.0) -> Points:
    phase = np.linspace(0.0, 2 * np.pi, 16, endpoint=False)
    x, y = np.asarray(radii)[:, None] * (np.cos(phase), np.sin(phase))
    cosine, sine = np.cos(angle), np.sin(angle)
    points: Points = np.column_stack([x * cosine - y * sine, x * sine + y * cosine])
    points += np.asarray(centre)
    return points


def _lungs(pen: _Pen, anatomy: Anatomy) -> Pixels:
    outlines = _both_sides(_LUNG, anatomy.width)
    right = outlines[_SIDES.index(_PATIENT_RIGHT)]
    right[:, 1] -= anatomy.dome * np.clip((right[:, 1] - 0.5) / 0.3, 0.0, 1.0)
    return pen.fill(*outlines, blur=0.007)


def _soft_tissue(pen: _Pen, anatomy: Anatomy) -> Pixels:
    flanks = _both_sides(_HALF_TORSO, anatomy.width)
    torso = np.concatenate([flanks[0], flanks[1][::-1]])
    trunk = pen.fill(torso, blur=0.006)
    # Rays through the middle of the body cross more of it.
    thickness = 0.55 + 0.45 * pen.fill(torso, blur=0.06)
    abdomen = pen.fill([(-0.6, 0.72), (0.6, 0.72), (0.6, 1.4), (-0.6, 1.4)], blur=0.03)
    arms = pen.lines(_both_sides(_ARM, anatomy.width), thickness=0.13, blur=0.01)
    tissue: Pixels = np.maximum(trunk * (thickness + 0.5 * abdomen), 0.5 * arms)
    return tissue


def _mediastinum(pen: _Pen, anatomy: Anatomy) -> Pixels:
    size = anatomy.heart
    ventricles = _ellipse((0.075 * size, 0.61), (0.18 * size, 0.125 * size), angle=0.65)
    atrium = _ellipse((-0.04, 0.61), (0.08 * size, 0.13))
    vessels = [(-0.06, 0.1), (0.06, 0.1), (0.085, 0.52), (-0.08, 0.52)]
    aortic_knob = _ellipse((0.055, 0.31), (0.05, 0.05))
    silhouette = pen.fill(ventricles, atrium, vessels, aortic_knob, blur=0.012)
    trachea = [(-0.02, -0.2), (0.02, -0.2), (0.02, 0.36), (-0.02, 0.36)]
    return 0.7 * silhouette - 0.3 * pen.fill(trachea, blur=0.01)


def _bones(pen: _Pen, anatomy: Anatomy) -> Pixels:
    width, contrast = anatomy.width, anatomy.rib_contrast
    posterior, anterior = _ribs(anatomy)
    shoulders = np.concatenate([_both_sides(part, width) for part in (_CLAVICLE, _ARM)])
    heights = np.arange(-0.1, 1.1, anatomy.rib_distance)
    vertebrae = [[(-0.035, height), (0.035, height)] for height in heights]
    bones: Pixels = (
        contrast * pen.lines(posterior, thickness=0.02, blur=0.004)
        + 0.5 * contrast * pen.lines(anterior, thickness=0.024, blur=0.006)
        + 0.3 * pen.lines(shoulders, thickness=0.028, blur=0.005)
        + 0.3 * pen.lines([[(0.0, -0.2), (0.0, 1.2)]], thickness=0.085, blur=0.008)
        + 0.2 * pen.lines(vertebrae, thickness=0.035, blur=0.008)
    )
    return bones


def _ribs(anatomy: Anatomy) -> tuple[Points, Points]:
    """Posterior and anterior arcs of all ribs."""
    slope = anatomy.rib_slope
    root = 0.13 + anatomy.rib_distance * np.arange(_RIBS, dtype=float)[:, None]
    wall = 0.015 + _lateral_border(root + slope)
    arc = np.linspace(0.0, 1.0, 8)
    x = 0.035 + (wall - 0.035) * np.sin(arc * np.pi / 2)
    y = root - 0.025 * np.sin(arc * np.pi) + slope * arc**3
    posterior = np.stack([x, y], axis=-1)
    course = np.array([(0.0, 0.0), (-0.02, 0.04), (-0.1, 0.08), (-0.2, 0.1)])
    anterior = posterior[:, -1:] + course
    return (
        _both_sides(posterior, anatomy.width).reshape(-1, len(arc), 2),
        _both_sides(anterior, anatomy.width).reshape(-1, len(course), 2),
    )


def _lateral_border(heights: Points) -> Points:
    return np.asarray(np.interp(heights, _LUNG[1:7, 1], _LUNG[1:7, 0]))


def _branches(rng: Generator, count: int, length: tuple[float, float]) -> Points:
    """Wavy lines from both hila into the lungs, `count` a side."""
    angles = rng.uniform(-1.35, 1.35, (2, count, 1))
    bends = angles + np.cumsum(rng.normal(0.0, 0.22, (2, count, 5)), axis=-1)
    steps = np.repeat(rng.uniform(*length, (2, count, 1)) / 4, 5, axis=-1)
    steps[..., :1] = rng.uniform(0.0, 0.05, (2, count, 1))
    paths = np.stack([steps * np.cos(bends), 1.3 * steps * np.sin(bends)], axis=-1)
    paths = np.cumsum(paths, axis=-2) + _HILUM
    paths[..., 0] *= np.array(_SIDES)[:, None, None]
    return paths.reshape(-1, 5, 2)


def _vessels(pen: _Pen, rng: Generator) -> Pixels:
    hila = _both_sides(_ellipse(_HILUM, (0.03, 0.05)))
    large = pen.lines(_branches(rng, 7, (0.08, 0.16)), thickness=0.009, blur=0.006)
    small = pen.lines(_branches(rng, 14, (0.15, 0.3)), thickness=0.004, blur=0.004)
    vessels: Pixels = 0.18 * large + 0.13 * small + 0.2 * pen.fill(*hila, blur=0.015)
    return vessels


def _no_finding(pen: _Pen, rng: Generator, anatomy: Anatomy) -> Pixels:
    return np.zeros((_CANVAS, _CANVAS), np.float32)


def _ground_glass(pen: _Pen, rng: Generator, anatomy: Anatomy) -> Pixels:
    """Hazy patches near the chest wall of the lower zones, in both lungs."""
    patches = []
    for side in _SIDES:
        heights = rng.uniform(0.45, 0.74, rng.integers(2, 5))
        x = _lateral_border(heights) - rng.uniform(0.0, 0.1, len(heights))
        for centre in np.column_stack([side * anatomy.width * x, heights]):
            radii = rng.uniform((0.04, 0.05), (0.085, 0.11))
            patches.append(_ellipse(centre, radii))
    return 0.36 * pen.fill(*patches, blur=0.022) * _mottle(rng)


def _interstitial(pen: _Pen, rng: Generator, anatomy: Anatomy) -> Pixels:
    """Streaks from the hila through both lungs, in a perihilar haze."""
    perihilar = _both_sides(_ellipse((0.16, 0.46), (0.09, 0.16)), anatomy.width)
    haze = pen.fill(*perihilar, blur=0.05)
    thick = pen.lines(_branches(rng, 16, (0.1, 0.24)), thickness=0.011, blur=0.006)
    thin = pen.lines(_branches(rng, 40, (0.18, 0.38)), thickness=0.005, blur=0.004)
    opacity: Pixels = (0.16 * haze + 0.15 * thick + 0.16 * thin) * _mottle(rng)
    return opacity


def _mottle(rng: Generator) -> Pixels:
    cells = rng.uniform(0.5, 1.5, (24, 24)).astype(np.float32)
    size = (_CANVAS, _CANVAS)
    return np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_CUBIC))


FINDINGS: dict[str, Callable[[_Pen, Generator, Anatomy], Pixels]] = {
    "peripheral ground-glass opacities": _ground_glass,
    "clear": _no_finding,
    "interstitial opacities": _interstitial,
}
