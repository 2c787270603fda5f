"""How many images a novelty detector flags, of its own collection and of others.

Detectors are fitted on the linear recipe's features of adults' frontal images. Images
of the same collection are scored in folds of whole patients, by detectors that were not
fitted on them. The second table has the same for images that were all brought to 224
pixels first, the size of the radiography collection.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _common
import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcovid import NoveltyDetector, RadiographReader, make_transfer_pipeline
from skcovid.datasets import load_radiographs

COLLECTIONS = ("nih", "radiography", "cohen")
# Of the Cohen collection: 248 frontal images; those of the others are tested.
TRAINING_SOURCES = ["radiopaedia", "hannover", "sirm"]
SMALL = 224


class Part(NamedTuple):
    """Features of images and their patients."""

    X: NDArray
    groups: NDArray


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in COLLECTIONS:
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="DIR")
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE")
    parser.add_argument("--memory", type=Path, metavar="DIR", help="keeps features")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write JSON")
    return parser.parse_args(arguments)


def shrink(paths: Sequence[str], folder: Path) -> list[str]:
    """Write images of 224 pixels a side."""
    folder.mkdir()
    images = RadiographReader(SMALL).fit_transform(paths)
    files = [str(folder / f"{row}.png") for row in range(len(paths))]
    for file, image in zip(files, images, strict=True):
        cv2.imwrite(file, image)
    return files


def read_parts(options: argparse.Namespace, folder: Path | None) -> dict[str, Part]:
    """Compute features of all images, and split collections by what they show."""
    pipeline = make_transfer_pipeline(
        recipe="linear", weights=options.weights, memory=options.memory, random_state=0
    )
    parts = {}
    for name in COLLECTIONS:
        data = load_radiographs(getattr(options, name))
        paths = data.paths
        if folder is not None and name != "radiography":  # which has that size
            paths = shrink(paths, folder / name)
        X = clone(pipeline)[:3].fit_transform(paths)
        groups = np.array([f"{name}/{patient}" for patient in data.groups])
        kinds = {name: np.full(len(X), True)}
        if name == "radiography":
            adult = data.target == "COVID-19"
            kinds = {"children": ~adult, "radiography's adults": adult}
        elif name == "cohen":
            lateral = data.view_position == "LATERAL"
            known = ~lateral & np.isin(data.source, TRAINING_SOURCES)
            kinds = {
                "lateral": lateral,
                "3 publishers": known,
                "other publishers": ~lateral & ~known,
            }
        for kind, rows in kinds.items():
            parts[kind] = Part(X[rows], groups[rows])
    return parts


def flag(parts: Mapping[str, Part], names: Sequence[str]) -> dict[str, float]:
    """Return the share of flagged images of each part."""
    X = np.concatenate([parts[name].X for name in names])
    groups = np.concatenate([parts[name].groups for name in names])
    detector = make_pipeline(StandardScaler(), NoveltyDetector(random_state=0))
    own = np.empty(len(X))
    for train, test in GroupKFold(5).split(X, groups=groups):
        detector.fit(X[train], noveltydetector__groups=groups[train])
        own[test] = detector.predict(X[test])
    detector.fit(X, noveltydetector__groups=groups)
    others = {
        name: detector.predict(part.X)
        for name, part in parts.items()
        if name not in names
    }
    return {
        name: float(np.mean(flags == -1))
        for name, flags in {"itself, held out": own, **others}.items()
    }


def tabulate(parts: Mapping[str, Part]) -> tuple[str, dict[str, Any]]:
    """Fit a detector on each training set; return a table and the shares."""
    trained = {"nih": ["nih"], "nih, 3 publishers": ["nih", "3 publishers"]}
    trained["all adults"] = [
        name for name in parts if name not in ("children", "lateral")
    ]
    shares = {title: flag(parts, names) for title, names in trained.items()}
    columns = list(dict.fromkeys(name for found in shares.values() for name in found))
    rows = [
        [title, *(f"{found[c]:.1%}" if c in found else "" for c in columns)]
        for title, found in shares.items()
    ]
    return _common.markdown_table(["fitted on", *columns], rows), shares


def main() -> None:
    options = parse()
    tables, results = {}, {}
    with tempfile.TemporaryDirectory(prefix="skcovid-") as name:
        for title, folder in (("As they are", None), ("All of 224", Path(name))):
            tables[title], results[title] = tabulate(read_parts(options, folder))
            print(tables[title])
    _common.report(options, tables, results)


if __name__ == "__main__":
    main()
