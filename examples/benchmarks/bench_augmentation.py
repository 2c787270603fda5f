"""Augmentation: images a second, ours against albumentations, torchvision and scipy.

Every side makes augmented images out of the same radiographs in memory: all six
transforms of the paper on every image, one of them alone (scipy), or, as training has
it, a random subset of them. Each runs in a process of its own, with threads as given
and OpenCV's and BLAS' own threads off. Rivals that are not installed are left out.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import _common

# Names of the sides, and the module without which one is left out.
SIDES = {
    "skcovid, all six, grey": None,
    "skcovid, all six, RGB": None,
    "skcovid, random subset, grey": None,
    "albumentations, all six, RGB": "albumentations",
    "albumentations, all six, grey": "albumentations",
    "albumentations, one Affine for three, RGB": "albumentations",
    "torchvision v2, all six, RGB": "torchvision.transforms.v2",
    "scipy, elastic alone, grey": None,
}
OURS = "skcovid, all six, grey"
ONE_THREAD = dict.fromkeys(
    ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1"
)
BATCH = 32
N_SYNTHETIC = 60


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    _common.add_common_options(parser, repeats=5)
    parser.add_argument(
        "--image-size",
        type=_common.positive_int,
        nargs="+",
        default=[224, 299],
        metavar="PIXELS",
        help="default: 224 299",
    )
    parser.add_argument(
        "--threads",
        type=_common.positive_int,
        nargs="+",
        default=sorted({1, _common.n_cores()}),
        metavar="N",
        help="default: one and all cores",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=2.0,
        help="about how long each side runs; default: %(default)s",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="TEXT",
        help="beside our first side, only those with one of these in their names",
    )
    return parser.parse_args()


def main() -> None:
    options = parse()
    sides = [
        name
        for name in SIDES
        if name == OURS
        or options.only is None
        or any(text in name for text in options.only)
    ]
    for module in sorted({module for name in sides if (module := SIDES[name])}):
        if not _common.is_importable(module):
            print(f"left out, can't be imported: {module}", file=sys.stderr)
            sides = [name for name in sides if SIDES[name] != module]
    speeds: dict[tuple[str, int, int], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="skcovid-") as folder:
        for size in options.image_size:
            images = save_images(options, folder, size)
            calls = {
                (name, size, threads): partial(
                    measure, name, images, threads, options.seconds
                )
                for threads in options.threads
                for name in sides
            }
            speeds |= _common.alternate(calls, options.repeats)
    medians = {key: _common.median(values) for key, values in speeds.items()}
    tables = {
        f"Images a second, {size} × {size} pixels, median of {options.repeats}": table(
            options, sides, size, medians
        )
        for size in options.image_size
    }
    results = [
        {
            "side": name,
            "image_size": size,
            "threads": threads,
            "images_per_s": values,
            "median": medians[name, size, threads],
        }
        for (name, size, threads), values in speeds.items()
    ]
    _common.report(options, tables, results)


def save_images(options: argparse.Namespace, folder: str, size: int) -> str:
    """Save grey radiographs of one size as an array; return its path."""
    import numpy as np

    from skcovid import RadiographReader

    radiographs = _common.load_radiographs(
        options, f"{folder}/{size}", n_synthetic=N_SYNTHETIC
    )
    # Some hundred images are as good as thousands, and fit into memory.
    paths = radiographs.paths[:: max(1, len(radiographs.paths) // 300)]
    images = np.asarray(RadiographReader(size).fit_transform(paths))
    path = Path(folder, f"{size}.npy")
    np.save(path, images)
    return str(path)


def measure(name: str, images: str, threads: int, seconds: float) -> float:
    """Run a side in a child process; return images a second."""
    given = {"name": name, "path": images, "threads": threads, "seconds": seconds}
    environment = {**ONE_THREAD, "NO_ALBUMENTATIONS_UPDATE": "1"}
    return _common.run_side(__file__, "augment", given, environment=environment).result


def table(
    options: argparse.Namespace,
    sides: list[str],
    size: int,
    medians: dict[tuple[str, int, int], float],
) -> str:
    """Speeds, gain by threads, and how many times faster the first side is."""
    threads = options.threads
    header = ["", *[f"{n} thread{'s'[: n > 1]}" for n in threads]]
    header += [f"{n} against {threads[0]}" for n in threads[1:]]
    header += [f"ours is faster, {threads[0]} thread{'s'[: threads[0] > 1]}"]
    rows = []
    for name in sides:
        speeds = [medians[name, size, n] for n in threads]
        row = [name, *[f"{speed:,.0f}" for speed in speeds]]
        row += [f"{speed / speeds[0]:.2f}×" for speed in speeds[1:]]
        row += [f"{medians[OURS, size, threads[0]] / speeds[0]:.1f}×"]
        rows.append(row)
    return _common.markdown_table(header, rows)


def augment_side(name: str, path: str, threads: int, seconds: float) -> float:
    """Measure one side, in the child process."""
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    images = np.load(path)
    run = MAKERS[name](images, threads)
    run(threads)  # imports, caches, threads
    n_images = threads
    # As many images as fill the time: rivals differ a thousandfold.
    while (elapsed := timed(run, n_images)) < seconds / 4:
        n_images *= 2
    n_images = max(threads, round(n_images * seconds / elapsed))
    return n_images / timed(run, n_images)


def timed(run: "Run", n_images: int) -> float:
    """Seconds that a number of images take."""
    started = time.perf_counter()
    run(n_images)
    return time.perf_counter() - started


Run = Callable[[int], Any]


def skcovid_all_six(images: Any, threads: int, *, channels: int = 1) -> Run:
    """Our transforms the way the balancer applies them, but all of them always."""
    import numpy as np

    from skcovid import LazyImages
    from skcovid.augmentation import PAPER_TRANSFORMS
    from skcovid.augmentation._augment import augment_batch
    from skcovid.augmentation._augmentation_plan import draw_plan

    def draws_all(seed: int) -> bool:
        plan = draw_plan(PAPER_TRANSFORMS, images.shape[1:3], [seed])
        return bool(plan.chosen.all())

    # A subset is drawn for every image; these are seeds that draw all six.
    seeds = list(islice(filter(draws_all, count()), 32))
    if channels == 3:
        images = np.repeat(images[..., np.newaxis], 3, axis=-1)
    source = LazyImages.from_array(images)

    def run(n_images: int) -> None:
        order = np.arange(n_images)
        augmented = source.derive(
            augment_batch,
            order % len(images),
            [seeds[row % len(seeds)] for row in order],
            order.astype(str),
        )
        consume(augmented, threads)

    return run


def skcovid_random_subset(images: Any, threads: int) -> Run:
    """Our balancer as it is: a random non-empty subset for every image."""
    import numpy as np

    from skcovid import AugmentationBalancer, LazyImages

    # Two classes of one size; the balancer makes `factor` copies of each.
    images = images[: len(images) // 2 * 2]
    y = np.arange(len(images)) % 2

    def run(n_images: int) -> None:
        source = LazyImages.from_array(images)
        balancer = AugmentationBalancer(factor=n_images / len(images), random_state=0)
        consume(balancer.fit_resample(source, y)[0], threads)

    return run


def consume(images: Any, threads: int) -> None:
    """Compute lazy images batch by batch, as training does."""
    batch_size = max(1, min(BATCH, len(images) // threads))
    for _ in images.batches(batch_size, n_jobs=threads):
        pass


def in_threads(images: Any, threads: int, make: Callable[[], Callable]) -> Run:
    """Apply a rival to the images in turn, in threads that have one each."""
    local = threading.local()

    def apply(rows: range) -> None:
        if not hasattr(local, "augment"):
            local.augment = make()
        for row in rows:
            local.augment(images[row % len(images)])

    executor = ThreadPoolExecutor(threads)

    def run(n_images: int) -> None:
        size = max(1, min(BATCH, n_images // threads))
        rows = range(n_images)
        list(executor.map(apply, (rows[i : i + size] for i in rows[::size])))

    return run


def albumentations_six(
    images: Any, threads: int, *, channels: int = 3, one_affine: bool = False
) -> Run:
    """The six steps in albumentations, of the same ranges, each on every image."""
    import numpy as np

    images = np.repeat(images[..., np.newaxis], channels, axis=-1)
    height = images.shape[1]

    def make() -> Callable:
        import albumentations as albu

        always: dict[str, Any] = {"p": 1.0}
        if one_affine:
            geometry = [
                albu.Affine(
                    scale=(1.05, 1.10),
                    translate_percent=(-0.10, 0.10),
                    rotate=(-5, 5),
                    **always,
                )
            ]
        else:
            directions = [(-0.10, -0.03), (0.03, 0.10)]
            shifts = [albu.Affine(translate_percent=shift) for shift in directions]
            geometry = [
                albu.Affine(scale=(1.05, 1.10), **always),
                albu.OneOf(shifts, **always),
                albu.Rotate(limit=(-5, 5), **always),
            ]
        compose = albu.Compose(
            [
                # albumentations' contrast is what the paper calls brightness.
                albu.RandomBrightnessContrast(
                    brightness_limit=(0, 0), contrast_limit=(0.05, 0.10), **always
                ),
                albu.RandomGamma(gamma_limit=(105, 111), **always),
                albu.ElasticTransform(
                    alpha=2 * height,
                    sigma=0.1 * height,
                    noise_distribution="uniform",
                    **always,
                ),
                *geometry,
            ],
            seed=0,
        )
        return lambda image: compose(image=image)["image"]

    return in_threads(images, threads, make)


def torchvision_six(images: Any, threads: int) -> Run:
    """The six steps in torchvision's transforms v2."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    tensors = torch.from_numpy(np.repeat(images[:, np.newaxis], 3, axis=1))
    height = images.shape[1]

    def make() -> Callable:
        from torchvision.transforms import v2

        def adjust_gamma(image: Any) -> Any:
            gamma = 1.05 + 0.06 * torch.rand(()).item()
            return v2.functional.adjust_gamma(image, gamma)

        bilinear = {"interpolation": v2.InterpolationMode.BILINEAR}
        return v2.Compose(
            [
                v2.ColorJitter(brightness=(1.05, 1.10)),
                v2.Lambda(adjust_gamma),
                # Displacements are of an image that is two long.
                v2.ElasticTransform(alpha=4.0 * height, sigma=0.1 * height),
                v2.RandomAffine(degrees=0, scale=(1.05, 1.10), **bilinear),
                v2.RandomAffine(degrees=0, translate=(0.10, 0.10), **bilinear),
                v2.RandomRotation(degrees=5, **bilinear),
            ]
        )

    return in_threads(tensors, threads, make)


def scipy_elastic(images: Any, threads: int) -> Run:
    """The elastic step as it is usually written, with scipy."""
    import numpy as np

    height, width = images.shape[1:]
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")

    def make() -> Callable:
        from scipy.ndimage import gaussian_filter, map_coordinates

        generator = np.random.default_rng()

        def displacement() -> Any:
            noise = generator.uniform(-1, 1, (height, width))
            return gaussian_filter(noise, 0.1 * height) * 2 * height

        def augment(image: Any) -> Any:
            positions = rows + displacement(), columns + displacement()
            return map_coordinates(image, positions, order=1)

        return augment

    return in_threads(images, threads, make)


MAKERS: dict[str, Callable[..., Run]] = dict(
    zip(
        SIDES,
        [
            skcovid_all_six,
            partial(skcovid_all_six, channels=3),
            skcovid_random_subset,
            albumentations_six,
            partial(albumentations_six, channels=1),
            partial(albumentations_six, one_affine=True),
            torchvision_six,
            scipy_elastic,
        ],
        strict=True,
    )
)

if __name__ == "__main__":
    _common.main_or_side(main, {"augment": augment_side})
