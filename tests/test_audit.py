"""The audit through its public API, on small images and a few files."""

import json
import re
import sys
from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import pytest
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import Pipeline as ImblearnPipeline
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from _helpers import tiny_backbone
from _helpers.recording import RecordingClassifier
from skcovid import (
    AugmentationBalancer,
    LazyImages,
    LeaveOneSourceOut,
    RadiographReader,
    TransferLearningClassifier,
    audit,
    evaluate,
    make_transfer_pipeline,
)
from skcovid.auditing import (
    MAX_RATIO,
    blank_centre,
    read_properties,
    shortcut_ratio,
    visible_share,
)
from skcovid.datasets import make_radiographs
from skcovid.images._pixels import read_pixels
from skcovid.metrics import Estimate

CHECKS = [
    *("headers", "thumbnails", "blanked lungs", "shortcut ratio"),
    *("duplicates", "leakage", "source", "attributes", "source signal", "labels"),
    "outside",
]
N_IMAGES = 90
QUICK = {"cv": 2, "fractions": [0.9], "n_permutations": 19, "verbose": 0}


def flatten(images):
    return np.asarray(images).reshape(len(images), -1) / 255.0


def make_model():
    return make_pipeline(
        RadiographReader(32),
        FunctionTransformer(flatten),
        LogisticRegression(C=0.1, max_iter=300),
    )


def make_dummy():
    return DummyClassifier()


@pytest.fixture(scope="module")
def drawn():
    return make_radiographs(
        N_IMAGES, image_size=64, weights=(1, 1, 1), n_patients=45, random_state=0
    )


@pytest.fixture
def data(drawn):
    """Ninety synthetic radiographs, two per patient."""
    return deepcopy(drawn)


def audit_marked(data):
    """Audit images where one class has a mark in the corner."""
    data.images[data.target == "COVID-19", 1:5, 1:5] = 255
    # Without one of five sources, the training set is about as large as in a fold.
    source = np.random.default_rng(0).choice(list("ABCDE"), N_IMAGES)
    return audit(make_model(), data.images, data.target, data.groups, source, **QUICK)


@pytest.fixture(scope="module")
def report(drawn):
    return audit_marked(deepcopy(drawn))


def numbered(n_images, seed=0):
    """Make different images of noise, of two classes in turn."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n_images, 16, 16), np.uint8)
    return np.repeat(np.repeat(coarse, 4, 1), 4, 2), np.array(["a", "b"] * n_images)[
        :n_images
    ]


def folds_of(*numbers):
    return PredefinedSplit(np.resize(numbers, 40))


class TestReport:
    def test_report_maps_names_to_checks(self, report):
        assert list(report) == CHECKS
        assert len(report) == len(CHECKS)
        assert all(report[name].name == name for name in CHECKS)
        with pytest.raises(KeyError, match=r"'heads'.*'headers'"):
            report["heads"]

    def test_every_check_that_was_run_says_what_decided(self, report):
        for check in report.values():
            assert bool(check.decision) == (check.status != "not run")
        bound, threshold = map(
            float, re.findall(r"([\d.]+) %", report["blanked lungs"].decision)
        )
        assert bound > threshold == 60

    def test_report_lists_flagged_checks(self, report):
        assert report.flagged == ("thumbnails", "blanked lungs", "shortcut ratio")
        assert re.search(r"thumbnails +flagged", repr(report))
        assert re.search(r"headers +not run", repr(report))
        assert re.search(r"source +passed", repr(report))
        assert report.accuracy == report.result.accuracy
        assert report.chance == report.visible_chance == pytest.approx(1 / 3)
        skill = report.accuracy.value - report.chance
        assert report.threshold == pytest.approx(report.chance + MAX_RATIO * skill)
        assert 0.25 < report.shortcut_ratio.low < report.shortcut_ratio.value < 1
        thumbnails = report["thumbnails"]
        assert thumbnails.figures[-1].cells[2] == "33.3 %"
        names = ["ring of thumbnails", "16 × 16 thumbnails"]
        assert list(thumbnails.accuracies) == names
        compared = report["shortcut ratio"].tables[0]
        assert compared.header[-2:] == ["chance", "shortcut ratio"]

    def test_json_round_trip(self, report, tmp_path):
        text = report.to_json(tmp_path / "report.json")
        assert (tmp_path / "report.json").read_text("utf-8") == text
        assert json.loads(text) == report.to_dict()
        assert list(json.loads(text)["checks"]) == CHECKS
        assert json.loads(text)["threshold"] == report.threshold
        for name, found in json.loads(text)["checks"].items():
            assert found["verdict"] == report[name].verdict
            assert found["advice"] == report[name].advice * report[name].flagged

    def test_markdown_holds_every_figure_with_its_interval(self, report):
        text = report.to_markdown().replace("\\_", "_")
        figures = [figure for check in report.values() for figure in check.figures]
        assert len(figures) >= 10
        for figure in figures:
            name, value, _ = figure.cells
            assert re.search(rf"\| {re.escape(name)} +\| +{re.escape(value)} \|", text)
            assert re.fullmatch(r".*\[.*\]", value)
        for check in report.values():
            assert check.verdict in text
            assert check.threshold in text
            if check.flagged:
                assert check.advice in text
        assert "COVID-19 can be told apart, with" in text
        assert f"shortcut ratio {report.shortcut_ratio.format_percent(1)}" in text

    def test_a_check_that_was_not_run_says_why(self, report):
        assert report["headers"].status == "not run"
        assert report["headers"].question.endswith("?")
        assert "Pass paths" in report["headers"].verdict

    def test_same_seed_same_report(self, report, data):
        assert audit_marked(data).to_dict() == report.to_dict()

    def test_a_result_is_audited_on_its_own_folds(self, data, capsys):
        result = evaluate(make_dummy(), data.images, data.target, cv=3, verbose=0)
        report = audit(result, data.images, data.target, **QUICK)
        assert report.result is result
        assert report.settings["n_folds"] == 3
        assert (
            "a result holds no pipeline"
            in (report["blanked lungs"].details["refitted"])
        )
        leakage = report["leakage"]
        assert "pass the pipeline" in leakage.to_markdown()
        assert leakage.details["resampled copies in validation data"] is None
        assert capsys.readouterr().err == ""

    def test_halved_folds_are_audited_where_they_were_tested(self, data):
        result = evaluate(
            make_model(), data.images, data.target, cv=2, protocol="paper", verbose=0
        )
        report = audit(result, data.images, data.target, refit=make_dummy(), **QUICK)
        assert report["thumbnails"].status != "not run"
        assert report["shortcut ratio"].status != "not run"


@pytest.mark.usefixtures("small_forests")
class TestErrors:
    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"fractions": [0.5]}, "fractions.*at least 0.9"),
            ({"fractions": [0.9, 1.0]}, "fractions.*between 0 and 1"),
            ({"n_permutations": 5}, "'n_permutations' parameter"),
            ({"refit": "linear"}, "'refit' parameter"),
            ({"max_images": 0}, "'max_images' parameter"),
            ({"groups": ["p"] * 3}, "has 3 values for"),
            ({"source": ["s"] * 3}, "has 3 values for"),
        ],
    )
    def test_wrong_parameters(self, data, changed, message):
        with pytest.raises(ValueError, match=message):
            audit(make_model(), data.images, data.target, **{**QUICK, **changed})

    def test_an_invalid_pipeline_is_an_error(self, data):
        with pytest.raises(ValueError, match="'pipeline_or_result' parameter"):
            audit(0.97, data.images, data.target)

    def test_a_result_of_other_data(self, data):
        result = evaluate(DummyClassifier(), data.images, data.target, cv=2, verbose=0)
        with pytest.raises(ValueError, match="of other data"):
            audit(result, data.images, data.target[::-1].copy(), verbose=0)

    def test_a_table_is_an_error(self):
        y = ["a", "b"] * 5
        with pytest.raises(ValueError, match=r"X.*grey images"):
            audit(DummyClassifier(), np.zeros((10, 4)), y, **QUICK)

    def test_without_pillow_the_extra_is_named(self, data, monkeypatch):
        monkeypatch.setitem(sys.modules, "PIL", None)
        with pytest.raises(ImportError, match=r"pip install '\.\[audit\]'"):
            audit(make_model(), data.images, data.target, verbose=0)

    def test_labels_are_checked_before_files_are_read(self):
        with pytest.raises(ValueError, match="y: missing in rows 1"):
            audit(make_model(), ["nowhere.png"] * 4, ["a", None, "b", "b"], **QUICK)


class TestHeaders:
    @pytest.mark.parametrize(
        ("name", "dtype", "channels", "format_"),
        [
            ("1.png", np.uint8, 1, "PNG"),
            ("1.png", np.uint8, 3, "PNG"),
            ("1.png", np.uint16, 1, "PNG"),
            ("1.png", np.uint16, 3, "PNG"),
            ("1.jpg", np.uint8, 1, "JPEG"),
            ("1.tif", np.uint16, 1, "TIFF"),
            ("1.bmp", np.uint8, 3, "BMP"),
        ],
    )
    def test_properties_are_read_from_the_file(
        self, tmp_path, name, dtype, channels, format_
    ):
        pixels = np.full((10, 20, channels)[: 2 + (channels > 1)], 99, dtype)
        _, encoded = cv2.imencode(name[1:], pixels)
        # The content decides the format.
        path = tmp_path / "image.png"
        path.write_bytes(encoded.tobytes())
        found = read_properties(path)
        assert found == (
            *(20, 10, 2.0, channels, np.dtype(dtype).itemsize * 8),
            len(encoded) / 200,
            format_,
        )

    def test_properties_of_dicom(self, tmp_path):
        pydicom = pytest.importorskip("pydicom")
        path = pydicom.data.get_testdata_file("CT_small.dcm")
        found = read_properties(path)
        assert found[:5] == (128, 128, 1.0, 1, 16)
        assert found.format == "DICOM"

    def test_a_file_that_is_not_an_image(self, tmp_path):
        path = tmp_path / "1.png"
        path.write_bytes(b"nothing")
        with pytest.raises(ValueError, match=r"1\.png: .*format"):
            read_properties(path)

    def test_similar_files_pass(self, tmp_path):
        paths = []
        for number, level in enumerate(np.linspace(10, 200, 24)):
            path = tmp_path / f"{number}.bmp"
            cv2.imwrite(str(path), np.full((16, 16), level, np.uint8))
            paths.append(str(path))
        y = np.array(["a", "b"] * 12)
        report = audit(make_dummy(), paths, y, refit=make_dummy(), **QUICK)
        assert report["headers"].status == "passed"
        files = "BMP, 16 × 16 pixels, 1 channels, 8 bits, "
        assert f"All files are alike: {files}" in report["headers"].verdict

    def test_size_of_the_image_is_flagged(self, tmp_path):
        images, y = numbered(60)
        paths = []
        for number, (image, label) in enumerate(zip(images, y, strict=True)):
            path = tmp_path / f"{number}.png"
            cv2.imwrite(str(path), image if label == "a" else image[:, 1:])
            paths.append(str(path))
        check = audit(make_dummy(), paths, y, refit=make_dummy(), **QUICK)["headers"]
        assert check.flagged
        assert check.details["p_value"] == pytest.approx(1 / 20)
        assert check.figures[0].estimate.value == 1.0
        assert "a and b can be told apart" in check.verdict
        table = check.tables[0]
        assert [row for row in table.rows if row[0] == "width"] == [
            ["width", "64", "63"]
        ]

    def test_random_labels_are_those_of_whole_patients(self, tmp_path, monkeypatch):
        sizes = [1, 9, 2, 14, 3, 1, 6, 4]
        groups = np.repeat(list("hcfbagde"), sizes)
        y = np.repeat(["x", "y"] * 4, sizes)
        paths = []
        for number, image in enumerate(numbered(len(y))[0]):
            paths.append(str(tmp_path / f"{number}.png"))
            cv2.imwrite(paths[-1], image)
        labellings = []

        def spy(result):
            labellings.append(result.y_true)
            return 0.5

        monkeypatch.setattr("skcovid.auditing._headers.best_balanced_accuracy", spy)
        options = {**QUICK, "n_permutations": 99, "refit": make_dummy()}
        check = audit(DummyClassifier(), paths, y, groups, **options)["headers"]
        assert (labellings[0] == y).all()
        # It ends with the fifth that is as good: 1 + 5 > 5 % of 100.
        assert 5 <= len(labellings) - 1 <= 6
        assert check.details["p_value"] == 1
        assert any((found != y).any() for found in labellings)
        for found in labellings:
            of_patients = [np.unique(found[groups == one]) for one in "hcfbagde"]
            assert sorted(np.concatenate(of_patients)) == ["x"] * 4 + ["y"] * 4


@pytest.mark.usefixtures("small_forests")
class TestBlankedLungs:
    def test_the_centre_is_black_and_the_border_unchanged(self):
        image = np.full((20, 40, 3), 7, np.uint8)
        blanked = blank_centre(image, 0.5)
        assert (image == 7).all()
        assert (blanked[5:15, 10:30] == 0).all()
        assert (blanked != 0).sum() == (800 - 200) * 3
        assert visible_share(image.shape, 0.5) == 0.75

    def test_blanks_at_least_the_fraction(self):
        # A tenth of 224 pixels is 22.4: eleven on each side.
        assert visible_share((224, 224), 0.9) == pytest.approx(1 - (202 / 224) ** 2)

    def test_the_curve_starts_with_the_whole_image(self, data):
        options = {**QUICK, "fractions": [0.9, 0.5]}
        report = audit(make_model(), data.images, data.target, **options)
        shares = [point.visible_share for point in report.visible_curve]
        assert shares == [
            1.0,
            visible_share((32, 32), 0.5),
            visible_share((32, 32), 0.9),
        ]
        accuracies = [point.accuracy.value for point in report.visible_curve]
        assert accuracies[0] == report.accuracy.value
        assert accuracies[-1] < 0.6
        border = f"outer {100 * shares[-1]:.0f} % of the image"
        assert list(report["blanked lungs"].accuracies) == [border]
        table = report["blanked lungs"].tables[0]
        assert [row[0] for row in table.rows] == ["0 %", "50 %", "90 %"]

    def test_a_sample_keeps_the_shares_of_the_classes(self, data):
        options = {**QUICK, "max_images": 30}
        report = audit(make_model(), data.images, data.target, **options)
        check = report["blanked lungs"]
        assert check.details["n_images"] == 30
        assert "on 30 images, drawn by class" in check.verdict
        assert report.visible_chance == pytest.approx(1 / 3)

    # It is trained for one epoch.
    @pytest.mark.filterwarnings("ignore:.* test images of fold .* are predicted as")
    @pytest.mark.usefixtures("eager")
    def test_for_a_fine_tuned_network_the_linear_recipe_is_refitted(self, tmp_path):
        tiny_backbone.register()
        images, y = tiny_backbone.make_images(24)
        pipeline = make_transfer_pipeline(
            tiny_backbone.NAME,
            recipe="fast",
            weights=None,
            memory=tmp_path,
            epochs=1,
            validation_fraction=0.3,
            factor=1,
            random_state=0,
            verbose=0,
        )
        check = audit(pipeline, images, y, **{**QUICK, "cv": 2})["blanked lungs"]
        assert "linear recipe" in check.details["refitted"]

    def test_a_pipeline_without_a_reader_is_not_run(self, tmp_path):
        images, y = numbered(40)
        paths = []
        for number, image in enumerate(images):
            paths.append(str(tmp_path / f"{number}.png"))
            cv2.imwrite(paths[-1], image)

        def read(X):
            return np.stack([cv2.imread(path, 0).ravel() for path in X])

        model = make_pipeline(FunctionTransformer(read), LogisticRegression())
        check = audit(model, paths, y, **QUICK)["blanked lungs"]
        assert check.status == "not run"
        assert "begins with RadiographReader" in check.verdict


class TestShortcutRatio:
    @pytest.mark.parametrize(
        ("baseline", "model", "chance", "expected"),
        [
            (0.9, 0.9, 0.5, 1.0),
            (0.7, 0.9, 0.5, 0.5),
            (1.0, 0.75, 0.5, 2.0),
            (0.5, 0.9, 0.5, 0.0),
            (0.3, 0.9, 0.5, 0.0),
            (0.9, 0.5, 0.5, np.nan),
            (0.9, 0.4, 0.5, np.nan),
        ],
    )
    def test_values(self, baseline, model, chance, expected):
        found = shortcut_ratio(baseline, model, chance)
        assert found == pytest.approx(expected, nan_ok=True)

    # Of resamples, 7 % and 1 % are no better than chance; 2.5 % is the limit.
    @pytest.mark.parametrize(("n_right", "known"), [(58, False), (62, True)])
    def test_the_model_must_be_better_than_chance(self, n_right, known):
        images, y = numbered(100)
        right = np.random.default_rng(0).permutation(100) < n_right
        images[:, 30, 30] = right == (y == "a")

        class Marked(DummyClassifier):
            def predict(self, X):
                return np.where(X[:, 30, 30] == 1, "a", "b")

        report = audit(Marked(), images, y, **{**QUICK, "refit": make_dummy()})
        assert report.accuracy.value == n_right / 100
        ratio = report.shortcut_ratio
        found = np.isfinite([ratio.low, ratio.value, ratio.high])
        assert found.tolist() == [known] * 3

    def test_a_model_without_skill_has_no_ratio(self, data):
        report = audit(
            DummyClassifier(), data.images, data.target, refit=make_model(), **QUICK
        )
        assert np.isnan(report.shortcut_ratio.value)
        assert not report["shortcut ratio"].flagged
        assert (
            "not significantly better than chance" in report["shortcut ratio"].verdict
        )
        assert report.to_dict()["shortcut_ratio"]["value"] is None
        assert "shortcut ratio n/a" in report.headline


@pytest.mark.usefixtures("small_forests")
class TestDuplicates:
    def check(self, images, y, cv, **options):
        options = {**QUICK, "cv": cv, "refit": make_dummy(), **options}
        return audit(make_dummy(), images, y, **options)["duplicates"]

    def test_different_images_pass(self):
        check = self.check(*numbered(40), folds_of(0, 0, 1, 1))
        assert check.status == "passed"
        assert check.details["copies"] == []

    def test_a_copy_in_training_and_test_is_flagged(self):
        images, y = numbered(40)
        images[2] = images[0]  # of one class, in different folds
        check = self.check(images, y, folds_of(0, 0, 1, 1))
        assert check.flagged
        (copies,) = check.details["copies"]
        assert copies["rows"] == [0, 2]
        assert copies["exact"]
        assert copies["across_folds"]
        assert check.figures[0].estimate.value == 2 / 40
        assert check.figures[1].estimate.value == 0
        assert "image 0, image 2" in check.to_markdown()

    def test_paths_are_relative_to_the_common_folder(self, tmp_path):
        images, y = numbered(40)
        images[2] = images[0]
        paths = [tmp_path / label / f"{row}.png" for row, label in enumerate(y)]
        for path, image in zip(paths, images, strict=True):
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), image)
        check = self.check(paths, y, folds_of(0, 0, 1, 1))
        (copies,) = check.details["copies"]
        assert copies["names"] == [str(Path("a", name)) for name in ("0.png", "2.png")]
        assert str(tmp_path) not in check.to_markdown()

    def test_a_copy_in_the_same_test_fold_is_reported_and_passes(self):
        images, y = numbered(40)
        images[4] = images[0]
        check = self.check(images, y, folds_of(0, 0, 1, 1))
        assert not check.flagged
        assert check.details["copies"][0]["rows"] == [0, 4]
        assert "Sets of copies: 1;" in check.verdict

    def test_a_copy_of_another_class_is_flagged(self):
        images, y = numbered(40)
        images[[1, 7, 6]] = images[[0, 5, 2]]
        check = self.check(images, y, folds_of(0, 0, 1, 1))
        assert check.flagged
        assert check.details["copies"][0]["classes"] == ["a", "b"]
        # Then copies in two folds, then those in one.
        found = [copies["rows"] for copies in check.details["copies"]]
        assert found == [[0, 1], [5, 7], [2, 6]]
        assert check.figures[1].estimate.value == 2 / 40

    def test_a_brighter_recompressed_copy_is_found(self, data):
        original = np.flatnonzero(data.target == "NORMAL")[0]
        copy = np.flatnonzero(data.target == "COVID-19")[3]
        _, encoded = cv2.imencode(".jpg", data.images[original], [1, 80])
        data.images[copy] = np.minimum(cv2.imdecode(encoded, 0), 245) + 10
        options = {**QUICK, "refit": make_dummy()}
        report = audit(make_dummy(), data.images, data.target, **options)
        (copies,) = report["duplicates"].details["copies"]
        assert copies["rows"] == sorted([int(original), int(copy)])
        assert not copies["exact"]
        assert 0.8 < copies["correlation"] < 1

    def test_the_correlation_of_a_set_is_its_least(self, data):
        rows = np.flatnonzero(data.target == "NORMAL")[:3]
        first = data.images[rows[0]].astype(float)
        rng = np.random.default_rng(0)
        for row, noise in zip(rows[1:], (3, 9), strict=True):
            changed = first + rng.normal(0, noise, first.shape)
            data.images[row] = np.clip(changed, 0, 255)
        options = {**QUICK, "refit": make_dummy()}
        report = audit(make_dummy(), data.images, data.target, **options)
        (copies,) = report["duplicates"].details["copies"]
        assert copies["rows"] == rows.tolist()
        fine = []
        for image in data.images[rows]:
            small = cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA)
            small = small.astype(np.float32)
            middle = (small - cv2.GaussianBlur(small, (0, 0), 2))[14:82, 14:82]
            fine.append(middle.ravel())
        pairs = np.corrcoef(fine)[np.triu_indices(3, 1)]
        assert np.ptp(pairs) > 0.005
        # Of the pairs that are copies.
        least = pairs[pairs > 0.8].min()
        assert copies["correlation"] == pytest.approx(least, abs=1e-6)

    def test_the_marks_and_border_of_a_hospital_make_no_copies(self):
        data = make_radiographs(120, image_size=96, n_sources=3, random_state=3)
        options = {**QUICK, "refit": make_dummy()}
        report = audit(make_dummy(), data.images, data.target, **options)
        assert not report["duplicates"].details["copies"]

    @pytest.mark.filterwarnings("error:invalid value:RuntimeWarning")
    def test_images_without_detail_are_no_copies(self):
        levels = np.linspace(5, 250, 20).astype(np.uint8)
        images = np.stack([np.full((64, 64), level) for level in levels])
        check = audit(DummyClassifier(), images, ["a", "b"] * 10, **QUICK)["duplicates"]
        assert check.details["copies"] == []


class BalancedMlp(ClassifierMixin, BaseEstimator):
    """Has parameters that split validation data off the training data."""

    def __init__(self, validation_split=0.0, early_stopping=False):
        self.validation_split = validation_split
        self.early_stopping = early_stopping

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


@pytest.mark.usefixtures("small_forests")
class TestLeakage:
    def test_shared_patients_are_flagged(self, data):
        plain, whole = (
            evaluate(
                make_dummy(), data.images, data.target, groups=groups, cv=2, verbose=0
            )
            for groups in (None, data.groups)
        )
        options = {**QUICK, "refit": make_dummy()}
        checks = [
            audit(result, data.images, data.target, data.groups, **options)["leakage"]
            for result in (plain, whole)
        ]
        assert [check.flagged for check in checks] == [True, False]
        shared = sum(
            np.isin(
                data.groups[fold.test_indices], data.groups[fold.train_indices]
            ).sum()
            for fold in plain.folds
        )
        assert checks[0].figures[0].estimate.value == shared / N_IMAGES
        assert checks[1].figures[0].estimate.value == 0
        assert "there are 45 patients" in checks[0].verdict
        # A result has its patients with it.
        again = audit(whole, data.images, data.target, **options)["leakage"]
        assert again.verdict == checks[1].verdict

    def test_without_groups_patients_are_not_compared(self, data):
        options = {**QUICK, "refit": make_dummy()}
        report = audit(make_dummy(), data.images, data.target, **options)
        check = report["leakage"]
        assert "Patients are not known" in check.to_markdown()
        assert check.details["test images whose patient is trained on"] is None

    def test_copies_made_before_the_split_are_flagged(self, data):
        images = LazyImages.from_array(data.images)
        copies, y = AugmentationBalancer(factor=1, random_state=0).fit_resample(
            images, np.where(data.target == "COVID-19", "COVID-19", "other")
        )
        options = {**QUICK, "refit": make_dummy()}
        check = audit(make_dummy(), copies, y, **options)["leakage"]
        assert check.flagged
        assert "made from an image that is trained on" in check.verdict
        untouched = audit(make_dummy(), images, data.target, **options)["leakage"]
        assert not untouched.flagged

    def test_a_duplicate_path_is_flagged(self, grey_paths):
        paths = grey_paths * 4
        y = ["a", "a", "a", "b", "b", "b"] * 4
        check = audit(make_dummy(), paths, y, refit=make_dummy(), **QUICK)["leakage"]
        assert check.flagged
        assert "by comparison of paths" in check.verdict

    @pytest.mark.parametrize(
        ("last", "flagged"),
        [
            (DummyClassifier(), False),
            (CalibratedClassifierCV(DummyClassifier(), cv=2), True),
            (GridSearchCV(BalancedMlp(early_stopping=True), {}, cv=2), True),
        ],
    )
    @pytest.mark.parametrize("searched", [False, True])
    def test_cross_validation_of_copies_is_flagged(self, data, last, flagged, searched):
        pipeline = ImblearnPipeline(
            [
                ("flat", FunctionTransformer(flatten)),
                ("balance", RandomOverSampler()),
                ("classify", last),
            ]
        )
        if searched:
            pipeline = GridSearchCV(pipeline, {}, cv=2)
        options = {**QUICK, "refit": make_dummy()}
        images = data.images[:, ::4, ::4]
        check = audit(pipeline, images, data.target, **options)["leakage"]
        assert check.details["resampled copies in validation data"] is flagged
        assert check.flagged is flagged
        assert ("RandomOverSampler has resampled" in check.verdict) is flagged

    @pytest.mark.parametrize(
        ("parameters", "flagged"),
        [
            ({}, False),
            ({"validation_split": 0.2}, True),
            ({"early_stopping": True}, True),
            ({"early_stopping": "auto"}, False),
        ],
    )
    def test_validation_data_from_copies_are_flagged(self, data, parameters, flagged):
        pipeline = ImblearnPipeline(
            [
                ("balance", AugmentationBalancer(factor=0.2)),
                ("classify", BalancedMlp(**parameters)),
            ]
        )
        check = audit(pipeline, data.images, data.target, refit=make_dummy(), **QUICK)[
            "leakage"
        ]
        assert check.flagged is flagged
        assert "AugmentationBalancer" in check.to_markdown()


@pytest.mark.usefixtures("small_forests")
class TestEveryEstimator:
    """What evaluate accepts, audit accepts."""

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda model: GridSearchCV(model, {"logisticregression__C": [1]}, cv=2),
            lambda model: CalibratedClassifierCV(model, cv=2),
            lambda model: VotingClassifier([("a", model), ("b", model)]),
            lambda model: model.set_params(logisticregression=LinearSVC()),
        ],
        ids=["search", "calibrated", "voting", "decision_function"],
    )
    def test_a_reader_inside_it_reads_the_blanked_images(self, grey_paths, wrap):
        y = np.array(["a", "b"] * 6)
        report = audit(wrap(make_model()), grey_paths * 2, y, **QUICK)
        check = report["blanked lungs"]
        assert check.status != "not run"
        assert check.details["refitted"] == "the model itself"
        assert [point.visible_share for point in report.visible_curve] == [
            1.0,
            visible_share((32, 32), 0.9),
        ]

    def test_an_ensemble_with_a_part_that_reads_paths_is_not_run(self, grey_paths):
        def read(X):
            return np.stack([cv2.resize(cv2.imread(path, 0), (8, 8)) for path in X])

        own = make_pipeline(
            FunctionTransformer(read),
            FunctionTransformer(flatten),
            LogisticRegression(),
        )
        model = VotingClassifier([("a", make_model()), ("b", own)])
        report = audit(model, grey_paths * 2, ["a", "b"] * 6, **QUICK)
        assert report["blanked lungs"].status == "not run"

    @pytest.mark.filterwarnings("ignore:.* test images of fold .* are predicted as")
    @pytest.mark.usefixtures("eager")
    @pytest.mark.parametrize("searched", [False, True])
    def test_a_network_alone_takes_preprocessed_arrays(self, searched):
        tiny_backbone.register()
        images, y = tiny_backbone.make_images(24)
        images[y == y[0], :2, :2] = 255
        X = np.repeat(images[..., None], 3, axis=-1) / np.float32(127.5) - 1
        model = TransferLearningClassifier(
            tiny_backbone.NAME, weights=None, epochs=1, random_state=0, verbose=0
        )
        if searched:
            model = GridSearchCV(model, {"dropout": [0.1]}, cv=ShuffleSplit(1))
        report = audit(model, X, y, source=["A", "B"] * 12, **QUICK)
        ran = [name for name, check in report.items() if check.status != "not run"]
        # Networks without training contradict too many labels, and 24 images may be too
        # few for a forecast.
        skipped = ("headers", "attributes", "labels", "outside")
        assert [name for name in ran if name != "outside"] == [
            name for name in CHECKS if name not in skipped
        ]
        assert "linear recipe" in report["blanked lungs"].details["refitted"]
        assert (
            report["duplicates"].details["copies"]
            == (audit(make_dummy(), images, y, **QUICK)["duplicates"].details["copies"])
        )

    def test_normalised_images_are_compared_as_the_pixels_are(self, data):
        data.images[0] = data.images[5]
        X = data.images.astype(np.float32)
        as_read, *as_floats = (
            audit(make_dummy(), images, data.target, refit=make_dummy(), **QUICK)
            for images in (data.images, X / 255, X / 127.5 - 1)
        )
        assert as_read["duplicates"].details["copies"]
        for found in as_floats:
            assert found["duplicates"].details == as_read["duplicates"].details
            accuracies = found["thumbnails"].accuracies
            assert accuracies == as_read["thumbnails"].accuracies

    def test_what_is_no_image_is_refused_before_the_evaluation(self):
        class Counting(DummyClassifier):
            n_fits = 0

            def fit(self, X, y, sample_weight=None):
                Counting.n_fits += 1
                return super().fit(X, y, sample_weight)

        for X in (np.zeros((10, 4)), np.full((10, 8, 8), np.nan)):
            with pytest.raises(ValueError, match=r"X (must|holds)"):
                audit(Counting(), X, ["a", "b"] * 5, **QUICK)
        assert Counting.n_fits == 0


@pytest.mark.usefixtures("small_forests")
class TestSource:
    def check(self, data, source, model=None, **options):
        model = model or make_dummy()
        return audit(
            model,
            data.images,
            data.target,
            source=source,
            **{**QUICK, "refit": model, **options},
        )["source"]

    def test_no_external_score_where_source_and_class_coincide(self, data):
        source = np.where(data.target == "COVID-19", "adults", "children")
        check = self.check(data, source)
        assert check.flagged
        assert check.figures[0].estimate.value == pytest.approx(1)
        assert "may be called external" in check.verdict
        assert "COVID-19 comes from adults alone" in check.verdict
        assert "not scored: is the only one with NORMAL" in check.to_markdown()
        assert "What to do: Collect every class" in check.to_markdown()

    def test_sources_that_predict_the_class_are_flagged(self, data):
        rng = np.random.default_rng(0)
        source = np.where(rng.random(N_IMAGES) < 0.9, data.target == "NORMAL", True)
        check = self.check(data, source.astype(str))
        assert check.flagged
        assert 0.3 < check.figures[0].estimate.value < 1
        assert "Source and class are associated" in check.verdict

    def test_folds_of_sources(self, data):
        folds = GridSearchCV(make_dummy(), {}, cv=LeaveOneSourceOut())
        source = np.array(["A", "B", "C"] * 30)[np.argsort(data.target, kind="stable")]
        report = audit(
            folds,
            data.images,
            data.target,
            source=source,
            **QUICK | {"cv": "leave-one-source-out"},
        )
        assert report.result.sources_left_out
        # The check takes the sources of a result.
        options = {**QUICK, "refit": make_dummy()}
        again = audit(report.result, data.images, data.target, **options)
        assert again["source"].status != "not run"

    def test_missing_sources_are_an_error(self, data):
        source = ["A", None, *["B"] * (N_IMAGES - 2)]
        with pytest.raises(ValueError, match="source: missing in rows 1"):
            self.check(data, source)

    def test_sources_independent_of_the_class_pass_with_scores(self, data):
        source = np.array(["A", "A", "A", "B", "B", "B"] * 15)
        check = self.check(data, source, make_model())
        assert not check.flagged
        names = [figure.name for figure in check.figures]
        assert "accuracy on sources that were not trained on" in names
        assert check.tables[1].header == ["source", "images", "accuracy"]
        assert [row[:2] for row in check.tables[1].rows] == [["A", "45"], ["B", "45"]]

    def test_as_many_sources_as_half_the_images_are_compared(self, data):
        source = np.arange(N_IMAGES) // 2
        images, y = data.images[:, ::4, ::4], np.where(source % 2, "a", "b")
        report = audit(make_dummy(), images, y, source=source, **QUICK)
        assert report["source"].flagged

    def test_patients_count_once(self, data):
        # Three patients a class; two of the ill ones were in hospital A.
        classes = np.unique(data.target, return_inverse=True)[1]
        patients = classes * 3
        patients[np.argsort(classes)] += np.arange(N_IMAGES) % 3
        source = np.where(np.isin(patients, [0, 1, 3]), "A", "B")
        by_image = self.check(data, source)
        by_patient = self.check(data, source, groups=patients, cv=3)
        assert by_image.flagged
        assert not by_patient.flagged
        assert by_image.figures[0].estimate.value == (
            by_patient.figures[0].estimate.value
        )
        assert by_patient.figures[0].estimate.low < 0.3
        assert by_patient.details["p_value"] > 0.05
        assert "is not significantly above 0.3" in by_patient.verdict

    def test_few_patients_that_coincide_are_flagged(self, data):
        data.groups[:] = data.target == "NORMAL"
        source = np.where(data.target == "NORMAL", "A", "B")
        target = np.where(data.target == "NORMAL", "a", "b")
        result = evaluate(DummyClassifier(), data.images, target, cv=2, verbose=0)
        check = audit(
            result,
            data.images,
            target,
            data.groups,
            source,
            refit=make_dummy(),
            **QUICK,
        )["source"]
        assert check.details["p_value"] == 1
        assert check.flagged
        assert "Source and class coincide" in check.verdict

    def test_a_lower_external_score_is_flagged(self, data):
        # In one source the mark belongs to another class.
        source = np.array(["A", "A", "A", "B", "B", "B"] * 15)
        labels = np.where(data.target == "COVID-19", "COVID-19", "other")
        data.images[:] = 60
        data.images[(source == "A") == (labels == "COVID-19"), :, 20:40] = 200
        data.images[source == "A", 50:] = 250
        data["target"] = labels
        check = self.check(data, source, make_model())
        assert check.flagged
        outside, inside = (figure.estimate for figure in check.figures[1:])
        assert outside.high < inside.low

    @pytest.mark.parametrize(
        ("source", "status", "message"),
        [
            (None, "not run", "No source was given"),
            (
                list(map(str, range(N_IMAGES))),
                "not run",
                "name images or patients",
            ),
            (["A"] * N_IMAGES, "passed", "All images come from A"),
        ],
    )
    def test_uninformative_sources(self, data, source, status, message):
        check = self.check(data, source)
        assert check.status == status
        assert message in check.verdict


@pytest.mark.usefixtures("small_forests")
def test_intervals_equal_those_of_the_evaluation(data):
    model = make_model()
    by_patient, plain = (
        evaluate(model, data.images, data.target, groups=groups, cv=2, verbose=0)
        for groups in (data.groups, None)
    )
    # The same classifier on the same folds has the same hits.
    known, unknown = (
        audit(result, data.images, data.target, refit=model, **QUICK)
        for result in (by_patient, plain)
    )
    audited, expected = known.visible_curve[0].accuracy, by_patient.accuracy
    assert audited.method == expected.method != "Wilson"
    assert (audited.value, audited.low, audited.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    independent = unknown.visible_curve[0].accuracy
    hits = plain.predictions == data.target
    assert independent == Estimate.from_counts(hits.sum(), N_IMAGES)


@pytest.mark.usefixtures("small_forests")
def test_the_global_random_state_is_unchanged(data):
    before = np.random.get_state()[1].copy()  # noqa: NPY002 (global)
    audit(RecordingClassifier(), data.images, data.target, **QUICK, max_images=30)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002 (global)


def test_files_are_read_at_a_white_level(write_image):
    levels = np.full((20, 20), 4095, np.uint16)
    paths = [str(write_image("a.png", levels))]
    assert read_pixels(paths, white_level=4095).thumbnails.min() == 255
    assert read_pixels(paths).thumbnails.max() == 16
