"""The examples on explanation and conformal prediction, with a tiny network."""

import runpy
from pathlib import Path

import pytest

import skcovid
from _helpers import tiny_backbone
from skcovid import datasets

EXAMPLES = Path(__file__).parents[1] / "examples"
# TensorFlow warns where its functions run eagerly, Keras with NumPy 2, Matplotlib where
# an example shows a figure without a screen.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Even though the .tf.config",
    "ignore:__array__ implementation",
    "ignore:The structure of .inputs.",
    "ignore:FigureCanvasAgg is non-interactive",
)


@pytest.fixture
def run(eager, monkeypatch, tmp_path, capsys):
    """Run an example in an empty folder and return its variables and output."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    tiny_backbone.register()
    compose = skcovid.make_transfer_pipeline

    def make_tiny(n_samples, **parameters):
        return tiny_backbone.make_images(n_samples)

    def compose_tiny(backbone, *, recipe, **overrides):
        overrides["image_size"] = tiny_backbone.IMAGE_SIZE
        if recipe == "fast":
            overrides |= {"fine_tune_from": None, "epochs": 1, "dense_units": 4}
        return compose("tiny", recipe=recipe, **overrides)

    monkeypatch.setattr(datasets, "make_radiographs", make_tiny)
    monkeypatch.setattr(skcovid, "make_transfer_pipeline", compose_tiny)
    monkeypatch.chdir(tmp_path)
    yield lambda name: (runpy.run_path(str(EXAMPLES / name)), capsys.readouterr().out)
    pyplot.close("all")


def test_saliency(run, tmp_path):
    names, printed = run("saliency.py")
    assert {path.name for path in (tmp_path / "output").iterdir()} == {
        "augmentation.png",
        "grad_cam.png",
        "occlusion.png",
    }
    assert "Edges: Randomisation check FAILED" in printed
    assert 0 <= names["central_share"](names["saliency"]).mean() <= 1


def test_conformal_prediction_sets(run):
    pytest.importorskip("mapie")
    names, printed = run("conformal_prediction_sets.py")
    assert "left to a reader" in printed
    assert "99%" in printed
    # At the highest confidence nearly all sets hold the true class.
    assert names["is_covered"][:, -1].mean() > 0.95
    assert names["sets"].shape == (200, 3, 4)
