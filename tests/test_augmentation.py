"""The six image transforms: ranges, composition, randomness and failures.

Most tests warp a probe image whose first two channels hold each pixel's own x and y:
the result tells where every pixel was taken from.
"""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from skcovid.augmentation import (
    PAPER_TRANSFORMS,
    Brightness,
    Elastic,
    Gamma,
    GeometricTransform,
    IntensityTransform,
    Rotation,
    Translation,
    Zoom,
    _augmentation_plan,
    augment,
)
from skcovid.augmentation._augment import augment_batch
from skcovid.augmentation._transform_types import check_transforms

GEOMETRIC = PAPER_TRANSFORMS[2:]


def noise_image(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def probe_image(height, width):
    """Channels: x, y and 255; the last shows which pixels are covered."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([x, y, np.full_like(x, 255)]).astype(np.uint8)


def sampled_from(transform, seed, height=101, width=141):
    """Return positions x and y that pixels were taken from, and which are covered."""
    probe = probe_image(height, width)
    warped = augment(probe, transforms=[transform], random_state=seed)
    return warped[..., 0] * 1.0, warped[..., 1] * 1.0, warped[..., 2] == 255


def fitted_affine(transform, seed, height=101, width=141):
    """Fit the affine map (2, 3) from pixels of the warped probe to their sources."""
    x, y, covered = sampled_from(transform, seed, height, width)
    rows, columns = np.nonzero(covered)
    pixels = np.column_stack([columns, rows, np.ones(len(rows))])
    sources = np.column_stack([x[covered], y[covered]])
    return np.linalg.lstsq(pixels, sources, rcond=None)[0].T


def draw_plan(transforms, image_shape, rng):
    return _augmentation_plan.draw_plan(
        transforms, image_shape, [int(rng.integers(2**63))]
    )


def plan_with_all(transforms, image_shape):
    """Return the plan of the first seed that chooses all transforms."""
    for seed in range(10_000):
        plan = draw_plan(transforms, image_shape, np.random.default_rng(seed))
        if plan.chosen.sum() == len(transforms):
            return plan
    raise AssertionError("no seed chose all the transforms")


def apply_plan(plan, image, fill=0):
    return _augmentation_plan.apply_plan(plan, [image], fill)[0]


# The transforms, one by one


def test_paper_transforms():
    expected = [
        Brightness(1.05, 1.10),
        Gamma(1.05, 1.11),
        Elastic(2.0, 0.1),
        Zoom(1.05, 1.10),
        Translation(0.90, 0.97),
        Rotation(-5.0, 5.0),
    ]
    assert list(PAPER_TRANSFORMS) == expected


@pytest.mark.parametrize("transform", PAPER_TRANSFORMS, ids=repr)
def test_transforms_are_immutable_and_compare_by_value(transform):
    twin = pickle.loads(pickle.dumps(transform))
    assert twin == transform
    assert hash(twin) == hash(transform)
    assert eval(repr(transform)) == transform
    name = next(iter(vars(transform)))
    with pytest.raises(FrozenInstanceError):
        setattr(transform, name, 1.0)


def test_equal_transforms_have_equal_repr():
    assert (
        repr(Zoom(1, np.float64(2)))
        == repr(Zoom(1.0, 2.0))
        == "Zoom(low=1.0, high=2.0)"
    )


def test_brightness_factor_in_range():
    image = np.full((1, 1), 200, dtype=np.uint8)
    factors = np.array(
        [
            augment(image, transforms=[Brightness()], random_state=seed).item() / 200
            for seed in range(300)
        ]
    )
    assert factors.min() == pytest.approx(1.05, abs=0.005)
    assert factors.max() == pytest.approx(1.10, abs=0.005)
    assert factors.mean() == pytest.approx(1.075, abs=0.005)


def test_brightness_scales_and_clips():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    brighter = augment(image, transforms=[Brightness(1.08, 1.08)])
    expected = np.rint(np.minimum(image * 1.08, 255))
    np.testing.assert_array_equal(brighter, expected)


def test_gamma_in_range():
    image = np.full((1, 1), 90, dtype=np.uint8)
    levels = np.array(
        [
            augment(image, transforms=[Gamma()], random_state=seed).item()
            for seed in range(300)
        ]
    )
    gammas = np.log(levels / 255) / np.log(90 / 255)
    assert gammas.min() == pytest.approx(1.05, abs=0.006)
    assert gammas.max() == pytest.approx(1.11, abs=0.006)
    assert gammas.mean() == pytest.approx(1.08, abs=0.006)


def test_intensity_steps_are_rounded_once():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    plan = plan_with_all([Brightness(1.1, 1.1), Gamma(1.5, 1.5)], image.shape)
    brighter = np.minimum(image * 1.1, 255)
    expected = np.rint(255 * (brighter / 255) ** 1.5)
    np.testing.assert_array_equal(apply_plan(plan, image), expected)


def test_zoom_enlarges_about_the_centre():
    scales = []
    for seed in range(60):
        matrix = fitted_affine(Zoom(), seed)
        centre = np.array([70.0, 50.0])
        np.testing.assert_allclose(matrix @ [*centre, 1.0], centre, atol=0.05)
        np.testing.assert_allclose(matrix[:, :2], np.eye(2) * matrix[0, 0], atol=2e-3)
        scales.append(1 / matrix[0, 0])
        assert sampled_from(Zoom(), seed)[2].all()
    assert 1.048 < min(scales) < 1.06
    assert 1.09 < max(scales) < 1.102


def test_translation_keeps_a_share_along_the_diagonal():
    height, width = 100, 200
    shares, directions = [], set()
    for seed in range(60):
        x, y, covered = sampled_from(Translation(), seed, height, width)
        rows, columns = np.nonzero(covered)
        shift_x = (columns - x[covered]).mean() / width
        shift_y = (rows - y[covered]).mean() / height
        # The probe rounds each shift by up to half a pixel.
        assert shift_x == pytest.approx(shift_y, abs=0.5 / height + 0.5 / width)
        shares.append(1 - abs(shift_x))
        directions.add((np.sign(shift_x), np.sign(shift_y)))
        # All but a black margin, which the bilinear edge may widen by a pixel.
        np.testing.assert_allclose(np.ptp(rows) + 1, shares[-1] * height, atol=1.01)
        np.testing.assert_allclose(np.ptp(columns) + 1, shares[-1] * width, atol=1.01)
        corner = (0, 0) if shift_x > 0 else (-1, -1)
        assert not covered[corner]
    assert directions == {(1, 1), (-1, -1)}
    assert 0.897 < min(shares) < 0.91
    assert 0.96 < max(shares) < 0.973


@pytest.mark.parametrize(
    ("angle", "expected_x", "expected_y"),
    [(90, 50, 20), (-90, 50, 80), (180, 20, 50), (30, 75.98, 35)],
)
def test_rotation_moves_a_point_counter_clockwise(angle, expected_x, expected_y):
    image = np.zeros((101, 101), dtype=np.uint8)
    image[49:52, 79:82] = 255
    turned = augment(image, transforms=[Rotation(angle, angle)]).astype(float)
    y, x = np.mgrid[:101, :101]
    assert (turned * x).sum() / turned.sum() == pytest.approx(expected_x, abs=0.05)
    assert (turned * y).sum() / turned.sum() == pytest.approx(expected_y, abs=0.05)


def test_rotation_angle_in_range():
    angles = []
    for seed in range(100):
        matrix = fitted_affine(Rotation(), seed)
        np.testing.assert_allclose(matrix @ [70, 50, 1], [70, 50], atol=0.1)
        np.testing.assert_allclose(np.linalg.det(matrix[:, :2]), 1, atol=5e-3)
        angles.append(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))
    assert -5.1 < min(angles) < -4
    assert 4 < max(angles) < 5.1


def moments(fields, lag):
    """Return standard deviation and correlation length of a Gaussian field."""
    variance = np.mean(fields**2)
    products = (
        fields[..., lag:, :] * fields[..., :-lag, :],
        fields[..., :, lag:] * fields[..., :, :-lag],
    )
    correlation = np.mean([np.mean(product) for product in products]) / variance
    return np.sqrt(variance), lag / np.sqrt(-np.log(correlation))


def elastic_displacements(size, seeds, elastic):
    """Return displacements (seeds, 2, rows, columns) away from the edges."""
    probe = probe_image(size, size)
    margin = 20  # six standard deviations: no pixel here comes from outside the image
    inner = np.s_[:, margin:-margin, margin:-margin]
    warped = augment_batch([probe] * len(seeds), seeds, transforms=[elastic])[inner]
    assert (warped[..., 2] == 255).all()
    displacements = warped[..., :2] - probe[np.newaxis][inner][..., :2].astype(np.int16)
    return np.moveaxis(displacements, -1, 1).astype(float)


def test_elastic_agrees_with_the_full_resolution_field():
    size, sigma = 96, 9.6
    noise = np.random.default_rng(0).uniform(-1, 1, (1200, size, size))
    reference = 2 * size * gaussian_filter(noise, (0, sigma, sigma), mode="wrap")
    expected_std, expected_length = moments(reference, lag=10)
    std, length = moments(elastic_displacements(size, range(1000), Elastic()), lag=10)
    assert std == pytest.approx(expected_std, rel=0.05)
    assert length == pytest.approx(expected_length, rel=0.05)


def test_elastic_agrees_with_theory_at_224_pixels():
    fields = elastic_displacements(224, range(400), Elastic())
    std, length = moments(fields, lag=22)
    sigma = 22.4
    assert std == pytest.approx(448 / (2 * np.sqrt(3 * np.pi) * sigma), rel=0.05)
    assert length == pytest.approx(2 * sigma, rel=0.05)
    assert abs(fields.mean()) < 0.1
    # x and y are displaced independently of each other.
    assert abs(np.mean(fields[:, 0] * fields[:, 1])) < 0.05 * std**2


def test_elastic_displacements_are_equally_strong_at_the_edges():
    fields = np.array(
        [Elastic().draw(np.random.default_rng(seed), 96, 96) for seed in range(800)]
    )
    edge, middle = fields[:, [0, -1]].std(), fields[:, 14:16].std()
    assert edge == pytest.approx(middle, rel=0.07)


def test_elastic_of_alpha_0_changes_nothing():
    image = noise_image((50, 70))
    unmoved = augment(image, transforms=[Elastic(alpha=0)])
    np.testing.assert_array_equal(unmoved, image)


# Composition


def test_geometric_transforms_compose_in_the_order_given():
    image = noise_image((40, 60))
    zoom, shift = Zoom(2, 2), Translation(0.75, 0.75)
    plan = plan_with_all([zoom, shift], image.shape)
    first = apply_plan(plan._replace(geometry=plan.geometry[:1]), image)
    one_by_one = apply_plan(plan._replace(geometry=plan.geometry[1:]), first)
    together = apply_plan(plan, image)
    # Away from the edges, where only the zoom would crop.
    difference = together.astype(int) - one_by_one
    assert np.abs(difference[12:-12, 17:-17]).max() <= 2
    swapped = apply_plan(plan._replace(geometry=plan.geometry[::-1]), image)
    assert np.abs(swapped.astype(int) - together).mean() > 20


@pytest.mark.parametrize("elastic_first", [True, False])
def test_elastic_field_is_sampled_at_the_mapped_positions(elastic_first):
    size = 200
    probe = probe_image(size, size)
    transforms = [*GEOMETRIC] if elastic_first else [*GEOMETRIC[1:], GEOMETRIC[0]]
    plan = plan_with_all(transforms, probe.shape)
    split = 1 if elastic_first else 3

    def warped(steps):
        return apply_plan(plan._replace(geometry=steps), probe)

    # The image is warped by the first half, then the second: positions in reverse.
    outer, inner = warped(plan.geometry[:split]), warped(plan.geometry[split:])
    x, y = inner[..., 0].astype(float), inner[..., 1].astype(float)
    expected = [
        map_coordinates(outer[..., axis].astype(float), [y, x], order=1)
        for axis in range(2)
    ]
    everything = warped(plan.geometry)
    covered = (everything[..., 2] == 255) & (inner[..., 2] == 255)
    covered &= map_coordinates(outer[..., 2], [y, x], order=1) == 255
    assert covered.mean() > 0.7
    for axis in range(2):
        # Three positions rounded to whole pixels, each by up to a half.
        error = np.abs(everything[..., axis] - expected[axis])[covered]
        assert error.max() <= 2
        assert error.mean() < 0.6


def test_same_transform_twice_is_applied_twice():
    image = np.full((2, 2), 100, dtype=np.uint8)
    plan = plan_with_all([Brightness(1.1, 1.1)] * 2, image.shape)
    assert (apply_plan(plan, image) == 121).all()


# Choice and randomness


def test_subset_is_never_empty_and_each_transform_is_in_half_of_them():
    chosen = _augmentation_plan.draw_plan(PAPER_TRANSFORMS, (8, 8), range(6000)).chosen
    sizes = chosen.sum(axis=1)
    assert sizes.min() == 1
    assert sizes.max() == 6
    np.testing.assert_allclose(chosen.mean(axis=0), 0.5 / (1 - 0.5**6), atol=0.025)
    # Independent of each other, except that the empty subset is excluded.
    together = np.corrcoef(chosen.T)[~np.eye(6, dtype=bool)]
    np.testing.assert_allclose(together, -1 / 64, atol=0.05)


def test_default_transforms_are_the_paper_transforms():
    image = noise_image((32, 32))
    for seed in range(10):
        np.testing.assert_array_equal(
            augment(image, random_state=seed),
            augment(image, transforms=list(PAPER_TRANSFORMS), random_state=seed),
        )


def test_same_seed_same_pixels_in_any_thread():
    image = noise_image((64, 48))
    expected = [augment(image, random_state=seed) for seed in range(60)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda s: augment(image, random_state=s), range(60)))
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, wanted)
    assert len({result.tobytes() for result in results}) == 60


def test_same_seed_same_pixels_in_another_process():
    code = """
import hashlib
import numpy as np
from skcovid.augmentation import augment

image = np.arange(4096, dtype=np.uint8).reshape(64, 64)
copies = [augment(image, random_state=seed).tobytes() for seed in range(20)]
digest = hashlib.sha256(b"".join(copies)).hexdigest()
"""
    here = {}
    exec(code, here)
    there = subprocess.run(
        [sys.executable, "-c", code + "print(digest)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here["digest"]


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_generators_advance_and_repeat(make):
    image = noise_image((24, 24))
    generator = make(3)
    first, second = (augment(image, random_state=generator) for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(augment(image, random_state=make(3)), first)


def test_int_seed_is_the_generator_of_that_seed():
    image = noise_image((24, 24))
    np.testing.assert_array_equal(
        augment(image, random_state=np.int64(5)),
        augment(image, random_state=np.random.default_rng(5)),
    )


def test_without_a_seed_draws_differ_and_the_global_state_is_unchanged():
    image = noise_image((24, 24))
    before = np.random.get_state()[1].copy()  # noqa: NPY002 (global)
    results = {augment(image).tobytes() for _ in range(20)}
    after = np.random.get_state()[1]  # noqa: NPY002 (global)
    assert len(results) > 1
    np.testing.assert_array_equal(before, after)


# Batches


SEEDS = [3, None, 2**64 - 1, *range(20)]


def one_by_one(images, seeds, **parameters):
    return np.concatenate(
        [
            augment_batch([image], [seed], **parameters)
            for image, seed in zip(images, seeds, strict=True)
        ]
    )


@pytest.mark.parametrize("shape", [(64, 48), (31, 77, 3), (224, 224), (1, 5)])
def test_an_image_does_not_depend_on_its_batch(shape):
    images = noise_image((len(SEEDS), *shape))
    batch = augment_batch(images, SEEDS, fill=9)
    np.testing.assert_array_equal(batch, one_by_one(images, SEEDS, fill=9))
    backwards = augment_batch(images[::-1], SEEDS[::-1], fill=9)
    np.testing.assert_array_equal(backwards[::-1], batch)
    np.testing.assert_array_equal(batch[1], images[1])
    assert sum((batch == images).all(axis=tuple(range(1, images.ndim)))) == 1


def test_own_transforms_in_a_batch():
    images = noise_image((len(SEEDS), 40, 56))
    parameters = {
        "transforms": [
            *(Jitter(), Elastic(), Posterise(), Wave(), Zoom()),
            *(Mirror(), Elastic(sigma=0.05), Brightness(), Ripple(), Rotation()),
        ]
    }
    batch = augment_batch(images, SEEDS, **parameters)
    np.testing.assert_array_equal(batch, one_by_one(images, SEEDS, **parameters))
    assert len({image.tobytes() for image in batch}) == len(SEEDS)


def test_images_too_large_for_one_batch():
    images = noise_image((3, 1500, 1500))
    batch = augment_batch(images, [0, 1, 2], transforms=[Elastic()])
    alone = augment_batch(images[2:], [2], transforms=[Elastic()])
    np.testing.assert_array_equal(batch[2:], alone)


def test_seeds_of_a_batch_choose_subsets_and_parameters_evenly():
    greys = np.full((3000, 1, 1), 200, dtype=np.uint8)
    levels = augment_batch(greys, range(3000), transforms=[Brightness(0.1, 1.1)])
    edges = np.linspace(20, 220, 11)
    counts, _ = np.histogram(levels, edges)
    assert counts.min() > 240
    assert counts.max() < 360


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (noise_image((8, 9, 3)), r"\(8, 9\).*\(8, 9, 3\)"),
        (np.zeros((8, 9)), r"uint8.*float64"),
    ],
)
def test_images_of_different_shape_or_dtype_are_an_error(second, message):
    with pytest.raises(ValueError, match=message):
        augment_batch([noise_image((8, 9)), second], [0, 1])


# Images


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 40), (40, 1), (2, 3), (8, 8), (32, 32), (20, 90), (90, 20)]
)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_any_size_keeps_shape_and_dtype(shape, channels):
    image = noise_image(shape + channels)
    for transform in PAPER_TRANSFORMS:
        result = augment(image, transforms=[transform], random_state=0)
        assert result.shape == image.shape
        assert result.dtype == np.uint8
    for seed in range(20):
        assert augment(image, random_state=seed).shape == image.shape


@pytest.mark.parametrize("seed", range(8))
def test_channels_are_transformed_alike(seed):
    image = noise_image((33, 47, 3))
    result = augment(image, random_state=seed, fill=9)
    for channel in range(3):
        grey = augment(image[..., channel], random_state=seed, fill=9)
        np.testing.assert_array_equal(result[..., channel], grey)


@pytest.mark.parametrize("transform", PAPER_TRANSFORMS, ids=repr)
def test_the_input_is_unchanged(transform):
    image = noise_image((20, 30))
    original = image.copy()
    image.flags.writeable = False
    result = augment(image, transforms=[transform], random_state=0)
    np.testing.assert_array_equal(image, original)
    assert not np.shares_memory(result, image)
    assert result.flags.writeable


def test_strided_images():
    image = noise_image((40, 40))[::-1, ::2]
    for seed in range(10):
        np.testing.assert_array_equal(
            augment(image, random_state=seed), augment(image.copy(), random_state=seed)
        )


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize(
    "transforms", [[Zoom(0.5, 0.5)], [Zoom(0.5, 0.5), Elastic(alpha=0.5)]]
)
def test_fill_is_the_level_of_uncovered_pixels(channels, transforms):
    image = np.full((40, 40, *channels), 200, dtype=np.uint8)
    plan = plan_with_all(transforms, image.shape)
    result = apply_plan(plan, image, 77)
    assert (result[:3] == 77).all()
    assert (result[:, -3:] == 77).all()
    assert (result[18:22, 18:22] == 200).all()
    assert (apply_plan(plan, image)[:3] == 0).all()


def test_brightness_does_not_change_fill():
    image = np.full((40, 40), 100, dtype=np.uint8)
    plan = plan_with_all([Zoom(0.5, 0.5), Brightness(1.1, 1.1)], image.shape)
    result = apply_plan(plan, image, 50)
    assert result[0, 0] == 50
    assert result[20, 20] == 110


# Transforms of the user


@dataclass(frozen=True)
class Posterise(IntensityTransform):
    step: int = 64

    def draw(self, rng, levels):
        return levels // self.step * self.step


@dataclass(frozen=True)
class Mirror(GeometricTransform):
    def draw(self, rng, height, width):
        return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True)
class Ripple(GeometricTransform):
    """A field with one value per pixel: rows move by one pixel or none."""

    def draw(self, rng, height, width):
        field = np.zeros((height, width, 2))
        field[::2, :, 0] = 1.0
        return field


@dataclass(frozen=True)
class Stretch(GeometricTransform):
    """A coarse field: pixels are taken from half as far again, from the left."""

    def draw(self, rng, height, width):
        centres = (np.arange(8) + 0.5) * width / 8 - 0.5
        field = np.zeros((5, 8, 2))
        field[..., 0] = centres / 2
        return field


@dataclass(frozen=True)
class Jitter(IntensityTransform):
    def draw(self, rng, levels):
        return levels + rng.uniform(-9, 9, 256)


@dataclass(frozen=True)
class Wave(GeometricTransform):
    """A field whose size is drawn, too."""

    def draw(self, rng, height, width):
        return rng.uniform(-2, 2, (rng.integers(2, 7), rng.integers(2, 7), 2))


@dataclass(frozen=True)
class Widen(Zoom):
    """Inherits from a transform of the paper, but draws something else."""

    def draw(self, rng, height, width):
        return np.array([[0.5, 0.0, 0.0], [0.0, 1.0, 0.0]])


class Drawn:
    """Mixin whose draw returns a given value."""

    def __init__(self, value):
        self.value = value

    def draw(self, *_):
        return self.value


class DrawnLevels(Drawn, IntensityTransform):
    pass


class DrawnGeometry(Drawn, GeometricTransform):
    pass


def test_own_intensity_transform():
    image = np.array([[0, 63, 64, 200]], dtype=np.uint8)
    result = augment(image, transforms=[Posterise()])
    np.testing.assert_array_equal(result, [[0, 0, 64, 192]])


def test_own_affine_transform():
    image = noise_image((9, 14, 3))
    result = augment(image, transforms=[Mirror()])
    np.testing.assert_array_equal(result, image[:, ::-1])


def test_own_field_with_one_value_per_pixel():
    image = noise_image((9, 14))
    result = augment(image, transforms=[Ripple()], fill=7)
    np.testing.assert_array_equal(result[1::2], image[1::2])
    np.testing.assert_array_equal(result[::2, :-1], image[::2, 1:])
    assert (result[::2, -1] == 7).all()


def test_own_field_on_a_coarse_grid():
    x, y, covered = sampled_from(Stretch(), seed=0, height=90, width=120)
    columns = np.arange(120)
    inner = np.s_[:, 24:76]  # outside these the field or the image ends
    assert covered[inner].all()
    np.testing.assert_allclose(x[inner], np.tile(1.5 * columns, (90, 1))[inner], atol=1)
    assert (x[inner] - 1.5 * columns[24:76]).mean() == pytest.approx(0, abs=0.3)
    np.testing.assert_array_equal(y[inner], np.mgrid[:90, :120][0][inner])


def test_a_subclass_with_its_own_draw():
    image = noise_image((9, 14))
    widened = augment(image, transforms=[Widen()])
    np.testing.assert_array_equal(widened[:, ::2], image[:, :7])


def test_own_transform_after_a_field():
    image = noise_image((9, 14))
    plan = plan_with_all([Ripple(), Mirror()], image.shape)
    rippled = augment(image, transforms=[Ripple()])
    np.testing.assert_array_equal(apply_plan(plan, image), rippled[:, ::-1])


def test_repr_of_a_plain_subclass_states_its_parameters():
    assert repr(DrawnLevels(3)) == "DrawnLevels(value=3)"


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (DrawnLevels(np.zeros(255)), r"DrawnLevels\(.*256 grey levels.*\(255,\)"),
        (DrawnLevels(np.full(256, np.nan)), "none of them NaN"),
        (DrawnGeometry(np.eye(3)), r"DrawnGeometry\(.*affine map.*\(3, 3\)"),
        (DrawnGeometry(np.zeros((4, 4, 3))), r"displacement.*\(4, 4, 3\)"),
        (DrawnGeometry(np.zeros((0, 4, 2))), r"\(0, 4, 2\)"),
        (DrawnGeometry(np.full((2, 3), np.inf)), "finite"),
        (DrawnGeometry(np.full((5, 5, 2), np.nan)), "finite"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_own_transform_with_an_invalid_result(transform, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        augment(noise_image((8, 8)), transforms=[transform])


# Failures


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Brightness(low=0), "'low' parameter of Brightness .*0"),
        (lambda: Brightness(high=np.inf), "'high' parameter of Brightness"),
        (lambda: Brightness(low=True), "'low' parameter of Brightness"),
        (lambda: Brightness(1.2, 1.1), "'low'.*Brightness.*'high'"),
        (lambda: Gamma(low=-1), "'low' parameter of Gamma"),
        (lambda: Gamma(high="big"), "'high' parameter of Gamma .*'big'"),
        (lambda: Elastic(alpha=-1), "'alpha' parameter of Elastic"),
        (lambda: Elastic(alpha=np.inf), "'alpha' parameter of Elastic"),
        (lambda: Elastic(sigma=0), "'sigma' parameter of Elastic"),
        (lambda: Elastic(sigma=np.nan), "'sigma' parameter of Elastic"),
        (lambda: Zoom(low=0), "'low' parameter of Zoom"),
        (lambda: Translation(high=1.01), "'high' parameter of Translation"),
        (lambda: Translation(low=0), "'low' parameter of Translation"),
        (lambda: Rotation(low=-181), "'low' parameter of Rotation"),
        (lambda: Rotation(high=None), "'high' parameter of Rotation"),
    ],
)
def test_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((8, 8)), TypeError, "image.*uint8.*float64"),
        (np.zeros((8, 8), dtype=np.uint16), TypeError, "image.*uint8.*uint16"),
        ([["a"]], TypeError, "image.*uint8"),
        (np.zeros(8, dtype=np.uint8), ValueError, r"image.*shape.*\(8,\)"),
        (np.zeros((8, 8, 1), dtype=np.uint8), ValueError, r"image .*\(8, 8, 1\)"),
        (np.zeros((8, 8, 4), dtype=np.uint8), ValueError, r"image .*\(8, 8, 4\)"),
        (np.zeros((2, 8, 8, 3), dtype=np.uint8), ValueError, "image.*shape"),
        (np.zeros((0, 8), dtype=np.uint8), ValueError, r"image .*\(0, 8\)"),
        (np.zeros((1, 40_000), dtype=np.uint8), ValueError, "image .*40000"),
    ],
)
def test_image_of_the_wrong_kind(image, error, message):
    with pytest.raises(error, match=message):
        augment(image)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"transforms": []}, ValueError, r"transforms.*one or more.*\[\]"),
        ({"transforms": Zoom()}, TypeError, r"transforms.*Zoom\("),
        ({"transforms": [Zoom]}, TypeError, "transforms.*instances.*Zoom"),
        (
            {"transforms": ["zoom"]},
            TypeError,
            "transforms.*instances.*'zoom'",
        ),
        ({"fill": 256}, ValueError, "'fill'.*256"),
        ({"fill": -1}, ValueError, "'fill'.*-1"),
        ({"fill": 0.5}, TypeError, "'fill'.*0.5"),
        ({"random_state": -1}, ValueError, "'random_state'.*-1"),
        ({"random_state": "seed"}, TypeError, "'random_state'.*'seed'"),
        ({"random_state": 1.0}, TypeError, "'random_state'"),
    ],
)
def test_other_parameters_of_the_wrong_kind(parameters, error, message):
    with pytest.raises(error, match=message):
        augment(noise_image((8, 8)), **parameters)


def test_check_transforms_returns_a_tuple():
    assert check_transforms([Zoom(), Mirror()]) == (Zoom(), Mirror())


@pytest.mark.parametrize("shape", [(1, 32_764), (32_764, 1)])
@pytest.mark.parametrize("transform", [Elastic(), Elastic(sigma=1e-6), Rotation()])
def test_largest_side(shape, transform):
    image = np.zeros(shape, dtype=np.uint8)
    assert augment(image, transforms=[transform]).shape == shape
