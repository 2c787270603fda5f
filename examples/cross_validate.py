"""Compare networks on a folder of radiographs: Tables 3 and 4 of the paper.

Each is evaluated on the same folds, with `--protocol paper` as the paper does it.
`skcovid evaluate` does it for one network, and audits it.
"""

import argparse
from collections.abc import Sequence

import _command_line as command_line
import numpy as np

from skcovid import evaluate, make_transfer_pipeline, write_report
from skcovid.datasets import load_radiographs
from skcovid.model_selection import EvaluationResult
from skcovid.networks.backbones import PAPER_BACKBONES, get_backbone
from skcovid.pipeline import RECIPES


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for; exit with code 2 if it can't be done."""
    command_line.run_script(make_parser(), run, arguments)


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command_line.add_data_option(parser, without=None)
    parser.add_argument(
        "--backbone",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help=f"registered networks; default: {', '.join(PAPER_BACKBONES)}",
    )
    command_line.add_weights_option(parser, default="imagenet")
    parser.set_defaults(weights="imagenet")
    parser.add_argument("--recipe", choices=list(RECIPES), default="paper")
    parser.add_argument(
        "--protocol",
        choices=["cross_val_predict", "paper"],
        default="cross_val_predict",
        help="predict every image once, with patients on one side of every split; or, "
        "as the paper does, halve each test fold without regard to patients: one half "
        "steers the training, the other is predicted; default: %(default)s",
    )
    for name, default in (("--folds", 5), ("--epochs", None)):
        parser.add_argument(
            name,
            type=command_line.positive_int,
            default=default,
            metavar="N",
            help=f"default: {default or 'that of the recipe'}",
        )
    command_line.add_limit_option(parser, shuffled_by="seed 0")
    command_line.add_folder_options(
        parser,
        output=", with a sub-folder for each network",
        kept="the fast and linear recipes keep features for later runs",
    )
    return parser


def run(options: argparse.Namespace) -> None:
    """Evaluate every network; print and write what was found."""
    names = PAPER_BACKBONES if options.backbone == ["all"] else options.backbone
    names = [get_backbone(name).name for name in names]
    if len(names) > 1 and options.weights not in ("imagenet", "none"):
        raise ValueError(
            f"--weights {options.weights} is of one network; give one --backbone, not "
            f"{len(names)}"
        )
    epochs = {} if options.epochs is None else {"epochs": options.epochs}
    data = load_radiographs(options.data)
    rows = np.arange(len(data.target))
    if options.limit is not None:
        rows = command_line.first_of_each_class(data.target, options.limit, seed=0)
    X, y = data.paths[rows], data.target[rows]
    groups = None
    if data.groups is not None and options.protocol != "paper":
        groups = data.groups[rows]
    print(command_line.count_images(y))
    results = {}
    with command_line.features_folder(options) as memory:
        for name in names:
            pipeline = make_transfer_pipeline(
                name,
                recipe=options.recipe,
                weights=command_line.weights_of(options),
                memory=memory,
                random_state=0,
                **epochs,
            )
            result = evaluate(
                pipeline,
                X,
                y,
                cv=options.folds,
                groups=groups,
                protocol=options.protocol,
            )
            folder = options.output / name
            folder.mkdir(parents=True, exist_ok=True)
            result.to_json(folder / "results.json")
            write_report(folder / "report.html", result, pipeline=pipeline, X=X)
            print(f"\n{command_line.title_of(name, options)}\n\n{result.per_class}\n")
            results[name] = result
    print(summarise(results))
    print(f"\nReports and results.json are in {options.output}")


def summarise(results: dict[str, EvaluationResult]) -> str:
    """Compare the networks: their means over the classes, as a Markdown table."""
    header = "recall|precision|F1|one-vs-rest accuracy|multi-class accuracy"
    lines = [f"|backbone|{header}|", "|:--|--:|--:|--:|--:|--:|"]
    for name, result in results.items():
        means = result.per_class.means
        shares = means.recall, means.precision, means.f1, means.one_vs_rest_accuracy
        figures = (*shares, result.accuracy)
        cells = "|".join(figure.format_percent() for figure in figures)
        lines.append(f"|{name}|{cells}|")
    return "Means over the classes, with 95 % intervals:\n\n" + "\n".join(lines)


if __name__ == "__main__":
    main()
