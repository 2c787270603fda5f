"""`skcovid demo`, and the commands that README and documentation show."""

import csv
import json
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from _helpers.tiny_backbone import register
from skcovid.command import main
from skcovid.command._main import make_parser

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run_demo(tmp_path, monkeypatch, capsys):
    """Run the demo in an empty folder with a small network; return what it prints."""
    register()
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        model = ["--backbone", "tiny", "--weights", "none", "--folds", "3", "--quiet"]
        code = main(["demo", *model, *arguments])
        return code, *capsys.readouterr()

    return run


def test_the_demo_says_what_is_planted_and_writes_its_folder(run_demo, tmp_path):
    code, text, progress = run_demo("--images", "60")
    assert code == 0, progress
    assert len(text.splitlines()) < 45
    assert "synthetic" in text
    assert "source-4 has COVID-19 alone" in " ".join(text.split())
    with (tmp_path / "demo/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    classes = Counter(row["label"] for row in rows if row["source"] == "source-4")
    assert list(classes) == ["COVID-19"]
    document = json.loads((tmp_path / "demo/results.json").read_text("utf-8"))
    assert document["audit"]["checks"]["source"]["status"] in ("passed", "flagged")
    assert "<html" in (tmp_path / "demo/report.html").read_text("utf-8")

    # Images of another demo, or of a user, are not taken for its own.
    code, _, error = run_demo("--images", "61")
    assert code == 2
    assert re.search(r"images other than the 61 .*\n.*--output", error)


@pytest.mark.parametrize(
    "page", ["README.md", "docs/getting_started.md", "docs/index.md"]
)
def test_commands_of_the_documentation_are_understood(page):
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(skcovid [a-z][^`]*)`", text)
    commands = [line.partition(" 2>")[0] for line in lines]
    shown = [shlex.split(line)[1:] for line in commands if line.startswith("skcovid ")]
    assert ["demo"] in shown
    for arguments in shown:
        if "--help" not in arguments and len(arguments) + (arguments == ["demo"]) > 1:
            assert make_parser().parse_args(arguments).command == arguments[0]
