"""The linear recipe: its head by the number of images, features, evaluation, speed.

The head (scaling, and the search of the logistic regression) is fitted on the features
of all images, and on copies of them with noise, in processes of their own. An earlier
one, with a kernel PCA, runs beside it up to `--old` times the images. Then: images a
second through the network and through `predict` from files, and a whole evaluation of
five folds. The memory of a head is what it takes beside the features it is given.
"""

import argparse
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import _common

N_SYNTHETIC = 600
NEW, OLD = "head", "head with a kernel PCA"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _common.add_common_options(parser, repeats=1)
    _common.add_network_options(parser, backbone="efficientnetlite0")
    parser.add_argument(
        "--times",
        type=_common.positive_int,
        nargs="+",
        default=[1, 2, 4, 8],
        metavar="N",
        help="times the images that the head is fitted on; default: 1 2 4 8",
    )
    parser.add_argument(
        "--old",
        type=_common.positive_int,
        default=1,
        metavar="N",
        help="times the images that the old head is fitted on too; default: 1",
    )
    parser.add_argument(
        "--imagenet",
        action="store_true",
        help="take ImageNet's weights from the package of the extra 'weights'",
    )
    return parser.parse_args()


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="skcovid-") as folder:
        radiographs = _common.load_radiographs(options, folder, n_synthetic=N_SYNTHETIC)
        weights = "imagenet" if options.imagenet else _common.weights_argument(options)
        shared = {
            **radiographs._asdict(),
            "backbone": options.backbone,
            "weights": weights,
            "batch_size": options.batch_size,
            "file": str(Path(folder, "features.npy")),
        }
        whole = _common.run_side(__file__, "evaluation", shared)
        speeds = _common.run_side(__file__, "speeds", shared).result
        sides = {
            (name, times): lambda name=name, times=times: (
                _common.run_side(
                    __file__,
                    "head",
                    {"times": times, "old": name == OLD, **shared},
                ).result
            )
            for times in sorted(options.times)
            for name in (NEW, OLD)
            if name == NEW or times <= options.old
        }
        heads = _common.alternate(sides, options.repeats)
    medians = {
        side: {key: _common.median(run[key] for run in runs) for key in runs[0]}
        for side, runs in heads.items()
    }
    first = next(iter(medians.values()))
    tables = {
        f"Head, {options.backbone}, median of {options.repeats}": (
            _common.markdown_table(
                ["", "images", "time", "CPU time", "memory", "features", "against"],
                [
                    [
                        name,
                        f"{row['n_images']:,.0f}",
                        f"{row['seconds']:.1f} s",
                        f"{row['cpu_s']:.1f} s",
                        f"{row['mib']:,.0f} MiB",
                        f"{row['features_mib']:,.0f} MiB",
                        f"{row['seconds'] / first['seconds']:.1f}×",
                    ]
                    for (name, _), row in medians.items()
                ],
            )
        ),
        "Images a second": _common.markdown_table(
            ["", "images a second"],
            [[name, f"{speed:.1f}"] for name, speed in speeds.items()],
        ),
        "Evaluation, five folds, from files and an empty store": (
            _common.markdown_table(
                ["images", "wall time", "CPU time", "peak memory", "accuracy"],
                [
                    [
                        f"{len(radiographs.paths):,}",
                        f"{whole.wall_s:.0f} s",
                        f"{whole.cpu_s:.0f} s",
                        f"{whole.peak_mib:,.0f} MiB",
                        f"{whole.result:.2%}",
                    ]
                ],
            )
        ),
    }
    results = {
        "heads": [
            {"head": name, "times": times, "runs": runs}
            for (name, times), runs in heads.items()
        ],
        "images_per_s": speeds,
        "evaluation": whole._asdict(),
    }
    _common.report(options, tables, results)


def make(backbone: str, weights: str | None, batch_size: int) -> Any:
    from skcovid import make_transfer_pipeline

    return make_transfer_pipeline(
        backbone,
        recipe="linear",
        weights=weights,
        batch_size=batch_size,
        random_state=0,
        verbose=0,
    )


def evaluation(
    paths: list[str], y: list[str], groups: list[str] | None, file: str, **network: Any
) -> float:
    """Evaluate five folds; return the accuracy."""
    from skcovid import evaluate

    result = evaluate(make(**network), paths, y, groups=groups, verbose=0)
    return result.accuracy.value


def speeds(
    paths: list[str], y: list[str], groups: list[str] | None, file: str, **network: Any
) -> dict[str, float]:
    """Keep the features of all images; time the network, and predictions of files."""
    import numpy as np

    pipeline = make(**network)
    transformers = pipeline[:3]
    transformers.fit(paths, y)
    transformers.transform(paths[: network["batch_size"]])  # compiles the network
    started = time.perf_counter()
    X = transformers.transform(paths)
    computed = time.perf_counter()
    np.save(file, X)
    rows = np.unique(np.linspace(0, len(y) - 1, 200).astype(int))
    fitted = pipeline.fit(np.asarray(paths)[rows], np.asarray(y)[rows])
    begun = time.perf_counter()
    fitted.predict(paths)
    ended = time.perf_counter()
    return {
        "features": len(paths) / (computed - started),
        "predict, from files": len(paths) / (ended - begun),
    }


def head(
    times: int,
    old: bool,
    file: str,
    paths: Any,
    groups: Any,
    y: list[str],
    **network: Any,
) -> dict[str, float]:
    """Fit a head on `times` noisy copies of the features; tell seconds and memory."""
    import numpy as np
    from sklearn.decomposition import KernelPCA
    from sklearn.linear_model import LogisticRegression

    pipeline = make(**network)[3:]
    if old:
        components = KernelPCA(eigen_solver="dense")
        logistic = LogisticRegression(solver="newton-cg")
        pipeline.set_params(components=components, classify__estimator=logistic)
    X = np.load(file)
    generator = np.random.default_rng(0)
    noise = X.std(axis=0) / 10
    features = np.empty((times * len(X), X.shape[1]), np.float32)
    for start in range(0, len(features), len(X)):
        features[start : start + len(X)] = X
        if start:
            drawn = generator.standard_normal(X.shape, dtype=np.float32)
            features[start : start + len(X)] += noise * drawn
    labels = np.tile(y, times)
    groups = None if groups is None else np.tile(groups, times)
    del X, noise
    tracemalloc.start()
    started, used = time.perf_counter(), time.process_time()
    pipeline.fit(features, labels, groups=groups)
    return {
        "n_images": len(features),
        "seconds": time.perf_counter() - started,
        "cpu_s": time.process_time() - used,
        "mib": tracemalloc.get_traced_memory()[1] / 2**20,
        "features_mib": features.nbytes / 2**20,
    }


if __name__ == "__main__":
    _common.main_or_side(
        main, {"evaluation": evaluation, "speeds": speeds, "head": head}
    )
