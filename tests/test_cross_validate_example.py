"""The example `cross_validate.py`, run with its command line in this process."""

import importlib.util
import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from _command_line import first_of_each_class

import skcovid
from _helpers import tiny_backbone
from skcovid.datasets import make_radiographs, save_radiographs

pytestmark = pytest.mark.usefixtures("eager")

EXAMPLE = Path(__file__).parents[1] / "examples" / "cross_validate.py"
FIGURES = {"confusion_matrix.png", "per_class.png", "training_history.png"}
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
    specification = importlib.util.spec_from_file_location(EXAMPLE.stem, EXAMPLE)
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


@pytest.fixture(scope="module")
def synthetic(example, tmp_path_factory):
    """Files and output of a run without --data."""
    output = tmp_path_factory.mktemp("output")
    with redirect_stdout(StringIO()) as printed:
        example.main([*QUICK, "--limit", "20", "--output", str(output)])
    return output, printed.getvalue()


def read_results(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def supports(results):
    return {
        label: row["support"] for label, row in results["per_class"]["classes"].items()
    }


def test_without_data_it_says_that_radiographs_are_synthetic(synthetic):
    output, printed = synthetic
    notice = "the figures say nothing about real ones"
    assert notice in printed
    assert notice in (output / "report.md").read_text(encoding="utf-8")


def test_results_count_every_image_once(synthetic):
    output, _ = synthetic
    results = read_results(output)
    # The rarest class of the synthetic set has 11 images.
    assert supports(results) == {"COVID-19": 11, "NORMAL": 20, "Viral Pneumonia": 20}
    assert np.sum(results["confusion_matrix"], axis=1).tolist() == [11, 20, 20]
    assert results["test_indices"] == list(range(51))


def test_report_holds_the_printed_tables_and_the_figures(synthetic):
    output, printed = synthetic
    report = (output / "report.md").read_text(encoding="utf-8")
    table_lines = [line for line in report.splitlines() if line.startswith("|")]
    for label in ("COVID-19", "NORMAL", "Viral Pneumonia"):
        # Three tables: confusion matrix, figures, numbers of images.
        assert sum(line.startswith(f"| {label} ") for line in table_lines) == 3
    assert set(table_lines) <= set(printed.splitlines())
    assert {path.name for path in output.glob("*.png")} == FIGURES
    assert all(f"]({figure})" in report for figure in FIGURES)
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "the figures say nothing about real ones" in page
    assert 'id="training"' in page


def test_paper_protocol_predicts_half_of_a_folder(example, folder, tmp_path):
    options = ["--data", folder, "--protocol", "paper", "--output", str(tmp_path)]
    example.main([*TINY, "--recipe", "linear", *options])
    results = read_results(tmp_path)
    assert np.sum(results["confusion_matrix"]) == sum(N_IMAGES.values()) / 2
    assert not results["grouped"]


def test_linear_recipe_has_no_training_history(example, folder, tmp_path):
    options = ["--data", folder, "--recipe", "linear", "--output", str(tmp_path)]
    example.main([*TINY, *options])
    results = read_results(tmp_path)
    assert supports(results) == N_IMAGES
    assert results["grouped"]
    assert {path.name for path in tmp_path.glob("*.png")} == FIGURES - {
        "training_history.png"
    }


def test_several_backbones_have_a_folder_each_and_a_summary(
    example, tmp_path, capsys, monkeypatch
):
    temporary, kept = tmp_path / "temporary", tmp_path / "kept"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    several = ["--backbone", "tiny", "shallow", "--memory", str(kept)]
    options = ["--recipe", "linear", "--limit", "12", "--output", str(tmp_path)]
    example.main([*TINY, *several, *options])
    assert (tmp_path / "tiny" / "report.md").is_file()
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert summary in capsys.readouterr().out
    accuracy = read_results(tmp_path / "shallow")["accuracy"]["value"]
    in_summary = summary.splitlines()[-1].split("|")[-2]
    assert in_summary.startswith(f"{100 * accuracy:.2f} %")
    # Features of both networks are in the folder of --memory only.
    assert len(list(kept.iterdir())) >= 2
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("arguments", "grouped"),
    [
        ([], True),
        (["--no-groups"], False),
        (["--protocol", "paper"], False),
        (["--protocol", "paper", "--groups"], True),
    ],
)
def test_patients_stay_whole_except_in_the_paper_protocol(
    example, folder, arguments, grouped
):
    options = example.make_parser().parse_args(["--data", folder, *arguments])
    assert (example.load(options).groups is not None) is grouped


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
        (["--recipe", "linear"], "--epochs"),
        (["--groups"], "--groups"),
        (["--folds", "30"], "Class 'COVID-19' has 11 images"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_wrong_arguments_end_with_a_message(
    example, tmp_path, arguments, expected, capsys
):
    with pytest.raises(SystemExit) as exit_:
        example.main([*QUICK, "--output", str(tmp_path), *arguments])
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
