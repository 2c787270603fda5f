"""Images unlike the training set: the detector, archives, model files and reports."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skcovid
from _helpers import tiny_backbone
from _helpers.results import make_external, make_result
from skcovid import NoveltyDetector, make_transfer_pipeline, write_report

tiny_backbone.register()


def draw(n_images, seed, n_features=40):
    """Draw features of which a few directions have most of the variance."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_images, n_features)) * 3 / np.arange(1, n_features + 1)


def draw_patients(n_patients, n_images, seed):
    """Draw patients whose images are nearly the same."""
    shift = np.random.default_rng(seed).normal(size=(n_patients * n_images, 40)) / 50
    groups = np.repeat(np.arange(n_patients), n_images)
    return draw(n_patients, seed)[groups] + shift, groups


def rate(detector, X):
    return np.mean(detector.predict(X) == -1)


@pytest.mark.parametrize("flag_rate", [0.01, 0.05])
def test_the_rate_on_new_images_is_the_one_asked_for(flag_rate):
    found = [
        rate(NoveltyDetector(flag_rate=flag_rate, random_state=0).fit(X), draw(4000, 9))
        for X in (draw(1000, seed) for seed in range(2))
    ]
    assert flag_rate / 2 < np.mean(found) < 2 * flag_rate


def test_patients_are_whole_when_the_threshold_is_chosen():
    X, groups = draw_patients(150, 4, 0)
    new = draw_patients(500, 1, 1)[0]
    apart = NoveltyDetector(random_state=0).fit(X)
    whole = NoveltyDetector(random_state=0).fit(X, groups=groups)
    assert whole.offset_ < apart.offset_
    assert rate(whole, new) < 0.04 < 0.2 < rate(apart, new)


def test_order_of_classes_and_images_does_not_matter():
    # Sorted by class, a contiguous fold would hold out a class.
    X = np.concatenate([draw(200, 0), draw(200, 1) + 4])
    assert rate(NoveltyDetector(random_state=0).fit(X), X) < 0.03


def test_what_is_unlike_is_flagged():
    X = draw(500, 0)
    detector = NoveltyDetector(random_state=0).fit(X)
    rng = np.random.default_rng(1)
    elsewhere = {
        "shifted": draw(100, 2) + 3,
        "of other directions": draw(100, 3)[:, ::-1],
        "noise": rng.normal(size=(100, 40)) * 5,
    }
    for images in elsewhere.values():
        assert rate(detector, images) > 0.9
    scores = detector.score_samples(X)
    assert_allclose(detector.decision_function(X), scores - detector.offset_)
    assert_array_equal(detector.predict(X) == -1, scores < detector.offset_)
    assert not hasattr(detector, "fit_predict")


def test_constant_columns_and_equal_images():
    X = draw(200, 0)
    X[:, 5] = 1.0
    detector = NoveltyDetector(random_state=0).fit(np.repeat(X, 2, axis=0))
    assert np.isfinite(detector.score_samples(X)).all()
    equal = NoveltyDetector(random_state=0).fit(np.ones((120, 3)))
    assert_array_equal(equal.predict([[1, 1, 1], [1, 1, 9]]), [1, -1])


def test_random_state_gives_the_same():
    X = draw(200, 0).astype(np.float32)
    first, second = (NoveltyDetector(random_state=3).fit(X) for _ in range(2))
    assert_array_equal(first.score_samples(X), second.score_samples(X))
    assert first.score_samples(X).dtype == np.float64


def test_faults_are_named():
    X = draw(120, 0)
    with pytest.warns(UserWarning, match=r"50 images.*at least 99"):
        NoveltyDetector().fit(X[:50])
    with pytest.raises(ValueError, match=r"one patient.*at least two"):
        NoveltyDetector().fit(X, groups=["a"] * 120)
    with pytest.raises(ValueError, match="groups: missing in rows 0"):
        NoveltyDetector().fit(X, groups=[None, *range(119)])
    with pytest.raises(ValueError, match="flag_rate"):
        NoveltyDetector(flag_rate=0.0).fit(X)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Files of 120 images, then of noise, and a classifier of the first."""
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path_factory.mktemp("images")
    X, y = tiny_backbone.make_images(120)
    noise = np.random.default_rng(1).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    paths = []
    for number, image in enumerate([*X, *noise]):
        paths.append(str(folder / f"{number:03d}.png"))
        cv2.imwrite(paths[-1], image)
    with tiny_backbone.eagerly():
        pipeline = make_transfer_pipeline(
            "tiny", recipe="linear", weights=None, verbose=0, random_state=0
        ).fit(paths[:120], y)
        door = clone(pipeline[:4])
        # Keras would give a new network's layers other names.
        door.steps[2] = pipeline.steps[2]
        door.steps.append(("novelty", NoveltyDetector(random_state=0)))
        door.fit(paths[:120], y, groups=np.arange(120) // 2)
        yield paths, pipeline, door


def test_a_pipeline_passes_patients_on(images):
    paths, _, door = images
    features = door[:-1].transform(paths[:120])
    alone = NoveltyDetector(random_state=0)
    alone.fit(features, groups=np.arange(120) // 2)
    assert_allclose(door[-1].offset_, alone.offset_)
    assert_array_equal(door.predict(paths[120:]), [-1] * 5)


class TestArchive:
    @pytest.fixture(autouse=True)
    def _needs(self):
        self.parquet = pytest.importorskip("pyarrow.parquet")

    def predict(self, pipeline, door, paths, folder):
        result = skcovid.predict_archive(
            pipeline, paths, folder, novelty=door, verbose=0
        )
        return result, self.parquet.read_table(folder)

    def test_has_score_and_flag_from_one_pass(self, images, tmp_path, monkeypatch):
        paths, pipeline, door = images
        passed = []
        transform = skcovid.BackboneFeatures.transform

        def counted(features, X):
            passed.append(len(X))
            return transform(features, X)

        scores, flags = door.score_samples(paths), door.predict(paths) == -1
        plain = skcovid.predict_archive(pipeline, paths, tmp_path / "plain", verbose=0)
        monkeypatch.setattr(skcovid.BackboneFeatures, "transform", counted)
        bad = str(tmp_path / "nowhere.png")
        _, table = self.predict(pipeline, door, [*paths, bad], tmp_path / "out")
        assert sum(passed) == len(paths)
        assert table.column_names[-3:] == ["novelty_score", "flagged", "error"]
        found = table.to_pydict()
        assert_allclose(found["novelty_score"][:-1], scores, rtol=1e-4)
        assert found["flagged"] == [*flags.tolist(), None]
        assert found["novelty_score"][-1] is None
        expected = self.parquet.read_table(plain.path)["prediction"].to_pylist()
        assert found["prediction"][:-1] == expected

    def test_of_another_detector_does_not_resume(self, images, tmp_path):
        paths, pipeline, door = images
        self.predict(pipeline, door, paths, tmp_path)
        again, _ = self.predict(pipeline, door, paths, tmp_path)
        assert again.n_resumed == len(paths)
        with pytest.raises(ValueError, match=r"another model.*pass another folder"):
            self.predict(pipeline, None, paths, tmp_path)

    def test_of_features_of_its_own(self, images, tmp_path):
        paths, pipeline, door = images
        other = make_pipeline(
            skcovid.RadiographReader(32),
            *[step for _, step in clone(door[1:4]).steps],
            NoveltyDetector(random_state=1),
        ).fit(paths[:100])
        _, table = self.predict(pipeline, other, paths, tmp_path)
        assert_allclose(table["novelty_score"], other.score_samples(paths), rtol=1e-4)

    def test_takes_fitted_detectors_only(self, images, tmp_path):
        paths, pipeline, door = images
        with pytest.raises(NotFittedError):
            self.predict(pipeline, clone(door), paths, tmp_path)


def test_is_saved_and_loaded(images, tmp_path):
    paths, _, door = images
    skcovid.save(door, tmp_path / "door.skcovid")
    loaded = skcovid.load(tmp_path / "door.skcovid")
    assert_array_equal(loaded.score_samples(paths), door.score_samples(paths))
    table = make_pipeline(StandardScaler(), NoveltyDetector(random_state=0))
    skcovid.save(table.fit(draw(150, 0)), tmp_path / "table.skcovid")
    assert_array_equal(
        skcovid.load(tmp_path / "table.skcovid").predict(draw(9, 1)),
        table.predict(draw(9, 1)),
    )


class TestReport:
    @pytest.fixture(autouse=True)
    def _needs(self):
        for name in ("jinja2", "markdown_it", "matplotlib"):
            pytest.importorskip(name)

    def test_says_how_many_external_images_are_flagged(self, tmp_path):
        result = make_result(external=make_external(100, 1.0))
        flags = np.where(np.arange(100) < 30, -1, 1)
        path = write_report(tmp_path / "report.html", result, novelty=flags)
        page = path.read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
        assert "30 of 100 scored images are unlike" in page
        assert "30.0 %" in page

    def test_refuses_flags_of_other_images(self, tmp_path):
        path = tmp_path / "report.html"
        with pytest.raises(ValueError, match=r"no external set.*test"):
            write_report(path, make_result(), novelty=np.ones(100))
        result = make_result(external=make_external(100, 1.0))
        for flags in (np.ones(99, int), np.zeros(100, int), np.full(100, True)):
            with pytest.raises(ValueError, match=r"each of the 100 images.*predict"):
                write_report(path, result, novelty=flags)
        assert not path.exists()
