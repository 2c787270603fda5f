"""`skcovid demo`: draw synthetic radiographs, and evaluate, audit and report them."""

import argparse
from collections.abc import Iterator
from textwrap import fill
from typing import Any

from skcovid.command._evaluate import add_evaluation_options, evaluate_data
from skcovid.command._options import (
    add_model_options,
    add_output_options,
    load_data,
    positive_int,
)
from skcovid.command._outcome import WIDTH, Outcome, say

_PLANTED = "COVID-19"
# The drawings are the same in each run; --seed draws folds.
_DRAWN: dict[str, Any] = {
    "image_size": 224,
    "lesion_contrast": 3.0,
    "n_sources": 4,
    "confounding": 0.5,
    "confounded_class": _PLANTED,
    "random_state": 1,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    text = "number of synthetic radiographs; default: %(default)s"
    parser.add_argument(
        "--images", type=positive_int, default=300, metavar="N", help=text
    )
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
    import numpy as np

    from skcovid.datasets import make_radiographs, save_radiographs

    folder = options.output / "radiographs"
    say(
        "skcovid demo: drawings of chests, not images of patients. The last of four "
        f"sources (hospitals) has {_PLANTED} alone,\nin images of its own look: a "
        "shortcut that the audit should find. It takes about a minute."
    )
    made: Any = make_radiographs(options.images, **_DRAWN)
    if not folder.exists():
        save_radiographs(
            made.images, made.target, folder, groups=made.groups, source=made.source
        )
    data = load_data(options, [str(folder)])
    order = np.argsort(made.target, kind="stable")
    if not np.array_equal(data.source, made.source[order]):
        raise ValueError(
            f"{folder} holds images other than the {options.images} of this demo. Give "
            "another folder with --output, or remove that one."
        )
    # One view without lungs, and the fewest permutations: half of the audit's time.
    outcome, report = evaluate_data(
        options,
        data,
        None,
        "Synthetic radiographs (drawings)",
        fractions=(0.9,),
        n_permutations=19,
    )
    outcome.text = "\n\n".join(_tell(report, outcome.text))
    outcome.written = {folder: "the images, one folder per class", **outcome.written}
    outcome.next_steps = (
        f"open {options.output / 'report.html'}",
        "skcovid evaluate DIR   the same for your radiographs, a sub-folder per class",
        "skcovid fit DIR -o model.skcovid",
        "skcovid predict model.skcovid NEW.png",
    )
    return outcome


def _tell(report: Any, text: str) -> Iterator[str]:
    """Put what was planted, and whether it was found, around the figures."""
    import numpy as np

    yield "These images are synthetic: the figures say nothing about real ones."
    yield text
    hits = {
        name: (one.predictions == _PLANTED)[one.y_true == _PLANTED]
        for name, one in report.result.by_source.items()
    }
    *others, planted = hits.values()
    of_others = np.concatenate(others)
    found = "found it" if report["source"].flagged else "did not find it"
    flagged = ", ".join(check.name for check in report.checks if check.flagged)
    yield fill(
        f"Planted: {list(hits)[-1]} has {_PLANTED} alone, so its look gives the class "
        f"away. Recall of {_PLANTED} is {planted.sum()} of {len(planted)} there, and "
        f"{of_others.sum()} of {len(of_others)} in the others. The audit {found}. "
        f"Flagged: {flagged or 'nothing'}.",
        WIDTH,
    )
