"""
Would it work in another hospital?
==================================

Each hospital is left out in turn and predicted by a model that saw none of its images.
Here hospitals have other machines and other shares of each class, so that a model can
gain by telling them apart.

Drawn radiographs: the figures say nothing about real ones.
"""

# %%
# Several hospitals
# -----------------
# With ``SKCOVID_DATA_COHEN``, the publishers of the COVID-19 image data collection.

import os

import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skcovid import (
    CellOverSampler,
    LeaveOneSourceOut,
    MatchingUnderSampler,
    RadiographReader,
    SourceStandardScaler,
    evaluate,
    make_transfer_pipeline,
)
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.metrics import heterogeneity

folder = os.environ.get("SKCOVID_DATA_COHEN")
if folder:
    data = load_radiographs(folder)
    X = data.paths
else:
    data = make_radiographs(
        240, weights=(1, 1, 1), n_sources=4, confounding=0.5, noise=30, random_state=0
    )
    X = data.images
y, groups, source = data.target, data.groups, data.source
model = make_pipeline(
    RadiographReader(24, lazy=False),
    FunctionTransformer(lambda images: images.reshape(len(images), -1) / 255),
    StandardScaler(),
    LogisticRegression(C=1e-3),
)

# %%
# Random folds, and folds of hospitals
# ------------------------------------

inside = evaluate(model, X, y, groups=groups, source=source, verbose=0)
result = evaluate(
    model, X, y, groups=groups, source=source, cv="leave-one-source-out", verbose=0
)
for name, one in {"random folds": inside, "hospitals left out": result}.items():
    print(name)
    print("  all images:    ", one.roc_auc["COVID-19"].format_fraction(2))
    print("  within sources:", one.within_source_roc_auc["COVID-19"].format_fraction(2))
    print("  accuracy:      ", one.accuracy)

# %%
# Within sources, images of one hospital are compared with each other, as a radiologist
# there has to. Another machine may move all probabilities of a hospital up or down:
# then the order within it holds, and neither the labels nor the order of all images do.

# %%
# Each hospital
# -------------
# They are :class:`~skcovid.model_selection.SourceFigures`.

for name, figures in result.by_source.items():
    area = figures.roc_auc["COVID-19"].format_fraction(2)
    print(f"{name}: {figures.n_images} images, ROC AUC for COVID-19 {area}")

# %%
# A :class:`~skcovid.metrics.Heterogeneity` says how much they differ, and what to
# expect of another one; :func:`~skcovid.metrics.heterogeneity` does so for any figure:

areas = result.heterogeneity("COVID-19")
print(f"ROC AUC for COVID-19: {areas}")
accuracies = heterogeneity([one.accuracy for one in result.by_source.values()])
print(f"accuracy: {accuracies}")

# %%
# A search that leaves hospitals out
# ----------------------------------
# :class:`~skcovid.LeaveOneSourceOut` in any of scikit-learn's searches:

search = GridSearchCV(
    model, {"logisticregression__C": [1e-4, 1e-2]}, cv=LeaveOneSourceOut()
)
with sklearn.config_context(enable_metadata_routing=True):
    search.fit(X, y, source=source, groups=groups)
print(search.best_params_)

# %%
# Steps for other hospitals
# -------------------------
# Features standardised by the images of their own hospital; for the one that is left
# out, by its own images without labels:

features = model[:2].fit_transform(X)
steps = make_transfer_pipeline(recipe="linear")[-3:]
steps.set_params(scale=SourceStandardScaler())
options = {"groups": groups, "source": source, "cv": "leave-one-source-out"}
adapted = evaluate(steps, features, y, adapt=True, verbose=0, **options)
print("within sources:", adapted.within_source_roc_auc["COVID-19"].format_fraction(2))

# %%
# Classes balanced within each hospital, by repeating images or by leaving some out:

for sampler in (
    CellOverSampler(random_state=0),
    MatchingUnderSampler(by=(), near=None, random_state=0),
):
    sampler.fit_resample(features, y, source=source)
    print(type(sampler).__name__, sampler.sampling_strategy_)
