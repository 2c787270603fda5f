"""
One model, several hospitals
============================

A score inside one collection says little of the next hospital. This example draws
four collections that differ in how their images were made, leaves each out in turn, and
shows the figures of all of them, with what to expect of a new one.

Drawn radiographs and a plain logistic regression of thumbnails: the figures say nothing
about real radiographs.
"""

# %%
# Four collections
# ----------------
# In three of them a marker in the corner goes with COVID-19; the fourth has none.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skcovid import evaluate
from skcovid.datasets import make_radiographs
from skcovid.inspection import FlowDiagramDisplay, ForestPlotDisplay
from skcovid.metrics import Estimate

names = ["Hospital A", "Hospital B", "Hospital C", "No marker"]
parts = [
    make_radiographs(
        90, image_size=48, weights=(1, 1, 1), random_state=seed, return_X_y=True
    )
    for seed in range(len(names) + 1)
]
rng = np.random.default_rng(0)
for (images, labels), share in zip(parts, [0.9, 0.8, 0.7, 0, 0], strict=True):
    images[(labels == "COVID-19") & (rng.random(len(labels)) < share), 1:7, 1:7] = 255
    images[:] = np.clip(images + rng.normal(0, 70, images.shape), 0, 255)
*inside, outside = parts
X, y = (np.concatenate(arrays) for arrays in zip(*inside, strict=True))
source = np.repeat(names, 90)


def thumbnails(images):
    blocks = images.reshape(len(images), 16, 3, 16, 3).mean(axis=(2, 4))
    return blocks.reshape(len(images), -1) / 255


model = make_pipeline(FunctionTransformer(thumbnails), LogisticRegression(C=0.1))

# %%
# Each source left out in turn
# ----------------------------
# And a fifth collection, never trained on, as an external set: its figures are an
# :class:`~skcovid.model_selection.ExternalResult`.

result = evaluate(
    model,
    X,
    y,
    source=source,
    cv="leave-one-source-out",
    test=outside,
    verbose=0,
)
ForestPlotDisplay.from_result(result, label="COVID-19")

# %%
# Boxes are larger the more a source weighs in the mean, the diamond. The line below it
# is where the area of a new hospital would lie: this is what a reader should expect.
#
# Images and patients, from the collections to the folds, as STARD and CLAIM ask for:

FlowDiagramDisplay.from_result(result)

# %%
# Any other figures
# -----------------
# Recalls that a paper lists, say.

ForestPlotDisplay.from_estimates(
    {
        "Trial 1": Estimate.from_counts(45, 50),
        "Trial 2": Estimate.from_counts(30, 50),
        "Trial 3": Estimate.from_counts(150, 200),
        "Trial 4": Estimate.from_counts(0, 0),
    },
    notes={"Trial 4": "not reported"},
    metric="Recall",
    reference=None,
)
plt.show()
