"""Options that subcommands share, and the data and pipelines they stand for."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from skcovid.command._outcome import say

BACKBONE = "efficientnetlite0"
RECIPES = ("linear", "fast", "paper")


def positive_int(text: str) -> int:
    """Convert an argument to an integer from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def pair(text: str) -> tuple[str, str]:
    """Convert an argument OLD=NEW to both."""
    old, equals, new = text.rpartition("=")
    if not (old and equals and new):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form OLD=NEW")
    return old, new


RENAME: Mapping[str, Any] = {
    "action": "append",
    "default": [],
    "type": pair,
    "metavar": "OLD=NEW",
}


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the folders, and what of them is read."""
    add = parser.add_argument_group("data").add_argument
    text = (
        "folder of radiographs with a sub-folder for each class or a metadata.csv, a "
        "zip archive of one, or a CSV table; several are joined, each a source"
    )
    add("data", nargs="+", metavar="DIR", help=text)
    text = "a class to read, given once for each; default: all"
    names: dict[str, Any] = {"dest": "classes", "metavar": "NAME", "default": []}
    add("--class", action="append", **names, help=text)
    text = "give a class another name, as in --rename PNEUMONIA=Pneumonia"
    add("--rename", **RENAME, help=text)
    text = "'frontal' leaves lateral images out; default: %(default)s"
    add("--views", choices=["all", "frontal"], default="all", help=text)
    text = "take N images of each class, drawn with --seed"
    add("--limit", type=positive_int, metavar="N", help=text)
    text = "leave files out that can't be read, and name them; default: stop there"
    add("--skip-bad-files", action="store_true", help=text)
    text = "let images of one patient be in training and test"
    add("--ignore-patients", action="store_true", help=text)
    text = "give no figures by source"
    add("--ignore-sources", action="store_true", help=text)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what composes the pipeline."""
    add = parser.add_argument_group("model").add_argument
    text = "network, such as inceptionv3 or resnet50; default: %(default)s"
    add("--backbone", default=BACKBONE, metavar="NAME", help=text)
    text = "a linear head, two short phases of training, or the paper's; default: "
    add("--recipe", choices=RECIPES, default="linear", help=f"{text}%(default)s")
    text = "first weights: ImageNet's, random ones, or those of a .weights.h5 or .keras"
    kinds = "imagenet|none|FILE"
    add("--weights", default="imagenet", metavar=kinds, help=f"{text} file")
    text = "side of the images; default: that of the network"
    add("--image-size", type=positive_int, metavar="PIXELS", help=text)
    text = "at most, in each phase; the linear recipe has none"
    add("--epochs", type=positive_int, metavar="N", help=text)
    text = "random numbers of folds and training; default: %(default)s"
    add("--seed", type=int, default=0, metavar="N", help=text)
    text = "folder that keeps features for later runs; default: a temporary one"
    add("--memory", type=Path, metavar="DIR", help=text)


def add_output_options(
    parser: argparse.ArgumentParser, output: str = "", kind: str = "folder"
) -> None:
    """Add where results go, a path or words for it, and how they are shown."""
    add = parser.add_argument_group("output").add_argument
    if output:
        default = None if " " in output else Path(output)
        text = f"{kind} of the results, which replace earlier ones; default: {output}"
        add("-o", "--output", type=Path, default=default, metavar="PATH", help=text)
    text = "print one JSON document, and everything else on stderr"
    add("--json", action="store_true", help=text)
    add("-q", "--quiet", action="store_true", help="show no progress")


def load_data(
    options: argparse.Namespace, folders: Sequence[str] = (), **settings: Any
) -> Any:
    """Return what `load_radiographs` finds in folders, as the options want it."""
    import numpy as np

    from skcovid.datasets import load_radiographs
    from skcovid.model_selection._leave_one_source_out import explain_too_many

    given = {**vars(options), **settings}
    folders = folders or options.data
    data = load_radiographs(
        folders[0] if len(folders) == 1 else list(folders),
        class_names=given.get("classes") or None,
        class_mapping=dict(given.get("rename", ())) or None,
        views=options.views,
        on_error="report" if options.skip_bad_files else "raise",
        verbose=not options.quiet,
    )
    if options.ignore_patients:
        data.groups = None
    if options.ignore_sources:
        data.source = None
    elif data.source is not None and (problem := explain_too_many(data.source)):
        say(f"warning: {problem.partition(';')[0]}. Figures by source are left out.")
        data.source = None
    if options.limit is not None:
        order = np.random.default_rng(options.seed).permutation(len(data.target))
        of_class = [order[data.target[order] == name] for name in data.target_names]
        rows = np.sort(np.concatenate([part[: options.limit] for part in of_class]))
        for name, column in data.items():
            if isinstance(column, np.ndarray):
                data[name] = column[rows]
        data.attributes = {key: value[rows] for key, value in data.attributes.items()}
    return data


def name_data(options: argparse.Namespace) -> str:
    """Name the folders, for a report."""
    return f"Images of {', '.join(options.data)}"


def describe_counts(data: Any) -> str:
    """Say how many images there are, of which classes."""
    labels = data.target.tolist()
    counts = ", ".join(f"{name} {labels.count(name)}" for name in data.target_names)
    patients = "" if data.groups is None else f", {len(set(data.groups))} patients"
    return f"{len(labels)} images ({counts}){patients}"


@contextmanager
def feature_folder(options: argparse.Namespace) -> Iterator[Path]:
    """Return the folder of --memory, or a temporary one that is removed at the end."""
    with TemporaryDirectory(prefix="skcovid-") as folder:
        yield Path(folder) if options.memory is None else options.memory


def make_pipeline(options: argparse.Namespace, recipe: str, memory: Path) -> Any:
    """Compose the pipeline that the options ask for."""
    from skcovid import make_transfer_pipeline

    if options.recipe == "linear" and options.epochs is not None:
        raise ValueError(
            "--epochs is given, but the linear recipe has none. Leave it out, or give "
            "--recipe fast."
        )
    given = {"image_size": options.image_size, "verbose": 0 if options.quiet else None}
    if recipe != "linear":
        given["epochs"] = options.epochs
    return make_transfer_pipeline(
        options.backbone,
        recipe=recipe,
        weights=None if options.weights == "none" else options.weights,
        memory=memory,
        random_state=options.seed,
        **{name: value for name, value in given.items() if value is not None},
    )


def check_pipeline(pipeline: Any, paths: Sequence[str]) -> None:
    """Raise before long work if weights or image files can't be read."""
    from skcovid._base._network_estimator import NetworkEstimator
    from skcovid.model_selection._external_set import check_files_of

    for step in pipeline.named_steps.values():
        if isinstance(step, NetworkEstimator):
            step._check_weights()
    check_files_of(pipeline, paths, None)


def describe_model(options: argparse.Namespace) -> str:
    """Name network, recipe and weights; of a file, not where it lies."""
    weights = Path(options.weights).name
    return f"{options.backbone}, {options.recipe} recipe, weights: {weights}"
