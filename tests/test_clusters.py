"""Folds on the workers of a cluster, one of which is killed."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest

from _helpers import tiny_backbone
from skcovid import evaluate, make_transfer_pipeline

distributed = pytest.importorskip("distributed")

# Every worker runs this when it starts, also a replacement.
PRELOAD = "from _helpers import tiny_backbone\ntiny_backbone.register()\n"
PIPELINES = {
    "linear": {},
    "fast": {"epochs": 1, "batch_size": 16},
}
SLOW = pytest.mark.skipif(
    "SKCOVID_SLOW_TESTS" not in os.environ,
    reason="takes a minute; SKCOVID_SLOW_TESTS=1 runs it",
)


@pytest.fixture(scope="module")
def client():
    """A client of a cluster of two workers with the tiny backbone registered."""
    tiny_backbone.register()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        with (
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                preload=PRELOAD,
                dashboard_address=None,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def kill_a_worker_that_works(client):
    """Kill a worker that evaluates a fold; return its process."""
    deadline = time.monotonic() + 60
    while not (
        busy := [worker for worker, tasks in client.processing().items() if tasks]
    ):
        assert time.monotonic() < deadline, "no worker was ever busy"
        time.sleep(0.05)
    time.sleep(0.5)
    process = client.run(os.getpid)[busy[0]]
    os.kill(process, signal.SIGKILL)
    return process


@pytest.mark.parametrize("recipe", ["linear", pytest.param("fast", marks=SLOW)])
def test_a_cluster_that_loses_a_worker_gives_the_same_folds(client, recipe):
    X, y = tiny_backbone.make_images(60)
    pipeline = make_transfer_pipeline(
        tiny_backbone.NAME,
        recipe=recipe,
        weights=None,
        random_state=0,
        verbose=0,
        **PIPELINES[recipe],
    )
    client.wait_for_workers(2)
    with ThreadPoolExecutor() as executor:
        killed = executor.submit(kill_a_worker_that_works, client)
        with joblib.parallel_config(backend="dask"):
            there = evaluate(pipeline, X, y, n_jobs=2, verbose=0)
        assert killed.result() not in client.run(os.getpid).values()
    here = evaluate(pipeline, X, y, verbose=0)
    np.testing.assert_array_equal(there.predictions, here.predictions)
    # Workers have other numbers of threads, so sums are rounded differently.
    np.testing.assert_allclose(there.probabilities, here.probabilities, atol=1e-5)
