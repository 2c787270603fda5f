"""The example `external_validation.py`, run in this process on tiny images."""

from functools import partial
from types import SimpleNamespace

import external_validation
import pytest
from sklearn.dummy import DummyClassifier

import skcovid
from _helpers import small_forests, tiny_backbone
from skcovid.model_selection import _run_folds

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the example as its users do; return where it writes."""
    tiny_backbone.register()
    output = tmp_path_factory.mktemp("output")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external_validation, "DEMO_BACKBONE", "tiny")
        patch.setattr(external_validation, "DEMO_IMAGE_SIZE", 32)
        patch.setattr(external_validation, "DEMO_IMAGES", (60, 40, 80))
        small_forests.use(patch)
        quick = partial(
            skcovid.audit,
            refit=DummyClassifier(),
            n_permutations=19,
            fractions=[0.9],
        )
        patch.setattr(external_validation, "audit", quick)
        external_validation.main([f"--output={output}"])
        first = (output / "table.md").read_text("utf-8")
        yield SimpleNamespace(output=output, table=first)


def test_inside_and_outside_are_in_one_table(run):
    lines = [line.split(" | ")[:2] for line in run.table.splitlines() if "| " in line]
    tested = [(one.removeprefix("| "), other) for one, other in lines]
    assert ("one collection", "itself") in tested
    assert ("one collection", "hospitals") in tested
    assert ("many hospitals", "each hospital by the others") in tested
    assert "The threshold" in run.table


def test_report_and_pack_begin_with_what_to_do(run):
    verdict = run.table.partition("\n")[0]
    assert "the external set" in verdict
    page = (run.output / "report.html").read_text("utf-8")
    assert page.index(verdict[:20]) < page.index("<table")
    pack = {path.name for path in (run.output / "reviewer_pack").iterdir()}
    assert {"flow.svg", "atlas.json", "claim_2024.md"} <= pack
    assert verdict[:20] in (run.output / "reviewer_pack/README.md").read_text("utf-8")


def test_another_run_fits_no_model_again(run, monkeypatch):
    def fail(*arguments):
        raise AssertionError("a model was fitted again")

    monkeypatch.setattr(_run_folds, "_evaluate_fold", fail)
    for name in ("audit", "write_report", "write_reviewer_pack"):
        monkeypatch.setattr(external_validation, name, lambda *_, **__: None)
    external_validation.main([f"--output={run.output}"])
    again = (run.output / "table.md").read_text("utf-8")
    assert again.partition("\n")[2] == run.table.partition("\n")[2]


def test_all_folders_or_none(tmp_path, capsys):
    with pytest.raises(SystemExit):
        external_validation.main([f"--data={tmp_path}"])
    assert "all of --data, --nih and --cohen" in capsys.readouterr().err
