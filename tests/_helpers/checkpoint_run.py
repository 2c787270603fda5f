"""Kill evaluations at random moments; resumed, they must give the same result.

    cd tests && python -m _helpers.checkpoint_run --kills 30 [--n-jobs 2]

kills as many evaluations of each kind of pipeline in turn: every other at a random
operation on its files, the others after a random part of their CPU time. Of an
evaluation in several processes, the one that started it is killed and its files are
counted.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import psutil
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skcovid
from _helpers import tiny_backbone

N_IMAGES = 60
TRAINING = {
    "weights": None,
    "epochs": 3,
    "batch_size": 8,
    "dense_units": 8,
    "early_stopping_patience": 2,
    "reduce_lr_patience": 1,
    "validation_fraction": 0.2,
    "n_jobs": 1,
    "random_state": 0,
    "verbose": 0,
}


class Asleep(DummyClassifier):
    """Writes the number of its process beside the checkpoint, and sleeps."""

    def fit(self, X, y, sample_weight=None):
        part = Path(self.constant, f"{os.getpid()}.part")
        part.write_text(str(os.getpid()))
        part.rename(part.with_name("started"))
        time.sleep(60)
        return super().fit(X, y, sample_weight)


def make_estimator(kind, memory=None):
    """Make a pipeline; "logistic" and "asleep" need no Keras."""
    if kind == "asleep":
        return Asleep(constant=memory and str(Path(memory).parent))
    if kind == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression())
    recipe, _, kept = kind.partition("-")
    return skcovid.make_transfer_pipeline(
        tiny_backbone.register(),
        recipe=recipe,
        memory=memory if kept else None,
        **TRAINING,
    )


def evaluate(kind, folder, cv=5, **options):
    """Evaluate with a checkpoint and a feature store in a folder."""
    images, y = tiny_backbone.make_images(N_IMAGES)
    flat = kind in ("asleep", "logistic")
    X = images.reshape(N_IMAGES, -1) / 255 if flat else images
    return skcovid.evaluate(
        make_estimator(kind, memory=Path(folder) / "features"),
        X,
        y,
        cv=cv,
        checkpoint=Path(folder) / "checkpoint",
        verbose=0,
        **options,
    )


def outcome(result):
    """Return all results but the timings, to compare byte by byte."""
    return (
        # The bytes of an object array are memory addresses.
        np.asarray(result.predictions.tolist()).tobytes(),
        result.probabilities.tobytes(),
        json.dumps(result.histories),
        [fold.test_indices.tobytes() for fold in result.folds],
    )


def are_alike(first, second):
    """Compare two results up to the last digits of features and losses.

    Those of features depend on the images beside them in a batch, which workers that
    share a feature store choose by turns; those of the reported loss on the number of
    networks that the process has built before.
    """
    numbers = [
        np.concatenate(
            [result.probabilities.ravel()]
            + [
                np.ravel(values)
                for each in result.histories
                for values in each.values()
            ]
        )
        for result in (first, second)
    ]
    return (
        np.array_equal(first.predictions, second.predictions)
        and [fold.test_indices.tolist() for fold in first.folds]
        == [fold.test_indices.tolist() for fold in second.folds]
        and np.allclose(*numbers, rtol=1e-6, atol=1e-6)
    )


def count_operations(folder, kill_at=None):
    """Count file operations below a folder, and kill this process at a chosen one."""
    n_operations = 0

    def look(event, arguments):
        nonlocal n_operations
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") and (
            str(arguments[0]).startswith(str(folder))
        ):
            n_operations += 1
            if n_operations == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)
    return lambda: n_operations


def start(kind, folder, *, cv=5, kill_at=0, eager=False, n_jobs=1):
    """Evaluate in another process, which prints when it begins and its CPU time."""
    command = [sys.executable, "-m", "_helpers.checkpoint_run"]
    command += ["--child", kind, str(folder)]
    if eager:
        command.append("--eager")
    return subprocess.Popen(
        [*command, "--cv", str(cv), "--kill-at", str(kill_at), "--n-jobs", str(n_jobs)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )


def cpu_time(process):
    """Return the CPU seconds of a process and of its workers."""
    used = 0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            used += times.user + times.system
    return used


def run_child(kind, folder, cv, kill_at, *, eager, n_jobs):
    make_estimator(kind)
    count = count_operations(folder, kill_at or None)
    print("begun", flush=True)
    this = psutil.Process()
    before = cpu_time(this)
    with tiny_backbone.eagerly() if eager else nullcontext():
        evaluate(kind, folder, cv, n_jobs=n_jobs)
    print(json.dumps([cpu_time(this) - before, count()]), flush=True)


def kill_after(process, cpu_seconds):
    """Kill a process after a given CPU time."""
    watched = psutil.Process(process.pid)
    before = cpu_time(watched)
    while process.poll() is None and cpu_time(watched) - before < cpu_seconds:
        try:
            process.wait(0.005)
        except subprocess.TimeoutExpired:
            continue
    process.kill()


def main(n_kills, seed, kinds, n_jobs):
    rng = np.random.default_rng(seed)
    cost, expected, failed = {}, {}, 0
    for number in range(n_kills):
        kind = kinds[number % len(kinds)]
        with tempfile.TemporaryDirectory() as folder:
            if kind not in cost:
                process = start(kind, folder, n_jobs=n_jobs)
                cost[kind] = json.loads(process.communicate()[0].splitlines()[-1])
                expected[kind] = evaluate(kind, folder)
                print(f"{kind}: CPU s, operations on files: {cost[kind]}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            cpu_seconds, n_operations = cost[kind]
            if number // len(kinds) % 2:
                moment = rng.uniform(0, cpu_seconds)
                process = start(kind, folder, n_jobs=n_jobs)
                process.stdout.readline()
                kill_after(process, moment)
                said = f"after {moment:.2f} CPU s"
            else:
                moment = int(rng.integers(1, n_operations + 1))
                process = start(kind, folder, kill_at=moment, n_jobs=n_jobs)
                said = f"at operation {moment}"
            # Workers may live on for a moment, with the folder and standard output.
            process.wait()
            kept = sorted(
                path.name for path in Path(folder).glob("checkpoint/fold-*.npz")
            )
            begun = len(list(Path(folder).glob("checkpoint/*-training/*.npz")))
            resumed = evaluate(kind, folder, n_jobs=n_jobs)
            same = outcome(resumed) == outcome(expected[kind])
            if n_jobs > 1:
                same = are_alike(resumed, expected[kind])
            failed += not same
            print(
                f"{number + 1}: {kind} killed {said} (exit {process.returncode}), "
                f"{len(kept)} folds and {begun} trainings kept: "
                f"{'identical' if same else 'DIFFERENT'}",
                flush=True,
            )
    print(f"{n_kills} kills with n_jobs={n_jobs}, {failed} different", flush=True)
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=["paper", "fast", "fast-kept"])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--cv", type=int, default=5, help=argparse.SUPPRESS)
    parser.add_argument("--kill-at", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--eager", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(
            *options.child,
            options.cv,
            options.kill_at,
            eager=options.eager,
            n_jobs=options.n_jobs,
        )
    else:
        sys.exit(main(options.kills, options.seed, options.kinds, options.n_jobs))
