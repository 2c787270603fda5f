"""The example `cross_validate.py`, run with its command line in this process."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from _command_line import first_of_each_class

import skcovid
from _helpers import tiny_backbone
from skcovid.datasets import make_radiographs, save_radiographs

pytestmark = pytest.mark.usefixtures("eager")

EXAMPLE = Path(__file__).parents[1] / "examples" / "cross_validate.py"
N_IMAGES = {"COVID-19": 16, "NORMAL": 20, "Viral Pneumonia": 24}
TINY = ["--backbone", "tiny", "--weights", "none", "--folds", "2"]
QUICK = [*TINY, "--recipe", "fast", "--epochs", "1"]


def build_shallow(include_top, weights, input_shape):
    """Build a second network: two convolutions in sequence."""
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input(input_shape),
            layers.Conv2D(4, 3, strides=4, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]
    )


@pytest.fixture(scope="module")
def example():
    tiny_backbone.register()
    skcovid.register_backbone(
        "shallow", builder=build_shallow, image_size=32, mode="tf", fine_tune_from=4
    )
    specification = importlib.util.spec_from_file_location("cross_validate", EXAMPLE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Radiographs as files with a table of patients."""
    root = tmp_path_factory.mktemp("data") / "radiographs"
    data = make_radiographs(
        sum(N_IMAGES.values()),
        image_size=32,
        weights=list(N_IMAGES.values()),
        random_state=0,
    )
    save_radiographs(data.images, data.target, root, groups=data.groups)
    return str(root)


@pytest.fixture
def reports(monkeypatch, example):
    """Record what reports are written of, without drawing them."""
    written = []
    monkeypatch.setattr(
        example, "write_report", lambda path, *_, **__: written.append(path)
    )
    return written


def read_results(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def test_paper_protocol_predicts_half_of_a_folder(example, folder, reports, tmp_path):
    options = ["--data", folder, "--protocol", "paper", "--output", str(tmp_path)]
    example.main([*QUICK, *options])
    results = read_results(tmp_path / "tiny")
    assert np.sum(results["confusion_matrix"]) == sum(N_IMAGES.values()) / 2
    assert not results["grouped"]
    assert results["folds"][0]["history"]


def test_several_networks_have_a_folder_each_and_a_summary(
    example, folder, reports, tmp_path, capsys, monkeypatch
):
    temporary, kept = tmp_path / "temporary", tmp_path / "kept"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    several = ["--backbone", "tiny", "shallow", "--memory", str(kept)]
    options = ["--recipe", "linear", "--limit", "12", "--output", str(tmp_path)]
    example.main([*TINY, "--data", folder, *several, *options])
    assert reports == [tmp_path / name / "report.html" for name in ("tiny", "shallow")]
    results = read_results(tmp_path / "shallow")
    assert results["grouped"]
    assert len(results["y_true"]) == 36
    printed = capsys.readouterr().out
    last = next(line for line in printed.splitlines() if line.startswith("|shallow"))
    assert last.split("|")[-2].startswith(f"{100 * results['accuracy']['value']:.2f} %")
    # Features of both networks are in the folder of --memory only.
    assert len(list(kept.iterdir())) >= 2
    assert not list(temporary.iterdir())


def test_a_smaller_limit_takes_a_subset():
    y = np.repeat(["a", "b"], [30, 4])
    few = first_of_each_class(y, 3, seed=0)
    more = first_of_each_class(y, 10, seed=0)
    assert np.unique(y[few], return_counts=True)[1].tolist() == [3, 3]
    assert np.unique(y[more], return_counts=True)[1].tolist() == [10, 4]
    assert set(few) <= set(more)
    assert few.tolist() != first_of_each_class(y, 3, seed=1).tolist()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--backbone", "resnet5"], "Did you mean 'resnet50'?"),
        (["--weights", "nowhere.weights.h5"], "nowhere.weights.h5"),
        (
            ["--backbone", "tiny", "vgg19", "--weights", "some.weights.h5"],
            "--weights some.weights.h5",
        ),
        (["--folds", "30"], "Class 'COVID-19' has 16"),
        (["--limit", "0"], "--limit"),
        (["--foldz", "3"], "--foldz"),
    ],
)
def test_wrong_arguments_end_with_a_message(
    example, folder, tmp_path, arguments, expected, capsys
):
    given = [*QUICK, "--data", folder, "--output", str(tmp_path), *arguments]
    with pytest.raises(SystemExit) as exit_:
        example.main(given)
    assert exit_.value.code == 2
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert ": error: " in last_line
    assert expected in last_line


def test_unreadable_files_are_named_in_one_line(example, tmp_path, capsys):
    X, y = make_radiographs(
        12, image_size=32, weights=(1, 1, 1), random_state=0, return_X_y=True
    )
    save_radiographs(X, y, tmp_path / "data")
    damaged = [tmp_path / "data" / "NORMAL" / name for name in ("1.png", "2.png")]
    for path in damaged:
        path.write_bytes(b"")
    with pytest.raises(SystemExit):
        example.main([*QUICK, "--data", str(tmp_path / "data")])
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert "2 of 12 files" in last_line
    assert all(str(path) in last_line for path in damaged)
