import errno
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from imblearn.pipeline import Pipeline
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.preprocessing import FunctionTransformer

import skcovid
from _helpers import tiny_backbone
from _helpers.archive_run import CHUNK_SIZE, make_pipeline, write_archive
from skcovid import RadiographReader, make_transfer_pipeline, predict_archive
from skcovid.persistence import fingerprint_model
from skcovid.reading import _files

parquet = pytest.importorskip("pyarrow.parquet")

# SKCOVID_ARCHIVE_IMAGES=20000 runs the tests on more.
N_IMAGES = int(os.environ.get("SKCOVID_ARCHIVE_IMAGES", "2000"))
REASONS = ["empty", "truncated", "not an image", "no such file"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    paths, bad = write_archive(folder, N_IMAGES)
    (folder / "paths.txt").write_text("\n".join(paths))
    return folder, paths, bad


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("small"), 120)


def predict(paths, output, **parameters):
    settings = {"chunk_size": CHUNK_SIZE, "verbose": 0, **parameters}
    return predict_archive(make_pipeline(), paths, output, **settings)


def run_until_killed(folder, output):
    """Predict the archive in another process and kill it after some chunks."""
    environment = {**os.environ, "PYTHONPATH": Path(skcovid.__file__).parents[1]}
    process = subprocess.Popen(
        [sys.executable, "-m", "_helpers.archive_run", folder, output],
        env=environment,
        cwd=Path(__file__).parent,
    )
    while len(list(output.glob("*.parquet"))) < 5 and process.poll() is None:
        time.sleep(0.002)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()


def check_table(table, paths, bad):
    """Check the rows: each path once, in order, with a prediction or an error."""
    assert table["path"].to_pylist() == paths
    classes = make_pipeline().classes_
    assert table.column_names == [
        "path",
        "prediction",
        *(f"probability_{label}" for label in classes),
        "error",
    ]
    errors = dict(zip(paths, table["error"].to_pylist(), strict=True))
    assert {path for path, reason in errors.items() if reason is not None} == set(bad)
    for path, kind in bad.items():
        assert REASONS[kind] in errors[path]
        assert path not in errors[path]
    good = np.array([path not in bad for path in paths])
    readable = [path for path in paths if path not in bad]
    expected = make_pipeline().predict_proba(readable)
    for column, values in enumerate(expected.T):
        found = table.column(2 + column).to_numpy(zero_copy_only=False)
        np.testing.assert_allclose(found[good], values, rtol=1e-6)
        assert np.isnan(found[~good]).all()
    predictions = np.array(table["prediction"].to_pylist())
    assert (predictions[good] == classes[expected.argmax(axis=1)]).all()
    assert (predictions[~good] == None).all()  # noqa: E711 (element by element)


def flatten(images):
    return np.asarray(images, float).reshape(len(images), -1)


class TestEstimatorsAreBelieved:
    def fitted(self, classifier, paths):
        steps = [
            ("read", RadiographReader(16)),
            ("flatten", FunctionTransformer(flatten)),
            ("classify", classifier),
        ]
        y = np.where(np.arange(len(paths)) % 4, "healthy", "sick")
        return Pipeline(steps).fit(paths, y)

    def test_predictions_are_those_of_predict(self, small, tmp_path):
        paths, bad = small
        good = [path for path in paths if path not in bad]
        classifier = FixedThresholdClassifier(
            DummyClassifier(), threshold=0.1, pos_label="sick"
        )
        pipeline = self.fitted(classifier, good)
        predict_archive(pipeline, good, tmp_path, verbose=0)
        table = parquet.read_table(tmp_path)
        assert set(table["prediction"].to_pylist()) == {"sick"}
        healthy = table["probability_healthy"].to_numpy()
        assert (healthy > 0.7).all()

    def test_probabilities_are_not_needed(self, small, tmp_path):
        paths, bad = small
        good = [path for path in paths if path not in bad]
        pipeline = self.fitted(RidgeClassifier(), good)
        result = predict_archive(pipeline, paths, tmp_path, chunk_size=7, verbose=0)
        assert result.n_errors == len(bad)
        table = parquet.read_table(tmp_path)
        assert table.column_names == ["path", "prediction", "error"]
        found = dict(zip(paths, table["prediction"].to_pylist(), strict=True))
        assert [found[path] for path in good] == pipeline.predict(good).tolist()
        assert {found[path] for path in bad} == {None}


class TestTwoAtOnce:
    def test_the_second_run_is_an_error(self, small, tmp_path):
        paths, _ = small

        class Nested(DummyClassifier):
            def predict_proba(self, X):
                with pytest.raises(BlockingIOError, match="another run holds"):
                    predict_archive(model, paths, tmp_path, verbose=0)
                return super().predict_proba(X)

        model = Pipeline([("read", RadiographReader(16)), ("guess", Nested())])
        model.fit(np.zeros((2, 16, 16), np.uint8), ["NORMAL", "COVID-19"])
        assert predict_archive(model, paths, tmp_path, verbose=0).n_images == len(paths)
        assert predict_archive(model, paths, tmp_path, verbose=0).n_resumed == 120


class TestKilled:
    def test_every_image_is_predicted_once(self, archive, tmp_path):
        folder, paths, bad = archive
        output = tmp_path / "predictions"
        run_until_killed(folder, output)
        done = {path: path.stat().st_mtime_ns for path in output.glob("*.parquet")}
        assert 5 <= len(done) < N_IMAGES / CHUNK_SIZE
        result = predict(paths, output)
        assert (result.n_images, result.n_errors) == (N_IMAGES, len(bad))
        assert result.n_resumed == CHUNK_SIZE * len(done)
        # Finished parts are not written again.
        assert {path: path.stat().st_mtime_ns for path in done} == done
        check_table(parquet.read_table(result.path), paths, bad)
        again = predict(iter(paths), output)
        assert again.n_resumed == N_IMAGES
        assert again.n_errors == len(bad)

    def test_an_unfinished_part_is_predicted_again(self, small, tmp_path):
        paths, _ = small
        predict(paths, tmp_path)
        expected = parquet.read_table(tmp_path)
        part = tmp_path / "part-00000001.parquet"
        (tmp_path / ".part-00000001.parquet.part").write_bytes(part.read_bytes()[:100])
        part.unlink()
        assert parquet.read_table(tmp_path).num_rows == 70
        assert predict(paths, tmp_path).n_resumed == 70
        assert parquet.read_table(tmp_path).equals(expected)
        assert not list(tmp_path.glob(".*"))

    def test_a_damaged_part_is_predicted_again(self, small, tmp_path):
        paths, bad = small
        predict(paths, tmp_path)
        part = tmp_path / "part-00000002.parquet"
        part.write_bytes(part.read_bytes()[:-50])
        with pytest.warns(UserWarning, match=r"part-00000002\.parquet.*damaged"):
            predict(paths, tmp_path)
        check_table(parquet.read_table(tmp_path), paths, bad)


def test_classes_of_folders_whose_names_are_not_utf8(grey_paths, tmp_path):
    steps = [("read", RadiographReader(8)), ("guess", DummyClassifier())]
    pipeline = Pipeline(steps).fit(grey_paths[:3], ["a\udcff", "a\udcff", "b"])
    predict_archive(pipeline, grey_paths, tmp_path / "output", verbose=0)
    table = parquet.read_table(tmp_path / "output")
    assert set(table["prediction"].to_pylist()) == {r"a\udcff"}
    assert table.column_names[2] == r"probability_a\udcff"


class TestDamage:
    def test_bytes_in_the_middle(self, small, tmp_path):
        paths = small[0][:50]
        predict(paths, tmp_path)
        part = tmp_path / "part-00000000.parquet"
        content, expected = part.read_bytes(), parquet.read_table(part)
        rng = np.random.default_rng(0)
        for place in [*rng.integers(0, len(content), 20), 4, len(content) - 300]:
            damaged = bytearray(content)
            damaged[place : place + 16] = bytes(16)
            part.write_bytes(damaged)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*damaged")
                predict(paths, tmp_path)
            assert parquet.read_table(part).equals(expected), place

    def test_the_number_of_errors(self, small, tmp_path):
        paths = small[0][:50]
        n_errors = predict(paths, tmp_path).n_errors
        part = tmp_path / "part-00000000.parquet"
        content = part.read_bytes()
        mark = b'"n_errors": %d' % n_errors
        assert mark in content
        part.write_bytes(content.replace(mark, mark[:-1] + b"%d" % (n_errors % 9 + 1)))
        with pytest.warns(UserWarning, match="damaged"):
            assert predict(paths, tmp_path).n_errors == n_errors

    @pytest.mark.parametrize("content", [b"", b"[]", b'{"model": 1}', b"\xff", None])
    def test_a_manifest(self, small, tmp_path, content):
        predict(small[0][:50], tmp_path)
        path = tmp_path / "_manifest.json"
        if content is None:
            content = path.read_bytes().replace(b'"model": "', b'"model": "0')
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"_manifest\.json is damaged.*delete"):
            predict(small[0][:50], tmp_path)

    def test_an_edited_image_is_predicted_again(self, grey_paths, tmp_path):
        output = tmp_path / "output"
        predict(grey_paths, output, chunk_size=2)
        before = parquet.read_table(output).to_pydict()
        Path(grey_paths[2]).write_bytes(b"no longer an image")
        with pytest.warns(UserWarning, match=r"part-00000001.*images have changed"):
            result = predict(grey_paths, output, chunk_size=2)
        assert (result.n_resumed, result.n_errors) == (4, 1)
        after = parquet.read_table(output).to_pydict()
        changed = [
            row for row in range(6) if before["error"][row] != after["error"][row]
        ]
        assert changed == [2]
        assert predict(grey_paths, output, chunk_size=2).n_resumed == 6


class TestUnavailableFiles:
    @pytest.fixture
    def failing(self, monkeypatch):
        """Names of files whose opening fails, the error and how many times."""
        failing, open_file = {}, _files.open_file

        def fail(path):
            code, times = failing.get(Path(path).name, (None, 0))
            if times:
                failing[Path(path).name] = code, times - 1
                raise OSError(code, os.strerror(code), os.fspath(path))
            return open_file(path)

        monkeypatch.setattr(_files, "open_file", fail)
        monkeypatch.setattr(_files, "_WAITS", (0, 0))
        return failing

    @pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
    def test_an_error_that_passes_is_not_seen(
        self, failing, grey_paths, tmp_path, code
    ):
        failing["2.png"] = code, 2
        assert predict(grey_paths, tmp_path / "output").n_errors == 0
        assert failing["2.png"] == (code, 0)

    def test_one_that_stays_is_tried_again_at_the_next_run(
        self, failing, grey_paths, tmp_path
    ):
        failing["2.png"], output = (errno.ESTALE, 3), tmp_path / "output"
        with pytest.warns(UserWarning, match="1 files were unavailable"):
            result = predict(grey_paths, output, chunk_size=2)
        assert (result.n_errors, result.n_unavailable) == (0, 1)
        errors = parquet.read_table(output)["error"].to_pylist()
        assert errors[2].startswith("unavailable: ")
        assert os.strerror(errno.ESTALE) in errors[2]
        again = predict(grey_paths, output, chunk_size=2)
        assert (again.n_resumed, again.n_errors, again.n_unavailable) == (4, 0, 0)
        assert parquet.read_table(output)["error"].null_count == 6

    def test_an_error_that_passes_in_a_later_step(self, tmp_path):
        error = OSError, errno.ESTALE, os.strerror(errno.ESTALE), "7.png"
        pipeline = TestErrors().make("7.png", error)
        with pytest.warns(UserWarning, match="1 files were unavailable"):
            result = predict_archive(pipeline, ["6.png", "7.png"], tmp_path, verbose=0)
        assert (result.n_errors, result.n_unavailable) == (0, 1)

    def test_too_many_open_files_stop_the_run(self, failing, grey_paths, tmp_path):
        failing["2.png"] = errno.EMFILE, 1
        with pytest.raises(OSError, match="open files"):
            predict(grey_paths, tmp_path / "output")
        assert predict(grey_paths, tmp_path / "output").n_errors == 0


class TestResume:
    @pytest.fixture
    def output(self, small, tmp_path):
        predict(small[0], tmp_path)
        return tmp_path

    def test_another_model_is_an_error(self, small, output):
        other = make_pipeline()
        other.named_steps["classify"].means_ += 1
        with pytest.raises(ValueError, match="another model"):
            predict_archive(other, small[0], output, chunk_size=CHUNK_SIZE, verbose=0)

    def test_another_chunk_size_is_an_error(self, small, output):
        with pytest.raises(ValueError, match=r"chunk_size.*50.*60"):
            predict(small[0], output, chunk_size=60)

    @pytest.mark.parametrize("change", ["order", "more", "fewer"])
    def test_other_paths_are_an_error(self, small, output, change):
        paths = list(small[0])
        if change == "order":
            paths[60], paths[61] = paths[61], paths[60]
        elif change == "more":
            paths.append(paths[0])
        else:
            paths = paths[:50]
        with pytest.raises(ValueError, match=r"of other paths|of more paths"):
            predict(paths, output)

    def test_resume_false_is_an_error(self, small, output):
        with pytest.raises(FileExistsError, match="resume=True"):
            predict(small[0], output, resume=False)

    def test_a_folder_with_other_files_is_an_error(self, small, tmp_path):
        for name in ("sales.parquet", ".sales.part"):
            (tmp_path / name).write_bytes(b"")
        with pytest.raises(FileExistsError, match="Parquet files"):
            predict(small[0], tmp_path)
        assert len(list(tmp_path.iterdir())) == 2


class FailsOn(TransformerMixin, BaseEstimator):
    """Raise an error for a batch with a path of a given ending."""

    broken = True

    def __init__(self, suffix, error):
        self.suffix = suffix
        self.error = error

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        if self.broken and any(path.endswith(self.suffix) for path in X):
            kind, *arguments = self.error
            raise kind(*arguments)
        return np.zeros((len(X), 1))


class TestErrors:
    def make(self, suffix, error=None):
        step = FailsOn(suffix, error or (ValueError, f"a file ends with {suffix}"))
        steps = [("fail", step), ("guess", DummyClassifier())]
        return Pipeline(steps).fit(["a", "b"], [0, 1])

    def test_files_that_a_later_step_rejects_are_listed(self, tmp_path):
        paths = [f"{number}.png" for number in range(100)]
        result = predict_archive(self.make("7.png"), paths, tmp_path, verbose=0)
        table = parquet.read_table(tmp_path)
        assert result.n_errors == 10
        failed = [reason is not None for reason in table["error"].to_pylist()]
        assert failed == [path.endswith("7.png") for path in paths]
        assert set(table["prediction"].to_pylist()) == {0, None}

    @pytest.mark.parametrize(
        "error",
        [
            (ImportError, "a module"),
            (MemoryError, "a batch"),
            (OSError, errno.ENOSPC, "No space left on device"),
            (OSError, errno.EIO, "Input/output error", "store/of/features.npy"),
            (OSError, errno.EMFILE, "Too many open files", "17.png"),
        ],
    )
    def test_an_error_of_the_run_stops_the_run(self, tmp_path, monkeypatch, error):
        pipeline = self.make("17.png", error)
        paths = [f"{number}.png" for number in range(30)]
        options = {"chunk_size": 10, "verbose": 0}
        with pytest.raises(error[0], match=error[-1]):
            predict_archive(pipeline, paths, tmp_path, **options)
        monkeypatch.setattr(FailsOn, "broken", False)
        result = predict_archive(pipeline, paths, tmp_path, **options)
        assert (result.n_errors, result.n_resumed) == (0, 10)
        assert parquet.read_table(tmp_path)["error"].null_count == 30

    def test_an_error_that_every_file_gives_stops_the_run(self, tmp_path):
        paths = [f"{number}.png" for number in range(30)]
        with pytest.raises(ValueError, match=r"ends with \.png") as caught:
            predict_archive(self.make(".png"), paths, tmp_path, verbose=0)
        assert "All 30 files" in str(caught.value.__notes__)
        assert not list(tmp_path.glob("*.parquet"))

    def test_files_of_a_wrapped_pipeline(self, small, tmp_path):
        paths, bad = small
        labels = np.resize(["healthy", "sick"], 4)
        wrapped = FixedThresholdClassifier(make_pipeline()).fit(paths[:4], labels)
        result = predict_archive(wrapped, list(bad), tmp_path, verbose=0)
        assert result.n_errors == len(bad)

    def test_a_pipeline_that_is_not_fitted_is_an_error(self, tmp_path):
        pipeline = Pipeline([("read", RadiographReader(8)), ("g", DummyClassifier())])
        with pytest.raises(NotFittedError):
            predict_archive(pipeline, ["a.png"], tmp_path / "new")
        assert not (tmp_path / "new").exists()

    def test_one_path_is_an_error(self, tmp_path):
        with pytest.raises(ValueError, match=r"one path: 'a\.png'"):
            predict("a.png", tmp_path)


def test_takes_a_generator_and_paths_of_any_kind(small, tmp_path):
    paths, bad = small
    result = predict((Path(path) for path in paths), tmp_path)
    assert result.n_images == 120
    check_table(parquet.read_table(tmp_path), paths, bad)


def test_resumes_with_a_saved_and_loaded_model(small, tmp_path):
    tiny_backbone.register()
    X, y = tiny_backbone.make_images(9)
    pipeline = make_transfer_pipeline(
        "tiny", recipe="linear", weights=None, verbose=0, random_state=0
    ).fit(X, y)
    predict_archive(pipeline, small[0], tmp_path / "out", chunk_size=60, verbose=0)
    skcovid.save(pipeline, tmp_path / "model.skcovid")
    loaded = skcovid.load(tmp_path / "model.skcovid")
    result = predict_archive(
        loaded, small[0], tmp_path / "out", chunk_size=60, verbose=0
    )
    assert result.n_resumed == 120


def test_the_white_level_of_the_reader_counts(tmp_path, write_image, recwarn):
    levels = [np.full((4, 4), level, np.uint16) for level in (0, 4095, 5000)]
    paths = [str(write_image(f"{n}.png", image)) for n, image in enumerate(levels)]
    steps = [
        ("read", RadiographReader(4, white_level=4095)),
        ("flatten", FunctionTransformer(flatten)),
        ("classify", RidgeClassifier()),
    ]
    pipeline = Pipeline(steps).fit(paths[:2], ["dark", "bright"])
    predict_archive(pipeline, paths, tmp_path / "out", verbose=0)
    [part] = (tmp_path / "out").glob("*.parquet")
    rows = parquet.read_table(part).to_pylist()
    assert [row["prediction"] for row in rows] == ["dark", "bright", None]
    assert "above white_level=4095" in rows[2]["error"]
    assert not recwarn


def test_the_fingerprint_depends_on_every_value_of_a_model():
    first, second = make_pipeline(), make_pipeline()
    assert fingerprint_model(first) == fingerprint_model(second)
    second.named_steps["classify"].means_[1] += 1e-12
    assert fingerprint_model(first) != fingerprint_model(second)
    second = make_pipeline().set_params(read__channels="rgb")
    assert fingerprint_model(first) != fingerprint_model(second)
    assert fingerprint_model(np.int64(1)) != fingerprint_model(np.int64(2))


def test_on_a_cluster(small, tmp_path, monkeypatch):
    distributed = pytest.importorskip("dask.distributed")
    paths, bad = small
    keys, scatter = [], distributed.Client.scatter

    def watched(*arguments, **parameters):
        futures = scatter(*arguments, **parameters)
        keys.extend(future.key for future in futures)
        return futures

    monkeypatch.setattr(distributed.Client, "scatter", watched)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(sys.path.append, str(Path(__file__).parent))
        result = predict(paths, tmp_path, client=client, chunk_size=10)
        again = predict(paths, tmp_path, client=client, chunk_size=10)
    assert (result.n_images, result.n_errors, result.n_resumed) == (120, len(bad), 0)
    assert again.n_resumed == 120
    # Dask may hang if a key is reused while its data are being released.
    assert len(set(keys)) == len(keys) == 2
    check_table(parquet.read_table(tmp_path), paths, bad)
