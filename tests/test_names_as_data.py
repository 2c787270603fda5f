"""Names that look like markup, formulas or commands are shown as they are written."""

import html
import re

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skcovid import AugmentationBalancer, evaluate, model_card, write_report
from skcovid._base._document import Table
from skcovid.auditing import AuditCheck, AuditFigure, AuditReport
from skcovid.inspection import (
    AuditDisplay,
    AugmentationDisplay,
    ClassDistributionDisplay,
    DecisionCurveDisplay,
    FlowDiagramDisplay,
    ForestPlotDisplay,
    OneVsRestCalibrationDisplay,
    PerClassTableDisplay,
    PooledConfusionMatrixDisplay,
    SaliencyDisplay,
)
from skcovid.metrics import Estimate, decision_curve

# Each name, and how it is shown.
SHOWN = {
    r"$\frac{1$ or $x_$": r"$\frac{1$ or $x_$",
    "a|b `c` *d* __e__ f_g <b>h</b>": "a|b `c` *d* __e__ f_g <b>h</b>",
    "line\r\n\n# break": "line # break",
    "[text](http://x.org) &lt;i&gt; \\* $y$": "[text](http://x.org) &lt;i&gt; \\* $y$",
    "_first ~~struck~~ \\": "_first ~~struck~~ \\",
    "\x1b[31mred\x00 \u202e": r"\x1b[31mred\x00 \u202e",
}
NAMES = list(SHOWN)
X = np.random.default_rng(0).random((60, 4))
Y = np.resize(NAMES, 60)
IMAGES = np.resize(np.arange(256, dtype=np.uint8), (60, 16, 16))


@pytest.fixture(scope="module")
def model():
    return LogisticRegression().fit(X, Y)


@pytest.fixture(scope="module")
def result():
    return evaluate(LogisticRegression(), X, Y, cv=2, verbose=0)


@pytest.fixture(scope="module")
def audit(result):
    check = AuditCheck(
        "shortcut ratio",
        *(NAMES[2], "flagged", NAMES[0], NAMES[1], NAMES[3]),
        figures=(AuditFigure(NAMES[4], result.accuracy),),
        tables=(Table(NAMES[:2], [[name, name] for name in NAMES], NAMES[3]),),
        accuracies=dict.fromkeys(NAMES, result.accuracy),
    )
    return AuditReport((check,), result, 0.2, {})


def from_result(display):
    return lambda result, audit: display.from_result(result)


DISPLAYS = {
    "audit": lambda result, audit: AuditDisplay(
        dict.fromkeys(NAMES, result.accuracy), 0.2
    ).plot(),
    "augmentation": lambda result, audit: AugmentationDisplay.from_sampler(
        AugmentationBalancer(factor=1, random_state=0), IMAGES, Y
    ),
    "saliency": lambda result, audit: SaliencyDisplay(
        IMAGES[:6], np.ones((6, 4, 4)), NAMES
    ).plot(),
    "calibration": from_result(OneVsRestCalibrationDisplay),
    "classes": from_result(ClassDistributionDisplay),
    "table": from_result(PerClassTableDisplay),
    "confusion": from_result(PooledConfusionMatrixDisplay),
    "sources": lambda result, audit: ForestPlotDisplay.from_estimates(
        {name: Estimate.from_counts(8, 9) for name in NAMES}
    ),
    "curves": lambda result, audit: DecisionCurveDisplay(
        {name: decision_curve(Y, np.full(60, 0.5), pos_label=name) for name in NAMES}
    ).plot(),
    "flow": lambda result, audit: FlowDiagramDisplay(
        dict.fromkeys(NAMES, (6, None)), dict.fromkeys(NAMES, (6, 2))
    ).plot(),
    "turned": lambda result, audit: PooledConfusionMatrixDisplay(
        result.confusion_matrix, display_labels=NAMES
    ).plot(xticks_rotation="vertical"),
}


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("draw", DISPLAYS.values(), ids=DISPLAYS)
def test_displays(draw, result, audit, plt):
    figure = draw(result, audit).figure_
    figure.canvas.draw()
    found = set()
    for text in figure.findobj(plt.Text):
        shown, is_formula = text._preprocess_math(text.get_text())
        assert not is_formula, text
        # Lines of a flow diagram have a name each, if they are not indented.
        for part in (shown, *re.split(r"\n(?! {4})", shown)):
            found.add(" ".join(part.replace("(n = 10)", "").split()))
    for name in SHOWN.values():
        assert any(shown.startswith(name) for shown in found), name


def rendered(text):
    """What a reader of the Markdown sees, and the names of the elements."""
    markdown_it = pytest.importorskip("markdown_it")
    page = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found = page.render(text)
    elements = set(re.findall(r"<(\w+)", found))
    return html.unescape(re.sub("<[^>]*>", "", found)), elements


def test_markdown(result, audit, model):
    card = model_card(model).partition("## Model")[2].partition("## Limitations")[0]
    for text in (result.to_markdown(), audit.to_markdown(), card):
        assert "".join(text.split("\n")).isprintable()
        page, elements = rendered(text)
        assert not elements & {"a", "b", "i", "em", "s"}
        for name in SHOWN.values():
            assert name.strip() in page, name


def test_report(result, audit, tmp_path):
    pytest.importorskip("jinja2")
    path = write_report(tmp_path / "report.html", result, audit=audit)
    text = path.read_text(encoding="utf-8")
    assert text.replace("\n", "").replace("\xa0", "").isprintable()
    page = html.unescape(re.sub("<[^>]*>", "", text))
    for name in SHOWN.values():
        assert name in page, name


class TestMissingFolder:
    def test_of_a_report(self, result, tmp_path, monkeypatch):
        monkeypatch.setattr("skcovid.report._report.describe_result", None)
        with pytest.raises(FileNotFoundError, match=r"nowhere.*folder does not exist"):
            write_report(tmp_path / "nowhere" / "report.html", result)
        with pytest.raises(IsADirectoryError, match="name of a file"):
            write_report(tmp_path, result)

    def test_of_json(self, result, audit, tmp_path):
        for written in (result, audit):
            with pytest.raises(
                FileNotFoundError, match=r"nowhere.*folder does not exist"
            ):
                written.to_json(tmp_path / "nowhere" / "written.json")


def test_an_earlier_audit_stays(audit, tmp_path, monkeypatch):
    path = tmp_path / "audit.json"
    audit.to_json(path)
    before = path.read_text(encoding="utf-8")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="no room"):
        audit.to_json(path)
    assert path.read_text(encoding="utf-8") == before
    assert list(tmp_path.iterdir()) == [path]
