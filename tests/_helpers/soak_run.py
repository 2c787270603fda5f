"""Many fits, pickles and predictions in one process, to find memory leaks.

    cd tests && python -m _helpers.soak_run --fits 200 --pickles 50 --predictions 20000

Fits the recipes in turn, with tiny networks. After the first ten fits, memory may grow
by 5 %, and threads, open files and global settings must stay as they were.
"""

import argparse
import gc
import os
import pickle
import random
import threading
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import keras
import numpy as np
import sklearn
from tqdm import tqdm

from _helpers import tiny_backbone
from skcovid import make_transfer_pipeline

WARM_UP = 10
LIMIT = 1.05


def make_pipelines(folder):
    """Make a pipeline per recipe, the fast one with and without a feature store."""
    shared = {"weights": None, "image_size": 32, "random_state": 0, "verbose": 0}
    trained = {"epochs": 1, "validation_fraction": 0.2, **shared}
    return [
        make_transfer_pipeline("tiny", recipe="paper", **trained),
        make_transfer_pipeline("tiny", recipe="fast", **trained),
        make_transfer_pipeline("tiny", recipe="fast", memory=folder, **trained),
        make_transfer_pipeline("tiny", recipe="linear", **shared),
    ]


def settings():
    """Return global state that no call may change."""
    return {
        "dtype policy": keras.config.dtype_policy().name,
        "NumPy's generator": repr(np.random.get_state()),  # noqa: NPY002 (to watch it)
        "Python's generator": random.getstate(),
        "scikit-learn": sklearn.get_config(),
        "OpenCV's threads": cv2.getNumThreads(),
        "warning filters": list(warnings.filters),
        "working directory": Path.cwd(),
    }


def usage():
    """Return memory, threads and open files of the process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "MiB": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "threads": threading.active_count(),
        "system threads": len(list(Path("/proc/self/task").iterdir())),
        "open files": len(list(Path("/proc/self/fd").iterdir())),
    }


def soak(n_fits, n_pickles, n_predictions, report=print):
    """Fit, pickle and predict; return the usage after each fit and at the end."""
    tiny_backbone.register()
    images, labels = tiny_backbone.make_images(30)
    pixels = np.random.default_rng(0)
    used = []
    with TemporaryDirectory() as folder:
        pipelines = make_pipelines(folder)
        for number in tqdm(range(n_fits), desc="fits", disable=None):
            fitted = pipelines[number % len(pipelines)].fit(images, labels)
            fitted.predict(images[:4])
            used.append(usage())
        for _ in tqdm(range(n_pickles), desc="pickles", disable=None):
            # Keras draws seeds from `random` when it unpickles initialisers.
            state = random.getstate()
            for pipeline in pipelines[:n_fits]:
                pickle.loads(pickle.dumps(pipeline)).predict(images[:4])
            random.setstate(state)
        used.append(usage())
        for number in tqdm(range(n_predictions), desc="predictions", disable=None):
            unseen = pixels.integers(256, size=images[:1].shape, dtype=np.uint8)
            pipelines[number % min(n_fits, len(pipelines))].predict(unseen)
        used.append(usage())
    for number in [0, *range(WARM_UP - 1, n_fits, 10), n_fits, n_fits + 1]:
        report(number + 1, used[number])
    return used


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=200)
    parser.add_argument("--pickles", type=int, default=50)
    parser.add_argument("--predictions", type=int, default=20_000)
    options = parser.parse_args()
    before = settings()
    used = soak(options.fits, options.pickles, options.predictions)
    changed = [name for name, value in settings().items() if value != before[name]]
    growth = {
        name: used[-1][name] / max(entry[name] for entry in used[:WARM_UP])
        for name in used[0]
    }
    print("changed settings:", changed or "none")
    print("against the first fits:", growth)
    if changed or max(growth.values()) > LIMIT:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
