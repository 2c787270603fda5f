"""Measure what each step for other hospitals gives, one at a time.

Each hospital of --cohen that has COVID-19 and other images is predicted by models of
the other hospitals, to which --nih and the children of --data are added. The figure is
the ROC AUC of COVID-19 within hospitals. Finished rows are kept in OUTPUT/checkpoints.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _command_line as command_line
import numpy as np
from benchmarks._common import markdown_table
from external_validation import COVID_19, attributes_alone, take
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from skcovid import (
    CellOverSampler,
    LeaveOneSourceOut,
    SourceStandardScaler,
    evaluate,
    make_transfer_pipeline,
)
from skcovid.datasets import load_radiographs
from skcovid.metrics import roc_auc_table

REST = "Other"
# Images of each class that a hospital must have to be predicted.
MIN_IMAGES = 5
# Of logistic regression, for all rows: none is tuned.
C = 0.003
ALL = ("inceptionv3", "efficientnetlite0", "efficientnetlite2")

BY_ITSELF = "each hospital, the left-out one by its unlabelled images"
BY_OTHERS = "each hospital, the left-out one by the others"


class Step(NamedTuple):
    """A row of the table: what the model is trained on, and how."""

    trained_on: str
    networks: tuple[str, ...] = ALL[:1]
    scale: Any = SourceStandardScaler(shrinkage=0)
    adapt: bool = True
    sampler: Any = "passthrough"
    note: str = BY_ITSELF


HOSPITALS, NIH = "other hospitals", "other hospitals and NIH"
EVERY, ONE = "other hospitals, NIH, children", "the same, children as one source"
STEPS = (
    Step(HOSPITALS, scale=StandardScaler(), adapt=False, note="everything"),
    Step(HOSPITALS, adapt=False, note=BY_OTHERS),
    Step(HOSPITALS),
    Step(NIH),
    Step(ONE),
    Step(EVERY),
    Step(EVERY, adapt=False, note=BY_OTHERS),
    Step(EVERY, sampler=CellOverSampler(unmatched="drop", random_state=0)),
    *(Step(EVERY, networks=(name,)) for name in ALL[1:]),
    Step(EVERY, networks=ALL[1:]),
    Step(EVERY, networks=ALL),
    Step(
        EVERY,
        networks=ALL,
        adapt=False,
        note=BY_OTHERS,
    ),
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
    sets = [hospitals, *map(load_radiographs, (options.nih, options.data))]
    features = {name: [compute(name, one, options) for one in sets] for name in ALL}
    rows = []
    for number, step in enumerate(STEPS, 1):
        X, y, groups, source = collect(step, sets, features)
        pipeline = make_network(step.networks[0], options)[-3:]
        pipeline.set_params(scale=step.scale, classify=LogisticRegression(C=C))
        pipeline.steps.insert(1, ("sample", step.sampler))
        result = evaluate(
            pipeline,
            X,
            y,
            groups=groups,
            source=source,
            cv=list_folds(X, y, groups, source, len(hospitals.target)),
            adapt=step.adapt,
            random_state=0,
            checkpoint=options.output / "checkpoints" / f"step-{number}",
        )
        area = result.within_source_roc_auc[COVID_19].format_fraction()
        balanced = "" if step.sampler == "passthrough" else "cells"
        networks = " + ".join(step.networks)
        rows.append([step.trained_on, networks, step.note, balanced, area])
        print(rows[-1], flush=True)
    rows.append(add_attributes(result, hospitals, len(y)))
    header = ["trained on", "network", "standardised over", "balanced", "ROC AUC"]
    text = markdown_table(header, rows)
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


def compute(name: str, data: Bunch, options: argparse.Namespace) -> NDArray:
    """Compute pooled features of all images of a collection."""
    return np.asarray(make_network(name, options)[:-3].fit_transform(data.paths))


def collect(step: Step, sets: Sequence[Bunch], features: Any) -> tuple[Any, ...]:
    """Join what a step is trained and tested on; only the hospitals have COVID-19."""
    hospitals, nih, children = sets
    parts = [(hospitals, slice(None), hospitals.source)]
    if step.trained_on != HOSPITALS:
        parts.append((nih, slice(None), np.full(len(nih.target), "NIH")))
    if step.trained_on in (EVERY, ONE):
        # Its images of COVID-19 are in part the hospitals' own.
        rows = np.flatnonzero(children.target != COVID_19)
        rows = np.random.default_rng(0).permutation(rows)[:600]
        names = np.full(len(rows), "children")
        if step.trained_on == EVERY:
            names = np.char.add("children, ", children.target[rows].astype(str))
        parts.append((children, rows, names))
    X = np.hstack(
        [
            np.vstack(
                [
                    features[name][place][rows]
                    for place, (_, rows, _) in enumerate(parts)
                ]
            )
            for name in step.networks
        ]
    )
    y, groups, source = (
        np.concatenate(columns)
        for columns in zip(
            *(
                (
                    np.where(data.target[rows] == COVID_19, COVID_19, REST),
                    np.char.add(f"{place} ", data.groups[rows].astype(str)),
                    names.astype(str),
                )
                for place, (data, rows, names) in enumerate(parts)
            ),
            strict=True,
        )
    )
    return X, y, groups, source


def list_folds(
    X: NDArray, y: NDArray, groups: NDArray, source: NDArray, n_hospitals: int
) -> list[tuple[NDArray, NDArray]]:
    """Leave out each hospital that has enough images of COVID-19 and of the rest."""
    return [
        (train, test)
        for train, test in LeaveOneSourceOut().split(X, None, groups, source)
        if test[0] < n_hospitals
        and min(np.sum(y[test] == label) for label in (COVID_19, REST)) >= MIN_IMAGES
    ]


def add_attributes(result: Any, hospitals: Bunch, n_images: int) -> list[str]:
    """Add view, age and sex to the last model, by the mean of both log odds."""
    model, table = attributes_alone(hospitals)
    y = np.where(hospitals.target == COVID_19, COVID_19, REST)
    alone = evaluate(
        model,
        table,
        y,
        groups=hospitals.groups,
        source=hospitals.source,
        cv=list_folds(table, y, hospitals.groups, hospitals.source, n_images),
        verbose=0,
    )
    tested = result.test_indices
    odds = [
        logit(np.clip(one.probabilities, 1e-6, 1 - 1e-6)) for one in (result, alone)
    ]
    area = roc_auc_table(
        y[tested],
        sum(odds),
        result.classes,
        groups=hospitals.groups[tested],
        source=hospitals.source[tested],
    )[COVID_19]
    networks = "the last, with view, age and sex"
    return [EVERY, networks, STEPS[-1].note, "", area.format_fraction()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for; exit with code 2 if it can't be done."""
    command_line.run_script(make_parser(), run, arguments)


if __name__ == "__main__":
    main()
