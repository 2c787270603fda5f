"""How time and peak memory grow with images, folds and the size of a grid.

Our fast recipe from files, features kept in a folder that starts empty:

- images: one fit and the prediction of all images, for 1, 4 and 16 times as many
  (copies with one pixel changed, so that no feature is found twice);
- folds: a cross-validation of 2, 5 and 10 folds;
- grid: 1, 4 and 16 settings of the head, each over all of --grid-folds.

Every run is a process of its own. The passes through the trunk are those of fits, as
the classifier counts them. The light network by default finishes in minutes; what grows
and what does not is the same for the others.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import _common

N_SYNTHETIC = 300
# Settings of the head, of which a grid of n takes the first n.
GRID = {
    "classify__dropout": [0.3, 0.4, 0.5, 0.6],
    "classify__dense_units": [128, 64, 32, 16],
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _common.add_common_options(parser, repeats=3)
    _common.add_network_options(parser, backbone="mobilenetv2")
    count: dict[str, Any] = {"type": _common.positive_int, "metavar": "N"}
    several = {**count, "nargs": "*"}
    parser.add_argument(
        "--images", default=[1, 4, 16], help="default: 1 4 16", **several
    )
    parser.add_argument(
        "--folds", default=[2, 5, 10], help="default: 2 5 10", **several
    )
    parser.add_argument("--grid", default=[1, 4, 16], help="default: 1 4 16", **several)
    parser.add_argument("--grid-folds", default=5, help="default: %(default)s", **count)
    parser.add_argument(
        "--epochs", default=2, help="in each phase; default: %(default)s", **count
    )
    return parser.parse_args()


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="skcovid-") as folder:
        radiographs = _common.load_radiographs(options, folder, n_synthetic=N_SYNTHETIC)
        job = {
            "paths": radiographs.paths,
            "y": radiographs.y,
            "pipeline": {
                "backbone": options.backbone,
                "weights": _common.weights_argument(options),
                "epochs": options.epochs,
                "batch_size": options.batch_size,
                "random_state": options.seed,
            },
        }
        calls: dict[tuple[str, int], Callable] = {}
        for times in options.images:
            copies = replicate(job, times, folder)
            calls["images", times] = partial(measure, "fit_side", copies)
        for n_folds in options.folds:
            calls["folds", n_folds] = partial(
                measure, "folds_side", {**job, "n_folds": n_folds}
            )
        for size in options.grid:
            calls["grid", size] = partial(
                measure,
                "folds_side",
                {**job, "n_folds": options.grid_folds, "grid_size": size},
            )
        measured = _common.alternate(calls, options.repeats)
    titles = {
        "images": f"Images, times {len(job['y'])}: one fit, all predicted",
        "folds": f"Folds, {len(job['y'])} images",
        "grid": f"Settings of the head, {options.grid_folds} folds each",
    }
    tables = {
        title: table(kind, measured)
        for kind, title in titles.items()
        if any(kind == measured_kind for measured_kind, _ in measured)
    }
    results = [
        {"kind": kind, "size": size, "runs": [value._asdict() for value in values]}
        for (kind, size), values in measured.items()
    ]
    _common.report(options, tables, results)


def replicate(job: Mapping[str, Any], times: int, folder: str) -> dict[str, Any]:
    """Write every image `times` times, each copy with another pixel changed."""
    import cv2

    from skcovid.reading import read_radiograph

    root = Path(folder, f"times-{times}")
    root.mkdir()
    paths = []
    for number, path in enumerate(job["paths"]):
        image = read_radiograph(path, channels="grey")
        for copy in range(times):
            row, column = divmod(copy, image.shape[1])
            changed = image.copy()
            changed[row, column] ^= 255
            paths.append(str(root / f"{number}-{copy}.png"))
            cv2.imwrite(paths[-1], changed)
    y = [label for label in job["y"] for _ in range(times)]
    return {**job, "paths": paths, "y": y}


def measure(side: str, job: Mapping[str, Any]) -> _common.Measurement:
    """Run a side in a child process, on an empty store."""
    with tempfile.TemporaryDirectory(prefix="skcovid-") as memory:
        return _common.run_side(__file__, side, {"job": job, "memory": memory})


def table(
    kind: str, measured: Mapping[tuple[str, int], Sequence[_common.Measurement]]
) -> str:
    """What every size takes, and how many times the first size that is."""
    header = [kind, "wall time", "CPU time", "peak memory", "trunk passes"]
    header += ["times the time", "times the memory", "times the passes"]
    rows, first = [], None
    for (measured_kind, size), values in measured.items():
        if measured_kind != kind:
            continue
        medians = _common.median_measurement(values)
        passes = values[-1].result["n_trunk_passes"]
        figures = (medians["wall_s"], medians["peak_mib"], passes)
        first = first or figures
        rows.append(
            [
                size,
                f"{medians['wall_s']:.1f} s",
                f"{medians['cpu_s']:.1f} s",
                f"{medians['peak_mib']:,.0f} MiB",
                f"{passes:,}",
                *[
                    f"{figure / base:.2f}×"
                    for figure, base in zip(figures, first, strict=True)
                ],
            ]
        )
    return _common.markdown_table(header, rows)


def make_pipeline(job: Mapping[str, Any], memory: str) -> Any:
    """Our fast recipe as the job has it."""
    from skcovid import make_transfer_pipeline

    return make_transfer_pipeline(
        **job["pipeline"], recipe="fast", memory=memory, verbose=0
    )


def fit_side(job: Mapping[str, Any], memory: str) -> dict[str, int]:
    """Fit once and predict all images."""
    import numpy as np

    paths = np.asarray(job["paths"])
    pipeline = make_pipeline(job, memory).fit(paths, job["y"])
    pipeline.predict(paths)
    return {"n_trunk_passes": int(pipeline.named_steps["classify"].n_trunk_passes_)}


def folds_side(job: Mapping[str, Any], memory: str) -> dict[str, Any]:
    """Cross-validate every setting, as GridSearchCV does, and count the passes."""
    import numpy as np
    from sklearn.base import clone
    from sklearn.model_selection import ParameterGrid, StratifiedKFold

    paths, y = np.asarray(job["paths"]), np.asarray(job["y"])
    pipeline = make_pipeline(job, memory)
    folds = list(StratifiedKFold(job["n_folds"]).split(paths, y))
    settings = islice(ParameterGrid(GRID), job.get("grid_size", 1))
    passes = []
    for parameters in settings:
        passes.append(0)
        for train, test in folds:
            fitted = (
                clone(pipeline).set_params(**parameters).fit(paths[train], y[train])
            )
            fitted.predict(paths[test])
            passes[-1] += int(fitted.named_steps["classify"].n_trunk_passes_)
    return {"n_trunk_passes": sum(passes), "n_trunk_passes_a_setting": passes}


if __name__ == "__main__":
    _common.main_or_side(main, {"fit_side": fit_side, "folds_side": folds_side})
