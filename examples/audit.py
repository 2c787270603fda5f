"""Evaluate a network on chest radiographs, and audit its score.

With --data it runs on a folder of radiographs, one sub-folder a class. With
--predictions it audits the predictions of any other model, from a table. Without both,
it runs on synthetic radiographs, offline, in a minute or two; every image of one class
then has a white mark in a corner, for the audit to find.
"""

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import _command_line as command_line
import matplotlib.pyplot as plt
import numpy as np
from cross_validate import DEMO_IMAGE_SIZE, DEMO_IMAGES
from imblearn.pipeline import Pipeline
from numpy.typing import NDArray

from skcovid import audit, make_transfer_pipeline, write_report
from skcovid.auditing import AuditReport
from skcovid.datasets import load_radiographs, make_radiographs, save_radiographs
from skcovid.inspection import AuditDisplay, PooledConfusionMatrixDisplay
from skcovid.networks.backbones import list_backbones
from skcovid.pipeline import RECIPES

# Defaults of options, with --data and without.
DATA_DEFAULTS = {"backbone": "inceptionv3", "weights": "imagenet"}
DEMO_DEFAULTS = {"backbone": "resnet50", "weights": "none"}
MARKED = "COVID-19"


class Radiographs(NamedTuple):
    """Paths, labels, patients and sources of images, and a description."""

    paths: NDArray
    y: NDArray
    groups: NDArray | None
    source: NDArray | None
    description: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for; exit with code 2 if that fails."""
    plt.switch_backend("Agg")
    command_line.run_script(make_parser(), run, arguments)


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command_line.add_data_option(
        parser, without=f"{DEMO_IMAGES} synthetic ones with a mark"
    )
    parser.add_argument(
        "--predictions",
        metavar="FILE",
        help="audit this CSV table of predictions and train no network: columns path, "
        "label, prediction and/or one probability_<class> for each class, and, if "
        "known, patient, source and fold",
    )
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="end with exit code 1 if a check is flagged, and 0 if none is; errors "
        "always end with 2",
    )
    parser.add_argument(
        "--source",
        nargs="+",
        metavar="CLASS=NAME",
        help="where the images of each class come from; default: the source column of "
        "the folder's metadata.csv",
    )
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        help=f"one of {', '.join(list_backbones())}; default: inceptionv3 (without "
        "--data: resnet50)",
    )
    command_line.add_weights_option(parser, default="imagenet (without --data: none)")
    parser.add_argument(
        "--recipe",
        choices=list(RECIPES),
        default="linear",
        help="how the network is trained; blanked lungs are always audited with the "
        "linear recipe; default: %(default)s",
    )
    parser.add_argument(
        "--precision",
        default="float32",
        help="of the network: mixed_bfloat16 is faster where the hardware supports it; "
        "default: %(default)s",
    )
    parser.add_argument(
        "--folds",
        type=command_line.positive_int,
        default=5,
        metavar="N",
        help="default: 5",
    )
    command_line.add_limit_option(parser, shuffled_by="--seed")
    parser.add_argument(
        "--max-images",
        type=command_line.positive_int,
        default=1000,
        metavar="N",
        help="blank the lungs of at most N images, drawn so that classes keep their "
        "shares; each goes through the network three times; default: %(default)s",
    )
    command_line.add_folder_options(
        parser,
        output=", which replace an earlier run's",
        kept="features are kept for later runs",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    return parser


def run(options: argparse.Namespace) -> None:
    """Evaluate and audit; print and write the report."""
    with ExitStack() as stack:
        if options.predictions is not None:
            check_options(options)
            report = audit(options.predictions, **audit_options(options))
            pipeline, paths = None, None
            labels = command_line.count_images(report.result.y_true)
            description = f"Predictions in {options.predictions}. {labels}."
        else:
            defaults = DEMO_DEFAULTS if options.data is None else DATA_DEFAULTS
            for name, value in defaults.items():
                if getattr(options, name) is None:
                    setattr(options, name, value)
            folder = options.data
            if folder is None:
                temporary = TemporaryDirectory(prefix="skcovid-")
                folder = Path(stack.enter_context(temporary))
                write_marked_radiographs(folder, options.seed)
            paths, y, groups, source, description = load(options, folder)
            print(description)
            pipeline = make_pipeline(
                options, stack.enter_context(command_line.features_folder(options))
            )
            report = audit(pipeline, paths, y, groups, source, **audit_options(options))
        print(f"\n{report.to_markdown()}\n")
        write(report, pipeline, paths, description, options)
    print(f"report.html, report.md, results.json and figures are in {options.output}")
    if options.exit_code:
        raise SystemExit(report.exit_code)


def check_options(options: argparse.Namespace) -> None:
    """Raise if an option is given that has no use beside --predictions."""
    for name in ("data", "source", "backbone", "weights", "limit", "memory"):
        if getattr(options, name) is not None:
            raise ValueError(
                f"--{name} has no use beside --predictions; leave one of them out"
            )


def audit_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters of `audit` that options give."""
    return {
        "cv": options.folds,
        "max_images": options.max_images,
        "random_state": options.seed,
    }


def load(options: argparse.Namespace, folder: Path) -> Radiographs:
    """Load the folder, or the synthetic set that was written to it."""
    data = load_radiographs(folder)
    source = data.source
    if options.source is not None:
        source = sources_of_classes(options.source, data.target)
    rows = np.arange(len(data.target))
    if options.limit is not None:
        rows = command_line.first_of_each_class(
            data.target, options.limit, options.seed
        )
    labels = data.target[rows]
    origin = (
        "Synthetic radiographs, where every image of "
        f"{MARKED} has a white mark in a corner; the figures say nothing about real "
        "ones."
        if options.data is None
        else f"Radiographs in {options.data}."
    )
    return Radiographs(
        data.paths[rows],
        labels,
        None if data.groups is None else data.groups[rows],
        None if source is None else source[rows],
        f"{origin} {command_line.count_images(labels)}.",
    )


def sources_of_classes(pairs: Sequence[str], y: NDArray) -> NDArray:
    """Return the source of every image, as --source has it for its class."""
    known = dict(pair.rpartition("=")[::2] for pair in pairs)
    classes = np.unique(y).tolist()
    if sorted(known) != classes:
        raise ValueError(
            f"--source must name one source for each class ({', '.join(classes)}), as "
            f"'{classes[0]}=hospital A'; got {', '.join(pairs)}"
        )
    return np.array([known[label] for label in y])


def write_marked_radiographs(folder: Path, seed: int) -> None:
    """Write synthetic radiographs, a white square in a corner of those of a class."""
    X, y = make_radiographs(
        n_samples=DEMO_IMAGES,
        image_size=DEMO_IMAGE_SIZE,
        weights=(1, 1, 1),
        random_state=seed,
        return_X_y=True,
    )
    X[y == MARKED, 1:5, 1:5] = 255
    save_radiographs(X, y, folder)


def make_pipeline(options: argparse.Namespace, memory: str | Path) -> Pipeline:
    """Make the pipeline that the options ask for."""
    overrides: dict[str, Any] = {}
    if options.data is None:
        overrides["image_size"] = DEMO_IMAGE_SIZE
    return make_transfer_pipeline(
        options.backbone,
        recipe=options.recipe,
        weights=command_line.weights_of(options),
        precision=options.precision,
        memory=memory,
        random_state=options.seed,
        **overrides,
    )


def write(
    report: AuditReport,
    pipeline: Pipeline | None,
    paths: NDArray | None,
    description: str,
    options: argparse.Namespace,
) -> None:
    """Write the reports, the figures and results.json."""
    options.output.mkdir(parents=True, exist_ok=True)
    title = "predictions in a table"
    if pipeline is not None:
        title = command_line.title_of(options.backbone, options)
    text = (
        f"# Audit: {title}\n\n{description}\n\n{report.to_markdown()}\n\n"
        f"## The evaluation\n\n{report.result.to_markdown()}\n"
    )
    figures = {
        "Audit": AuditDisplay.from_report(report).figure_,
        "Confusion matrix": PooledConfusionMatrixDisplay.from_result(
            report.result
        ).figure_,
    }
    for name, figure in figures.items():
        file_name = f"{name.lower().replace(' ', '_')}.png"
        figure.savefig(options.output / file_name, dpi=150, bbox_inches="tight")
        plt.close(figure)
        text += f"\n![{name}]({file_name})\n"
    (options.output / "report.md").write_text(text, encoding="utf-8")
    write_report(
        options.output / "report.html",
        report.result,
        pipeline=pipeline,
        audit=report,
        X=paths,
        title=title,
        description=description,
    )
    results = {"evaluation": report.result.to_dict(), "audit": report.to_dict()}
    (options.output / "results.json").write_text(
        json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
