"""Error rates of the audit's check of labels: missed wrong labels and false alarms.

Synthetic radiographs with 3 % of labels exchanged for another class's, the same with
their own labels, and sets of few patients with many images each. Only this check is
run. With --records an interrupted run is resumed.
"""

import argparse
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import _common
import numpy as np
from audit_error_rates import CLASS_WEIGHTS, append_record, make_model
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from tqdm.auto import tqdm

from skcovid import evaluate
from skcovid.auditing._labels import check_disputed_labels
from skcovid.auditing._refit import prepare_refit
from skcovid.auditing._subject import Subject
from skcovid.datasets import make_radiographs
from skcovid.images._pixels import read_pixels
from skcovid.metrics import Estimate

SHARE = 0.03
N_FIRST = 50
# Images, patients, pixels of a side, and whether labels are exchanged.
KINDS: dict[str, tuple[int, int, int, bool]] = {
    "3 % exchanged, 1700 images": (1700, 850, 48, True),
    "none, 1700 images": (1700, 850, 48, False),
    "none, 240 images": (240, 120, 96, False),
    "none, 20 patients of 20 images": (400, 20, 48, False),
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("--seeds", 50), ("--first-seed", 1), ("--jobs", 1)):
        parser.add_argument(name, type=_common.positive_int, default=default)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--records", type=Path, metavar="FILE")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write JSON")
    return parser.parse_args(arguments)


def exchange(y: NDArray, rng: np.random.Generator) -> NDArray[np.intp]:
    """Give some images the label of another class, and return their rows."""
    classes, codes = np.unique(y, return_inverse=True)
    rows = rng.choice(len(y), round(SHARE * len(y)), replace=False)
    shifts = rng.integers(1, len(classes), len(rows))
    y[rows] = classes[(codes[rows] + shifts) % len(classes)]
    return rows


@lru_cache(maxsize=1)
def draw(n_images: int, n_patients: int, size: int, seed: int) -> Any:
    """Draw the radiographs of a data set."""
    return make_radiographs(
        n_images,
        image_size=size,
        weights=CLASS_WEIGHTS,
        n_patients=n_patients,
        random_state=seed,
    )


def run(kind: str, seed: int) -> dict[str, Any]:
    """Check the labels of one data set."""
    *size, exchanged = KINDS[kind]
    data = draw(*size, seed)
    y, wrong = data.target.copy(), np.empty(0, dtype=int)
    if exchanged:
        wrong = exchange(y, np.random.default_rng(seed))
    result = evaluate(
        make_model(),
        data.images,
        y,
        cv=StratifiedGroupKFold(3, shuffle=True, random_state=seed),
        groups=data.groups,
        verbose=0,
    )
    splits = [(fold.train_indices, fold.test_indices) for fold in result.folds]
    subject = Subject(data.images, y, data.groups, result, None, seed, 1, 0, splits)
    with prepare_refit(subject, make_model(), 1000) as refit:
        pixels = read_pixels(data.images, n_jobs=1)
        check, queue = check_disputed_labels(subject, pixels, refit)
    rows = [one.row for one in queue]
    return {
        "kind": kind,
        "seed": seed,
        "flagged": check.flagged,
        "status": check.status,
        "p_value": check.details.get("p_value"),
        "accuracy": result.accuracy.value,
        "n_queue": len(rows),
        "n_wrong": len(wrong),
        "precision": float(np.isin(rows[:N_FIRST], wrong).mean()) if rows else None,
        "found": float(np.isin(wrong, rows).mean()) if exchanged else None,
    }


def table(results: list[dict[str, Any]]) -> str:
    """Flagged sets, precision of the first images of the queue, and its length."""
    lines = []
    for kind in KINDS:
        found = [one for one in results if one["kind"] == kind]
        if not found:
            continue
        n_flagged = sum(one["flagged"] for one in found)
        precision, share = "", ""
        if KINDS[kind][-1]:
            values = [one["precision"] for one in found]
            precision = (
                f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"
            )
            share = f"{np.mean([one['found'] for one in found]):.2f}"
        lines.append(
            [
                kind,
                f"{n_flagged} of {len(found)}",
                str(Estimate.from_counts(n_flagged, len(found))),
                f"{np.median([one['n_queue'] for one in found]):.0f}",
                precision,
                share,
            ]
        )
    header = [
        "wrong labels",
        "flagged",
        "rate, 95 % interval",
        "queue, median",
        f"precision of the first {N_FIRST}, mean (range)",
        "wrong labels in the queue",
    ]
    return _common.markdown_table(header, lines)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    results = []
    if options.records is not None and options.records.exists():
        lines = options.records.read_text("utf-8").splitlines()
        results = [json.loads(line) for line in lines]
    made = {(one["kind"], one["seed"]) for one in results}
    cases = [(kind, seed) for seed in seeds for kind in options.kinds]
    left = [case for case in cases if case not in made]
    running = Parallel(n_jobs=options.jobs, return_as="generator")(
        delayed(run)(kind, seed) for kind, seed in left
    )
    for record in tqdm(running, total=len(left), unit="set"):
        results.append(record)
        if options.records is not None:
            append_record(options.records, record)
    _common.report(options, {"Disputed labels": table(results)}, results)


if __name__ == "__main__":
    main()
