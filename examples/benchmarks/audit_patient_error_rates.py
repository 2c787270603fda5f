"""How often the audit is wrong where patients have several, similar images.

Images of one patient look alike, come from files alike and have one class, so many
images of few patients say little. In each layout of patients, sets are drawn in which
the source of an image tells nothing about its class, and sets in which it does. Every
check should be flagged in at most one of twenty of the first.

Of each kind, `--seeds` sets are given to the test of source and class alone, and, of
those without association, `--audits` to the whole audit. The images have a disease in
the centre, which is seen in most images of a patient or few.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _common
import cv2
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from tqdm.auto import tqdm

from skcovid import RadiographReader, audit
from skcovid.metrics import cramers_v

IMAGE_SIZE = 24
CLASSES = np.array(["COVID-19", "NORMAL", "Viral Pneumonia"])
SHARES = (0.2, 0.4, 0.4)
SOURCES = np.array(["A", "B", "C"])
# When the source check is flagged.
MAX_V, LEVEL = 0.3, 0.05


class Layout(NamedTuple):
    """Images of each patient, and the share of images from a source of their own."""

    draw_sizes: Any
    crossing: float = 0.0


def unequal(rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw sizes of which a few are far larger than the others."""
    return np.maximum(1, rng.lognormal(1.3, 1, 60)).astype(int)


LAYOUTS = {
    "20 patients of 20 images": Layout(lambda _: np.full(20, 20)),
    "20 of 20, each in several sources": Layout(lambda _: np.full(20, 20), 0.5),
    "50 of 4": Layout(lambda _: np.full(50, 4)),
    "50 of 4, each in several sources": Layout(lambda _: np.full(50, 4), 0.5),
    "60 of 1 to 40": Layout(unequal),
    "60 of 1 to 40, each in several sources": Layout(unequal, 0.5),
    "120 of 1": Layout(lambda _: np.full(120, 1)),
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default, what in (
        ("--seeds", 200, "data sets of each kind for source and class"),
        ("--audits", 50, "data sets of each kind for the whole audit"),
        ("--folds", 3, "of the cross-validation"),
        ("--jobs", _common.n_cores(), "data sets audited at once"),
    ):
        parser.add_argument(
            name,
            type=int if name == "--audits" else _common.positive_int,
            default=default,
            metavar="N",
            help=f"{what}; default: %(default)s",
        )
    parser.add_argument(
        "--associations",
        type=float,
        nargs="+",
        default=[0.0, 0.3, 0.5, 0.7, 0.95],
        metavar="SHARE",
        help="share of patients whose source is decided by their class",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write JSON")
    return parser.parse_args(arguments)


def draw_rows(
    layout: Layout, association: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Draw the class, the source and the patient of every image."""
    sizes = layout.draw_sizes(rng)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    classes = rng.choice(3, len(sizes), p=SHARES)[groups]

    def draw(n_draws: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        return rng.integers(0, 3, n_draws), rng.random(n_draws) < association

    of_patient, of_image = draw(len(sizes)), draw(len(groups))
    own = rng.random(len(groups)) < layout.crossing
    chosen, decided = (
        np.where(own, image, patient[groups])
        for patient, image in zip(of_patient, of_image, strict=True)
    )
    return classes, np.where(decided, classes, chosen), groups


def draw_images(
    classes: NDArray[np.intp], groups: NDArray[np.intp], rng: np.random.Generator
) -> list[NDArray[np.uint8]]:
    """Draw images that are alike in a patient, with a disease in the centre."""
    n_patients = groups.max() + 1
    coarse = rng.normal(size=(n_patients, 4, 4)).astype(np.float32)
    widths = rng.integers(0, 4, n_patients)
    ill = rng.normal(1, 1, n_patients)
    images = []
    for label, patient in zip(classes, groups, strict=True):
        size = IMAGE_SIZE + widths[patient], IMAGE_SIZE
        image = 110 + 25 * cv2.resize(coarse[patient], size)
        image += rng.normal(0, 25, image.shape)
        visible = 60 * (ill[patient] + rng.normal(0, 0.5))
        image[8:16, 5 + 4 * label : 9 + 4 * label] += visible
        images.append(np.clip(image, 0, 255).astype(np.uint8))
    return images


def flatten(images: Any) -> NDArray:
    """Make a row of each image."""
    return np.asarray(images).reshape(len(images), -1) / 255


def make_model() -> Pipeline:
    """A quick model that learns the disease."""
    return make_pipeline(
        RadiographReader(16),
        FunctionTransformer(flatten),
        LogisticRegression(C=0.1, max_iter=500),
    )


def draw_set(
    name: str, association: float, seed: int, min_patients: int = 1
) -> tuple[np.random.Generator, tuple[NDArray[np.intp], ...]]:
    """Draw rows in which each class has some patients."""
    rng = np.random.default_rng(seed)
    while True:
        rows = draw_rows(LAYOUTS[name], association, rng)
        of_patients = np.unique(np.stack([rows[2], rows[0]]), axis=1)[1]
        if (np.bincount(of_patients, minlength=3) >= min_patients).all():
            return rng, rows


def associate(name: str, association: float, seed: int) -> dict[str, Any]:
    """Test source and class, with patients and without."""
    _, (classes, sources, groups) = draw_set(name, association, seed)
    outcome: dict[str, Any] = {"layout": name, "association": association}
    for unit, patients in (("patients", groups), ("images", None)):
        v, pvalue = cramers_v(sources, classes, groups=patients)
        flagged = v.low > MAX_V and pvalue <= LEVEL
        outcome[unit] = {**v.to_dict(), "pvalue": pvalue, "flagged": flagged}
    return outcome


def run_audit(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Audit one data set whose sources tell nothing."""
    # Every class needs a patient in every fold.
    rng, (classes, sources, groups) = draw_set(name, 0.0, seed, options.folds)
    with tempfile.TemporaryDirectory(prefix="skcovid-") as folder:
        paths = []
        for number, image in enumerate(draw_images(classes, groups, rng)):
            paths.append(str(Path(folder, f"{number}.png")))
            cv2.imwrite(paths[-1], image)
        report = audit(
            make_model(),
            paths,
            CLASSES[classes],
            groups,
            SOURCES[sources],
            cv=options.folds,
            fractions=[0.9],
            n_permutations=19,
            random_state=seed,
            n_jobs=1,
            verbose=0,
        )
    return {
        "layout": name,
        "accuracy": report.accuracy.value,
        "checks": {check.name: check.flagged for check in report.values()},
    }


def association_table(found: list[dict[str, Any]], unit: str) -> str:
    """How often source and class are flagged, by layout and association."""
    associations = sorted({one["association"] for one in found})
    rows = []
    for layout in LAYOUTS:
        rates = [
            np.mean(
                [
                    one[unit]["flagged"]
                    for one in found
                    if (one["layout"], one["association"]) == (layout, association)
                ]
            )
            for association in associations
        ]
        clean = [
            one[unit]["pvalue"] <= LEVEL
            for one in found
            if (one["layout"], one["association"]) == (layout, 0)
        ]
        rows.append(
            [layout, *(f"{100 * rate:.1f} %" for rate in [np.mean(clean), *rates])]
        )
    header = ["patients", "p ≤ 5 %, without", *(f"{one:g}" for one in associations)]
    return _common.markdown_table(header, rows)


def clean_table(found: list[dict[str, Any]]) -> str:
    """How often each check was flagged where the source tells nothing."""
    rows = []
    for layout in LAYOUTS:
        checks = [one["checks"] for one in found if one["layout"] == layout]
        if checks:
            counts = [sum(one[name] for one in checks) for name in checks[0]]
            rows.append([layout, *(f"{count} of {len(checks)}" for count in counts)])
    if not rows:
        return "Not run."
    return _common.markdown_table(["patients", *found[0]["checks"]], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    tasks = [
        delayed(associate)(layout, association, seed)
        for layout in LAYOUTS
        for association in options.associations
        for seed in range(1, options.seeds + 1)
    ]
    audits = [
        delayed(run_audit)(layout, seed, options)
        for layout in LAYOUTS
        for seed in range(1, options.audits + 1)
    ]
    tested, audited = (
        list(
            tqdm(
                Parallel(n_jobs=options.jobs, return_as="generator")(calls),
                total=len(calls),
                unit=unit,
            )
        )
        for calls, unit in ((tasks, "set"), (audits, "audit"))
    )
    _common.report(
        options,
        {
            "Source and class flagged, by patients": association_table(
                tested, "patients"
            ),
            "Source and class flagged, by images": association_table(tested, "images"),
            "Checks flagged where the source tells nothing": clean_table(audited),
        },
        [*tested, *audited],
    )


if __name__ == "__main__":
    main()
