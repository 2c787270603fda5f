"""Predictions leave fitted estimators and stored features as they are."""

import joblib
import keras
import numpy as np
import pytest
from sklearn.base import BaseEstimator

from _helpers import tiny_backbone
from skcovid import make_transfer_pipeline
from skcovid.pipeline import RECIPES

tiny_backbone.register()
GREY, Y = tiny_backbone.make_images(18)
NEW, _ = tiny_backbone.make_images(4, seed=9)
QUICK = {"epochs": 1, "dense_units": 4, "validation_fraction": 0.2}
PARAMETERS = {
    "paper": QUICK,
    "fast": {**QUICK, "feature_layers": None},
    "linear": {"layers": [3, 6]},
}
METHODS = ["predict", "predict_proba", "decision_function", "transform"]


def state_of(value):
    """Everything that an estimator holds; of a network its weights and its calls."""
    if isinstance(value, keras.Model):
        nodes = [len(layer._inbound_nodes) for layer in value.layers]
        return joblib.hash([value.get_weights(), nodes])
    if isinstance(value, BaseEstimator):
        return {name: state_of(held) for name, held in vars(value).items()}
    if isinstance(value, dict):
        return {name: state_of(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [state_of(held) for held in value]
    # joblib cannot hash the masked arrays of a search.
    return joblib.hash(np.ma.filled(value) if np.ma.isMA(value) else value)


@pytest.fixture(scope="module", params=RECIPES)
def fitted(request, tmp_path_factory, eager):
    memory = tmp_path_factory.mktemp("memory")
    shared = {"weights": None, "memory": memory, "random_state": 0, "verbose": 0}
    if request.param == "paper":
        del shared["memory"]
    pipeline = make_transfer_pipeline(
        "tiny", recipe=request.param, **shared, **PARAMETERS[request.param]
    )
    return pipeline.fit(GREY, Y), memory


def check_unchanged(estimator, X, memory):
    before, entries = state_of(estimator), sorted(memory.rglob("*"))
    for method in METHODS:
        if hasattr(estimator, method):
            first = getattr(estimator, method)(X)
            again = getattr(estimator, method)(X)
            np.testing.assert_array_equal(first, again)
            assert state_of(estimator) == before, (type(estimator), method)
            assert sorted(memory.rglob("*")) == entries


def test_of_a_pipeline(fitted):
    check_unchanged(fitted[0], NEW, fitted[1])


def test_of_each_step(fitted):
    pipeline, memory = fitted
    X = NEW
    for _, step in pipeline.steps:
        check_unchanged(step, X, memory)
        if hasattr(step, "transform"):
            X = step.transform(X)
