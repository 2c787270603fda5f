"""A cross-validation: our fast recipe against what a user would write instead.

The whole job, from files to predictions of the test images, for one fold and for all:

- skcovid: `make_transfer_pipeline(recipe="fast", memory=DIR)`, from an empty folder of
  features, and once more from the one it has filled;
- Keras: augmented arrays, the same head on the same frozen network, `model.fit`;
- scikeras: the same network in `scikeras.wrappers.KerasClassifier`, in an imblearn
  `Pipeline`;
- AUCMEDI: its own head on the same frozen network, fed from arrays in memory.

All see the same folds, the same augmented copies (made by our balancer, which is the
fastest there is) and as many epochs. Ours runs half of its epochs in either of its two
phases; the rivals train the head in all of theirs. Early stopping is off.

A rival goes through the whole network in every epoch, hours for 20 of them. Unless
--rival-epochs is as large as --epochs, it runs that many epochs and half as many, and
the rest is extrapolated: a fixed cost and a cost per epoch. So are folds that it has
not run. Extrapolated figures are marked with ~; nothing else is estimated. Accuracies
are those reached after the epochs that were run.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import _common

EMPTY, FULL = "skcovid, empty store", "skcovid, full store"
RIVALS = {
    "Keras": "keras_side",
    "scikeras": "scikeras_side",
    "AUCMEDI": "aucmedi_side",
}
# The head and the rate that all but AUCMEDI's own head share are those of section 3.4.
DENSE_UNITS, DROPOUT, LEARNING_RATE = 128, 0.6, 0.001
FACTOR = 2
VALIDATION_FRACTION = 0.1
N_SYNTHETIC = 2905


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _common.add_common_options(parser, repeats=1)
    _common.add_network_options(parser, backbone="inceptionv3")
    parser.add_argument(
        "--folds", type=_common.positive_int, default=5, help="default: %(default)s"
    )
    parser.add_argument(
        "--epochs",
        type=_common.positive_int,
        default=20,
        help="an even number; default: %(default)s",
    )
    parser.add_argument(
        "--rival-epochs",
        type=_common.positive_int,
        default=2,
        help="that the rivals run, at least 2; default: %(default)s",
    )
    parser.add_argument(
        "--rival-folds",
        type=_common.positive_int,
        default=1,
        help="that the rivals run; default: %(default)s",
    )
    parser.add_argument(
        "--rivals",
        nargs="*",
        choices=list(RIVALS),
        default=list(RIVALS),
        help="default: all",
    )
    parser.add_argument(
        "--aucmedi-python",
        default=sys.executable,
        metavar="FILE",
        help="the Python that AUCMEDI is installed for; default: this one",
    )
    options = parser.parse_args()
    if options.epochs % 2:
        parser.error("--epochs: our recipe has two phases, so it must be even")
    options.rival_epochs = min(options.rival_epochs, options.epochs)
    options.rival_folds = min(options.rival_folds, options.folds)
    if options.rival_epochs < 2 or options.folds < 2:
        parser.error("--rival-epochs and --folds must be 2 at least")
    return options


class Run(NamedTuple):
    """A side, with as many folds and epochs as it runs or stands for."""

    side: str
    folds: int
    epochs: int


def main() -> None:
    options = parse()
    rivals = list(options.rivals)
    if "AUCMEDI" in rivals and not _common.is_importable(
        "aucmedi", options.aucmedi_python
    ):
        print("left out, can't be imported: aucmedi", file=sys.stderr)
        rivals.remove("AUCMEDI")
    with tempfile.TemporaryDirectory(prefix="skcovid-") as folder:
        job = make_job(options, folder)
        calls = {
            **{
                Run(side, folds, options.epochs): partial(
                    measure_ours, job, folder, folds, full=side == FULL
                )
                for folds in (1, options.folds)
                for side in (EMPTY, FULL)
            },
            **{
                run: partial(measure_rival, job, run)
                for rival in rivals
                for run in rival_runs(rival, options)
            },
        }
        measured = _common.alternate(calls, options.repeats)
    summaries = {run: summarise(values, job) for run, values in measured.items()}
    tables = {
        describe(job, options): "",
        "Whole job": table_of_jobs(summaries, rivals, options),
        "Trunk passes of skcovid, counted": table_of_passes(summaries, options),
    }
    results = [
        {**run._asdict(), **summary, "runs": [value._asdict() for value in values]}
        for (run, values), summary in zip(
            measured.items(), summaries.values(), strict=True
        )
    ]
    _common.report(options, tables, results)


def rival_runs(rival: str, options: argparse.Namespace) -> list[Run]:
    """What a rival runs: all its epochs, or two numbers of them to extrapolate from."""
    longest = options.rival_epochs
    epochs = [longest] if longest == options.epochs else [longest, longest // 2]
    return [Run(rival, options.rival_folds, n_epochs) for n_epochs in epochs]


def make_job(options: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Gather what all sides are given: images, folds, network."""
    import numpy as np

    radiographs = _common.load_radiographs(options, folder, n_synthetic=N_SYNTHETIC)
    classes, y = np.unique(radiographs.y, return_inverse=True)
    return {
        "paths": radiographs.paths,
        "y": y.tolist(),
        "classes": classes.tolist(),
        "folds": split(y, radiographs.groups, options),
        "backbone": options.backbone.lower(),
        "weights": _common.weights_argument(options),
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "aucmedi_python": options.aucmedi_python,
    }


def split(
    y: Any, groups: list[str] | None, options: argparse.Namespace
) -> list[dict[str, list[int]]]:
    """Split rows into folds, and a part of each training fold off for validation."""
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    # An image of an unknown patient is a patient of its own.
    patients = np.arange(len(y)) if groups is None else np.asarray(groups)
    outer, inner = (
        StratifiedGroupKFold(n_splits, shuffle=True, random_state=options.seed)
        for n_splits in (options.folds, round(1 / VALIDATION_FRACTION))
    )
    folds = []
    for train, test in outer.split(y, y, patients):
        kept, held_out = next(inner.split(y[train], y[train], patients[train]))
        rows = {"train": train[kept], "val": train[held_out], "test": test}
        folds.append({name: part.tolist() for name, part in rows.items()})
    return folds


def measure_ours(
    job: dict[str, Any], folder: str, n_folds: int, *, full: bool
) -> _common.Measurement:
    """Run our pipeline in a child, on an empty store or on the last one's."""
    memory = Path(folder, f"features-{n_folds}")
    if not full:
        # The last repeat's would be a full one.
        with removed(memory):
            memory.mkdir()
    given = {**job, "folds": job["folds"][:n_folds], "memory": str(memory)}
    return _common.run_side(__file__, "skcovid_side", {"job": given})


@contextmanager
def removed(folder: Path) -> Iterator[None]:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    yield


def measure_rival(job: dict[str, Any], run: Run) -> _common.Measurement:
    given = {**job, "folds": job["folds"][: run.folds], "epochs": run.epochs}
    return _common.run_side(__file__, RIVALS[run.side], {"job": given})
