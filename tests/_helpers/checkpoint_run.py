"""Kill evaluations at random moments; resumed, they must give the same result.

    cd tests && python -m _helpers.checkpoint_run --kills 30

kills as many evaluations of each kind of pipeline in turn: every other at a random
operation on its files, the others after a random part of their CPU time.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import psutil
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


def make_estimator(kind, memory=None):
    """Make a pipeline; "logistic" needs no Keras."""
    if kind == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression())
    tiny_backbone.register()
    recipe, _, kept = kind.partition("-")
    return skcovid.make_transfer_pipeline(
        "tiny", recipe=recipe, memory=memory if kept else None, **TRAINING
    )


def evaluate(kind, folder, cv=5, **options):
    """Evaluate with a checkpoint and a feature store in a folder."""
    images, y = tiny_backbone.make_images(N_IMAGES)
    X = images.reshape(N_IMAGES, -1) / 255 if kind == "logistic" else images
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


def start(kind, folder, *, cv=5, kill_at=0, eager=False):
    """Evaluate in another process, which prints when it begins and its CPU time."""
    command = [sys.executable, "-m", "_helpers.checkpoint_run"]
    command += ["--child", kind, str(folder)]
    if eager:
        command.append("--eager")
    return subprocess.Popen(
        [*command, "--cv", str(cv), "--kill-at", str(kill_at)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )


def run_child(kind, folder, cv, kill_at, *, eager):
    make_estimator(kind)
    count = count_operations(folder, kill_at or None)
    print("begun", flush=True)
    before = sum(os.times()[:2])
    with tiny_backbone.eagerly() if eager else nullcontext():
        evaluate(kind, folder, cv)
    print(json.dumps([sum(os.times()[:2]) - before, count()]), flush=True)


def kill_after(process, cpu_seconds):
    """Kill a process after a given CPU time."""
    watched = psutil.Process(process.pid)

    def used():
        times = watched.cpu_times()
        return times.user + times.system

    before = used()
    while process.poll() is None and used() - before < cpu_seconds:
        try:
            process.wait(0.005)
        except subprocess.TimeoutExpired:
            continue
    process.kill()


def main(n_kills, seed, kinds):
    rng = np.random.default_rng(seed)
    cost, expected, failed = {}, {}, 0
    for number in range(n_kills):
        kind = kinds[number % len(kinds)]
        with tempfile.TemporaryDirectory() as folder:
            if kind not in cost:
                process = start(kind, folder)
                cost[kind] = json.loads(process.communicate()[0].splitlines()[-1])
                expected[kind] = outcome(evaluate(kind, folder))
                print(f"{kind}: CPU s, operations on files: {cost[kind]}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            cpu_seconds, n_operations = cost[kind]
            if number // len(kinds) % 2:
                moment = rng.uniform(0, cpu_seconds)
                process = start(kind, folder)
                process.stdout.readline()
                kill_after(process, moment)
                said = f"after {moment:.2f} CPU s"
            else:
                moment = int(rng.integers(1, n_operations + 1))
                process = start(kind, folder, kill_at=moment)
                said = f"at operation {moment}"
            process.communicate()
            kept = sorted(
                path.name for path in Path(folder).glob("checkpoint/fold-*.npz")
            )
            begun = len(list(Path(folder).glob("checkpoint/*-training/*.npz")))
            same = outcome(evaluate(kind, folder)) == expected[kind]
            failed += not same
            print(
                f"{number + 1}: {kind} killed {said} (exit {process.returncode}), "
                f"{len(kept)} folds and {begun} trainings kept: "
                f"{'identical' if same else 'DIFFERENT'}",
                flush=True,
            )
    print(f"{n_kills} kills, {failed} different", flush=True)
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=["paper", "fast", "fast-kept"])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--cv", type=int, default=5, help=argparse.SUPPRESS)
    parser.add_argument("--kill-at", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--eager", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(*options.child, options.cv, options.kill_at, eager=options.eager)
    else:
        sys.exit(main(options.kills, options.seed, options.kinds))
