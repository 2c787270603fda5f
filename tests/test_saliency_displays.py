import sys

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from _helpers import tiny_backbone
from skcovid import AugmentationBalancer, LazyImages, TransferLearningClassifier
from skcovid.augmentation import Brightness
from skcovid.inspection import (
    AugmentationDisplay,
    OneVsRestCalibrationDisplay,
    SaliencyDisplay,
    grad_cam,
    occlusion_sensitivity,
)
from skcovid.metrics import wilson_interval

tiny_backbone.register()
# TensorFlow warns where its functions run eagerly, Keras with NumPy 2.
pytestmark = [
    pytest.mark.usefixtures("plt"),
    pytest.mark.filterwarnings(
        "ignore:Even though the .tf.config",
        "ignore:__array__ implementation",
        "ignore:The structure of .inputs.",
    ),
]

CLASSES = tiny_backbone.CLASSES
X, Y = tiny_backbone.make_images(12)
SALIENCY = np.linspace(0, 1, 2 * 8 * 8).reshape(2, 8, 8)
generator = np.random.default_rng(0)
PROBABILITIES = generator.dirichlet([1, 1, 1], 90)
LABELS = np.array([generator.choice(CLASSES, p=row) for row in PROBABILITIES])


@pytest.fixture(scope="module")
def model():
    flatten = FunctionTransformer(lambda images: images.reshape(len(images), -1) / 255)
    return make_pipeline(flatten, LogisticRegression()).fit(X, Y)


@pytest.fixture(scope="module")
def network(eager):
    settings = {"weights": None, "epochs": 1, "dense_units": 4, "verbose": 0}
    settings |= {"batch_norm": "frozen", "reset_batch_norm": False, "random_state": 0}
    classifier = TransferLearningClassifier("tiny", **settings)
    return classifier.fit(tiny_backbone.prepare(X), Y)


# Each display with its rows and columns of axes.
DISPLAYS = {
    "saliency": (
        lambda model, ax: SaliencyDisplay(X[:2], SALIENCY, CLASSES[:2]).plot(ax),
        (2, 2),
    ),
    "saliency, estimator": (
        lambda model, ax: SaliencyDisplay.from_estimator(
            model, X[:1], method="occlusion_sensitivity", ax=ax, verbose=0
        ),
        (1, 2),
    ),
    "augmentation": (
        lambda model, ax: AugmentationDisplay(
            X[:2], np.stack([X[:4], X[4:8]]), CLASSES[:2]
        ).plot(ax),
        (2, 5),
    ),
    "augmentation, sampler": (
        lambda model, ax: AugmentationDisplay.from_sampler(
            AugmentationBalancer(random_state=0), X, Y, ax=ax
        ),
        (3, 4),
    ),
    "calibration": (
        lambda model, ax: OneVsRestCalibrationDisplay(
            [[1, 4]], [[5, 5]], [[0.2, 0.9]], ["COVID-19"]
        ).plot(ax),
        (1, 1),
    ),
    "calibration, predictions": (
        lambda model, ax: OneVsRestCalibrationDisplay.from_predictions(
            LABELS, PROBABILITIES, labels=CLASSES, ax=ax
        ),
        (1, 1),
    ),
    "calibration, estimator": (
        lambda model, ax: OneVsRestCalibrationDisplay.from_estimator(
            model, X, Y, ax=ax
        ),
        (1, 1),
    ),
}
EVERY = pytest.mark.parametrize(("draw", "shape"), DISPLAYS.values(), ids=DISPLAYS)


@EVERY
def test_displays_draw_on_given_axes(draw, shape, model, plt):
    _, axes = plt.subplots(*shape)
    display = draw(model, axes)
    assert list(np.ravel(display.ax_)) == list(np.ravel(axes))
    assert display.figure_ is np.ravel(axes)[0].figure
    assert len(plt.get_fignums()) == 1


@EVERY
def test_displays_make_a_figure_with_a_title(draw, shape, model, plt):
    display = draw(model, None)
    assert plt.get_fignums() == [display.figure_.number]
    assert np.shape(display.ax_) == (shape if shape != (1, 1) else ())
    assert np.ravel(display.ax_)[0].get_title()


@EVERY
def test_nothing_is_drawn_outside_the_figure(draw, shape, model):
    figure = draw(model, None).figure_
    figure.canvas.draw()
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert min(drawn.xmin, drawn.ymin) >= -0.02
    assert drawn.xmax <= width + 0.02
    assert drawn.ymax <= height + 0.02


@EVERY
def test_without_matplotlib_the_extra_is_named(draw, shape, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"requires matplotlib.*skcovid\[plot\]"):
        draw(model, None)


@pytest.mark.parametrize("draw", ["saliency", "augmentation"])
def test_number_of_axes_is_checked(draw, model, plt):
    _, axes = plt.subplots(1, 3)
    with pytest.raises(ValueError, match=r"ax .*axes.*3"):
        DISPLAYS[draw][0](model, axes)


def test_saliency_of_any_size_covers_the_image():
    display = SaliencyDisplay(X[:2], SALIENCY, ["one", "two"], method="Grad-CAM").plot()
    for row, overlay, values in zip(display.ax_, display.im_, SALIENCY, strict=True):
        plain, below = row[0].images[0], row[1].images[0]
        np.testing.assert_array_equal(plain.get_array(), below.get_array())
        assert overlay.get_extent() == plain.get_extent()
        np.testing.assert_array_equal(overlay.get_array(), values)
        assert overlay.get_clim() == (0, 1)
    assert [row[0].get_ylabel() for row in display.ax_] == ["one", "two"]
    assert display.ax_[0, 1].get_title() == "Grad-CAM"


def test_signed_saliency_has_zero_in_the_middle_of_its_colours():
    display = SaliencyDisplay(X[:2], SALIENCY - 0.75).plot()
    assert {overlay.get_clim() for overlay in display.im_} == {(-0.75, 0.75)}


@pytest.mark.filterwarnings("error")
def test_saliency_of_zeros():
    display = SaliencyDisplay(X[:2], np.zeros((2, 4, 4))).plot()
    assert display.im_[0].get_clim() == (0, 1)


def test_network_input_is_shown_over_its_own_range():
    display = SaliencyDisplay(tiny_backbone.prepare(X[:1]), SALIENCY[:1]).plot()
    shown = display.ax_[0, 0].images[0].get_array()
    assert (shown.min(), shown.max()) == (0, 1)


def test_saliency_of_an_estimator_is_labelled_with_class_and_probability(model):
    options = {"patch_size": 8, "verbose": 0}
    display = SaliencyDisplay.from_estimator(
        model, X[:2], method="occlusion_sensitivity", **options
    )
    probability = model.predict_proba(X[:1]).max()
    assert display.ax_[0, 0].get_ylabel() == f"{Y[0]}: {probability:.2f}"
    expected = occlusion_sensitivity(model, X[:2], **options)
    np.testing.assert_array_equal(display.saliency, expected)
    other = SaliencyDisplay.from_estimator(
        model, X[:1], target=CLASSES[2], method="occlusion_sensitivity", **options
    )
    assert other.ax_[0, 0].get_ylabel().startswith(f"{CLASSES[2]}:".split()[0])


@pytest.mark.parametrize("method", ["grad_cam", "score_cam"])
def test_saliency_of_a_network(method, network):
    images = tiny_backbone.prepare(X[:2])
    display = SaliencyDisplay.from_estimator(network, images, method=method, verbose=0)
    assert display.saliency.shape == (2, 32, 32)
    if method == "grad_cam":
        expected = grad_cam(network, images, verbose=0)
        np.testing.assert_array_equal(display.saliency, expected)


@pytest.mark.parametrize(
    ("images", "saliency", "labels", "message"),
    [
        (X[0], SALIENCY, None, r"got \(32, 32\)"),
        (X[:3], SALIENCY, None, r"\(3, 32, 32\), \(2, 8, 8\)"),
        (X[:2], SALIENCY, ["one"], "labels.*and 1"),
        (X[:2], SALIENCY * np.nan, None, "NaN"),
    ],
)
def test_saliency_errors(images, saliency, labels, message):
    with pytest.raises(ValueError, match=message):
        SaliencyDisplay(images, saliency, labels)


def test_an_unknown_saliency_method_is_an_error(model):
    with pytest.raises(ValueError, match=r"method='gradcam'.*'grad_cam'"):
        SaliencyDisplay.from_estimator(model, X[:1], method="gradcam")


@pytest.mark.parametrize("lazy", [False, True])
def test_augmentation_shows_the_copies_used_in_training(lazy):
    images = LazyImages.from_array(X) if lazy else X
    sampler = AugmentationBalancer(factor=2, random_state=3)
    display = AugmentationDisplay.from_sampler(sampler, images, Y, n_copies=2)
    copies, _ = sampler.fit_resample(X, Y)
    for row, label in enumerate(CLASSES):
        source = np.flatnonzero(label == Y)[0]
        np.testing.assert_array_equal(display.images[row], X[source])
        for number in range(2):
            (position,) = np.flatnonzero(
                (sampler.sample_indices_ == source) & (sampler.copy_numbers_ == number)
            )
            np.testing.assert_array_equal(display.copies[row, number], copies[position])
    assert sampler.factor == 2
    assert [row[0].get_ylabel().split()[0] for row in display.ax_] == [
        label.split()[0] for label in CLASSES
    ]


def test_augmentation_keeps_the_samplers_transforms():
    sampler = AugmentationBalancer(transforms=[Brightness(1.5, 1.5)], random_state=0)
    display = AugmentationDisplay.from_sampler(sampler, X // 2, Y, n_copies=1)
    ratio = display.copies[:, 0].mean() / display.images.mean()
    assert ratio == pytest.approx(1.5, abs=0.01)


def test_augmentation_seed_decides():
    first, again, other = (
        AugmentationDisplay.from_sampler(
            AugmentationBalancer(random_state=seed), X, Y
        ).copies
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_augmentation_errors():
    with pytest.raises(ValueError, match=r"\(2, 32, 32\), \(2, 32, 32\).*2"):
        AugmentationDisplay(X[:2], X[:2], CLASSES[:2])
    with pytest.raises(ValueError, match=r"and 1\."):
        AugmentationDisplay(X[:2], X[:4].reshape(2, 2, 32, 32), CLASSES[:1])


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_calibration_curve_equals_scikit_learns(strategy):
    display = OneVsRestCalibrationDisplay.from_predictions(
        LABELS, PROBABILITIES, labels=CLASSES, n_bins=4, strategy=strategy
    )
    for index, label in enumerate(CLASSES):
        shares, means = calibration_curve(
            label == LABELS, PROBABILITIES[:, index], n_bins=4, strategy=strategy
        )
        n_true, n_images = display.n_true[index], display.n_images[index]
        np.testing.assert_allclose(n_true / n_images, shares)
        assert n_images.sum() == 90
        assert n_true.sum() == (label == LABELS).sum()
        dots, _, (bars,) = display.lines_[index]
        np.testing.assert_allclose(dots.get_xdata(), means)
        np.testing.assert_allclose(dots.get_ydata(), shares)
        np.testing.assert_allclose(
            [segment[:, 1] for segment in bars.get_segments()],
            [
                wilson_interval(*map(int, pair))
                for pair in zip(n_true, n_images, strict=True)
            ],
        )
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["Perfect calibration", *CLASSES]


@pytest.mark.parametrize(
    ("y", "labels", "message"),
    [
        (LABELS, CLASSES[:2], r"y_prob.*\(90, 2\).*\(90, 3\)"),
        (LABELS[:9], CLASSES, r"y_prob.*\(9, 3\)"),
        (LABELS, ["a", "b", "c"], "y_true.*labels.*COVID-19"),
    ],
)
def test_calibration_errors(y, labels, message):
    with pytest.raises(ValueError, match=message):
        OneVsRestCalibrationDisplay.from_predictions(y, PROBABILITIES, labels=labels)
