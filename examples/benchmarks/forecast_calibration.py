"""How far the audit's forecast of the ROC AUC outside is from what is seen there.

Each pair has a collection, which is evaluated and audited, and other hospitals, whose
area within sources the forecast is compared with. The half width of the forecast's
interval is the distance that nine of ten pairs do not exceed. Each family of pairs is
judged with the half width that all other families give. Pairs of real radiographs need
--data, --nih and --cohen. With --records an interrupted run is resumed.
"""

import argparse
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _common
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch

from skcovid import audit, evaluate, make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.metrics import roc_auc_table

COVID_19, PNEUMONIA, REST = "COVID-19", "Pneumonia", "Other"
IMAGE_SIZE = 48
# Images of each class that a publisher must have to be predicted by the others.
MIN_IMAGES = 5
LEVEL = 0.9


class Pair(NamedTuple):
    """A collection, other hospitals, and the class whose area is forecast."""

    family: str
    name: str
    inside: Bunch
    outside: Bunch
    label: str
    pipeline: Pipeline


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--data", "--nih", "--cohen", "--weights", "--memory", "--records"):
        parser.add_argument(name, type=Path, metavar="PATH")
    parser.add_argument("--seeds", type=_common.positive_int, default=4, metavar="N")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write JSON")
    return parser.parse_args(arguments)


def take(data: Bunch, rows: NDArray) -> Bunch:
    """Take some images, with patients, sources and labels."""
    return Bunch(**{name: np.asarray(values)[rows] for name, values in data.items()})


def join(*parts: Bunch) -> Bunch:
    """Put collections together."""
    return Bunch(
        **{name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    )


def keep_new_patients(data: Bunch, known: Bunch) -> Bunch:
    """Leave out patients who are in the other collection."""
    return take(data, ~np.isin(data.groups, known.groups))


def load(folder: Path, names: dict[str, str]) -> Bunch:
    """Load the frontal images of a folder, their classes renamed."""
    data = load_radiographs(folder)
    source = data.source
    # Without publishers, the collection is the source.
    if source is None or len(np.unique(source)) > len(source) / 2:
        source = np.full(len(data.target), folder.name)
    loaded = Bunch(
        X=np.asarray(data.paths, dtype=object),
        y=np.array([names.get(label, label) for label in data.target], dtype=object),
        groups=np.array([f"{folder.name} {patient}" for patient in data.groups]),
        source=np.asarray(source, dtype=object),
    )
    if data.view_position is not None:
        loaded = take(loaded, data.view_position != "LATERAL")
    return loaded


def draw_synthetic(seeds: int) -> Iterator[Pair]:
    """Draw radiographs of three hospitals, and of three others, without confounding."""
    pipeline = make_pipeline(
        FunctionTransformer(flatten), LogisticRegression(C=0.01, max_iter=500)
    )
    for confounding in (0.0, 0.3, 0.6, 0.8, 1.0):
        for seed in range(seeds):
            sets = [
                make_radiographs(
                    n_images,
                    image_size=IMAGE_SIZE,
                    weights=(2, 3, 3),
                    n_patients=n_images // 2,
                    n_sources=3,
                    confounding=share,
                    random_state=random_state,
                )
                for n_images, share, random_state in (
                    (300, confounding, seed),
                    (600, 0.0, 1000 + seed),
                )
            ]
            inside, outside = (
                Bunch(X=one.images, y=one.target, groups=one.groups, source=one.source)
                for one in sets
            )
            outside.groups = np.char.add("outside ", outside.groups)
            name = f"confounding {confounding}, seed {seed}"
            yield Pair("synthetic", name, inside, outside, COVID_19, pipeline)


def flatten(images: NDArray) -> NDArray:
    """Make a row of numbers in [0, 1] of each image."""
    return images.reshape(len(images), -1) / 255.0


def list_real(options: argparse.Namespace) -> Iterator[Pair]:
    """Pair the three collections, and parts of them, with each other."""
    pipeline = make_transfer_pipeline(
        "inceptionv3",
        recipe="linear",
        weights=str(options.weights) if options.weights else "imagenet",
        memory=options.memory,
        random_state=0,
    ).set_params(classify=LogisticRegression(C=0.003, max_iter=200))
    whole = load(options.data, {})
    nih = load(options.nih, {})
    cohen = load(options.cohen, {"No finding": REST})
    negative = Bunch(**{**nih, "y": np.full(len(nih.y), REST, dtype=object)})
    covid, normal = whole.y == COVID_19, whole.y == "NORMAL"
    binary = Bunch(**{**whole, "y": np.where(covid, COVID_19, REST)})
    trained = {
        "radiography": binary,
        "radiography, COVID-19 and normal": take(binary, covid | normal),
        "radiography, COVID-19 and pneumonia": take(binary, ~normal),
        "radiography and NIH": join(binary, negative),
        "COVID-19 of radiography, NIH": join(take(binary, covid), negative),
    }
    for name, inside in trained.items():
        yield Pair("radiography", f"{name} → Cohen", inside, cohen, COVID_19, pipeline)
    children = take(whole, ~covid)
    children.y = np.where(children.y == "NORMAL", "No finding", PNEUMONIA)
    yield Pair("pneumonia", "children → NIH", children, nih, PNEUMONIA, pipeline)
    yield Pair("pneumonia", "NIH → children", nih, children, PNEUMONIA, pipeline)
    both = [
        name
        for name in np.unique(cohen.source)
        if min(
            np.sum(cohen.y[cohen.source == name] == label) for label in (COVID_19, REST)
        )
        >= MIN_IMAGES
    ]
    for name in both:
        outside = take(cohen, cohen.source == name)
        others = keep_new_patients(take(cohen, cohen.source != name), outside)
        yield Pair(
            "publishers", f"others → {name}", others, outside, COVID_19, pipeline
        )
    for seed in range(3):
        mixed = np.random.default_rng(seed).permutation(both)
        single = np.setdiff1d(cohen.source, both)
        half = [*mixed[::2], *np.random.default_rng(seed).permutation(single)[::2]]
        in_half = np.isin(cohen.source, half)
        for number, rows in enumerate((in_half, ~in_half)):
            outside = take(cohen, ~rows)
            inside = keep_new_patients(take(cohen, rows), outside)
            name = f"half {number + 1} of draw {seed + 1}"
            yield Pair("halves", name, inside, outside, COVID_19, pipeline)
            inside, name = join(inside, negative), f"{name}, and NIH"
            yield Pair("halves", name, inside, outside, COVID_19, pipeline)


def measure(pair: Pair) -> dict[str, Any]:
    """Forecast the area of a pair, and find what it is outside."""
    inside, outside = pair.inside, pair.outside
    source = inside.source if len(np.unique(inside.source)) > 1 else None
    result = evaluate(
        pair.pipeline,
        inside.X,
        inside.y,
        groups=inside.groups,
        source=source,
        cv=3,
        test=(outside.X, outside.y, outside.groups),
        verbose=0,
    )
    found = audit(
        result,
        inside.X,
        inside.y,
        refit=pair.pipeline,
        fractions=[0.9],
        n_permutations=19,
        verbose=0,
    )["outside"]
    external = result.external
    column = external.classes.tolist().index(pair.label)
    scores = external.probabilities[:, column]
    areas = roc_auc_table(
        np.where(external.y_true == pair.label, pair.label, "rest"),
        np.column_stack([scores, 1 - scores]),
        [pair.label, "rest"],
        groups=external.groups,
        source=outside.source[external.rows],
    )
    forecast = found.details["forecasts"].get(str(pair.label))
    return {
        "family": pair.family,
        "pair": pair.name,
        "images": len(inside.y),
        "inside": result.roc_auc[pair.label].value,
        "forecast": None if forecast is None else forecast["outside"],
        **(forecast or {}),
        "observed": areas[pair.label].value,
        "interval": areas[pair.label].format_fraction(2),
    }


def half_width(records: Sequence[dict[str, Any]]) -> float:
    """Distance of forecast and area that nine of ten pairs do not exceed."""
    distances = sorted(abs(one["forecast"] - one["observed"]) for one in records)
    place = int(np.ceil(LEVEL * (len(distances) + 1))) - 1
    return distances[min(place, len(distances) - 1)]


def summarise(records: Sequence[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Judge each family by the half width of the others."""
    known = [one for one in records if one["forecast"] is not None]
    rows = []
    for one in known:
        rest = [other for other in known if other["family"] != one["family"]]
        half = half_width(rest or known)
        one["held"] = abs(one["forecast"] - one["observed"]) <= half
        low, high = max(0, one["forecast"] - half), min(1, one["forecast"] + half)
        rows.append(
            [
                one["pair"],
                one["images"],
                f"{one['inside']:.2f}",
                f"{one['forecast']:.2f} [{low:.2f}, {high:.2f}]",
                one["interval"],
                "yes" if one["held"] else "no",
            ]
        )
    header = ["pair", "images", "inside", "forecast", "outside", "held"]
    families = {
        family: {
            "held": sum(one["held"] for one in known if one["family"] == family),
            "pairs": sum(one["family"] == family for one in known),
        }
        for family in dict.fromkeys(one["family"] for one in known)
    }
    summary = {
        "half_width": half_width(known),
        "families": families,
        "without_forecast": len(records) - len(known),
    }
    return _common.markdown_table(header, rows), summary


def main() -> None:
    options = parse()
    warnings.simplefilter("ignore")
    records = []
    if options.records is not None and options.records.exists():
        records = [
            json.loads(line) for line in options.records.read_text().splitlines()
        ]
    done = {one["pair"] for one in records}
    real = list_real(options) if options.data is not None else iter(())
    for pair in (*real, *draw_synthetic(options.seeds)):
        if pair.name in done:
            continue
        records.append(measure(pair))
        print(json.dumps(records[-1]), flush=True)
        if options.records is not None:
            with options.records.open("a") as file:
                file.write(f"{json.dumps(records[-1])}\n")
    table, summary = summarise(records)
    print(f"\n{table}\n\n{json.dumps(summary, indent=1)}")
    if options.output is not None:
        options.output.write_text(json.dumps({"pairs": records, **summary}, indent=1))


if __name__ == "__main__":
    main()
