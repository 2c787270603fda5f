"""Error rates of the audit: missed shortcuts and false alarms.

Synthetic radiographs, several of a patient, get one shortcut at a time, or none, and
are audited; every seed draws other radiographs, folds and shortcuts. A planted shortcut
is missed if the check that is meant for it passes. On clean data every flagged check is
a false alarm. With --records an interrupted run is resumed.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _common
import cv2
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tqdm.auto import tqdm

from skcovid import RadiographReader, audit, evaluate
from skcovid.datasets import make_radiographs
from skcovid.metrics import Estimate

IMAGE_SIZE = 96
CLASS_WEIGHTS = (1, 2, 2)
MARKED = "COVID-19"
# Grey levels; automatic exposure makes images differ by 40 of them without it.
OFFSET = 15
# Years by which patients of one class are older, of a standard deviation of 15.
OLDER = 25
CLEAN = "none"


class Case(NamedTuple):
    """A data set, and whether the model's folds keep patients whole."""

    X: Any
    y: NDArray
    groups: NDArray
    whole_patients: bool = True
    source: NDArray | None = None
    attributes: dict[str, NDArray] | None = None


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default, what in (
        ("--seeds", 50, "data sets of each kind"),
        ("--first-seed", 1, "of the first of them"),
        ("--images", 240, "images in a data set"),
        ("--patients", 120, "their patients"),
        ("--folds", 3, "of the cross-validation"),
        ("--permutations", 19, "random labellings of the headers check"),
        ("--jobs", _common.n_cores(), "data sets audited at once"),
    ):
        parser.add_argument(
            name,
            type=_common.positive_int,
            default=default,
            metavar="N",
            help=f"{what}; default: %(default)s",
        )
    parser.add_argument(
        "--planted",
        nargs="+",
        choices=list(PLANTED),
        default=list(PLANTED),
        metavar="NAME",
        help=f"of {', '.join(PLANTED)}; default: all",
    )
    parser.add_argument(
        "--records",
        type=Path,
        metavar="FILE",
        help="JSON Lines, one line per finished audit; audits in it are not repeated "
        "(remove it when skcovid has changed)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write JSON")
    return parser.parse_args(arguments)


def nothing(data: Any, folder: Path, rng: np.random.Generator) -> Case:
    """No shortcut; files, attributes and sources, so that every check is run."""
    return Case(
        save(data.images, [".png"] * len(data.target), folder),
        data.target,
        data.groups,
        source=draw_of_patients(data.groups, ["A", "B", "C"], rng),
        attributes=draw_attributes(data, 0, rng),
    )


def corner_mark(data: Any, folder: Path, rng: np.random.Generator) -> Case:
    """A white square of 4 pixels in the corner of every image of a class."""
    top, left = rng.integers(0, 2, 2)
    marked = data.target == MARKED
    data.images[marked, top : top + 4, left : left + 4] = 255
    return Case(data.images, data.target, data.groups)


def file_format(data: Any, folder: Path, rng: np.random.Generator) -> Case:
    """One class in JPEG, the others in PNG."""
    suffixes = [".jpg" if label == MARKED else ".png" for label in data.target]
    return Case(save(data.images, suffixes, folder), data.target, data.groups)


def brightness_offset(data: Any, folder: Path, rng: np.random.Generator) -> Case:
    """One class is brighter, as from another machine."""
    marked = data.target == MARKED
    brighter = np.minimum(data.images[marked], 255 - OFFSET) + OFFSET
    data.images[marked] = brighter
    return Case(data.images, data.target, data.groups)


def shared_patient(data: Any, folder: Path, rng: np.random.Generator) -> Case:
    """Plain folds, which part the images of a patient."""
    return Case(data.images, data.target, data.groups, whole_patients=False)


def duplicated_image(data: Any, folder: Path, rng: np.random.Generator) -> Case:
    """An image takes the place of one in another fold, compressed and brightened."""
    rows = rng.permutation(np.flatnonzero(data.target == MARKED))
    # Two images of one test fold can't flatter the score, and the check passes.
    original, copy = rows[0], rows[data.fold[rows] != data.fold[rows[0]]][0]
    _, encoded = cv2.imencode(".jpg", data.images[original], [1, 80])
    image = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    data.images[copy] = np.minimum(image, 250) + 5
    return Case(data.images, data.target, data.groups)


def age(data: Any, folder: Path, rng: np.random.Generator) -> Case:
    """Patients of one class are older."""
    attributes = draw_attributes(data, OLDER, rng)
    return Case(data.images, data.target, data.groups, attributes=attributes)


def look_of_hospital(data: Any, folder: Path, rng: np.random.Generator) -> Case:
    """Three hospitals, each with its own look and the same shares of classes."""
    n_patients = len(np.unique(data.groups))
    seed = int(rng.integers(2**31))
    seen = draw_radiographs(len(data.target), n_patients, seed, n_sources=3)
    return Case(seen.images, seen.target, seen.groups, source=seen.source)


def hospital_of_class(data: Any, folder: Path, rng: np.random.Generator) -> Case:
    """Every class from its own hospital, each with its own look."""
    n_patients = len(np.unique(data.groups))
    seed = int(rng.integers(2**31))
    seen = draw_radiographs(
        len(data.target), n_patients, seed, n_sources=3, confounding=1.0
    )
    return Case(seen.images, seen.target, seen.groups, source=seen.source)


def draw_of_patients(
    groups: NDArray, values: Sequence[str], rng: np.random.Generator
) -> NDArray:
    """Draw a value for each patient, and give it to the patient's images."""
    names, patients = np.unique(groups, return_inverse=True)
    return rng.choice(values, len(names))[patients]


def draw_attributes(
    data: Any, older: float, rng: np.random.Generator
) -> dict[str, NDArray]:
    """Draw age, sex and machine of patients, some of them missing."""
    names, patients = np.unique(data.groups, return_inverse=True)
    years = rng.normal(45, 15, len(names))
    years[rng.random(len(names)) < 0.2] = np.nan
    return {
        "age": np.maximum(years[patients] + older * (data.target == MARKED), 0),
        "sex": draw_of_patients(data.groups, ["F", "M", "F", "M", ""], rng),
        "machine": draw_of_patients(data.groups, ["one", "two", "three"], rng),
    }


# Shortcuts, and the check that is meant for each.
PLANTED: dict[str, tuple[Callable[..., Case], str | None]] = {
    CLEAN: (nothing, None),
    "corner mark": (corner_mark, "blanked lungs"),
    "file format": (file_format, "headers"),
    "brightness offset": (brightness_offset, "thumbnails"),
    "shared patient": (shared_patient, "leakage"),
    "duplicated image": (duplicated_image, "duplicates"),
    "age": (age, "attributes"),
    "look of hospitals": (look_of_hospital, "source signal"),
    "hospital of class": (hospital_of_class, "outside"),
}


def save(images: NDArray, suffixes: Sequence[str], folder: Path) -> list[str]:
    """Write the images under names that do not tell their format."""
    paths = []
    for number, (image, suffix) in enumerate(zip(images, suffixes, strict=True)):
        _, encoded = cv2.imencode(suffix, image)
        path = folder / f"{number}.png"
        path.write_bytes(encoded.tobytes())
        paths.append(str(path))
    return paths


def make_model() -> Pipeline:
    """A quick model that learns the synthetic findings."""
    return make_pipeline(
        RadiographReader(32),
        FunctionTransformer(flatten),
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=1000),
    )


def flatten(images: Any) -> NDArray:
    """Make a row of each image."""
    return np.asarray(images).reshape(len(images), -1)


def draw_radiographs(n_images: int, n_patients: int, seed: int, **sources: Any) -> Any:
    """Draw the radiographs that all shortcuts of a seed are planted in."""
    return make_radiographs(
        n_images,
        image_size=IMAGE_SIZE,
        weights=CLASS_WEIGHTS,
        n_patients=n_patients,
        random_state=seed,
        **sources,
    )


def run(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Audit one data set."""
    rng = np.random.default_rng(seed)
    data = draw_radiographs(options.images, options.patients, seed)
    cv = StratifiedGroupKFold(options.folds, shuffle=True, random_state=seed)
    data.fold = np.empty(options.images, dtype=int)
    for number, (_, test) in enumerate(cv.split(data.target, data.target, data.groups)):
        data.fold[test] = number
    # Hospitals that are independent of the class.
    source = rng.choice(["A", "B", "C"], options.images)
    with tempfile.TemporaryDirectory(prefix="skcovid-") as folder:
        case = PLANTED[name][0](data, Path(folder), rng)
        result = evaluate(
            make_model(),
            case.X,
            case.y,
            cv=cv if case.whole_patients else options.folds,
            groups=case.groups if case.whole_patients else None,
            random_state=seed,
            verbose=0,
        )
        report = audit(
            result,
            case.X,
            case.y,
            groups=case.groups,
            source=source if case.source is None else case.source,
            attributes=case.attributes,
            refit=make_model(),
            n_permutations=options.permutations,
            random_state=seed,
            n_jobs=1,
            verbose=0,
        )
    return {
        "planted": name,
        "seed": seed,
        "settings": settings(options),
        "accuracy": report.accuracy.value,
        "shortcut_ratio": report.shortcut_ratio.to_dict()["value"],
        "checks": {check.name: check.status for check in report.values()},
    }


def settings(options: argparse.Namespace) -> dict[str, int]:
    """Settings of an audit beside its seed and shortcut."""
    names = ("images", "patients", "folds", "permutations")
    return {name: vars(options)[name] for name in names}


def seeds(options: argparse.Namespace) -> range:
    """Seeds of the data sets."""
    return range(options.first_seed, options.first_seed + options.seeds)


def read_records(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Audits of an earlier run, none if there was none."""
    if options.records is None or not options.records.exists():
        return []
    lines = options.records.read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    if any(record["settings"] != settings(options) for record in records):
        raise SystemExit(
            f"{options.records} holds audits with other settings than "
            f"{settings(options)}; give another file or remove it."
        )
    return [record for record in records if record["seed"] in seeds(options)]


def append_record(path: Path, record: dict[str, Any]) -> None:
    """Add a line, in one write, so that an interruption leaves none half written."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def missed_table(results: list[dict[str, Any]]) -> str:
    """How often a planted shortcut was missed, and what else was flagged."""
    rows = []
    for name, (_, matching) in PLANTED.items():
        found = [one["checks"] for one in results if one["planted"] == name]
        if matching is None or not found:
            continue
        missed = sum(checks[matching] != "flagged" for checks in found)
        others = {
            check: sum(checks[check] == "flagged" for checks in found)
            for check in found[0]
            if check != matching
        }
        also = ", ".join(f"{check} {count}" for check, count in others.items() if count)
        rate = Estimate.from_counts(missed, len(found))
        rows.append([name, matching, f"{missed} of {len(found)}", str(rate), also])
    header = [
        "planted",
        "its check",
        "missed",
        "rate, 95 % interval",
        "also flagged",
    ]
    return _common.markdown_table(header, rows)


def false_alarm_table(results: list[dict[str, Any]]) -> str:
    """How often each check was flagged on clean data, and any of them."""
    found = [one["checks"] for one in results if one["planted"] == CLEAN]
    if not found:
        return "Not run."
    counts = {
        check: sum(checks[check] == "flagged" for checks in found) for check in found[0]
    }
    counts["any of them"] = sum("flagged" in checks.values() for checks in found)
    return _common.markdown_table(
        ["check", "flagged on clean data", "rate, 95 % interval"],
        [
            [
                check,
                f"{count} of {len(found)}",
                str(Estimate.from_counts(count, len(found))),
            ]
            for check, count in counts.items()
        ],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    results = read_records(options)
    made = {(record["planted"], record["seed"]) for record in results}
    cases = [(name, seed) for seed in seeds(options) for name in options.planted]
    left = [case for case in cases if case not in made]
    running = Parallel(n_jobs=options.jobs, return_as="generator")(
        delayed(run)(name, seed, options) for name, seed in left
    )
    for record in tqdm(running, total=len(left), unit="audit"):
        results.append(record)
        if options.records is not None:
            append_record(options.records, record)
    _common.report(
        options,
        {
            "Planted shortcuts that were missed": missed_table(results),
            "Clean data on which a check was flagged": false_alarm_table(results),
        },
        results,
    )


if __name__ == "__main__":
    main()
