"""
Calibration, and prediction sets
================================

Two questions beyond the score: whether a probability can be believed, and which images
are better left to a reader. Conformal prediction (MAPIE, ``pip install
skcovid[conformal]``) gives every image a set of classes that holds the true one with a
promised frequency.

The radiographs are drawn: the figures say nothing about real ones. A longer version is
``examples/conformal_prediction_sets.py``.
"""

# %%
# Three parts of the data
# -----------------------
# One to fit, one to calibrate on, one that arrives later.

import os

import matplotlib.pyplot as plt
import numpy as np
from mapie.classification import SplitConformalClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from skcovid import make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.inspection import OneVsRestCalibrationDisplay
from skcovid.metrics import Estimate

folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y = data.paths, data.target
else:
    X, y = make_radiographs(
        300, image_size=224, weights=(1, 2, 2), random_state=0, return_X_y=True
    )

X_fit, X_rest, y_fit, y_rest = train_test_split(
    X, y, train_size=0.4, stratify=y, random_state=0
)
X_calibrate, X_test, y_calibrate, y_test = train_test_split(
    X_rest, y_rest, train_size=0.5, stratify=y_rest, random_state=0
)
pipeline = make_transfer_pipeline(
    "efficientnetlite0", recipe="linear", random_state=0, verbose=0
).fit(X_fit, y_fit)

# %%
# Can the probabilities be believed?
# ----------------------------------
# Each class against the rest, with the interval of every dot. Dots below the diagonal
# claim too much.

OneVsRestCalibrationDisplay.from_estimator(pipeline, X_test, y_test, n_bins=4)

# %%
# scikit-learn calibrates any fitted pipeline on images it has not seen.

calibrated = CalibratedClassifierCV(FrozenEstimator(pipeline)).fit(
    X_calibrate, y_calibrate
)
OneVsRestCalibrationDisplay.from_estimator(calibrated, X_test, y_test, n_bins=4)

# %%
# Sets instead of guesses
# -----------------------
# The surer the sets have to be, the more of them hold several classes or none: these
# images go to a reader.

levels = [0.8, 0.9, 0.95]
conformal = SplitConformalClassifier(
    pipeline, confidence_level=levels, prefit=True, random_state=0
).conformalize(X_calibrate, y_calibrate)
_, sets = conformal.predict_set(X_test)
columns = np.searchsorted(pipeline.classes_, y_test)
is_covered = sets[np.arange(len(y_test)), columns]
is_read = sets.sum(axis=1) != 1
for level, covered, read in zip(levels, is_covered.T, is_read.T, strict=True):
    coverage = Estimate.from_counts(int(covered.sum()), len(y_test))
    print(f"promised {level:.0%}, covered {coverage}, to a reader {read.mean():.0%}")

# %%
figure, ax = plt.subplots(layout="constrained")
ax.bar([f"{level:.0%}" for level in levels], 100 * is_read.mean(axis=0))
ax.set(xlabel="coverage promised", ylabel="left to a reader (%)", ylim=(0, 100))
plt.show()
