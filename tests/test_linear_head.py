"""The head of the linear recipe: time and memory in proportion to the images."""

import tracemalloc

import numpy as np
import pytest
from sklearn.decomposition import PCA, KernelPCA
from sklearn.preprocessing import StandardScaler

import skcovid
from _helpers import tiny_backbone
from skcovid import make_transfer_pipeline

tiny_backbone.register()

COLUMNS = 1_000


def features(n_images):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n_images)
    X = rng.normal(y[:, None] / 10, 1 + np.arange(COLUMNS) % 7, (n_images, COLUMNS))
    return X.astype(np.float32), np.array(["A", "B", "C"])[y]


def head():
    pipeline = make_transfer_pipeline("tiny", recipe="linear", weights=None)
    return pipeline.set_params(classify__param_grid={"C": [0.01]})[3:]


def peak_of(fit, *args):
    tracemalloc.start()
    fit(*args)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_is_in_proportion_to_the_features():
    X, y = features(4_000)
    pipeline = head()
    # Standardised features, which a whole pipeline has instead of X, and the parts of
    # them that the search fits: once more their size.
    assert peak_of(pipeline.fit, X, y) < 2.3 * X.nbytes
    assert peak_of(pipeline["scale"].fit, X) < X.nbytes


def test_the_fitted_head_keeps_no_rows_of_the_training_set(tmp_path):
    sizes = []
    for n_images in (15, 60):
        X, y = tiny_backbone.make_images(n_images)
        pipeline = make_transfer_pipeline(
            "tiny", recipe="linear", weights=None, random_state=0, verbose=0
        )
        pipeline.fit(X, y)
        skcovid.save(pipeline, tmp_path / "model.skcovid")
        sizes.append((tmp_path / "model.skcovid").stat().st_size)
    assert abs(sizes[1] - sizes[0]) < 500


@pytest.mark.parametrize("weighted", [False, True])
def test_scaling_in_batches_is_scaling_at_once(weighted):
    X, _ = features(2_500)
    weight = np.random.default_rng(1).uniform(size=len(X)) if weighted else None
    scale = head().named_steps["scale"].fit(X, sample_weight=weight)
    expected = StandardScaler().fit(X, sample_weight=weight)
    for name in ("mean_", "var_", "scale_"):
        np.testing.assert_allclose(
            getattr(scale, name), getattr(expected, name), 1e-4, 1e-6
        )
    # A second fit forgets the first.
    np.testing.assert_allclose(scale.fit(X[:30]).mean_, X[:30].mean(axis=0), atol=1e-6)


def test_a_head_that_reduces_its_columns(tmp_path):
    X, y = features(120)
    for components in (PCA(5), KernelPCA(5)):
        fitted = head().set_params(components=components).fit(X, y)
        assert fitted["classify"].best_estimator_.coef_.shape == (3, 5)
        skcovid.save(fitted, tmp_path / "model.skcovid")
        loaded = skcovid.load(tmp_path / "model.skcovid")
        np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
