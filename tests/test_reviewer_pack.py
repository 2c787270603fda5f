"""The reviewer pack: checklists, demographics, the card of ATLAS."""

import csv
import json
import re
from datetime import date
from importlib.resources import files

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from _helpers.results import CLASSES, make_external, make_result
from skcovid import atlas_card, write_report, write_reviewer_pack

mpl.use("agg")

CHECKLISTS = {"stard_ai": 48, "claim_2024": 44, "tripod_ai": 52}
HOSTILE = "a|b\nc"


def make_data(labels, **attributes):
    paths = np.array([f"x/{row}.png" for row in range(len(labels))], dtype=object)
    return Bunch(
        target=labels, paths=paths, attributes=attributes, bad_files={}, dropped=[]
    )


@pytest.fixture(scope="module")
def result():
    """A model that does not hold outside."""
    return make_result(external=make_external(400, 0.2))


@pytest.fixture(scope="module")
def data(result):
    ages = np.arange(400.0) % 90 + 1
    ages[:4] = np.nan
    return make_data(
        result.y_true,
        age=ages,
        sex=np.resize(["F", "M", "M", ""], 400),
        view=np.resize(["PA", HOSTILE], 400),
        acquisition_date=np.resize(["2020-03-01", "2020-05-31", ""], 400),
        comment=np.arange(400).astype(str),
    )


@pytest.fixture(scope="module")
def pack(result, data, tmp_path_factory):
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.125))
    pipeline.fit([[0.0], [1.0]], CLASSES)
    folder = tmp_path_factory.mktemp("pack") / "new"
    paths = write_reviewer_pack(
        folder,
        result,
        pipeline=pipeline,
        data=data,
        test_data=make_data(result.external.y_true, age=np.full(400, 60.0)),
        link="https://example.org/model",
    )
    assert sorted(folder.iterdir()) == sorted(paths)
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def read_rows(text):
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [re.split(r"(?<!\\)\|", line.strip("| ")) for line in lines[2:]]


def test_the_pack_has_what_it_names(pack):
    assert {*pack} == {
        *(
            "README.md",
            "flow.svg",
            "demographics.md",
            "subgroups.md",
            "atlas.json",
            "model_card.md",
        ),
        *("result.json", *(f"{name}.md" for name in CHECKLISTS)),
    }
    for name in {*pack} - {"README.md"}:
        assert f"| {name} |" in pack["README.md"]
    assert "needs: " not in pack["README.md"]
    assert "Model.Descriptors" in pack["README.md"]


@pytest.mark.parametrize("name", CHECKLISTS)
def test_checklists_name_their_version_and_the_authors_items(name, pack):
    text = pack[f"{name}.md"]
    assert re.match(r"# \S+, 202[45]", text)
    assert "https://doi.org/10." in text
    rows = read_rows(text)
    assert len(rows) == CHECKLISTS[name]
    for item, section, asked, status, content in rows:
        assert item.strip()
        assert section.strip()
        assert asked.strip()
        filled, left = "Filled: " in content, "For the author: " in content
        assert (
            status.strip()
            == {
                (True, False): "filled",
                (True, True): "filled in part",
                (False, True): "for the author",
            }[filled, left]
        )
    left = sum(row[3].strip() != "filled" for row in rows)
    assert f"something to write in {left} of {len(rows)} rows" in text


@pytest.mark.parametrize("name", CHECKLISTS)
def test_items_of_a_checklist_are_numbered_without_gaps(name, pack):
    items = [row[0].strip() for row in read_rows(pack[f"{name}.md"])]
    assert len({*items}) == len(items)
    numbers = [int(re.match(r"\d+", item)[0]) for item in items]
    last = {"stard_ai": 40, "claim_2024": 44, "tripod_ai": 27}[name]
    assert [*dict.fromkeys(numbers)] == [*range(1, last + 1)]
    for number in {*numbers}:
        letters = "".join(re.findall(rf"^{number}([a-z])$", "\n".join(items), re.M))
        assert letters == "abcdefgh"[: len(letters)]
        assert len(letters) != 1


@pytest.mark.parametrize("name", CHECKLISTS)
def test_facts_of_checklists_exist(name, result):
    """A fact that nothing describes would silently leave an item to the author."""
    from skcovid.report._demographics import find_partitions
    from skcovid.report._facts import Study, collect_facts

    partitions = find_partitions(result, None, None)
    study = Study(result, LogisticRegression(), None, (None, None), partitions)

    text = files("skcovid.report").joinpath(f"{name}.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("# ")]
    named = {fact for row in csv.DictReader(lines) for fact in row["facts"].split()}
    assert named <= {*collect_facts(study)}


def test_figures_outside_and_inside_fill_the_results(pack, result):
    rows = {row[0].strip(): row[4] for row in read_rows(pack["stard_ai.md"])}
    for predictions in (result, result.external):
        area = predictions.roc_auc["COVID-19"].format_fraction()
        assert area in rows["31"]
    assert "logistic regression" in rows["15a"]
    assert "For the author" in rows["16a"]


def test_demographics_count_what_is_not_known(pack):
    rows = {row[0].strip(): row[1:] for row in read_rows(pack["demographics.md"])}
    assert "400 images of 400 patients" in rows["Images"][0]
    assert "200 images of 200 patients (50.0 %)" in rows["Class COVID-19"][1]
    inside, outside = rows["Age, years"]
    assert "range 1 to 90" in inside
    assert "not known: 4 images of 4 patients" in inside
    assert "median 60, range 60 to 60; not known: 0" in outside
    inside, outside = rows["Sex"]
    assert "F: 100 images" in inside
    assert "M: 200 images" in inside
    assert "not known: 100 images" in inside
    assert outside.strip() == "not known"
    assert "2020-03-01 to 2020-05-31; not known: 133" in rows["Acquisition date"][0]
    assert "400 values" in rows["Comment"][0]
    assert r"a\|b c" in pack["demographics.md"]


def test_demographics_are_given_by_source(tmp_path):
    source = np.repeat(["north", "south"], [150, 250])
    result = make_result(source=source)
    write_reviewer_pack(tmp_path, result)
    text = (tmp_path / "demographics.md").read_text(encoding="utf-8")
    rows = {row[0].strip(): row[1:] for row in read_rows(text.partition("source")[2])}
    assert "150 images of 150 patients" in rows["north"][0]
    assert "250 images of 250 patients" in rows["south"][0]


def check_atlas(card):
    """Check a card against the fields of ATLAS' schema."""
    text = files("skcovid.persistence").joinpath("atlas_model.csv").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("# ")]
    fields = {row["field"]: row for row in csv.DictReader(lines)}
    types = {
        "text": str,
        "URI": str,
        "object": dict,
        "list": list,
        "integer": int,
        "date": (str, int),
        "text or null": (str, type(None)),
    }

    def check(value, path):
        assert path in fields, f"ATLAS has no field {path}"
        field = fields[path]
        assert isinstance(value, types[field["type"]]), path
        if field["at_least"]:
            assert len(value) >= int(field["at_least"]), path
        if field["at_most"]:
            assert len(value) <= int(field["at_most"]), path
        if field["allowed"]:
            assert value in field["allowed"].split(";"), path
        if field["type"] == "date" and isinstance(value, str):
            date.fromisoformat(value)
        if field["type"] == "URI":
            assert re.fullmatch(r"[a-z]+:\S+", value)
        if isinstance(value, list):
            if path.startswith(("Model.Indexing", "Model.Model p")):
                assert len({*map(str, value)}) == len(value), path
            for entry in value:
                check(entry, f"{path}[]")
        if isinstance(value, dict):
            check_object(value, f"{path}.")

    def check_object(value, prefix):
        for name, field in fields.items():
            rest = name.removeprefix(prefix)
            if name.startswith(prefix) and "." not in rest and field["required"]:
                assert rest in value, f"{name} is required"
        for name, entry in value.items():
            check(entry, f"{prefix}{name}")

    check_object(card, "")


def test_the_atlas_card_fits_the_schema(pack):
    check_atlas(json.loads(pack["atlas.json"]))


def test_the_check_of_atlas_cards_finds_faults(result):
    card = atlas_card(None, result, name="A model")
    with pytest.raises(AssertionError, match=r"Model.Link is required"):
        check_atlas(card)
    card["Model"]["Link"] = "https://example.org"
    check_atlas(card)
    for name, value in (("Size", "big"), ("Name", "A"), ("Indexing", {"Content": []})):
        faulty = {**card, "Model": {**card["Model"], name: value}}
        with pytest.raises(AssertionError, match="Model"):
            check_atlas(faulty)


def test_a_card_without_link_says_so(result, tmp_path):
    write_reviewer_pack(tmp_path, result)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "atlas.json needs: Model.Link." in text
    assert "no model card: pass the fitted pipeline" in text


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"name": "abc"}, "name has 3 characters.*4 to 256"),
        ({"name": "A model", "link": "example.org"}, "link.*not a URL"),
    ],
)
def test_atlas_wants_names_and_links(parameters, message, result):
    with pytest.raises(ValueError, match=message):
        atlas_card(None, result, **parameters)


def test_other_data_are_an_error(result, data, tmp_path):
    with pytest.raises(ValueError, match="data has other labels"):
        write_reviewer_pack(tmp_path / "a", result, data=make_data(data.target[::-1]))
    with pytest.raises(ValueError, match="test_data has other labels"):
        write_reviewer_pack(
            tmp_path / "a", result, test_data=make_data(data.target[:100])
        )
    with pytest.raises(ValueError, match=r"test_data.*no external set"):
        write_reviewer_pack(tmp_path / "a", make_result(), test_data=data)
    assert not (tmp_path / "a").exists()


def test_the_inside_figure_never_stands_alone(pack, result, tmp_path):
    """No document gives the accuracy inside before what is known outside."""
    write_report(tmp_path / "report.html", result)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = page.partition("<body>")[2].replace("\N{NO-BREAK SPACE}", " ")
    documents = {**pack, "report.html": page, "result.md": result.to_markdown()}
    del documents["result.json"]  # For programs: figures inside and outside by name.
    inside = f"{100 * result.accuracy.value:.1f}"
    outside = result.external.roc_auc["COVID-19"].format_fraction(2)
    del documents["flow.svg"]  # Numbers of images alone.
    shown = set()
    for name, text in documents.items():
        if (place := text.find(inside)) >= 0:
            verdict = text.find(f"Do not rely on the {inside} %")
            assert 0 <= verdict <= place, name
            assert outside in text[verdict : verdict + 300], name
            shown.add(name)
    assert shown >= {"report.html", "result.md", "model_card.md", "atlas.json"}
    assert shown >= {"README.md", *(f"{name}.md" for name in CHECKLISTS)}
