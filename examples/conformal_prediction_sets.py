"""
How many images a reader still has to look at
=============================================

A classifier that is right in nine of ten images does not say which nine. Conformal
prediction gives every image a *set* of classes in place of one, and makes the sets as
large as they have to be for a promised share of them, the *coverage*, to hold the true
class. An image whose set is a single class is decided; any other goes to a reader.

The radiographs are synthetic and the network's weights random: the figures say nothing
about real ones. It takes half a minute of a processor's time and needs
``pip install skcovid[conformal,plot]``.
"""

# %%
# Three parts of the data
# -----------------------
# The pipeline is fitted on the first part. The second, which it has not seen, says how
# much its probabilities can be trusted: a coverage of 99 % needs at least 99 images.
# The third is what arrives later.

import matplotlib.pyplot as plt
import numpy as np
from mapie.classification import SplitConformalClassifier
from mapie.utils import train_conformalize_test_split

from skcovid import make_transfer_pipeline
from skcovid.datasets import make_radiographs
from skcovid.inspection import OneVsRestCalibrationDisplay
from skcovid.metrics import Estimate

X, y = make_radiographs(
    n_samples=700, image_size=96, weights=(1, 2, 2), random_state=0, return_X_y=True
)
X_train, X_conformalize, X_test, y_train, y_conformalize, y_test = (
    train_conformalize_test_split(
        X,
        y,
        train_size=300,
        conformalize_size=200,
        test_size=200,
        random_state=0,
    )
)
pipeline = make_transfer_pipeline(
    "resnet50", recipe="linear", weights=None, image_size=96, random_state=0, verbose=0
)
pipeline.fit(X_train, y_train)
probabilities = pipeline.predict_proba(X_test)
predictions = pipeline.classes_[probabilities.argmax(axis=1)]
accuracy = Estimate.from_counts(int(np.sum(predictions == y_test)), len(y_test))
print(f"Accuracy: {accuracy}")

# %%
# Can the probabilities be believed?
# ----------------------------------
# Dots below the dotted line claim too much, dots above it too little.

display = OneVsRestCalibrationDisplay.from_predictions(
    y_test, probabilities, labels=pipeline.classes_
)

# %%
# Sets instead of guesses
# -----------------------
# MAPIE takes the fitted pipeline as it is. The more certain the sets have to be, the
# more of them hold several classes, or none: these are the images left to the reader.
# The coverage is promised on average over draws of the second and the third part: with
# 200 images in each, one draw may be several percent off.

levels = [0.8, 0.9, 0.95, 0.99]
conformal = SplitConformalClassifier(
    pipeline, confidence_level=levels, prefit=True, random_state=0
).conformalize(X_conformalize, y_conformalize)
_, sets = conformal.predict_set(X_test)
columns = np.searchsorted(pipeline.classes_, y_test)
is_covered = sets[np.arange(len(y_test)), columns]
is_read = sets.sum(axis=1) != 1

print(f"\n{'promised':>8}  {'covered, with 95 % interval':<28}  left to a reader")
for level, covered, read in zip(levels, is_covered.T, is_read.T, strict=True):
    coverage = Estimate.from_counts(int(covered.sum()), len(y_test))
    print(f"{level:>8.0%}  {coverage!s:<28}  {read.sum()} of {len(y_test)}")

# %%
# For 99 % coverage, class by class. The promise is about all images together: a rare
# class may be covered less often, and it is the one that matters.

for column, label in enumerate(pipeline.classes_):
    of_class = columns == column
    coverage = Estimate.from_counts(
        int(is_covered[of_class, -1].sum()), int(of_class.sum())
    )
    print(f"{label:<16} {coverage}, {is_read[of_class, -1].sum()} left to a reader")

# %%
# What the promise costs:

figure, ax = plt.subplots(layout="constrained")
ax.plot([100 * level for level in levels], is_read.sum(axis=0), marker="o")
ax.set(
    xlabel="Coverage promised (%)",
    ylabel=f"Images left to a reader, of {len(y_test)}",
    title="What certainty costs",
    ylim=(0, len(y_test)),
)
plt.show()
