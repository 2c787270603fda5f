"""A stopped evaluation resumes; checkpoints of other evaluations are errors."""

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from types import ModuleType

import cv2
import joblib
import numpy as np
import pandas as pd
import psutil
import pytest
from filelock import FileLock
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skcovid
from _helpers import checkpoint_run
from _helpers.recording import RecordingClassifier, numbered_images
from skcovid import evaluate

N_IMAGES = 30
X = numbered_images(N_IMAGES)
Y = np.tile(["COVID-19", "NORMAL", "Viral Pneumonia"], 10)
GROUPS = np.arange(N_IMAGES) // 2


class FailingClassifier(RecordingClassifier):
    """Fails in the last of `n_fits` fits."""

    n_fits = np.inf

    def fit(self, X, y, X_val=None, y_val=None):
        if len(self.calls) == FailingClassifier.n_fits:
            raise RuntimeError("the power has failed")
        return super().fit(X, y, X_val, y_val)


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    monkeypatch.setattr(FailingClassifier, "calls", [])
    return FailingClassifier.calls


def run(folder, pipeline=None, **options):
    given = {"X": X, "y": Y, "cv": 5, "verbose": 0, **options}
    estimator = FailingClassifier() if pipeline is None else pipeline
    return evaluate(
        estimator, given.pop("X"), given.pop("y"), checkpoint=folder, **given
    )


def stop(folder, monkeypatch, after=2, **options):
    monkeypatch.setattr(FailingClassifier, "n_fits", after)
    with pytest.raises(RuntimeError, match="power"):
        run(folder, **options)
    monkeypatch.setattr(FailingClassifier, "n_fits", np.inf)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("[!.]*")}


class TestResume:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"protocol": "paper"},
            {"groups": GROUPS},
            {"cv": StratifiedKFold(3)},
            {"y": np.arange(N_IMAGES) % 3},
            {"y": Y.astype(object)},
            {"random_state": np.random.RandomState(7)},
        ],
        ids=["plain", "paper", "groups", "cv", "numbers", "objects", "instance"],
    )
    def test_finished_folds_are_not_fitted_again(
        self, tmp_path, monkeypatch, calls, options
    ):
        def fresh():
            return {
                name: np.random.RandomState(7) if name == "random_state" else value
                for name, value in options.items()
            }

        expected = run(None, **fresh())
        calls.clear()
        stop(tmp_path, monkeypatch, **fresh())
        n_folds = len(expected.folds)
        result = run(tmp_path, **fresh())
        assert len(calls) == n_folds
        assert checkpoint_run.outcome(result) == checkpoint_run.outcome(expected)
        assert result.predictions.dtype == expected.predictions.dtype
        np.testing.assert_array_equal(
            result.confusion_matrix, expected.confusion_matrix
        )
        assert checkpoint_run.outcome(run(tmp_path, **fresh())) == (
            checkpoint_run.outcome(expected)
        )
        assert len(calls) == n_folds

    def test_finished_folds_keep_their_timings(self, tmp_path):
        first = run(tmp_path)
        assert run(tmp_path).timings == first.timings

    def test_folds_at_once(self, tmp_path, monkeypatch):
        expected = run(None)
        FailingClassifier.calls.clear()
        with joblib.parallel_config(backend="threading"):
            stop(tmp_path, monkeypatch, after=3, n_jobs=2)
            kept = contents(tmp_path)
            result = run(tmp_path, n_jobs=2)
        assert checkpoint_run.outcome(result) == checkpoint_run.outcome(expected)
        # With the timings of the stopped run.
        assert len(kept) > 2
        assert kept.items() <= contents(tmp_path).items()

    def test_a_classifier_without_probabilities(self, tmp_path):
        pipeline = VotingClassifier(
            [("nb", GaussianNB()), ("guess", DummyClassifier())]
        )
        flat = X.reshape(N_IMAGES, -1)
        first = run(tmp_path, pipeline, X=flat)
        assert run(tmp_path, pipeline, X=flat).probabilities is None
        np.testing.assert_array_equal(
            run(tmp_path, pipeline, X=flat).predictions, first.predictions
        )

    def test_an_evaluation_leaves_only_its_checkpoint(self, tmp_path):
        run(tmp_path)
        folds = {f"fold-{number}.npz" for number in range(1, 6)}
        locks = {f"fold-{number}.lock" for number in range(1, 6)}
        assert set(contents(tmp_path)) == {"evaluation.json", "lock", *folds, *locks}

    def test_settings_without_effect_on_results_may_change(self, tmp_path):
        def pipeline(**parameters):
            return make_pipeline(LogisticRegression(**parameters), memory=None)

        flat = X.reshape(N_IMAGES, -1)
        first = run(tmp_path, pipeline(), X=flat)
        changed = pipeline(verbose=1).set_params(memory=str(tmp_path / "memory"))
        again = run(tmp_path, changed, X=flat, n_jobs=2)
        assert checkpoint_run.outcome(again) == checkpoint_run.outcome(first)

    def test_moved_files(self, tmp_path, write_image):
        def pipeline():
            return make_pipeline(skcovid.RadiographReader(16), RecordingClassifier())

        paths = [write_image(f"{row}.png", image) for row, image in enumerate(X)]
        checkpoint = tmp_path / "checkpoint"
        first = run(checkpoint, pipeline(), X=paths)
        moved = [path.rename(path.with_name(f"moved-{path.name}")) for path in paths]
        again = run(checkpoint, pipeline(), X=moved)
        assert checkpoint_run.outcome(again) == checkpoint_run.outcome(first)
        cv2.imwrite(str(moved[4]), X[5])
        with pytest.raises(ValueError, match=r"1 of 30.*X\[4\]"):
            run(checkpoint, pipeline(), X=moved)


@pytest.mark.parametrize("moment", [3, 12, 17])
def test_killed_during_a_file_operation(tmp_path, moment):
    process = checkpoint_run.start("logistic", tmp_path, kill_at=moment)
    process.communicate()
    assert process.returncode == -9
    result = checkpoint_run.evaluate("logistic", tmp_path)
    expected = checkpoint_run.evaluate("logistic", tmp_path / "other")
    assert checkpoint_run.outcome(result) == checkpoint_run.outcome(expected)
    assert not list(tmp_path.rglob("*.part"))


@pytest.fixture
def begun(tmp_path, monkeypatch, calls):
    folder = tmp_path / "begun"
    stop(folder, monkeypatch)
    return folder


class TestRefusals:
    @pytest.mark.parametrize(
        ("changed", "named"),
        [
            ({"y": np.roll(Y, 1)}, "y: .* before, .* now"),
            ({"X": X[::-1]}, r"X: 30 of 30.*X\[0\]"),
            ({"X": X[:-3], "y": Y[:-3]}, "X: 30.*27"),
            ({"groups": GROUPS}, "groups: none.*15"),
            ({"cv": 3}, "folds: 5 .*, 3 "),
            ({"random_state": 1}, "folds: 5 .*, 5 "),
            ({"protocol": "paper"}, "protocol: cross_val_predict.*paper"),
            (
                {"pipeline": FailingClassifier(temperature=2.0)},
                "temperature: 1.0.*2.0",
            ),
            (
                {"pipeline": RecordingClassifier()},
                "estimator: .*FailingClassifier.*RecordingClassifier",
            ),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
    )
    def test_another_evaluation(self, begun, calls, changed, named):
        before = contents(begun)
        n_fits = len(calls)
        with pytest.raises(ValueError, match=named) as refusal:
            run(begun, **changed)
        assert f"{begun / 'evaluation.json'} says" in str(refusal.value)
        assert "another directory" in str(refusal.value)
        assert contents(begun) == before
        assert len(calls) == n_fits

    @pytest.mark.parametrize("package", ["skcovid", "scikit-learn"])
    def test_another_version(self, begun, package):
        path = begun / "evaluation.json"
        description = json.loads(path.read_text())
        now = description["versions"][package]
        description["versions"][package] = "0.0.1"
        path.write_text(json.dumps(description))
        with pytest.raises(ValueError, match=rf"{package}: 0.0.1.*{now}"):
            run(begun)

    def test_a_fold_file_of_another_evaluation(self, begun, tmp_path):
        run(tmp_path / "other", y=np.roll(Y, 1))
        fold = tmp_path / "other" / "fold-4.npz"
        fold.rename(begun / "fold-4.npz")
        with pytest.raises(ValueError, match=r"fold-4\.npz.*another"):
            run(begun)

    def test_a_folder_with_other_files(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("mine")
        with pytest.raises(FileExistsError, match=r"holds 'thesis\.tex'"):
            run(tmp_path)
        assert contents(tmp_path) == {"thesis.tex": b"mine"}

    def test_a_parameter_without_a_stable_name(self, tmp_path):
        pipeline = make_pipeline(FunctionTransformer(lambda X: X), DummyClassifier())
        with pytest.raises(ValueError, match="functiontransformer__func=<function"):
            run(tmp_path, pipeline)

    @pytest.mark.parametrize(
        "options",
        [
            {"random_state": None},
            {"random_state": None, "protocol": "paper", "cv": StratifiedKFold(3)},
            {"cv": StratifiedKFold(3, shuffle=True)},
            {"cv": StratifiedShuffleSplit(1)},
        ],
        ids=["folds", "halves", "cross-validator", "without shuffle"],
    )
    def test_folds_without_a_seed(self, tmp_path, options):
        message = r"same folds(.|\n)*random_state"
        with pytest.raises(ValueError, match=message):
            run(tmp_path / "new", **options)
        assert not (tmp_path / "new").exists()

    def test_a_balancer_without_a_seed(self, tmp_path):
        pipeline = make_pipeline(skcovid.AugmentationBalancer(), DummyClassifier())
        name = "augmentationbalancer__random_state"
        with pytest.raises(ValueError, match=name):
            run(tmp_path, pipeline)

    def test_a_fold_file_of_another_fold(self, begun):
        (begun / "fold-1.npz").rename(begun / "fold-3.npz")
        with pytest.raises(ValueError, match=r"fold-3\.npz.*or fold"):
            run(begun)

    @pytest.mark.parametrize(
        "changed",
        [
            {"groups": np.roll(GROUPS, 1)},
            {"groups": GROUPS, "random_state": 1},
            {"groups": GROUPS, "X": X.astype(np.uint16)},
            {"groups": GROUPS, "X": X.reshape(N_IMAGES, -1)},
            {"groups": GROUPS, "y": Y.astype(object)[::-1]},
        ],
        ids=["groups", "seed", "dtype", "shape", "y"],
    )
    def test_another_evaluation_with_groups(
        self, tmp_path, monkeypatch, calls, changed
    ):
        stop(tmp_path, monkeypatch, groups=GROUPS)
        n_fits = len(calls)
        with pytest.raises(ValueError, match="another evaluation"):
            run(tmp_path, **changed)
        assert len(calls) == n_fits

    @pytest.mark.parametrize("side", [0, 1])
    def test_another_row_on_one_side_of_a_fold(self, tmp_path, side):
        splits = [list(rows) for rows in StratifiedKFold(3).split(X, Y)]
        run(tmp_path, cv=splits)
        splits[0][side] = splits[0][side][:-1]
        with pytest.raises(ValueError, match=r"folds: 3 .*, 3 "):
            run(tmp_path, cv=splits)

    def test_a_parameter_of_a_step(self, tmp_path):
        def pipeline(C):
            return make_pipeline(GaussianNB(), LogisticRegression(C=C))[1:]

        flat = X.reshape(N_IMAGES, -1)
        run(tmp_path, pipeline(1.0), X=flat)
        with pytest.raises(ValueError, match=r"logisticregression__C: 1.0.*2.0"):
            run(tmp_path, pipeline(2.0), X=flat)

    def test_another_step(self, tmp_path):
        run(tmp_path, Pipeline([("classify", FailingClassifier())]))
        with pytest.raises(ValueError, match=r"classify: .*Failing.*Recording"):
            run(tmp_path, Pipeline([("classify", RecordingClassifier())]))

    def test_many_differences_are_counted(self, tmp_path):
        flat = X.reshape(N_IMAGES, -1)
        run(tmp_path, LogisticRegression(random_state=0), X=flat)
        with pytest.raises(ValueError, match=r"and \d+ more\nRepeat"):
            run(tmp_path, GaussianNB(), X=flat)

    def test_a_file_in_a_column_of_paths(self, tmp_path, write_image):
        def pipeline():
            read = make_pipeline(FunctionTransformer(first), RecordingClassifier())
            return read.set_params(functiontransformer__validate=False)

        paths = [str(write_image(f"{row}.png", image)) for row, image in enumerate(X)]
        table = pd.DataFrame({"age": np.arange(N_IMAGES), "path": paths})
        run(tmp_path / "checkpoint", pipeline(), X=table)
        cv2.imwrite(paths[4], X[5])
        with pytest.raises(ValueError, match="X: 1 of 1 digests differ"):
            run(tmp_path / "checkpoint", pipeline(), X=table)

    def test_another_version_of_an_estimators_package(self, tmp_path, monkeypatch):
        package = ModuleType("hospital")
        package.__version__ = "1.0"
        monkeypatch.setitem(sys.modules, "hospital", package)
        monkeypatch.setattr(FailingClassifier, "__module__", "hospital.models")
        run(tmp_path)
        package.__version__ = "1.1"
        with pytest.raises(ValueError, match=r"hospital: 1\.0 before, 1\.1 now"):
            run(tmp_path)


def first(table):
    return table[["age"]].to_numpy()


class TestTwoAtOnce:
    def test_a_fold_of_a_worker_that_lives_on_is_awaited(self, tmp_path, calls):
        expected = run(tmp_path / "whole")
        run(tmp_path / "rest")
        calls.clear()
        fold = tmp_path / "rest" / "fold-2.npz"
        fold.unlink()
        holds = threading.Event()

        def finish():
            with FileLock(fold.with_suffix(".lock")):
                holds.set()
                time.sleep(0.3)
                (tmp_path / "whole" / fold.name).rename(fold)

        worker = threading.Thread(target=finish)
        worker.start()
        holds.wait()
        result = run(tmp_path / "rest")
        worker.join()
        assert not calls
        assert checkpoint_run.outcome(result) == checkpoint_run.outcome(expected)

    def test_workers_end_with_the_process_that_started_them(self, tmp_path):
        process = checkpoint_run.start("asleep", tmp_path, n_jobs=2)
        started = tmp_path / "started"
        while not started.exists():
            assert process.poll() is None
            time.sleep(0.02)
        worker = psutil.Process(int(started.read_text()))
        assert worker.ppid() == process.pid
        process.kill()
        process.wait()
        worker.wait(timeout=20)

    def test_the_second_evaluation_is_an_error(self, tmp_path, monkeypatch):
        class Nested(RecordingClassifier):
            def fit(self, X, y):
                with pytest.raises(BlockingIOError, match="another evaluation holds"):
                    run(tmp_path)
                return super().fit(X, y)

        result = run(tmp_path, Nested())
        assert len(result.folds) == 5

    def test_a_killed_evaluation_releases_the_folder(self, tmp_path):
        process = checkpoint_run.start("logistic", tmp_path, kill_at=8)
        process.communicate()
        assert (tmp_path / "checkpoint" / "lock").exists()
        assert len(checkpoint_run.evaluate("logistic", tmp_path).folds) == 5


class TestDamage:
    @pytest.mark.parametrize("left", [0, 10, 200, -1])
    def test_a_truncated_fold_is_evaluated_again(self, begun, calls, left):
        expected = run(None)
        calls.clear()
        fold = begun / "fold-1.npz"
        fold.write_bytes(fold.read_bytes()[:left])
        with pytest.warns(UserWarning, match=r"fold-1\.npz.*damaged"):
            result = run(begun)
        assert len(calls) == 4
        assert checkpoint_run.outcome(result) == checkpoint_run.outcome(expected)

    def test_a_flipped_bit_is_never_used(self, begun, monkeypatch, calls):
        path = begun / "fold-2.npz"
        whole = path.read_bytes()
        expected = checkpoint_run.outcome(run(begun))
        monkeypatch.setattr(FailingClassifier, "n_fits", len(calls))
        n_noticed = 0
        for position in np.random.default_rng(0).integers(0, len(whole), 60):
            bits = bytearray(whole)
            bits[position] ^= 1 << (position % 8)
            path.write_bytes(bits)
            try:
                with warnings.catch_warnings():
                    # Damaged folds give a warning; this test is about the result.
                    warnings.simplefilter("ignore")
                    result = run(begun)
            except RuntimeError:
                n_noticed += 1
            else:
                # The change was in a date or another unused byte.
                assert checkpoint_run.outcome(result) == expected
        assert n_noticed > 30

    def test_a_damaged_description_is_an_error(self, begun):
        path = begun / "evaluation.json"
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ValueError, match=r"evaluation\.json.*damaged"):
            run(begun)


class TestFaults:
    @pytest.fixture
    def small_disk(self, make_disk):
        return make_disk(64 * 1024)

    def test_finished_folds_survive_a_full_disk(self, small_disk, calls):
        expected = run(None)
        calls.clear()
        folder = small_disk / "checkpoint"
        folder.mkdir()
        (small_disk / "ballast").write_bytes(bytes(44 * 1024))
        with pytest.raises(OSError, match=r"fold-\d\.npz.*no room") as full:
            run(folder)
        assert "make room" in str(full.value)
        n_kept = len(list(folder.glob("fold-*.npz")))
        assert not list(folder.glob(".*"))
        (small_disk / "ballast").unlink()
        calls.clear()
        result = run(folder)
        assert 0 < n_kept < 5
        assert len(calls) == 5 - n_kept
        assert checkpoint_run.outcome(result) == checkpoint_run.outcome(expected)

    def test_a_read_only_folder(self, small_disk, calls):
        remount = ["mount", "-o", "remount,ro", str(small_disk)]
        subprocess.run(remount, check=True)
        with pytest.raises(OSError, match="writable"):
            run(small_disk)
        with pytest.raises(OSError, match="writable"):
            run(small_disk / "new")
        assert not calls

    def test_a_file_in_place_of_the_folder(self, tmp_path, calls):
        (tmp_path / "file").write_text("mine")
        with pytest.raises(OSError, match="writable"):
            run(tmp_path / "file")
        assert not calls

    def test_clock_jumps_do_not_matter(self, tmp_path, monkeypatch, calls):
        expected = run(None)
        calls.clear()
        jumps = iter(np.random.default_rng(0).uniform(0, 4e9, 10_000).tolist())
        monkeypatch.setattr(time, "time", lambda: next(jumps))
        monkeypatch.setattr(time, "time_ns", lambda: int(next(jumps) * 1e9))
        stop(tmp_path, monkeypatch)
        for path in tmp_path.iterdir():
            os.utime(path, (0, next(jumps)))
        result = run(tmp_path)
        assert checkpoint_run.outcome(result) == checkpoint_run.outcome(expected)

    def test_a_history_that_cannot_be_saved(self, tmp_path):
        class Odd(RecordingClassifier):
            def fit(self, X, y):
                self.history_ = {"model": [object()]}
                return super().fit(X, y)

        with pytest.raises(TypeError, match="history holds <object"):
            run(tmp_path, Odd())


def test_workers_without_a_shared_file_system_are_an_error(tmp_path, monkeypatch):
    kept = Path.replace

    def lose_folds(self, target):
        kept(self, target)
        if target.name.startswith("fold"):
            target.unlink()

    monkeypatch.setattr(Path, "replace", lose_folds)
    with pytest.raises(OSError, match=r"file system.*workers"):
        run(tmp_path)
