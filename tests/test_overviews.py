"""The `repr` of results, and their tables in notebooks: short, and escaped."""

from html.parser import HTMLParser

import numpy as np
import pytest

from _helpers.results import make_external, make_result
from skcovid.auditing import AuditCheck, AuditFigure, AuditReport
from skcovid.metrics import Estimate, per_class_table

HOSTILE = "<script>alert(1)</script>"
RESULT = make_result()
CHECKS = tuple(
    AuditCheck(
        *(f"check {number}", "What?", status, "Text.", "25 %."),
        decision="lower bound 20.0 % of a figure with a long name, flagged above 60 %",
        figures=(AuditFigure("ratio", Estimate(0.4, 0.3, 0.5)),),
    )
    for number, status in enumerate(["flagged", *["passed"] * 9])
)
RATIO = AuditCheck(
    *("shortcut ratio", "How much?", "not run", "Text.", "25 %."),
    figures=(AuditFigure("ratio", Estimate(0.4, 0.3, 0.5)),),
)
MANY = [HOSTILE, *(f"a class with a long name, number {n}" for n in range(30))]
OBJECTS = {
    "estimate": Estimate(0.9, 0.8, 1.0, f"by {HOSTILE}"),
    "table": per_class_table(np.eye(31, dtype=int), MANY),
    "result": RESULT,
    "with external": make_result(external=make_external(100, 1.0)),
    "external": make_external(100, 1.0),
    "audit": AuditReport((*CHECKS, RATIO), RESULT, 0.5, {}),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_repr_is_short(name):
    lines = repr(OBJECTS[name]).splitlines()
    assert len(lines) <= 15
    assert max(map(len, lines)) < 80
    assert lines[0].startswith(type(OBJECTS[name]).__name__)


@pytest.mark.parametrize("name", OBJECTS)
def test_html_is_a_table_with_headings_and_no_markup_of_names(name):
    tags, cells = [], []

    class Page(HTMLParser):
        def handle_starttag(self, tag, attrs):
            assert not attrs
            tags.append(tag)

        def handle_data(self, data):
            cells.append(data)

    page = Page()
    page.feed(OBJECTS[name]._repr_html_())
    page.close()
    assert {"table", "tr", "th", "td"} <= {*tags}
    assert {*tags} <= {"p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    if name in ("estimate", "table"):
        assert any(HOSTILE in cell for cell in cells)


def test_many_classes_are_counted():
    text = repr(OBJECTS["table"])
    assert text.splitlines()[-1] == "… and 22 more"


def test_accuracy_does_not_stand_alone():
    for name, outside in (
        ("result", "accuracy outside: not known"),
        ("with external", ", 100 images. 95 % intervals"),
    ):
        text = " ".join(repr(OBJECTS[name]).split())
        assert OBJECTS[name].accuracy.format_percent(1) in text
        assert outside in text


def test_repr_of_an_audit_says_what_decided():
    lines = repr(OBJECTS["audit"]).splitlines()
    assert "1 of 11 checks flagged: check 0" in " ".join(lines)
    (line,) = [line for line in lines if line.startswith("check 0 ")]
    assert line.split()[2:6] == ["flagged", "lower", "bound", "20.0"]


def test_figures_that_are_not_known():
    unknown = Estimate(np.nan, np.nan, np.nan, "no images")
    assert repr(unknown) == "Estimate(n/a, no images)"
    assert "<td>n/a</td><td></td><td>no images</td>" in unknown._repr_html_()
