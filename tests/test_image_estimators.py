"""The checks of `image_estimator_checks` on every public estimator."""

from inspect import signature

import pytest
import tensorflow as tf
from joblib.externals.loky import get_reusable_executor

from _helpers import tiny_backbone
from _helpers.image_estimator_checks import Case, image_estimator_checks
from skcovid import (
    AugmentationBalancer,
    BackboneFeatures,
    BackbonePreprocessor,
    HoldoutPipeline,
    RadiographReader,
    TransferLearningClassifier,
)

tiny_backbone.register()
# TensorFlow warns where its functions run eagerly.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the .tf.config")

CLASSES = tiny_backbone.CLASSES
GREY, Y = tiny_backbone.make_images(12, [*CLASSES, CLASSES[0]])
INPUT = tiny_backbone.prepare(GREY)
QUICK = {
    "weights": None,
    "dense_units": 8,
    "epochs": 1,
    "batch_size": 8,
    "random_state": 0,
    "verbose": 0,
}
CASES = [
    Case(RadiographReader(image_size=(24, 28)), GREY, Y),
    Case(BackbonePreprocessor("tiny"), GREY, Y),
    # Equally many copies of each image of a class, so the order does not matter.
    Case(AugmentationBalancer(factor=1, random_state=0), GREY, Y),
    Case(BackboneFeatures("tiny", weights=None, random_state=0, verbose=0), INPUT, Y),
    # After one epoch, statistics that began at zero make all predictions the same.
    Case(TransferLearningClassifier("tiny", reset_batch_norm=False, **QUICK), INPUT, Y),
    Case(
        HoldoutPipeline(
            [
                ("read", RadiographReader(lazy=True)),
                ("balance", AugmentationBalancer(factor=1, random_state=0)),
                ("preprocess", BackbonePreprocessor("tiny")),
                (
                    "classify",
                    TransferLearningClassifier(
                        "tiny",
                        batch_norm="frozen",
                        reset_batch_norm=False,
                        keep_features=True,
                        **QUICK,
                    ),
                ),
            ],
            validation_fraction=0.5,
            random_state=0,
        ),
        GREY,
        Y,
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _eager():
    # Compiling a network takes several times as long as training it for an epoch.
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module", autouse=True)
def _no_processes_are_left():
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.parametrize(
    ("case", "check"),
    [
        pytest.param(
            case, check, id=f"{type(case.estimator).__name__}-{check.__name__}"
        )
        for case in CASES
        for check in image_estimator_checks(case.estimator)
    ],
)
def test_image_estimator(case, check, tmp_path):
    if "folder" in signature(check).parameters:
        check(case, tmp_path)
    else:
        check(case)
