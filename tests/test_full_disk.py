"""Atomic writes: a full disk leaves earlier files intact."""

import numpy as np
import pytest
from imblearn.pipeline import make_pipeline
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from skcovid import evaluate, predict_archive, save, write_report

X = np.random.default_rng(0).random((60, 40))
Y = np.repeat(["COVID-19", "NORMAL", "Viral Pneumonia"], 20)


@pytest.fixture(scope="module")
def result():
    return evaluate(LogisticRegression(), X, Y, cv=2, verbose=0)


def write_json(path, result):
    result.to_json(path)


def write_page(path, result):
    pytest.importorskip("jinja2")
    write_report(path, result)


def write_model(path, result):
    save(LogisticRegression(max_iter=5000).fit(np.tile(X, 50), Y), path)


@pytest.mark.parametrize("write", [write_json, write_page, write_model])
def test_an_earlier_file_stays(make_disk, result, write):
    disk = make_disk(16 * 1024)
    path = disk / "written"
    path.write_text("from before")
    (disk / "ballast").write_bytes(bytes(8 * 1024))
    with pytest.raises(OSError, match=r"written.*no room"):
        write(path, result)
    assert path.read_text() == "from before"
    assert {entry.name for entry in disk.iterdir()} == {"written", "ballast"}


def lengths(paths):
    return [[len(path)] for path in paths]


def test_an_archive_resumes_when_there_is_room_again(make_disk):
    pytest.importorskip("pyarrow")
    disk = make_disk(160 * 1024)
    (disk / "ballast").write_bytes(bytes(100 * 1024))
    model = make_pipeline(FunctionTransformer(lengths), LogisticRegression())
    model.fit(["a", "bb"], ["COVID-19", "NORMAL"])
    paths = [f"{number}.png" for number in range(40)]
    options = {"chunk_size": 2, "verbose": 0}
    with pytest.raises(OSError, match=r"part-.*no room"):
        predict_archive(model, paths, disk, **options)
    n_done = len(list(disk.glob("*.parquet")))
    assert 0 < n_done < 20
    assert not list(disk.glob(".*"))
    (disk / "ballast").unlink()
    assert predict_archive(model, paths, disk, **options).n_resumed == 2 * n_done
