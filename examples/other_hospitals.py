"""Measure what each step for other hospitals gives, one at a time.

Each hospital of --cohen that has COVID-19 and other images is predicted by models of
the other hospitals, to which --nih and the children of --data are added; at the end, by
models of --data and --nih alone. The figure is the ROC AUC of COVID-19 within
hospitals. Finished rows are kept in OUTPUT/checkpoints.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _command_line as command_line
import cv2
import numpy as np
from benchmarks._common import markdown_table
from external_validation import COVID_19, attributes_alone, take
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.decomposition import KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import Bunch

from skcovid import (
    CellOverSampler,
    LeaveOneSourceOut,
    SourceStandardScaler,
    evaluate,
    make_transfer_pipeline,
)
from skcovid.augmentation import (
    Brightness,
    Gamma,
    Rotation,
    Translation,
    Zoom,
    augment,
)
from skcovid.datasets import load_radiographs
from skcovid.metrics import roc_auc_table

REST = "Other"
# Images of each class that a hospital must have to be predicted.
MIN_IMAGES = 5
# Of logistic regression, for all rows but those that search.
C = 0.003
# Children without COVID-19: as many as there are images of hospitals.
N_CHILDREN = 600
ALL = ("inceptionv3", "efficientnetlite0", "efficientnetlite2")

BY_ITSELF = "each hospital, the left-out one by its unlabelled images"
BY_OTHERS = "each hospital, the left-out one by the others"

# Wider than the paper's: exposure, window and framing differ between hospitals.
WIDE = (
    Brightness(0.7, 1.3),
    Gamma(0.6, 1.6),
    Zoom(0.8, 1.2),
    Translation(0.9, 0.98),
    Rotation(-10, 10),
)


class MixedSourceOut(LeaveOneSourceOut):
    """Leave out, in turn, each hospital with enough images of both classes."""

    def split(
        self, X: Any, y: Any = None, groups: Any = None, source: Any = None
    ) -> Iterator[tuple[NDArray, NDArray]]:
        labels = np.asarray(y)
        for train, test in super().split(X, None, groups, source):
            counts = [np.sum(labels[test] == label) for label in (COVID_19, REST)]
            if min(counts) >= MIN_IMAGES:
                yield train, test

    def get_n_splits(
        self, X: Any = None, y: Any = None, groups: Any = None, source: Any = None
    ) -> int:
        return len(list(self.split(X, y, groups, source)))


class Step(NamedTuple):
    """A row of the table: what the model is trained on, and how."""

    trained_on: str
    networks: tuple[str, ...] = ALL[:1]
    scale: Any = SourceStandardScaler(shrinkage=0)
    adapt: bool = True
    note: str = BY_ITSELF
    # What is done besides, in words; the images, steps and classifier that it needs.
    also: str = ""
    images: str = "as they are"
    sampler: Any = "passthrough"
    search: bool = False


HOSPITALS, NIH = "other hospitals", "other hospitals and NIH"
EVERY, ONE = "other hospitals, NIH, children", "the same, children as one source"
STEPS = (
    Step(HOSPITALS, scale=StandardScaler(), adapt=False, note="everything"),
    Step(HOSPITALS, adapt=False, note=BY_OTHERS),
    Step(HOSPITALS),
    Step(NIH),
    Step(NIH, also="histograms equalised", images="equalised"),
    Step(NIH, also="histograms matched to NIH", images="matched"),
    Step(NIH, also="an augmented copy of each image", images="augmented"),
    Step(NIH, also="depth and C chosen by leaving hospitals out", search=True),
    Step(ONE),
    Step(EVERY),
    Step(EVERY, adapt=False, note=BY_OTHERS),
    Step(
        EVERY,
        also="last layer trained on balanced cells",
        sampler=CellOverSampler(unmatched="drop", random_state=0),
    ),
    *(Step(EVERY, networks=(name,)) for name in ALL[1:]),
    Step(EVERY, networks=ALL[1:]),
    Step(EVERY, networks=ALL),
    Step(EVERY, networks=ALL, adapt=False, note=BY_OTHERS),
)


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("--data", "--nih", "--cohen"):
        parser.add_argument(name, type=Path, metavar="DIR", required=True)
    command_line.add_weights_option(parser, default="imagenet")
    command_line.add_folder_options(
        parser,
        output="; another run continues with what is there",
        kept="features are kept for all rows and later runs",
        memory="OUTPUT/features",
    )
    return parser


def run(options: argparse.Namespace) -> None:
    """Evaluate every step; print and write the table."""
    hospitals = load_radiographs(options.cohen)
    hospitals = take(hospitals, hospitals.view_position != "LATERAL")
    nih, radiography = map(load_radiographs, (options.nih, options.data))
    # Its images of COVID-19 are in part the hospitals' own.
    rows = np.flatnonzero(radiography.target != COVID_19)
    children = take(
        radiography, np.random.default_rng(0).permutation(rows)[:N_CHILDREN]
    )
    sets = [hospitals, nih, children]
    needed = {
        (name, kind)
        for step in STEPS
        for name in step.networks
        for kind in list_images(step)
    }
    features = {pair: compute(*pair, sets, options) for pair in sorted(needed)}
    table = []
    for number, step in enumerate(STEPS, 1):
        X, y, groups, source, copy = collect(step, sets, features)
        pipeline = make_network(step.networks[0], options)[-3:]
        # A rotation to as many columns as there are images: with few of them the
        # regression is quicker, and the same.
        rotation = KernelPCA(eigen_solver="dense")
        pipeline.set_params(
            scale=step.scale, components=rotation, classify=LogisticRegression(C=C)
        )
        pipeline.steps.insert(1, ("sample", step.sampler))
        if step.search:
            # Each hospital by itself, as the step does, before the search.
            X = standardise_each(X, source)
            pipeline = search_depth(pipeline[2:], X.shape[1])
        folds = [
            (train, test[~copy[test]])
            for train, test in MixedSourceOut().split(X, y, groups, source)
            if test[0] < len(hospitals.target)
        ]
        result = evaluate(
            pipeline,
            X,
            y,
            groups=groups,
            source=source,
            cv=folds,
            adapt=step.adapt and not step.search,
            random_state=0,
            checkpoint=options.output / "checkpoints" / f"step-{number}",
        )
        area = result.within_source_roc_auc[COVID_19].format_fraction()
        networks = " + ".join(step.networks)
        table.append([step.trained_on, networks, step.note, step.also, area])
        print(table[-1], flush=True)
    table.append(add_attributes(result, hospitals))
    for name in ALL[:2]:
        table += predict_from_elsewhere(name, radiography, nih, hospitals, options)
    header = ["trained on", "network", "standardised over", "besides", "ROC AUC"]
    text = markdown_table(header, table)
    print(f"\n{text}")
    (options.output / "table.md").write_text(f"{text}\n", encoding="utf-8")


def make_network(name: str, options: argparse.Namespace) -> Any:
    """Compose the linear recipe; the file of weights is InceptionV3's."""
    weights = options.weights if name == "inceptionv3" else None
    return make_transfer_pipeline(
        name,
        recipe="linear",
        weights=weights or "imagenet",
        memory=options.memory or options.output / "features",
        random_state=0,
    )


def compute(name: str, images: str, sets: Sequence[Bunch], options: Any) -> list[Any]:
    """Compute pooled features of all images of each collection."""
    network = make_network(name, options)
    read, rest = network[:1], network[1:-3]
    found = []
    for data in sets:
        X = read.fit_transform(data.paths)
        if images != "as they are":
            change = make_change(images, read.transform(sets[1].paths))
            X = np.stack([change(image) for image in np.asarray(X)])
        found.append(np.asarray(rest.fit_transform(X)))
    return found


def make_change(images: str, reference: Any) -> Callable[[NDArray], NDArray]:
    """Return the function that changes an image, of equal channels, as a row says."""
    if images == "augmented":
        rng = np.random.default_rng(0)
        return lambda image: augment(image, transforms=WIDE, random_state=rng)
    if images == "equalised":
        equalise = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply
        return lambda image: np.stack([equalise(image[..., 0])] * 3, axis=-1)
    shares = np.linspace(0, 1, 256)
    levels = np.mean([np.quantile(image, shares) for image in reference], axis=0)

    def match(image: NDArray) -> NDArray:
        ranks = np.cumsum(np.bincount(image.ravel(), minlength=256)) / image.size
        return np.interp(ranks, shares, levels).round().astype(np.uint8)[image]

    return match


def list_images(step: Step) -> list[str]:
    """List the kinds of images that a step is trained on."""
    return ["as they are", "augmented"] if step.images == "augmented" else [step.images]


def collect(step: Step, sets: Sequence[Bunch], features: Any) -> tuple[Any, ...]:
    """Join what a step is trained and tested on; say which rows are copies."""
    used = {HOSPITALS: 1, NIH: 2}.get(step.trained_on, 3)
    parts = sets[:used]
    children = "children" if step.trained_on == ONE else sets[2].target
    names = [sets[0].source, "NIH", children][:used]
    y = np.where(join(parts, "target") == COVID_19, COVID_19, REST)
    groups = np.concatenate(
        [
            np.char.add(f"{place} ", data.groups.astype(str))
            for place, data in enumerate(parts)
        ]
    )
    source = np.concatenate(
        [
            np.broadcast_to(name, len(data.target)).astype(str)
            for name, data in zip(names, parts, strict=True)
        ]
    )
    kinds = list_images(step)
    X = np.vstack(
        [
            np.hstack(
                [np.vstack(features[name, kind][:used]) for name in step.networks]
            )
            for kind in kinds
        ]
    )
    copy = np.repeat(np.arange(len(kinds)) > 0, len(y))
    y, groups, source = (np.tile(column, len(kinds)) for column in (y, groups, source))
    return X, y, groups, source, copy


def join(sets: Sequence[Bunch], column: str) -> NDArray:
    """Put a column of several collections together, as text."""
    return np.concatenate([np.asarray(data[column], dtype=str) for data in sets])


def standardise_each(X: NDArray, source: NDArray) -> NDArray:
    """Standardise the features of each source by all its images, without labels."""
    return (
        SourceStandardScaler(shrinkage=0)
        .fit(X, source=source)
        .transform(X, source=source)
    )


def search_depth(rest: Pipeline, n_features: int) -> GridSearchCV:
    """Search the depth and C by leaving out each hospital of the training part."""
    columns = np.arange(n_features)  # From the first layers to the last.
    depths = [columns, *np.array_split(columns, 2)]
    steps = [("choose", FunctionTransformer(np.take)), *rest.steps]
    grid = {
        "choose__kw_args": [{"indices": depth, "axis": 1} for depth in depths],
        "classify__C": [0.0003, 0.003, 0.03],
    }
    return GridSearchCV(Pipeline(steps), grid, cv=MixedSourceOut(), scoring="roc_auc")


def add_attributes(result: Any, hospitals: Bunch) -> list[str]:
    """Add view, age and sex to the last model, by the mean of both log odds."""
    model, table = attributes_alone(hospitals)
    y = np.where(hospitals.target == COVID_19, COVID_19, REST)
    alone = evaluate(
        model,
        table,
        y,
        groups=hospitals.groups,
        source=hospitals.source,
        cv=MixedSourceOut(),
        verbose=0,
    )
    odds = [
        logit(np.clip(one.probabilities, 1e-6, 1 - 1e-6)) for one in (result, alone)
    ]
    area = within_hospitals(sum(odds), hospitals, result.test_indices)
    networks = "the last, with view, age and sex"
    return [EVERY, networks, STEPS[-1].note, "", area]


def predict_from_elsewhere(
    name: str, radiography: Bunch, nih: Bunch, hospitals: Bunch, options: Any
) -> Iterator[list[str]]:
    """Predict the hospitals by a model that has seen none of them, without copies."""
    pipeline = make_network(name, options)
    pipeline.set_params(
        scale=SourceStandardScaler(shrinkage=0), classify=LogisticRegression(C=C)
    )
    parts = [radiography, nih]
    X = [path for data in parts for path in data.paths]
    y = np.where(join(parts, "target") == COVID_19, COVID_19, REST)
    groups = join(parts, "groups")
    source = np.repeat(["radiography", "NIH"], [len(data.target) for data in parts])
    labels = np.where(hospitals.target == COVID_19, COVID_19, REST)
    external = evaluate(
        pipeline,
        X,
        y,
        groups=groups,
        source=source,
        cv=2,
        test=(hospitals.paths, labels, np.char.add("Cohen ", hospitals.groups)),
        random_state=0,
        checkpoint=options.output / "checkpoints" / f"elsewhere-{name}",
    ).external
    trained_on = "radiography and NIH"
    area = within_hospitals(external.probabilities, hospitals, external.rows)
    yield [trained_on, name, BY_OTHERS, "", area]
    pipeline.fit(X, y, source=source)
    adapted = np.empty((len(labels), 2))
    for hospital in np.unique(hospitals.source):
        rows = np.flatnonzero(hospitals.source == hospital)
        paths = [hospitals.paths[row] for row in rows]
        adapted[rows] = pipeline.adapt(paths).predict_proba(paths)
    area = within_hospitals(adapted[external.rows], hospitals, external.rows)
    yield [trained_on, name, BY_ITSELF, "", area]


def within_hospitals(scores: NDArray, hospitals: Bunch, rows: NDArray) -> str:
    """Write the ROC AUC of COVID-19 within hospitals, of some of the images."""
    areas = roc_auc_table(
        np.where(hospitals.target[rows] == COVID_19, COVID_19, REST),
        scores,
        [COVID_19, REST],
        groups=hospitals.groups[rows],
        source=hospitals.source[rows],
    )
    return areas[COVID_19].format_fraction()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for; exit with code 2 if it can't be done."""
    command_line.run_script(make_parser(), run, arguments)


if __name__ == "__main__":
    main()
