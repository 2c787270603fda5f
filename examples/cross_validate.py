"""Cross-validate networks on chest radiographs: Tables 3 and 4 of the paper.

Without arguments it runs on synthetic radiographs, offline, in a minute or two. With
--data it runs on a folder of radiographs, one sub-folder a class.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _command_line as command_line
import matplotlib.pyplot as plt
import numpy as np
from imblearn.pipeline import Pipeline
from numpy.typing import NDArray

from skcovid import evaluate, make_transfer_pipeline, write_report
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.inspection import (
    PerClassTableDisplay,
    PooledConfusionMatrixDisplay,
    TrainingHistoryDisplay,
)
from skcovid.model_selection import EvaluationResult
from skcovid.networks.backbones import PAPER_BACKBONES, get_backbone, list_backbones
from skcovid.pipeline import RECIPES

# What options stand for where they are not given, with --data and without.
DATA_DEFAULTS = {"backbone": ["inceptionv3"], "weights": "imagenet", "recipe": "paper"}
# ResNet50, because random weights need its shortcuts: behind the other networks' random
# weights all images look the same, unless batch normalisation is trained.
DEMO_DEFAULTS = {"backbone": ["resnet50"], "weights": "none", "recipe": "fast"}
DEMO_IMAGES = 150
DEMO_IMAGE_SIZE = 96
# For so few images: batches small enough to make some steps of an epoch, and validation
# data that are more than a dozen images.
DEMO_TRAINING = {
    "batch_size": 8,
    "epochs": 8,
    "learning_rate": 0.0005,
    "validation_fraction": 0.2,
}
# The last convolution: a quarter of the weights of what Table 2 has, and of the time.
DEMO_FINE_TUNE_FROM = {"resnet50": "conv5_block3_3_conv"}


class Radiographs(NamedTuple):
    """What is evaluated: paths or images, labels, patients, and a word about them."""

    X: Any
    y: NDArray
    groups: NDArray | None
    description: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for; exit with code 2 if it can't be done."""
    plt.switch_backend("Agg")
    command_line.run_script(make_parser(), run, arguments)


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command_line.add_data_option(
        parser,
        without=f"{DEMO_IMAGES} synthetic radiographs of {DEMO_IMAGE_SIZE} pixels",
    )
    parser.add_argument(
        "--backbone",
        nargs="+",
        metavar="NAME",
        help=f"one or several of {', '.join(list_backbones())}; 'all' for the paper's "
        f"{', '.join(PAPER_BACKBONES)}; default: inceptionv3 (without --data: "
        "resnet50)",
    )
    command_line.add_weights_option(parser, default="imagenet (without --data: none)")
    parser.add_argument(
        "--recipe",
        choices=list(RECIPES),
        help="how the network is trained; default: paper (without --data: fast)",
    )
    parser.add_argument(
        "--protocol",
        choices=["cross_val_predict", "paper"],
        default="cross_val_predict",
        help="predict every image once, or, as the paper does, halve each test fold: "
        "one half steers the training, the other is predicted; default: %(default)s",
    )
    parser.add_argument(
        "--folds",
        type=command_line.positive_int,
        default=5,
        metavar="N",
        help="default: 5",
    )
    parser.add_argument(
        "--epochs",
        type=command_line.positive_int,
        metavar="N",
        help="at most, in each of the two phases; default: the recipe's "
        f"(without --data: {DEMO_TRAINING['epochs']})",
    )
    command_line.add_limit_option(parser, shuffled_by="--seed")
    parser.add_argument(
        "--groups",
        action=argparse.BooleanOptionalAction,
        help="keep the images of a patient on one side of every split; default: where "
        "patients are known, but not with --protocol paper, as the paper did not",
    )
    command_line.add_folder_options(
        parser,
        output=", which replace an earlier run's; several backbones have a sub-folder "
        "each",
        kept="the fast and linear recipes keep features for all folds and later runs",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    return parser


def run(options: argparse.Namespace) -> None:
    """Evaluate every backbone; print and write what was found."""
    fill_in_defaults(options)
    radiographs = load(options)
    print(radiographs.description)
    results = {}
    with command_line.features_folder(options) as memory:
        for backbone in options.backbone:
            pipeline = make_pipeline(backbone, options, memory)
            result = evaluate(
                pipeline,
                radiographs.X,
                radiographs.y,
                cv=options.folds,
                groups=radiographs.groups,
                protocol=options.protocol,
                random_state=options.seed,
            )
            title = command_line.title_of(backbone, options)
            print(f"\n{title}\n\n{result.to_markdown()}\n")
            several = len(options.backbone) > 1
            folder = options.output / backbone if several else options.output
            write(
                result,
                f"# {title}\n\n{radiographs.description}\n\n"
                f"## The evaluation\n\n{result.to_markdown()}\n",
                folder,
            )
            write_report(
                folder / "report.html",
                result,
                pipeline=pipeline,
                X=radiographs.X,
                title=title,
                description=radiographs.description,
            )
            results[backbone] = result
    if len(results) > 1:
        summary = summarise(results)
        print(f"{summary}\n")
        (options.output / "summary.md").write_text(summary, encoding="utf-8")
    print(f"report.html, tables, figures and results.json are in {options.output}")


def fill_in_defaults(options: argparse.Namespace) -> None:
    """Complete the options that depend on others, and check them."""
    defaults = DEMO_DEFAULTS if options.data is None else DATA_DEFAULTS
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.recipe == "linear" and options.epochs is not None:
        raise ValueError("--epochs: the linear recipe trains no network")
    names = PAPER_BACKBONES if options.backbone == ["all"] else options.backbone
    options.backbone = list(dict.fromkeys(get_backbone(name).name for name in names))
    if len(options.backbone) > 1 and options.weights not in ("imagenet", "none"):
        raise ValueError(
            f"--weights {options.weights} is of one network; give one --backbone, not "
            f"{len(options.backbone)}"
        )


def load(options: argparse.Namespace) -> Radiographs:
    """Load the folder, or make the synthetic set."""
    if options.data is None:
        X, y = make_radiographs(
            n_samples=DEMO_IMAGES,
            image_size=DEMO_IMAGE_SIZE,
            random_state=options.seed,
            return_X_y=True,
        )
        groups = None
        origin = "Synthetic radiographs; the figures say nothing about real ones."
    else:
        data = load_radiographs(options.data)
        X, y, groups = np.asarray(data.paths), np.asarray(data.target), data.groups
        origin = f"Radiographs in {options.data}."
    if options.groups and groups is None:
        raise ValueError("--groups: the patients of these radiographs are not known")
    by_default = options.protocol == "cross_val_predict"
    if not (by_default if options.groups is None else options.groups):
        groups = None
    if options.limit is not None:
        rows = command_line.first_of_each_class(y, options.limit, options.seed)
        X, y = X[rows], y[rows]
        groups = None if groups is None else np.asarray(groups)[rows]
    return Radiographs(X, y, groups, f"{origin} {command_line.count_images(y)}.")


def make_pipeline(
    backbone: str, options: argparse.Namespace, memory: str | Path
) -> Pipeline:
    """Compose the pipeline of one backbone as the options have it."""
    overrides: dict[str, Any] = {}
    if options.data is None:
        overrides["image_size"] = DEMO_IMAGE_SIZE
        if options.recipe != "linear":
            overrides |= DEMO_TRAINING
            overrides["fine_tune_from"] = DEMO_FINE_TUNE_FROM.get(backbone)
    if options.epochs is not None:
        overrides["epochs"] = options.epochs
    return make_transfer_pipeline(
        backbone,
        recipe=options.recipe,
        weights=command_line.weights_of(options),
        memory=memory,
        random_state=options.seed,
        **overrides,
    )


def write(result: EvaluationResult, report: str, folder: Path) -> None:
    """Write the report, the figures and results.json into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    result.to_json(folder / "results.json")
    figures = {
        "Confusion matrix": PooledConfusionMatrixDisplay.from_result(result).figure_,
        "Per class": PerClassTableDisplay.from_result(result).figure_,
    }
    if result.histories:
        display = TrainingHistoryDisplay.from_result(result)
        figures["Training history"] = display.figure_
    for name, figure in figures.items():
        file_name = f"{name.lower().replace(' ', '_')}.png"
        figure.savefig(folder / file_name, dpi=150, bbox_inches="tight")
        plt.close(figure)
        report += f"\n![{name}]({file_name})\n"
    (folder / "report.md").write_text(report, encoding="utf-8")


def summarise(results: dict[str, EvaluationResult]) -> str:
    """Compare the backbones: their means over the classes, as a Markdown table."""
    header = "recall|precision|F1|one-vs-rest accuracy|multi-class accuracy"
    lines = [f"|backbone|{header}|", "|:--|--:|--:|--:|--:|--:|"]
    for backbone, result in results.items():
        means = result.per_class.means
        figures = [
            means.recall,
            means.precision,
            means.f1,
            means.one_vs_rest_accuracy,
            result.accuracy,
        ]
        cells = "|".join(figure.format_percent() for figure in figures)
        lines.append(f"|{backbone}|{cells}|")
    return "Means over the classes, with 95 % intervals:\n\n" + "\n".join(lines)


if __name__ == "__main__":
    main()
