"""scikit-learn's calibration and MAPIE's prediction sets on skcovid's pipelines."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import betabinom
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from _helpers import tiny_backbone
from skcovid import evaluate, make_transfer_pipeline
from skcovid.inspection import OneVsRestCalibrationDisplay, PerClassTableDisplay
from skcovid.metrics import patient_confusion_matrices, per_class_table

tiny_backbone.register()
# A warning of Keras about a list of one array.
pytestmark = pytest.mark.filterwarnings("ignore:The structure of .inputs.")

N_IMAGES = 90
CLASSES = tiny_backbone.CLASSES
X, Y = tiny_backbone.make_images(N_IMAGES)
TRAIN, CALIBRATE, TEST = slice(0, 30), slice(30, 60), slice(60, None)


def make(**parameters):
    settings = {"weights": None, "random_state": 0, "verbose": 0, **parameters}
    return make_transfer_pipeline("tiny", recipe="linear", **settings)


@pytest.fixture(scope="module")
def fitted():
    return make().fit(X[TRAIN], Y[TRAIN])


@pytest.fixture
def ax():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot.subplots()[1]
    pyplot.close("all")


@pytest.mark.parametrize("ensemble", [False, True])
def test_calibration_fits_the_pipeline_in_folds(ensemble, tmp_path):
    calibrated = CalibratedClassifierCV(
        make(memory=tmp_path), method="sigmoid", cv=2, ensemble=ensemble
    ).fit(X[TRAIN], Y[TRAIN])
    probabilities = calibrated.predict_proba(X[TEST])
    assert probabilities.shape == (30, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert calibrated.classes_.tolist() == CLASSES
    assert len(calibrated.calibrated_classifiers_) == (2 if ensemble else 1)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_a_fitted_pipeline_is_calibrated_without_fitting_it_again(method, fitted):
    before = fitted.predict_proba(X[TEST])
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), method=method)
    if method == "temperature" and "temperature" not in str(
        CalibratedClassifierCV._parameter_constraints["method"][0]
    ):
        pytest.skip("this scikit-learn has no temperature scaling")
    calibrated.fit(X[CALIBRATE], Y[CALIBRATE])
    np.testing.assert_array_equal(fitted.predict_proba(X[TEST]), before)
    after = calibrated.predict_proba(X[TEST])
    np.testing.assert_allclose(after.sum(axis=1), 1, rtol=1e-6)
    assert not np.allclose(before, after)


def test_calibration_corrects_overconfident_probabilities():
    fitted = make(classify__param_grid={"C": [10]}).fit(X[TRAIN], Y[TRAIN])
    # A third of the labels are random, so the pipeline is overconfident.
    generator = np.random.default_rng(0)
    noisy = np.where(generator.random(N_IMAGES) < 1 / 3, generator.permutation(Y), Y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted))
    calibrated.fit(X[CALIBRATE], noisy[CALIBRATE])
    before, after = (
        log_loss(noisy[TEST], estimator.predict_proba(X[TEST]), labels=CLASSES)
        for estimator in (fitted, calibrated)
    )
    assert after < before


def test_calibration_takes_paths(fitted, write_image):
    paths = np.array(
        [str(write_image(f"{number}.png", X[number])) for number in range(30)]
    )
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted)).fit(paths, Y[:30])
    assert calibrated.predict_proba(paths[:2]).shape == (2, 3)


def test_display_of_scikit_learn_for_two_classes(ax):
    two = CLASSES[2] != Y
    pipeline = make().fit(X[TRAIN][two[TRAIN]], Y[TRAIN][two[TRAIN]])
    display = CalibrationDisplay.from_estimator(
        pipeline,
        X[TEST][two[TEST]],
        Y[TEST][two[TEST]],
        n_bins=3,
        pos_label=CLASSES[0],
        ax=ax,
    )
    assert display.ax_ is ax
    assert len(display.y_prob) == two[TEST].sum()


def test_display_of_a_calibrated_pipeline(fitted, ax):
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted))
    calibrated.fit(X[CALIBRATE], Y[CALIBRATE])
    display = OneVsRestCalibrationDisplay.from_estimator(
        calibrated, X[TEST], Y[TEST], ax=ax
    )
    assert display.labels == CLASSES
    assert all(sum(counts) == 30 for counts in display.n_images)


def test_conformal_sets_reach_their_coverage(fitted):
    classification = pytest.importorskip("mapie.classification")
    # A worse classifier gives larger sets with the same coverage.
    for estimator in (fitted, make(image_size=8).fit(X[TRAIN], Y[TRAIN])):
        conformal = classification.SplitConformalClassifier(
            estimator, confidence_level=0.9, prefit=True, random_state=0
        ).conformalize(X[CALIBRATE], Y[CALIBRATE])
        _, sets = conformal.predict_set(X[TEST])
        true = np.searchsorted(CLASSES, Y[TEST])
        assert sets.shape == (30, 3, 1)
        # The threshold is the 28th smallest of 30 scores.
        rarely_fewer = betabinom.ppf(0.001, 30, 28, 3)
        assert sets[np.arange(30), true, 0].sum() >= rarely_fewer


class TestPatients:
    """Intervals of the curves where patients have several images."""

    LABELS = ("COVID-19", "NORMAL")

    def draw(self, seed=0, n_patients=60, n_images=5):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(n_patients), n_images)
        ill = rng.random(n_patients)[groups]
        y = np.where((rng.random(n_patients) < 0.4)[groups], *self.LABELS)
        return y, np.stack([ill, 1 - ill], axis=1), groups

    def half_widths(self, display):
        return np.concatenate(
            [
                np.diff(line.get_segments(), axis=1)[:, 0, 1]
                for line in self.bars(display)
            ]
        )

    def bars(self, display):
        return [line.lines[2][0] for line in display.lines_]

    def test_copies_of_images_do_not_narrow_intervals(self, ax):
        once, often = (
            OneVsRestCalibrationDisplay.from_predictions(
                *(np.repeat(one, n, axis=0) for one in (y, probabilities)),
                labels=self.LABELS,
                groups=np.repeat(groups, n),
                ax=ax,
            )
            for y, probabilities, groups in [self.draw()]
            for n in (1, 6)
        )
        np.testing.assert_allclose(self.half_widths(once), self.half_widths(often))

    def test_counts_are_those_without_patients(self, ax):
        y, probabilities, groups = self.draw()
        plain, grouped = (
            OneVsRestCalibrationDisplay.from_predictions(
                y, probabilities, labels=self.LABELS, groups=patients, ax=ax, **options
            )
            for options in ({"strategy": "quantile", "n_bins": 4},)
            for patients in (None, groups)
        )
        for name in ("n_true", "n_images"):
            for expected, counts in zip(
                getattr(plain, name), getattr(grouped, name), strict=True
            ):
                assert counts.shape == (60, len(expected))
                np.testing.assert_array_equal(counts.sum(axis=0), expected)
        assert (self.half_widths(grouped) > 1.5 * self.half_widths(plain)).all()

    def test_a_result_with_patients_draws_their_intervals(self, ax):
        y, probabilities, groups = self.draw()
        known = evaluate(
            LogisticRegression(), probabilities, y, groups=groups, verbose=0
        )
        unknown = replace(known, groups=None)
        by_patient, by_image = (
            OneVsRestCalibrationDisplay.from_result(result, ax=ax)
            for result in (known, unknown)
        )
        assert by_patient.n_images[0].shape[0] == 60
        assert (self.half_widths(by_patient) > self.half_widths(by_image)).all()

    def test_missing_patients_are_named(self, ax):
        y, probabilities, groups = self.draw()
        patients = groups.astype(object)
        patients[3] = None
        with pytest.raises(ValueError, match="groups"):
            OneVsRestCalibrationDisplay.from_predictions(
                y, probabilities, labels=self.LABELS, groups=patients, ax=ax
            )

    def test_the_table_of_classes_takes_patients(self, ax):
        y, probabilities, groups = self.draw()
        predicted = np.where(probabilities[:, 0] > 0.5, *self.LABELS)
        display = PerClassTableDisplay.from_predictions(
            y, predicted, groups=groups, ax=ax
        )
        matrices = patient_confusion_matrices(
            y, predicted, groups, labels=list(self.LABELS)
        )
        assert display.table == per_class_table(matrices, list(self.LABELS))
