"""Folds on the workers of a cluster, one of which is lost in the middle."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
import tiny_backbone
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from skcovid import make_transfer_pipeline

distributed = pytest.importorskip("distributed")

# Run by every worker as it starts, also by one that takes the place of another.
PRELOAD = "import tiny_backbone\ntiny_backbone.register()\n"


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    tiny_backbone.register()
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def kill_a_worker_that_works(client, memory):
    """Kill a worker once features are being kept; return its process."""
    while not any(path.is_file() for path in memory.rglob("*")):
        time.sleep(0.005)
    processes = client.run(os.getpid)
    busy = [worker for worker, tasks in client.processing().items() if tasks]
    os.kill(processes[busy[0]], signal.SIGKILL)
    return processes[busy[0]]


@pytest.mark.parametrize("recipe", ["linear", "fast"])
def test_five_folds_are_the_same_on_a_cluster_that_loses_a_worker(recipe, tmp_path):
    X, y = tiny_backbone.make_images(60)
    training = {"epochs": 2, "batch_size": 8} if recipe == "fast" else {}

    def predict(folder, **parameters):
        pipeline = make_transfer_pipeline(
            tiny_backbone.NAME,
            recipe=recipe,
            weights=None,
            memory=tmp_path / folder,
            random_state=0,
            verbose=0,
            **training,
        )
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        return cross_val_predict(
            pipeline, X, y, cv=folds, method="predict_proba", **parameters
        )

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, preload=PRELOAD, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        ThreadPoolExecutor() as executor,
    ):
        killed = executor.submit(kill_a_worker_that_works, client, tmp_path / "there")
        with joblib.parallel_config(backend="dask"):
            there = predict("there", n_jobs=2)
        assert killed.result() not in client.run(os.getpid).values()
    np.testing.assert_array_equal(there, predict("here"))
