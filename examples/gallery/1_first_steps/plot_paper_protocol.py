"""
The protocol of the paper
=========================

How the paper's folds, validation halves and added-up confusion matrices are made, not
how well its networks do: this runs two folds, two epochs a phase, random weights and
drawn radiographs. Section 4 of the paper halves every test fold: one half steers the
training, the other is predicted.
"""

# %%
# The splits
# ----------
# With the paper's 2,905 images in five folds, 2,324 are trained on, and each test fold
# of 581 is halved (:func:`skcovid.model_selection.split`).

import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import StratifiedKFold

from skcovid import evaluate, make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.inspection import TrainingHistoryDisplay
from skcovid.metrics import (
    confusion_matrix_to_markdown,
    per_class_table,
    pooled_confusion_matrix,
)
from skcovid.model_selection import split
from skcovid.pipeline import RECIPES

labels = np.repeat(["COVID-19", "NORMAL", "Viral Pneumonia"], [219, 1341, 1345])
for rows in split(labels, cv=StratifiedKFold(5), protocol="paper"):
    print(len(rows.train), len(rows.validation), len(rows.test))

# %%
# The recipe
# ----------
# Without overrides the pipeline is the paper's: InceptionV3, ImageNet's weights, batch
# normalisation trained throughout, a flattened head, two phases. Other recipes are
# other constructor parameters, and nothing else.

folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y = data.paths, data.target
    pipeline, folds = make_transfer_pipeline(random_state=0), 5
else:
    X, y = make_radiographs(
        48, image_size=32, weights=(1, 2, 2), random_state=0, return_X_y=True
    )
    pipeline, folds = (
        make_transfer_pipeline(
            "vgg19",
            weights=None,
            image_size=32,
            epochs=2,
            balance__factor=1,
            random_state=0,
            verbose=0,
        ),
        2,
    )
for recipe, parameters in RECIPES.items():
    print(recipe, dict(parameters))

# %%
# The folds
# ---------
# A :class:`~skcovid.model_selection.Fold` holds the rows, the predictions and the
# history of one training.

result = evaluate(pipeline, X, y, cv=folds, protocol="paper", verbose=0)
for fold in result.folds:
    print(
        f"{len(fold.train_indices)} trained on, "
        f"{len(fold.validation_indices)} validate, "
        f"{len(fold.test_indices)} predicted, {fold.fit_seconds:.0f} s"
    )

# %%
# Loss and accuracy of the epochs; the dotted line is where the second phase begins.

TrainingHistoryDisplay.from_result(result)

# %%
# Tables 3 and 4
# --------------
# The result has both. From confusion matrices alone they are made by
# :func:`~skcovid.metrics.pooled_confusion_matrix` and
# :func:`~skcovid.metrics.per_class_table`.

pooled = pooled_confusion_matrix(result.fold_confusion_matrices)
print(confusion_matrix_to_markdown(pooled, result.classes))
print()
print(per_class_table(pooled, result.classes).to_markdown())
plt.show()
