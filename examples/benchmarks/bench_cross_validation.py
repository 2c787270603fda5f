"""A cross-validation: our fast recipe against what a user would write instead.

The whole job, from files to predictions of the test images, for one fold and for all:

- skcovid: make_transfer_pipeline(recipe="fast", memory=DIR), from an empty folder of
  features, and once more from the one that has just been filled;
- Keras: augmented arrays, model.fit on a frozen network with a new head;
- scikeras: the same network in scikeras' KerasClassifier, in an imblearn Pipeline;
- AUCMEDI: its own head on the same frozen network, fed from arrays in memory.

All see the same folds and the same augmented copies, which our balancer makes for the
rivals too, and run as many epochs, early stopping off. Ours spends half of them in each
of its two phases, the second of which fine-tunes; the rivals train the head in all.

A rival runs the whole network in every epoch, which takes hours. Unless --rival-epochs
is as large as --epochs, it runs that many and half as many, and from these two a fixed
cost and a cost per epoch are computed, and from them the figure for all the epochs; so
are folds beyond --rival-folds. What is extrapolated is marked with ~. Peak memory and
accuracy are those of the longest run, whose epochs and folds the last column names.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import _common
from _cross_validation_sides import SIDES

EMPTY, FULL = "skcovid, empty store", "skcovid, full store"
RIVALS = {
    "Keras": "keras_side",
    "scikeras": "scikeras_side",
    "AUCMEDI": "aucmedi_side",
}
VALIDATION_FRACTION = 0.1
N_SYNTHETIC = 2905  # as many as the paper's


class Run(NamedTuple):
    """A side, and the folds and epochs that it runs."""

    side: str
    folds: int
    epochs: int


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _common.add_common_options(parser, repeats=1)
    _common.add_network_options(parser, backbone="inceptionv3")
    count: dict[str, Any] = {"type": _common.positive_int, "metavar": "N"}
    parser.add_argument("--folds", default=5, help="default: %(default)s", **count)
    parser.add_argument(
        "--run-folds",
        help="how many of them our side runs beside one alone; 1 for no others; "
        "default: all",
        **count,
    )
    parser.add_argument(
        "--epochs", default=20, help="an even number; default: %(default)s", **count
    )
    parser.add_argument(
        "--rivals",
        nargs="*",
        choices=list(RIVALS),
        default=list(RIVALS),
        help="default: all",
    )
    parser.add_argument(
        "--rival-epochs",
        default=2,
        help="epochs that the rivals run, from 2 to --epochs; default: %(default)s",
        **count,
    )
    parser.add_argument(
        "--rival-folds",
        default=1,
        help="folds that the rivals run; default: %(default)s",
        **count,
    )
    parser.add_argument(
        "--aucmedi-python",
        default=sys.executable,
        metavar="FILE",
        help="the Python that AUCMEDI is installed for; default: this one",
    )
    options = parser.parse_args()
    if options.epochs % 2:
        parser.error("--epochs must be even: our recipe has two phases")
    if not 2 <= options.rival_epochs <= options.epochs:
        parser.error("--rival-epochs must be from 2 to --epochs")
    options.run_folds = options.run_folds or options.folds
    most = max(options.rival_folds, options.run_folds)
    if not most <= options.folds or options.folds < 2:
        parser.error(
            "--folds must be 2 at least, --rival-folds and --run-folds no more"
        )
    return options


def main() -> None:
    options = parse()
    aucmedi = options.aucmedi_python
    if "AUCMEDI" in options.rivals and not _common.is_importable("aucmedi", aucmedi):
        print("left out, can't be imported: aucmedi", file=sys.stderr)
        options.rivals.remove("AUCMEDI")
    with tempfile.TemporaryDirectory(prefix="skcovid-") as folder:
        job = make_job(options, folder)
        calls = {run: partial(measure, run, job, folder) for run in runs(options)}
        measured = _common.alternate(calls, options.repeats)
    del options.aucmedi_python  # somebody's folder
    tables = {
        f"{len(job['y'])} images, {options.backbone}, {options.epochs} epochs, medians "
        f"of {options.repeats}": table_of_jobs(measured, options),
        "Images that went through skcovid's trunk in fitting, counted": (
            table_of_passes(measured)
        ),
    }
    results = [
        {**run._asdict(), "measurements": [value._asdict() for value in values]}
        for run, values in measured.items()
    ]
    _common.report(options, tables, results)


def runs(options: argparse.Namespace) -> list[Run]:
    """List what is run, a full store after the empty one that fills it."""
    ours = [
        Run(side, folds, options.epochs)
        for folds in sorted({1, options.run_folds})
        for side in (EMPTY, FULL)
    ]
    epochs = {options.rival_epochs}
    if options.rival_epochs < options.epochs:
        epochs.add(options.rival_epochs // 2)
    rivals = [
        Run(rival, options.rival_folds, n_epochs)
        for rival in options.rivals
        for n_epochs in sorted(epochs)
    ]
    return ours + rivals


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
        "backbone": options.backbone,
        "weights": _common.weights_argument(options),
        "batch_size": options.batch_size,
        "seed": options.seed,
        "aucmedi_python": options.aucmedi_python,
    }


def split(
    y: Any, groups: Sequence[str] | None, options: argparse.Namespace
) -> list[dict[str, list[int]]]:
    """Split rows into folds, and validation images off each training part."""
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    patients = np.arange(len(y)) if groups is None else np.asarray(groups)
    outer, inner = (
        StratifiedGroupKFold(n_splits, shuffle=True, random_state=options.seed)
        for n_splits in (options.folds, round(1 / VALIDATION_FRACTION))
    )
    folds = []
    for train, test in outer.split(y, y, patients):
        kept, val = next(inner.split(y[train], y[train], patients[train]))
        rows = {"train": train[kept], "val": train[val], "test": test}
        folds.append({name: part.tolist() for name, part in rows.items()})
    return folds


def measure(run: Run, job: Mapping[str, Any], folder: str) -> _common.Measurement:
    """Run a side in a child process."""
    given = {**job, "folds": job["folds"][: run.folds], "epochs": run.epochs}
    if run.side in RIVALS:
        return _common.run_side(__file__, RIVALS[run.side], {"job": given})
    memory = Path(folder, "features")
    if run.side == EMPTY:
        shutil.rmtree(memory, ignore_errors=True)
    given["memory"] = str(memory)
    return _common.run_side(__file__, "skcovid_side", {"job": given})


def cost(
    values: Sequence[_common.Measurement], folds: int, quantity: str
) -> tuple[float, float]:
    """Return the medians of what the process takes beside its folds, and a fold."""
    in_folds = [[fold[quantity] for fold in value.result] for value in values]
    totals = [getattr(value, quantity) for value in values]
    outside = [
        total - sum(parts) for total, parts in zip(totals, in_folds, strict=True)
    ]
    return (
        _common.median(outside),
        _common.median(sum(parts) / folds for parts in in_folds),
    )


def estimate(
    measured: Mapping[Run, Sequence[_common.Measurement]], wanted: Run, quantity: str
) -> tuple[float, bool]:
    """Return seconds of wall or CPU time, and whether they were measured."""
    if wanted in measured:
        values = [getattr(value, quantity) for value in measured[wanted]]
        return _common.median(values), True
    ran = [run for run in measured if run.side == wanted.side]
    costs = [cost(measured[run], run.folds, quantity) for run in ran]
    outside, a_fold = costs[-1]
    if len(ran) > 1:
        epochs = [run.epochs for run in ran]
        slope = (a_fold - costs[0][1]) / (epochs[1] - epochs[0])
        a_fold += slope * (wanted.epochs - epochs[1])
    return outside + wanted.folds * a_fold, False


def table_of_jobs(
    measured: Mapping[Run, Sequence[_common.Measurement]], options: argparse.Namespace
) -> str:
    """What every side takes for one fold and for all, and its accuracy."""
    header = ["side", "folds", "wall time", "CPU time", "peak memory"]
    header += ["times ours, empty store", "accuracy", "after epochs, folds"]
    rows = []
    for folds in sorted({1, options.run_folds}):
        ours = estimate(measured, Run(EMPTY, folds, options.epochs), "wall_s")[0]
        for side in (EMPTY, FULL, *options.rivals):
            wanted = Run(side, folds, options.epochs)
            wall, is_measured = estimate(measured, wanted, "wall_s")
            cpu, _ = estimate(measured, wanted, "cpu_s")
            mark = "" if is_measured else "~"
            ran = max(
                (run for run in measured if run.side == side and run.folds <= folds),
                key=lambda run: (run.folds, run.epochs),
                default=max(run for run in measured if run.side == side),
            )
            peak = _common.median(value.peak_mib for value in measured[ran])
            rows.append(
                [
                    side,
                    folds,
                    f"{mark}{format_seconds(wall)}",
                    f"{mark}{format_seconds(cpu)}",
                    f"{peak / 1024:.2f} GiB",
                    f"{mark}{wall / ours:.1f}×",
                    format_accuracy(measured[ran][-1].result),
                    f"{ran.epochs}, {ran.folds}",
                ]
            )
    return _common.markdown_table(header, rows)


def table_of_passes(measured: Mapping[Run, Sequence[_common.Measurement]]) -> str:
    """How many images went through the trunk, and how many times one fold's that is."""
    passes = {
        (run.side, run.folds): sum(
            fold["n_trunk_passes"] for fold in measured[run][-1].result
        )
        for run in measured
        if run.side in (EMPTY, FULL)
    }
    one_fold = passes[EMPTY, 1]
    rows = [
        [side, folds, f"{count:,}", f"{count / one_fold:.2f}×"]
        for (side, folds), count in passes.items()
    ]
    return _common.markdown_table(["side", "folds", "passes", "one fold's"], rows)


def format_seconds(seconds: float) -> str:
    """Format a time as seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def format_accuracy(folds: Sequence[Mapping[str, int]]) -> str:
    """Accuracy over the folds that were run, with Wilson's 95 % interval."""
    from skcovid.metrics import wilson_interval

    n_correct, n_test = (
        sum(fold[name] for fold in folds) for name in ("n_correct", "n_test")
    )
    low, high = wilson_interval(n_correct, n_test)
    return f"{n_correct / n_test:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    _common.main_or_side(main, SIDES)
