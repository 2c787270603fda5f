"""The `skcovid` command, run in this process; in a new one where imports matter."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

import skcovid
from _helpers import small_forests, tiny_backbone
from skcovid.command import _options as shared
from skcovid.command import main
from skcovid.datasets import make_radiographs, save_radiographs
from skcovid.model_selection import EvaluationResult
from skcovid.pipeline import RECIPES

pytestmark = pytest.mark.usefixtures("eager")

HEAVY = {"keras", "tensorflow", "matplotlib", "sklearn", "scipy", "cv2"}
TINY = ["--backbone", "tiny", "--weights", "none", "--quiet"]
CLASSES = {"COVID-19", "NORMAL", "Viral Pneumonia"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """36 images of 18 patients in two sources, and a text file."""
    tiny_backbone.register()
    images, y = tiny_backbone.make_images(36)
    root = tmp_path_factory.mktemp("command") / "radiographs"
    patients = [f"p{row // 6}-{row % 3}" for row in range(36)]
    sources = np.where(np.arange(36) // 6 % 2, "here", "there")
    save_radiographs(images, y, root, groups=patients, source=sources)
    (root / "NORMAL" / "notes.txt").write_text("no image")
    return root


@pytest.fixture(scope="module")
def model(folder):
    path = folder.parent / "model.skcovid"
    assert main(["fit", str(folder), "-o", str(path), *TINY]) == 0
    return path


@pytest.fixture(scope="module")
def evaluation(folder):
    """The folder that `skcovid evaluate` writes, with an audit and an external set."""
    images, y = tiny_backbone.make_images(
        12, classes=["COVID-19", "OK", "Other"], seed=9
    )
    save_radiographs(images, y, folder.parent / "outside")
    output = folder.parent / "evaluation"
    with pytest.MonkeyPatch.context() as patch:
        small_forests.use(patch)
        arguments = ["evaluate", folder, "-o", output, "--folds", "2", *TINY, "--test"]
        arguments += [folder.parent / "outside", "--test-rename", "OK=NORMAL"]
        assert main(list(map(str, arguments))) == 0
    return output


@pytest.fixture
def no_pictures(monkeypatch):
    """Write no report, where it is not the subject: it draws for seconds."""
    monkeypatch.setattr("skcovid.report.write_report", lambda *_, **__: None)


def run(capsys, *arguments):
    """Run the command; return exit code, stdout and stderr."""
    capsys.readouterr()
    code = main(list(map(str, arguments)))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def read_table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_module_shows_help_without_heavy_packages():
    code = (
        "import runpy, sys; sys.argv = ['skcovid', '--help']\n"
        "try: runpy.run_module('skcovid', run_name='__main__')\n"
        "finally: print('loaded', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    text, _, modules = done.stdout.partition("loaded")
    assert all(name in text for name in ("demo", "evaluate", "predict", "export"))
    assert not HEAVY & set(modules.split())


def test_version_and_help_of_every_subcommand(capsys):
    assert run(capsys, "--version")[1] == f"skcovid {skcovid.__version__}\n"
    for name in ("demo", "inspect", "evaluate", "audit", "fit", "predict", "report"):
        code, text, _ = run(capsys, name, "--help")
        assert code == 0
        assert "--json" in text
        assert "output:" in text


def test_without_a_task_it_shows_the_tasks(capsys):
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    assert "evaluate" in err


def test_recipes_of_the_command_are_those_of_the_package():
    assert set(shared.RECIPES) == set(RECIPES)


def test_completion_knows_tasks_and_options(capsys):
    pytest.importorskip("shtab")
    code, out, _ = run(capsys, "--print-completion", "bash")
    assert code == 0
    assert "evaluate" in out
    assert "--leave-one-source-out" in out


@pytest.mark.parametrize(
    ("arguments", "cause", "cure"),
    [
        (["evaluat", "FOLDER"], "'evaluat'", "Did you mean 'evaluate'?"),
        (["fit", "FOLDER", "--recipe", "liner"], "'liner'", "Did you mean 'linear'?"),
        (["evaluate", "FOLDER", "--foldz", "3"], "--foldz", "Did you mean '--folds'?"),
        (["fit", "FOLDER", "--limit", "0"], "--limit", "--help"),
        (["fit", "FOLDER", "--rename", "NORMAL"], "--rename", "--help"),
        (["fit", "nowhere"], "nowhere", "Check the path"),
        (["inspect", "nowhere"], "nowhere", "Check the path"),
        (["fit", "FOLDER", "--class", "NORMA"], "--class", "NORMAL"),
        (["fit", "FOLDER", "--backbone", "resnet5"], "resnet5", "mean 'resnet50'"),
        (["fit", "FOLDER", "--epochs", "2"], "--epochs", "--recipe fast"),
        (["fit", "FOLDER", "-o", "nowhere/m.skcovid"], "nowhere", "Make it first"),
        (
            ["fit", "FOLDER", *TINY, "--weights", "no.weights.h5"],
            "no.weights.h5",
            "Check",
        ),
        (["fit", "FOLDER", *TINY, "--weights", "imagnet"], "imagnet", "'imagenet'"),
        (["evaluate", "FOLDER", *TINY, "--folds", "13"], "6 patients", "Lower --folds"),
        (["evaluate", "FOLDER", *TINY, "--limit", "2"], "2 patients", "add images"),
        (["predict", "FOLDER/metadata.csv", "FOLDER"], "not a zip file", "Use"),
        (["predict", "nowhere.skcovid", "FOLDER"], "nowhere.skcovid", "Check the path"),
        (["predict", "x.skcovid", "FOLDER", "-o", "x.txt"], "x.txt", ".csv"),
        (["report", "FOLDER"], "predictions.csv", "skcovid evaluate"),
        (["audit", "TABLE", "--backbone", "vgg19"], "--backbone", "Leave it out"),
    ],
)
def test_mistakes_are_a_cause_and_a_cure(
    arguments, cause, cure, folder, evaluation, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    places = {"FOLDER": str(folder), "TABLE": str(evaluation / "predictions.csv")}
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    shown = err[err.index(": error: ") :].splitlines()
    assert cause in shown[0]
    assert cure in " ".join(shown[1:])
    assert len(shown) > 1


def test_missing_extra_is_named_before_anything_is_read(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    code, _, err = run(capsys, "evaluate", folder, *TINY, "-o", tmp_path / "new")
    assert code == 2
    assert "pip install 'skcovid[report]'" in err.splitlines()[-1]
    assert not (tmp_path / "new").exists()


def test_faults_show_where_they_happened(model, monkeypatch, capsys):
    def fail(path):
        raise AssertionError("broken")

    monkeypatch.setattr("skcovid.persistence.load", fail)
    code, _, err = run(capsys, "predict", model, "x.png")
    assert code == 2
    assert "Traceback" in err
    assert "report it" in err


def test_an_interrupt_ends_quietly(model, monkeypatch, capsys):
    def stop(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("skcovid.persistence.load", stop)
    code, _, err = run(capsys, "predict", model, "x.png")
    assert (code, err) == (130, "skcovid predict: interrupted\n")


def test_inspect_lists_what_is_read_and_suspicious_files(tmp_path, capsys):
    images, y = tiny_backbone.make_images(12)
    images[3] = images[0]
    images[4] = 7
    images[5] = images[1]
    save_radiographs(images, y, tmp_path / "d", groups=np.arange(12) // 3)
    broken = tmp_path / "d" / "NORMAL" / "4.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    code, out, _ = run(capsys, "inspect", tmp_path / "d", "--json", "-q")
    found = json.loads(out)
    assert code == 0
    assert found["classes"] == {"COVID-19": 4, "NORMAL": 3, "Viral Pneumonia": 4}
    assert found["n_patients"] == 4
    assert list(found["bad_files"]) == [str(broken)]
    counts = {name: len(files) for name, files in found["suspicious"].items()}
    assert counts == {
        "Images of one grey level": 1,
        "Copies in two classes": 1,
        "Copies in one class": 1,
    }
    code, out, _ = run(capsys, "inspect", tmp_path / "d", "-q")
    assert "Copies in two classes: 1" in out
    assert str(broken) in out


def test_evaluate_writes_report_results_and_predictions(evaluation, folder):
    assert {path.name for path in evaluation.iterdir()} == {
        *("report.html", "results.json", "predictions.csv")
    }
    results = json.loads((evaluation / "results.json").read_text(encoding="utf-8"))
    rows = read_table(evaluation / "predictions.csv")
    again = EvaluationResult.from_predictions(evaluation / "predictions.csv")
    page = (evaluation / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert len(rows) == 36
    assert rows[0].keys() >= {"path", "label", "patient", "source", "fold"}
    assert again.accuracy.value == results["evaluation"]["accuracy"]["value"]
    assert again.accuracy.low == results["evaluation"]["accuracy"]["low"]
    assert again.grouped
    assert results["audit"]["settings"]["n_folds"] == 2
    outside = results["evaluation"]["external"]
    assert outside["labels"] == [*sorted(CLASSES), "Other"]


def test_json_is_one_document_and_the_rest_is_on_stderr(
    folder, no_pictures, tmp_path, capsys
):
    arguments = ["evaluate", folder, *TINY, "--no-audit", "--folds", "2", "--json"]
    code, out, err = run(capsys, *arguments, "--limit", "6", "-o", tmp_path)
    found = json.loads(out)
    assert code == 0
    assert found["audit"] is None
    assert len(found["evaluation"]["y_true"]) == 18
    assert str(tmp_path / "report.html") in found["written"]
    assert "18 images (COVID-19 6" in err


def test_sources_can_be_folds_or_ignored(folder, no_pictures, tmp_path, capsys):
    arguments = ["evaluate", folder, *TINY, "--no-audit", "-o", tmp_path, "--json"]
    _, out, _ = run(capsys, *arguments, "--leave-one-source-out")
    assert json.loads(out)["evaluation"]["sources_left_out"]
    arguments += ["--ignore-sources", "--ignore-patients", "--folds", "2"]
    found = json.loads(run(capsys, *arguments)[1])["evaluation"]
    assert found["source"] is None
    assert not found["grouped"]


def test_report_reads_back_what_evaluate_wrote(
    evaluation, no_pictures, tmp_path, capsys
):
    output = tmp_path / "again.html"
    for saved in (evaluation, evaluation / "results.json"):
        code, out, _ = run(capsys, "report", saved, "-o", output)
        assert code == 0
        assert str(output) in out


def test_audit_of_predictions_ends_with_the_exit_code_asked_for(
    evaluation, no_pictures, tmp_path, small_forests, capsys
):
    arguments = ["audit", evaluation / "predictions.csv", "-o", tmp_path, "-q"]
    code, out, _ = run(capsys, *arguments, "--exit-code", "--json")
    flagged = json.loads(out)["audit"]["flagged"]
    assert code == int(bool(flagged))
    assert flagged


def test_options_that_a_table_has_no_use_for_are_named(evaluation, capsys):
    arguments = ["audit", evaluation / "predictions.csv", "--backbone", "resnet50"]
    code, _, errors = run(capsys, *arguments)
    assert code == 2
    assert "error: --backbone has no use" in errors


def test_predict_writes_a_row_for_each_file(model, folder, tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    output = tmp_path / "out.csv"
    code, out, _ = run(
        capsys, "predict", model, folder, broken, "-o", output, "--json", "-q"
    )
    rows = read_table(output)
    assert code == 0
    assert len(rows) == len(json.loads(out)["predictions"]) == 37
    assert rows[-1]["path"] == str(broken)
    assert rows[-1]["error"]
    assert rows[-1]["prediction"] == ""
    paths = [row["path"] for row in rows[:-1]]
    expected = skcovid.load(model).predict_proba(paths)
    got = [
        [float(row[f"probability_{name}"]) for name in sorted(CLASSES)]
        for row in rows[:-1]
    ]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert run(capsys, "predict", model, broken, "-o", output)[0] == 2


def test_predict_writes_parquet(model, folder, tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    output = tmp_path / "out.parquet"
    assert run(capsys, "predict", model, folder, "-o", output, "-q")[0] == 0
    assert parquet.read_table(output).num_rows == 36


def test_fit_says_what_is_next_and_report_describes_the_model(
    folder, model, tmp_path, capsys
):
    arguments = ["fit", folder, *TINY, "-o", tmp_path / "m.skcovid"]
    code, out, _ = run(capsys, *arguments, "--class", "NORMAL", "--class", "COVID-19")
    assert code == 0
    assert f"skcovid predict {tmp_path / 'm.skcovid'}" in out
    assert skcovid.load(tmp_path / "m.skcovid").classes_.tolist() == [
        "COVID-19",
        "NORMAL",
    ]
    card = tmp_path / "card.md"
    code, out, _ = run(capsys, "report", model, "-o", card, "--json")
    assert json.loads(out)["data"]["n_samples"] == 36
    assert card.read_text(encoding="utf-8").startswith("# Model card")


def test_bad_files_stop_unless_they_are_skipped(folder, tmp_path, capsys):
    images, y = tiny_backbone.make_images(30)
    save_radiographs(images, y, tmp_path / "d")
    (tmp_path / "d" / "NORMAL" / "1.png").write_bytes(b"")
    arguments = ["fit", tmp_path / "d", *TINY, "-o", tmp_path / "m.skcovid"]
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "--skip-bad-files" in err.splitlines()[-1]
    code, out, err = run(capsys, *arguments, "--skip-bad-files")
    assert code == 0
    assert "1.png" in err
    assert "29 images" in out


def test_export_writes_beside_the_model(model, monkeypatch, capsys):
    written = []
    monkeypatch.setattr(
        "skcovid.persistence.export", lambda pipeline, path: written.append(path)
    )
    code, out, _ = run(capsys, "export", model, "--json")
    assert (code, written) == (0, [model.with_suffix(".onnx")])
    assert set(json.loads(out)["classes"]) == CLASSES


def test_sources_that_name_images_are_left_out_with_a_warning(capsys, tmp_path):
    data = make_radiographs(12, image_size=16, random_state=0)
    names = np.array([f"case {number}" for number in range(12)])
    save_radiographs(data.images, data.target, tmp_path / "d", source=names)
    code, out, err = run(capsys, "inspect", tmp_path / "d", "--json")
    assert code == 0
    assert json.loads(out)["sources"] is None
    assert "source has 12 values for 12 images" in err
