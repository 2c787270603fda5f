"""`skcovid demo`: the evaluation of synthetic radiographs, without data."""

import argparse
from typing import Any

from skcovid.command._evaluate import add_evaluation_options, evaluate_data
from skcovid.command._options import add_model_options, add_output_options, load_data
from skcovid.command._outcome import Outcome


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add_model_options(parser)
    add_evaluation_options(parser)
    add_output_options(parser, "demo")
    parser.set_defaults(
        audit=True,
        views="all",
        limit=None,
        skip_bad_files=False,
        ignore_patients=False,
        ignore_sources=False,
    )


def run(options: argparse.Namespace) -> Outcome:
    """Write synthetic radiographs, and evaluate them as a user's folder."""
    from skcovid.datasets import make_radiographs, save_radiographs

    folder = options.output / "radiographs"
    if not folder.exists():
        made: Any = make_radiographs(150, image_size=224, random_state=options.seed)
        save_radiographs(made.images, made.target, folder)
    data = load_data(options, [str(folder)])
    return evaluate_data(options, data, None, "Synthetic radiographs")[0]
