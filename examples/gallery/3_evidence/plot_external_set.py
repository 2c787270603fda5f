"""
Inside beside outside
=====================

A score inside one collection says little of another hospital. Here every COVID-19 image
of the training collection has a white mark in a corner, and half of those elsewhere.

Drawn radiographs: the figures say nothing about real ones.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skcovid import evaluate
from skcovid.datasets import make_radiographs


def flatten(images):
    return images.reshape(len(images), -1) / 255.0


here, there = (
    make_radiographs(n, image_size=48, weights=(1, 1, 1), random_state=seed)
    for seed, n in enumerate((150, 90))
)
here.images[here.target == "COVID-19", 1:9, 1:9] = 255
there.images[np.flatnonzero(there.target == "COVID-19")[::2], 1:9, 1:9] = 255
# One image is in both collections.
there.images[5] = here.images[5]

# %%
# The folds inside are as without ``test``. Then one model is fitted on the whole
# training collection and predicts the images elsewhere.
pipeline = make_pipeline(
    FunctionTransformer(flatten), LogisticRegression(C=0.01, max_iter=1000)
)
result = evaluate(
    pipeline,
    here.images,
    here.target,
    test=(there.images, there.target),
    verbose=0,
)
print("inside:", result.per_class["COVID-19"].recall)

# %%
# ``result.external`` is an :class:`~skcovid.model_selection.ExternalResult`. It has the
# same figures, as all :class:`~skcovid.model_selection.Predictions` do.
print("outside:", result.external.per_class["COVID-19"].recall)
print("lost:", result.differences["recall"]["COVID-19"])

# %%
# The copy was found and left out.
print(result.external.copies)

# %%
# A threshold that finds 95 % of the COVID-19 images inside finds fewer outside.
point = result.operating_points["COVID-19"]
print("inside:", point["inside"].sensitivity)
print("outside:", point["outside"].sensitivity)
