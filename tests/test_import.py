import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

import skcovid

HEAVY = ("keras", "tensorflow", "torch", "jax", "scikeras", "matplotlib", "pydicom")
# Packages that single names need and `import skcovid` does not.
DEPENDENCIES = ("cv2", "imblearn", "numpy", "safetensors", "scipy", "skops", "sklearn")

# Slow packages that are imported with skcovid's names.
LIBRARIES = "import cv2, imblearn, keras, sklearn, tensorflow"
EVERYTHING = """
import pkgutil
import skcovid
from skcovid import *
for module in pkgutil.iter_modules(skcovid.__path__):
    if not module.name.startswith("_"):
        exec(f"from skcovid.{module.name} import *")
"""


def environment_without_malloc():
    """Return the environment without settings of glibc's allocator."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))
    }


def loaded_after(code, watched=HEAVY):
    """Return which watched packages a new interpreter has loaded after some code."""
    report = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout)) & set(watched)


def test_import_loads_no_slow_package():
    code = "import skcovid; dir(skcovid)"
    assert loaded_after(code, [*HEAVY, *DEPENDENCIES]) == set()


def test_steps_without_a_network_load_neither_keras_nor_matplotlib():
    code = """
import numpy as np, skcovid
X = np.arange(4 * 8 * 8, dtype=np.uint8).reshape(4, 8, 8)
X = skcovid.RadiographReader(6).fit_transform(X)
X, y = skcovid.AugmentationBalancer(random_state=0).fit_resample(X, list("abbb"))
skcovid.BackbonePreprocessor("vgg19", image_size=8).fit_transform(X)
"""
    assert loaded_after(code) == set()


@pytest.mark.parametrize("name", skcovid.__all__)
def test_every_public_name_resolves(name):
    assert getattr(skcovid, name) is not None
    assert name in dir(skcovid)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'skcovid' has no attribute 'balance'"):
        skcovid.balance  # noqa: B018 (raises)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("RadiographReader", {"image_size": "wrong"}),
        ("AugmentationBalancer", {"factor": -1, "transforms": ["wrong"]}),
        ("BackbonePreprocessor", {"backbone": "wrong"}),
        ("SourceStandardScaler", {"shrinkage": "wrong"}),
        ("CellOverSampler", {"by": "wrong", "unmatched": "wrong"}),
        ("MatchingUnderSampler", {"by": "wrong", "caliper": -1}),
        (
            "TransferLearningClassifier",
            {"backbone": "wrong", "weights": "nowhere.weights.h5", "memory": "nowhere"},
        ),
    ],
)
def test_construction_only_stores_its_arguments(
    name, parameters, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    estimator = getattr(skcovid, name)(**parameters)
    assert parameters.items() <= estimator.get_params().items()
    assert vars(estimator).keys() == estimator.get_params().keys()
    assert clone(estimator).get_params() == estimator.get_params()
    assert list(tmp_path.iterdir()) == []


def test_composing_a_pipeline_reads_no_weights(tmp_path):
    missing = tmp_path / "nowhere.weights.h5"
    pipeline = skcovid.make_transfer_pipeline("resnet50", weights=missing)
    assert list(pipeline.named_steps) == ["read", "balance", "preprocess", "classify"]
    assert not hasattr(pipeline, "classes_")


def test_augment_is_importable_from_skcovid():
    image = np.full((8, 8), 100, dtype=np.uint8)
    assert skcovid.augment(image, random_state=0).shape == (8, 8)


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """States of a process that imported the libraries, and then all of skcovid."""
    path = tmp_path_factory.mktemp("states") / "states.json"
    done = subprocess.run(
        [sys.executable, "-m", "_helpers.process_state", path, LIBRARIES, EVERYTHING],
        cwd=Path(__file__).parent,
        env=environment_without_malloc(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    "part",
    [
        "environment variables",
        "open files",
        "warning filters",
        "loggers",
        "Keras' classes",
        "Keras' settings",
        "scikit-learn's settings",
        "OpenCV's threads",
        "random numbers",
        "NumPy's errors",
        "signal handlers",
        "hooks",
        "threads",
        "working directory",
        "freed memory is kept",
        "TensorFlow's devices",
    ],
)
def test_importing_everything_leaves_the_process_unchanged(part, states):
    libraries, everything = states
    assert everything[part] == libraries[part]


# Where SciKeras is imported before skcovid, and three trainings, of which only the last
# keeps freed memory: what it changes stays.
TRAINING = """
import json, os, keras, scikeras
changed = keras.Model.__reduce__
import skcovid.estimators
from _helpers import process_state, tiny_backbone

found = {
    "changed by SciKeras": [
        changed.__module__, keras.Model.__reduce__ is changed
    ],
    "before": process_state.freed_memory_is_kept(),
}
tiny_backbone.register()
images, y = tiny_backbone.make_images(6)
X = tiny_backbone.prepare(images)

def train(**parameters):
    skcovid.TransferLearningClassifier(
        "tiny", weights=None, epochs=1, verbose=0, **parameters
    ).fit(X, y)
    return process_state.freed_memory_is_kept()

with tiny_backbone.eagerly():
    found["switched off"] = train(keep_freed_memory=False)
    os.environ["MALLOC_ARENA_MAX"] = "2"
    found["environment"] = train()
    del os.environ["MALLOC_ARENA_MAX"]
    found["by default"] = train()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def training():
    """What `TRAINING` finds."""
    done = subprocess.run(
        [sys.executable, "-c", TRAINING],
        cwd=Path(__file__).parent,
        env=environment_without_malloc(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_training_keeps_freed_memory(training):
    assert training["by default"]
    assert not training["before"]
    assert not training["switched off"]
    assert not training["environment"]


def test_changes_made_by_scikeras_stay(training):
    assert training["changed by SciKeras"] == ["scikeras._saving_utils", True]
