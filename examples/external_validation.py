"""Measure a model inside its collection and in other hospitals.

Without arguments it runs on synthetic collections, offline, in under three minutes.
With --data, --nih and --cohen it trains on the first, and tests on the second, which
has no COVID-19, and on the third, of many hospitals. It continues where it was stopped.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _command_line as command_line
import matplotlib.pyplot as plt
import numpy as np
from benchmarks._common import markdown_table
from imblearn.pipeline import Pipeline
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import Bunch

from skcovid import (
    audit,
    evaluate,
    make_transfer_pipeline,
    write_report,
    write_reviewer_pack,
)
from skcovid.datasets import load_radiographs, make_radiographs, save_radiographs
from skcovid.metrics import Estimate
from skcovid.model_selection import EvaluationResult
from skcovid.report import headline

COVID_19 = "COVID-19"
# What the two other collections call the classes that the first one has, and the rest.
TRAINED = {"No finding": "NORMAL", "Pneumonia": "Viral Pneumonia"}
REST = {"No finding": "Other", "Pneumonia": "Other"}
SENSITIVITY = 0.95
# Of the synthetic collections, and of the network with random weights that sees them.
DEMO_IMAGES = (160, 120, 240)
DEMO_IMAGE_SIZE = 64
DEMO_BACKBONE = "mobilenetv2"


class Collections(NamedTuple):
    """What the models are trained and tested on, each as `load_radiographs` returns it.

    `inside` trains the model; `hospitals` has many sources, COVID-19 and the rest;
    `outside` is those and a collection without COVID-19, and `enlarged` is that one and
    `inside`.
    """

    inside: Bunch
    hospitals: Bunch
    outside: Bunch
    enlarged: Bunch


class Row(NamedTuple):
    """A line of the table: the figures of COVID-19 against the rest."""

    trained_on: str
    tested_on: str
    images: int
    roc_auc: Estimate
    within_sources: Estimate | None
    recall: Estimate
    specificity: Estimate


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for; exit with code 2 if it can't be done."""
    plt.switch_backend("Agg")
    command_line.run_script(make_parser(), run, arguments)


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command_line.add_data_option(parser, without="synthetic collections")
    parser.add_argument(
        "--nih", type=Path, metavar="DIR", help="collection without COVID-19"
    )
    parser.add_argument(
        "--cohen", type=Path, metavar="DIR", help="collection of many hospitals"
    )
    command_line.add_weights_option(parser, default="imagenet (without --data: none)")
    command_line.add_folder_options(
        parser,
        output="; another run continues with what is there",
        kept="features are kept for all models and later runs",
        memory="OUTPUT/features",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    return parser


def run(options: argparse.Namespace) -> None:
    """Evaluate every model; print and write the table, the report and the pack."""
    given = [options.data, options.nih, options.cohen]
    if any(given) and not all(given):
        raise ValueError("give all of --data, --nih and --cohen, or none of them")
    if options.data is None:
        given = save_synthetic(options.output / "synthetic", options.seed)
    collections = load(*given)
    inside, outside = collections.inside, collections.outside
    pipeline = make_network(options)
    result, rows = measure(pipeline, collections, options)
    columns = inside.paths, inside.target, inside.groups
    checks = audit(result, *columns, refit=pipeline)
    text = "\n\n".join(
        [headline(result, checks), as_table(rows), describe_threshold(result, outside)]
    )
    print(f"\n{text}\n")
    (options.output / "table.md").write_text(f"{text}\n", encoding="utf-8")
    write_report(
        options.output / "report.html", result, pipeline=pipeline, audit=checks
    )
    write_reviewer_pack(
        options.output / "reviewer_pack",
        result,
        pipeline=pipeline,
        audit=checks,
        data=inside,
        test_data=outside,
    )
    print(f"table.md, report.html and reviewer_pack are in {options.output}")


def load(data: Path, nih: Path, cohen: Path) -> Collections:
    """Load the three folders, without lateral images."""
    outside = load_radiographs([nih, cohen], class_mapping=REST)
    if outside.view_position is not None:
        outside = take(outside, outside.view_position != "LATERAL")
    hospitals = take(outside, outside.source == cohen.name)
    hospitals.source = hospitals.attributes["source"]
    return Collections(
        inside=load_radiographs(data),
        hospitals=hospitals,
        outside=outside,
        enlarged=load_radiographs([data, nih], class_mapping=TRAINED),
    )


def save_synthetic(root: Path, seed: int) -> list[Path]:
    """Draw and save three collections; each class of the first has its hospital."""
    folders = [root / name for name in ("one", "without", "hospitals")]
    classes = ("COVID-19", *TRAINED)
    kinds = [
        {"n_sources": 3, "confounding": 0.9},
        {"class_names": classes},
        {"class_names": classes, "n_sources": 6, "confounding": 0.5},
    ]
    sets = [
        make_radiographs(
            n_images,
            n_patients=3 * n_images // 4,
            image_size=DEMO_IMAGE_SIZE,
            weights=(2, 3, 3),
            random_state=seed + number,
            **kind,
        )
        for number, (n_images, kind) in enumerate(zip(DEMO_IMAGES, kinds, strict=True))
    ]
    for folder, data in zip(folders, sets, strict=True):
        if folder.exists():
            continue
        kept = np.full(len(data.target), True)
        if folder.name == "without":
            kept = data.target != COVID_19
        save_radiographs(
            data.images[kept],
            data.target[kept],
            folder,
            groups=data.groups[kept],
            source=None if data.source is None else data.source[kept],
        )
    return folders


def take(data: Bunch, rows: NDArray) -> Bunch:
    """Take some images, with all that is known of them."""
    columns = {
        name: values[rows]
        for name, values in data.items()
        if isinstance(values, np.ndarray)
    }
    attributes = {name: values[rows] for name, values in data.attributes.items()}
    return Bunch(**{**data, **columns, "attributes": attributes})


def make_network(options: argparse.Namespace) -> Pipeline:
    """Compose the linear recipe."""
    network = {"weights": options.weights or "imagenet"}
    if options.data is None:
        network = {"weights": None, "image_size": DEMO_IMAGE_SIZE}
    return make_transfer_pipeline(
        DEMO_BACKBONE if options.data is None else "inceptionv3",
        recipe="linear",
        memory=options.memory or options.output / "features",
        random_state=options.seed,
        **network,
    )


def measure(
    pipeline: Pipeline, collections: Collections, options: argparse.Namespace
) -> tuple[EvaluationResult, list[Row]]:
    """Evaluate inside, outside and across hospitals: the first result, and all rows."""

    def evaluate_kept(name: str, estimator: Any, X: Any, data: Bunch, **others: Any):
        print(f"{name} …", flush=True)
        return evaluate(
            estimator,
            X,
            data.target,
            groups=data.groups,
            random_state=options.seed,
            checkpoint=options.output / "checkpoints" / name,
            **others,
        )

    inside, hospitals, outside, enlarged = collections
    result = evaluate_kept("inside", pipeline, inside.paths, inside, test=outside)
    rows = [summarise("one collection", "itself", result)]
    rows += by_collection("one collection", result, outside)
    larger = evaluate_kept(
        "enlarged", pipeline, enlarged.paths, enlarged, cv=2, test=hospitals
    )
    rows.append(summarise("two collections", "many hospitals", larger.external))
    rows += evaluate_hospitals(pipeline, hospitals, evaluate_kept)
    return result, rows


def evaluate_hospitals(
    pipeline: Pipeline, data: Bunch, evaluate_kept: Callable[..., EvaluationResult]
) -> list[Row]:
    """Evaluate models of many hospitals, and of what is known without the image."""
    features = pipeline[:-3].fit_transform(data.paths)
    by_patient = {"cv": 5}
    by_hospital = {"cv": "leave-one-source-out"}
    plans = [
        ("many hospitals", pipeline, data.paths, by_patient),
        ("the hospital's name alone", *names_alone(data), by_patient),
        ("many hospitals", pipeline, data.paths, by_hospital),
        (
            "many hospitals, features standardised in each",
            pipeline[-3:],
            standardise(features, data.source),
            by_hospital,
        ),
    ]
    if "age" in data.attributes:
        plans.insert(
            2, ("view, age and sex alone", *attributes_alone(data), by_patient)
        )
    rows = []
    for trained_on, estimator, X, folds in plans:
        tested_on = "itself" if folds is by_patient else "each hospital by the others"
        name = f"{trained_on}, {tested_on}".replace(" ", "-")
        result = evaluate_kept(name, estimator, X, data, source=data.source, **folds)
        rows.append(summarise(trained_on, tested_on, result))
    return rows


def names_alone(data: Bunch) -> tuple[Pipeline, NDArray]:
    """Predict from the hospital's name what its images show."""
    encoder = OneHotEncoder(handle_unknown="ignore")
    return make_pipeline(encoder, LogisticRegression()), data.source[:, np.newaxis]


def attributes_alone(data: Bunch) -> tuple[Pipeline, NDArray]:
    """Predict from view, age and sex what the images show."""
    names = ["view", "sex", "age"]
    table = np.column_stack([data.attributes[name].astype(object) for name in names])
    age = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer((encoder, [0, 1]), (age, [2]))
    return make_pipeline(columns, LogisticRegression()), table


def standardise(features: NDArray, source: NDArray) -> NDArray:
    """Give the features of each hospital mean 0 and variance 1; labels are not used."""
    standard = np.empty_like(features)
    for name in np.unique(source):
        rows = source == name
        standard[rows] = StandardScaler().fit_transform(features[rows])
    return standard


def summarise(trained_on: str, tested_on: str, result: Any) -> Row:
    """Take the figures of COVID-19 from a result, inside or external."""
    within = getattr(result, "within_source_roc_auc", None)
    figures = result.per_class[COVID_19]
    return Row(
        trained_on,
        tested_on,
        len(result.predictions),
        result.roc_auc[COVID_19],
        within and within[COVID_19],
        figures.recall,
        figures.specificity,
    )


def by_collection(trained_on: str, result: EvaluationResult, test: Bunch) -> list[Row]:
    """Take the figures of each collection of an external set."""
    table = result.external.subgroups({"source": test.source})["source"]
    return [
        Row(
            trained_on,
            name,
            group.n_images,
            group.roc_auc[COVID_19],
            None,
            group.recall[COVID_19],
            group.specificity[COVID_19],
        )
        for name, group in table.items()
    ]


def as_table(rows: Sequence[Row]) -> str:
    """Write the rows in Markdown."""
    header = ["trained on", "tested on", "images", "ROC AUC", "within hospitals"]
    return markdown_table(
        [*header, "recall", "specificity"],
        [
            [
                row.trained_on,
                row.tested_on,
                row.images,
                row.roc_auc.format_fraction(),
                row.within_sources.format_fraction() if row.within_sources else "",
                row.recall.format_percent(1),
                row.specificity.format_percent(1),
            ]
            for row in rows
        ],
    )


def describe_threshold(result: EvaluationResult, test: Bunch) -> str:
    """Choose a threshold inside for a wanted sensitivity, and apply it outside."""
    inside = result.operating_point(COVID_19, sensitivity=SENSITIVITY)
    outside = result.external.operating_point(COVID_19, threshold=inside.threshold)
    return (
        f"The threshold {inside.threshold:.4f} has a sensitivity of "
        f"{inside.sensitivity.format_percent(1)} and a specificity of "
        f"{inside.specificity.format_percent(1)} inside; outside it has "
        f"{outside.sensitivity.format_percent(1)} and "
        f"{outside.specificity.format_percent(1)}."
    )


if __name__ == "__main__":
    main()
