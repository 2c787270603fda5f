"""The HTML report: one file, every figure with an interval."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from imblearn.pipeline import Pipeline
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer

from _helpers.results import make_external, make_result
from skcovid import AugmentationBalancer, RadiographReader, evaluate, write_report
from skcovid._base._document import Table
from skcovid.auditing import AuditCheck, AuditFigure, AuditReport
from skcovid.datasets import make_radiographs
from skcovid.inspection import SaliencyDisplay
from skcovid.metrics import Estimate

mpl.use("agg")

HOSTILE = "<script>alert(1)</script>"
X, Y = make_radiographs(
    60, image_size=16, weights=(1, 1, 1), random_state=0, return_X_y=True
)
Y2 = np.where(Y == "COVID-19", Y, "other")
Y = np.where(Y == "NORMAL", HOSTILE, Y.astype(object)).astype(str)
GROUPS = np.arange(len(Y)) // 2
VOID = {"meta", "img", "br", "hr", "link", "input"}
ALWAYS = ["headline", "confusion-matrix", "per-class", "data", "making"]


def flatten(images):
    return np.asarray(images).reshape(len(images), -1) / 255.0


class WithHistory(LogisticRegression):
    def fit(self, X, y):
        self.history_ = {"loss": [1.0, 0.5], "phase": [1, 2]}
        return super().fit(X, y)


class Predictor(LogisticRegression):
    """A classifier without probabilities and history."""

    predict_proba = property()


def make_pipeline(classifier):
    return Pipeline(
        [("flatten", FunctionTransformer(flatten)), ("classify", classifier)]
    )


@pytest.fixture(scope="module")
def result():
    pipeline = make_pipeline(WithHistory(C=0.01))
    return evaluate(pipeline, X, Y, cv=2, groups=GROUPS, verbose=0)


PLAIN = make_pipeline(Predictor(C=0.001))


@pytest.fixture(scope="module")
def plain():
    """A result without probabilities, history or patients."""
    return evaluate(PLAIN, X, Y, cv=2, verbose=0)


@pytest.fixture(scope="module")
def audit(result):
    ratio = AuditFigure("shortcut ratio, border", Estimate(0.41, 0.33, 0.52))
    source = AuditFigure("Cramér's V", Estimate(0.7, 0.6, 0.8), as_percent=False)
    copies = Table(["images"], [[f"{HOSTILE}{n}"] for n in range(25)], "Copies")
    return AuditReport(
        checks=(
            AuditCheck("blanked lungs", "Lungs?", "not run", "Not here.", "any."),
            AuditCheck(
                *("shortcut ratio", "How much?", "flagged", "Much.", "25 %."),
                advice="Report it.",
                figures=(ratio,),
            ),
            AuditCheck(
                *("source", "Where from?", "passed", "Anywhere.", "0.3."),
                figures=(source,),
                tables=(copies,),
            ),
        ),
        result=result,
        chance=0.4,
        settings={},
    )


class Page(HTMLParser):
    """Parses a page into its elements and sections."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.open, self.sections = [], [], {}
        self.rows = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.sections[dict(attrs)["id"]] = ""
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        text = text.replace("\N{NO-BREAK SPACE}", " ")
        if "section" in self.open:
            self.sections[list(self.sections)[-1]] += text
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += text

    @property
    def images(self):
        return [attributes for tag, attributes in self.elements if tag == "img"]


@pytest.fixture(scope="module")
def full(result, audit, tmp_path_factory):
    """A report with all sections."""
    pipeline = Pipeline(
        [
            ("read", RadiographReader(16)),
            ("balance", AugmentationBalancer(factor=1, random_state=0)),
            *make_pipeline(LogisticRegression(C=0.125)).steps,
        ]
    )
    path = write_report(
        tmp_path_factory.mktemp("report") / "report.html",
        result,
        pipeline=pipeline,
        audit=audit,
        X=X,
        saliency=SaliencyDisplay(X[:1], X[:1] / 255.0, [HOSTILE], method="Occlusion"),
        title=f"Report {HOSTILE}",
    )
    assert plt.get_fignums() == []
    return Page(path)


def test_page_is_one_file_without_links_or_scripts(full):
    assert full.open == []
    tags = {tag for tag, _ in full.elements}
    loading = {"script", "link", "iframe", "object", "embed", "video", "audio", "base"}
    assert not tags & loading
    for tag, attributes in full.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert not {"srcset", "background", "data", "action"} & attributes.keys()
        if tag != "img":
            assert "src" not in attributes
        assert "url(" not in attributes.get("style", "")
    assert all(
        image["src"].startswith("data:image/png;base64,") for image in full.images
    )
    (policy,) = [
        attributes["content"]
        for tag, attributes in full.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy


def test_images_say_what_they_show(full):
    alts = [image["alt"] for image in full.images]
    assert len(set(alts)) == len(alts) == 12
    assert all(len(alt) > 20 for alt in alts)


def test_page_fits_a_phone(full):
    assert ("name", "viewport") in [
        item for tag, attributes in full.elements for item in attributes.items()
    ]
    wrapped = [
        (before[1].get("class"), tag)
        for before, (tag, _) in zip(full.elements, full.elements[1:], strict=False)
        if tag in ("table", "img")
    ]
    assert {style for style, _ in wrapped} == {"scroll"}


def test_labels_are_escaped(full):
    assert HOSTILE in full.sections["per-class"]
    assert f"{HOSTILE}0" in full.sections["audit"]
    assert "… and 5 more" in full.sections["audit"]


def test_every_figure_has_its_interval(full, result, audit):
    rows = [
        row
        for row in full.rows
        if row[0] not in {"Versions", "Wall time"} and "__" not in row[0]
    ]
    cells = [cell for row in rows for cell in row]
    chance = [f"{100 * audit.chance:.1f} %"]
    for cell in cells:
        if re.search(r"\d\.\d+( %|$)", cell) and cell not in chance:
            assert re.search(r"\d \[-?[\d.]+, [\d.]+\]$|\d % \[", cell), cell
    means = result.per_class.means
    for figure in (result.accuracy, result.balanced_accuracy, means.f1):
        assert figure.format_percent() in cells
    assert result.roc_auc.mean.format_fraction() in cells
    for row in result.per_class.values():
        assert row.specificity.format_percent() in cells
    assert result.patient_overlap.format_percent() in cells


def test_the_shortcut_ratio_is_shown_beside_the_accuracy(full, result):
    texts = [cell for row in full.rows for cell in row]
    accuracy = texts.index(str(result.accuracy))
    assert texts[accuracy + 1].startswith("Shortcut ratio")
    assert texts[accuracy + 2] == "41.00 % [33.00, 52.00]"


def test_flagged_checks_give_advice(full, audit):
    text = full.sections["audit"]
    assert text.index(audit.headline) < text.index("What to do")
    for words in ("Threshold: 25 %.", "What to do: Report it.", "not run", "flagged"):
        assert words in text
    assert "0.70 [0.60, 0.80]" in text


def test_cells_of_the_confusion_matrix_have_intervals(result):
    shares = result.confusion_shares
    counts = result.confusion_matrix
    np.testing.assert_allclose(
        [[share.value for share in row] for row in shares],
        counts / counts.sum(axis=1, keepdims=True),
    )
    recalls = [row.recall for row in result.per_class.values()]
    assert [shares[i][i] for i in range(3)] == recalls


def test_sections_follow_from_the_inputs(full, plain, tmp_path):
    assert {*full.sections} == {
        *(*ALWAYS, "calibration", "decision-curves", "thresholds", "training"),
        *("audit", "mistakes", "means", "augmentation", "saliency", "model-card"),
    }
    path = write_report(
        tmp_path / "plain.html",
        plain,
        pipeline=PLAIN,
        X=X,
        description=f"Of {HOSTILE}.",
    )
    page = Page(path)
    pictures = "mistakes", "means"
    assert list(page.sections) == [
        *(*ALWAYS[:3], *pictures, "data", "augmentation", "model-card", "making")
    ]
    assert "does not augment" in page.sections["augmentation"]
    assert "not known" in page.sections["data"]
    text = path.read_text(encoding="utf-8")
    assert "is not a medical device" in text
    assert "The model was not audited" in text
    assert "Of &lt;script&gt;" in text


def test_the_model_card_has_intended_use_and_parameters(full):
    assert "For research only" in full.sections["model-card"]
    assert ["classify__C", "0.125"] in full.rows


def test_verdict_figures_and_next_step_come_first(result, audit, tmp_path):
    path = write_report(tmp_path / "report.html", result, audit=audit)
    page = Page(path)
    text = re.sub("<.*?>", "", path.read_text(encoding="utf-8").partition("<body>")[2])
    first = text[: text.index("For research only")].replace("\N{NO-BREAK SPACE}", " ")
    assert first.index("Do not rely on the 46.7 %: ") < first.index("Accuracy inside")
    names = [
        "Accuracy inside the collection",
        "Shortcut ratio: share of the skill that",
    ]
    names += ["Outside", "What to do next", "Images", "Date of the report"]
    for row, name in zip(page.rows, names, strict=False):
        assert row[0].startswith(name)
    assert "flagged checks (see Audit): shortcut ratio. Test it on" in page.rows[3][1]
    assert page.rows[4][1] == "60 of 30 patients"


@pytest.fixture(scope="module")
def of_files(tmp_path_factory):
    """A report on files, of a fitted search, and the folder of the files."""
    folder = tmp_path_factory.mktemp("private")
    paths = [str(folder / f"{label}/{n}.png") for n, label in enumerate(Y2)]
    for path, image in zip(paths, X, strict=True):
        Path(path).parent.mkdir(exist_ok=True)
        cv2.imwrite(path, image)
    search = GridSearchCV(LogisticRegression(), {"C": [0.125]}, cv=2)
    steps = [("read", RadiographReader(16)), *make_pipeline(search).steps]
    pipeline = Pipeline(steps).fit(paths, Y2)
    result = evaluate(pipeline, paths, Y2, cv=2, verbose=0)
    path = write_report(folder / "report.html", result, pipeline=pipeline, X=paths)
    return Page(path), path, result, paths


def test_mistakes_are_named_the_surest_first(of_files):
    page, path, result, paths = of_files
    wrong = np.flatnonzero(result.predictions != result.y_true)
    sure = result.probabilities.max(axis=1)
    names = [row[0] for row in page.rows if row[0].endswith(".png")]
    surest = wrong[np.argsort(-sure[wrong], kind="stable")][:12]
    assert names == [f"{Path(paths[n]).parent.name}/{n}.png" for n in surest]
    assert f"{len(wrong)} of 60 images were wrongly" in page.sections["mistakes"]
    (images,) = [row[1] for row in page.rows if row[0] == "Images" and "in" in row[1]]
    assert images == f"60, in {path.parent}"
    assert "The mean image of each class." in [image["alt"] for image in page.images]


def test_model_is_described_in_plain_words(of_files):
    page, *_ = of_files
    text = "logistic regression with C = 0.125, chosen by cross-validation in 2 folds"
    assert text in page.sections["model-card"]
    assert ["classify__estimator__C", "0.125, chosen by the search"] in page.rows
    assert not [row for row in page.rows if row[-1] in ("'deprecated'", "'warn'")]


def test_limitations_are_of_the_data_at_hand(of_files):
    page, path, *_ = of_files
    text = page.sections["model-card"]
    assert "The model was not tested on images from elsewhere." in text
    assert "Patients are not known" in text
    assert "Of COVID-19 there are 20 images only" in text
    assert "public" not in path.read_text(encoding="utf-8")


def test_a_forecast_is_not_headed_as_a_95_percent_interval(audit):
    figure = AuditFigure("forecast", Estimate(0.7, 0.5, 0.9), interval="90 %")
    check = AuditCheck(
        *("outside", "What?", "passed", "So.", "below."),
        figures=(figure,),
        decision="at most 0.90, flagged below 0.80",
    )
    text = check.to_markdown()
    assert "value [90 %]" in text
    assert "95 %" not in text
    assert "Decided by: at most 0.90, flagged below 0.80." in text


def test_inputs_that_do_not_match_are_an_error(result, audit, plain, tmp_path):
    path = tmp_path / "report.html"
    with pytest.raises(ValueError, match=r"audit.*another result"):
        write_report(path, plain, audit=audit)
    with pytest.raises(ValueError, match=r"X.*5 samples.*60"):
        write_report(path, result, X=X[:5], pipeline=AugmentationBalancer())
    with pytest.raises(ValueError, match="The 'saliency' parameter"):
        write_report(path, result, saliency="Grad-CAM")
    assert not path.exists()


@pytest.mark.parametrize(
    ("module", "package"),
    [("jinja2", "jinja2"), ("markdown_it", "markdown-it-py")],
)
def test_a_missing_package_is_named_with_its_extra(
    module, package, result, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"{package}.*skcovid\[report\]"):
        write_report(tmp_path / "report.html", result)


def test_sources_and_an_external_set_have_their_sections(tmp_path):
    result = make_result(
        source=np.repeat(["north", "south"], 200), external=make_external(100, 1.0)
    )
    attributes = {"age": np.arange(400) % 80, "sex": np.resize(["F", "M", ""], 400)}
    path = write_report(tmp_path / "report.html", result, attributes=attributes)
    page = Page(path)
    assert [*page.sections][:3] == ["headline", "external", "sources"]
    assert "thresholds" not in page.sections  # They are in "external", inside and out.
    assert "north" in page.sections["sources"]
    assert "Sex" in page.sections["subgroups"]
    alts = [image["alt"] for image in page.images]
    assert sum("in each source" in alt for alt in alts) == 2
    assert len({*alts}) == len(alts)
