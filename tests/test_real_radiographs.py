"""Real radiographs and weights, given by SKCOVID_DATA and SKCOVID_WEIGHTS."""

import os

import numpy as np
import pytest

from skcovid import make_transfer_pipeline
from skcovid.datasets import load_radiographs

DATA = os.environ.get("SKCOVID_DATA")
WEIGHTS = os.environ.get("SKCOVID_WEIGHTS")

pytestmark = pytest.mark.skipif(
    not (DATA and WEIGHTS),
    reason="SKCOVID_DATA and SKCOVID_WEIGHTS (InceptionV3) are not set",
)

N_TRAIN, N_TEST = 10, 4


@pytest.fixture(scope="module")
def radiographs():
    """A few images of each class, for training and for test."""
    data = load_radiographs(DATA)
    paths, labels = np.asarray(data.paths), np.asarray(data.target)
    parts = [
        np.flatnonzero(labels == label)[: N_TRAIN + N_TEST]
        for label in np.unique(labels)
    ]
    train = np.concatenate([rows[:N_TRAIN] for rows in parts])
    test = np.concatenate([rows[N_TRAIN:] for rows in parts])
    return paths[train], labels[train], paths[test], labels[test]


def test_the_linear_recipe_tells_the_classes_apart(radiographs):
    X_train, y_train, X_test, y_test = radiographs
    pipeline = make_transfer_pipeline(recipe="linear", weights=WEIGHTS, verbose=0)
    pipeline.fit(X_train, y_train)
    assert pipeline.score(X_test, y_test) > 0.7
    features = pipeline.named_steps["features"]
    assert features.layer_names_ == [f"mixed{number}" for number in range(8)]
    assert features.get_feature_names_out()[0] == "mixed0_avg_0"


def test_weights_of_another_network_are_an_error(radiographs):
    X_train, y_train, *_ = radiographs
    pipeline = make_transfer_pipeline("vgg19", weights=WEIGHTS, verbose=0)
    with pytest.raises(ValueError, match="backbone 'vgg19'"):
        pipeline.fit(X_train, y_train)
