"""The audit's checks of attributes, and of sources within a class."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from _helpers.recording import RecordingClassifier
from skcovid import audit

pytestmark = pytest.mark.usefixtures("small_forests")
N_IMAGES, N_PATIENTS = 96, 48
IMAGES = np.arange(N_IMAGES)
PATIENTS = IMAGES // 2
ILL = PATIENTS % 2 == 1
Y = np.where(ILL, "ill", "well")
# The same classes in both.
HOSPITALS = np.where(PATIENTS % 4 < 2, "A", "B")
ASSOCIATED = np.where((PATIENTS % 16 < 14) == ILL, "A", "B")


def flatten(images):
    return np.asarray(images).reshape(len(images), -1) / 255.0


def run(source=None, *, look=None, model=None, groups=PATIENTS, y=Y, **options):
    """Audit images of noise that show the disease, and the look of hospital B."""
    images = np.random.default_rng(0).integers(0, 150, (N_IMAGES, 24, 24), np.uint8)
    images[ILL, 8:12, 8:12] += 40
    if look is not None:
        images[look == "B"] += 60
    model = model or make_pipeline(
        FunctionTransformer(flatten), LogisticRegression(C=0.1, max_iter=300)
    )
    settings = {"cv": 2, "fractions": [0.9], "n_permutations": 19, "verbose": 0}
    return audit(model, images, y, groups, source, **settings, **options)


def draw(values, seed=0):
    """Draw one of the values for each patient."""
    return np.random.default_rng(seed).choice(values, N_PATIENTS)[PATIENTS]


@pytest.fixture(scope="module")
def planted():
    """Ill patients are older, and hospital B has a look of its own."""
    age = draw(np.arange(20, 70)) + 40.0 * ILL
    age[draw([True, False, False, False], seed=1)] = np.nan
    attributes = {"sex": draw(["F", "M", ""]), "age": age, "country": ["x"] * N_IMAGES}
    return run(HOSPITALS, look=HOSPITALS, attributes=attributes)


@pytest.fixture(scope="module")
def clean():
    """Nothing is told by attributes or sources."""
    attributes = {"sex": draw(["F", "M", None], seed=2), "age": draw(range(90), seed=3)}
    return run(HOSPITALS, attributes=attributes)


def test_both_are_among_the_checks(planted):
    names = [*planted]
    assert names[names.index("source") + 1 :][:2] == ["attributes", "source signal"]
    for name in ("attributes", "source signal"):
        check = planted[name]
        assert check.verdict in planted.to_markdown()
        assert check.figures[0].cells[2] == "0.50"


class TestAttributes:
    def test_an_attribute_that_tells_the_class_is_flagged(self, planted):
        check = planted["attributes"]
        assert check.flagged
        assert "well and ill can" in check.verdict or "ill and well" in check.verdict
        assert "age does best" in check.verdict
        rows = {row[0]: row[1:] for row in check.tables[0].rows}
        assert list(rows) == [
            *("sex", "age", "all attributes", "attributes and source", "the model")
        ]
        areas = planted.result.roc_auc
        expected = [area.format_fraction(2) for area in areas.values()]
        assert rows["the model"] == expected
        assert check.figures[1].estimate in areas.values()
        assert 0.8 < check.figures[0].estimate.value < 1

    def test_attributes_that_tell_nothing_pass(self, clean):
        check = clean["attributes"]
        assert check.status == "passed"
        assert "No class can be told apart" in check.verdict

    def test_a_missing_value_is_a_level(self):
        attributes = {
            "text": np.where(ILL, "x", ""),
            "number": np.where(ILL, 1e300, np.nan),
            "object": [1 if ill else None for ill in ILL],
            "table": pd.array([3 if ill else None for ill in ILL], dtype="Int64"),
            "date": np.where(ILL, "2020-03-01", "NaT").astype("datetime64[D]"),
        }
        check = run(attributes=attributes, model=DummyClassifier())["attributes"]
        rows = {row[0]: row[1:] for row in check.tables[0].rows}
        assert "attributes and source" not in rows
        for name in attributes:
            assert [cell[:4] for cell in rows[name]] == ["1.00", "1.00"]

    def test_dates_count_by_their_order_and_unused_attributes_are_named(self):
        # Well patients were seen before the pandemic, each on another day.
        days = np.datetime64("2019-01-01") + PATIENTS + 500 * ILL
        attributes = {
            "date": [str(day) for day in days],
            "time": [f"{day} 10:00" for day in days],
            "text": [f"x{image}" for image in IMAGES],
        }
        check = run(attributes=attributes, model=DummyClassifier())["attributes"]
        assert check.flagged
        rows = {row[0]: row[1:] for row in check.tables[0].rows}
        assert rows["date"] == rows["time"]
        assert rows["date"][0].startswith("1.00")
        assert check.verdict.endswith("shared by 5 images: text.")

    def test_numbers_are_sorted_as_numbers(self):
        # Each patient has another weight, which as text would be a level of its own.
        weight = PATIENTS + 80 * ILL
        check = run(attributes={"weight": weight}, model=DummyClassifier())
        area = check["attributes"].figures[0].estimate
        assert area.value == pytest.approx(roc_auc_score(ILL, weight), abs=0.02)

    def test_images_of_a_patient_count_once(self):
        # Six patients of 16 images: three of a class, which an attribute tells.
        patients = IMAGES % 6
        y = np.where(patients % 2 == 1, "ill", "well")
        options = {"y": y, "model": DummyClassifier(), "attributes": {"sex": y}}
        known = run(groups=patients, **options)["attributes"]
        unknown = run(groups=None, **options)["attributes"]
        assert known.figures[0].estimate.value == 1
        assert (known.status, unknown.status) == ("passed", "flagged")

    @pytest.mark.parametrize(
        ("attributes", "message"),
        [
            ({"age": [50.0] * 3}, r"attributes\['age'\].*\(96,\)"),
            ({"age": np.ones((N_IMAGES, 1))}, r"attributes\['age'\].*\(96, 1\)"),
            ([50.0] * N_IMAGES, "'attributes' parameter"),
        ],
    )
    def test_errors(self, attributes, message):
        with pytest.raises(ValueError, match=message):
            run(attributes=attributes)

    def test_another_order_is_an_error(self):
        y = pd.Series(Y)
        with pytest.raises(ValueError, match=r"attributes\['age'\].*different ind"):
            run(y=y, attributes={"age": pd.Series(ILL, index=IMAGES[::-1])})


class TestSourceSignal:
    def test_a_look_of_hospitals_is_flagged(self, planted):
        check = planted["source signal"]
        assert check.flagged
        assert "not significantly associated" in check.verdict
        assert check.figures[0].estimate.value > 0.95
        rows = check.tables[0].rows
        assert [row[:4] for row in rows] == [
            ["ill", "A, B", "48", "24"],
            ["well", "A, B", "48", "24"],
        ]

    def test_with_association_it_is_a_shortcut(self):
        report = run(ASSOCIATED, look=ASSOCIATED, groups=None)
        assert report["source"].flagged
        assert report["source signal"].flagged
        assert "a shortcut" in report["source signal"].verdict

    def test_hospitals_without_a_look_pass(self, clean):
        check = clean["source signal"]
        assert check.status == "passed"
        assert "not significantly above 0.6" in check.verdict
        assert 0.2 < check.figures[0].estimate.value < 0.7

    def test_checks_that_cannot_be_run_say_what_to_pass(self):
        report = run(attributes={"country": ["x"] * N_IMAGES})
        assert report["attributes"].status == "not run"
        assert "No attribute that differs" in report["attributes"].verdict
        assert report["source signal"].status == "not run"
        assert "pass one for every image" in report["source signal"].verdict
        report = run(HOSPITALS, model=RecordingClassifier())
        assert report["attributes"].status == "not run"
        assert "pass attributes" in report["attributes"].verdict
        assert report["source signal"].status == "not run"
        assert "pass as refit" in report["source signal"].verdict

    def test_sources_that_coincide_with_classes_are_not_compared(self):
        check = run(np.where(ILL, "A", "B"))["source signal"]
        assert check.status == "not run"
        assert "Add images of a class from several sources" in check.verdict

    def test_patients_in_several_sources(self):
        source = np.where(IMAGES % 2, "A", "B")
        check = run(source, look=source)["source signal"]
        assert check.flagged
        assert check.tables[0].rows[0][3] == "24"
