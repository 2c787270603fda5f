"""
Where a network looks
=====================

Every COVID-19 image here carries a bright mark in a corner, as images of one hospital
may carry its letters. A network is fine-tuned on them; Grad-CAM, Score-CAM and
occlusion sensitivity are asked what its predictions rest on, and the answer is checked.

Drawn radiographs, random weights: the figures say nothing about real radiographs. A
longer version is ``examples/saliency.py``.
"""

# %%
# A network that has seen a mark
# ------------------------------

import os
from functools import partial
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np

from skcovid import make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.inspection import (
    SaliencyDisplay,
    TrainingHistoryDisplay,
    central_share,
    grad_cam,
    occlusion_sensitivity,
    randomization_check,
    score_cam,
)

folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y, network = data.paths, data.target, {}
else:
    X, y = make_radiographs(
        60, image_size=64, weights=(1, 1, 1), random_state=0, return_X_y=True
    )
    X[y == "COVID-19", 3:15, 3:15] = 255
    network = {
        "weights": None,
        "image_size": 64,
        "fine_tune_from": "conv5_block3_3_conv",
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 0.0005,
        "validation_fraction": 0.2,
    }
pipeline = make_transfer_pipeline(
    "resnet50", recipe="fast", random_state=0, verbose=0, **network
).fit(X, y)

TrainingHistoryDisplay.from_estimator(pipeline)

# %%
# Three answers
# -------------
# Grad-CAM and Score-CAM weight the feature maps of the last convolution, which for
# images this small have two by two cells. Occlusion hides one patch after the other and
# says how far the probability falls.

label = pipeline.classes_[0]
images = X[y == label][:2]
SaliencyDisplay.from_estimator(pipeline, images, target=label, verbose=0)

# %%
# sphinx_gallery_thumbnail_number = 3
SaliencyDisplay.from_estimator(
    pipeline, images, target=label, method="occlusion_sensitivity", verbose=0
)

# %%
# As a number: the share of the saliency in the central half of the image, where the
# lungs are. Without a preference it would be one half, and maps of two by two cells can
# hardly have one: here it takes the occlusion to find the mark.

saliencies = {
    "Grad-CAM": grad_cam(pipeline, images, target=label, verbose=0),
    "Score-CAM": score_cam(pipeline, images, target=label, max_channels=32, verbose=0),
    "occlusion": occlusion_sensitivity(pipeline, images, target=label, verbose=0),
}
for name, saliency in saliencies.items():
    print(f"{name:<10} {np.round(central_share(saliency, fraction=0.5), 2)}")

# %%
# Does the map show the network?
# ------------------------------
# A saliency that stays the same when the network's weights are made random shows the
# image. The :class:`~skcovid.inspection.RandomizationCheck` says so.

check = randomization_check(
    partial(grad_cam, verbose=0),
    pipeline,
    X[:6],
    n_steps=1,
    n_repeats=1,
    random_state=0,
    verbose=0,
)
print(fill(str(check), 88))
plt.show()
