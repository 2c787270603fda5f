"""
Where a network looks, and whether to believe it
================================================

Every COVID-19 image of this synthetic set carries a bright mark in a corner, as images
from one hospital may carry its letters. A network is trained on it, and Grad-CAM and
occlusion sensitivity are asked what its predictions rest on. Both are then checked: a
saliency that does not change when the network's weights are made random shows the
image, not what the network has learned.

The radiographs are synthetic: the figures say nothing about real ones. It takes
a minute of a processor's time, and writes its figures to ``output/``.
"""

# %%
# A set with a shortcut
# ---------------------

from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_gradient_magnitude

from skcovid import AugmentationBalancer, make_transfer_pipeline
from skcovid.datasets import make_radiographs
from skcovid.inspection import (
    AugmentationDisplay,
    SaliencyDisplay,
    central_share,
    grad_cam,
    occlusion_sensitivity,
    randomization_check,
)

X, y = make_radiographs(
    n_samples=120, image_size=64, weights=(1, 1, 1), random_state=0, return_X_y=True
)
X[y == "COVID-19", 3:13, 3:13] = 255
X_train, y_train, X_test, y_test = X[:90], y[:90], X[90:], y[90:]
balancer = AugmentationBalancer(random_state=0)
samples = AugmentationDisplay.from_sampler(balancer, X_train, y_train)

# %%
# The network
# -----------
# ResNet50 with random weights; its last layers are trained.

pipeline = make_transfer_pipeline(
    "resnet50",
    recipe="fast",
    weights=None,
    image_size=64,
    fine_tune_from="conv5_block3_3_conv",
    factor=1,
    epochs=8,
    batch_size=8,
    learning_rate=0.0005,
    validation_fraction=0.2,
    random_state=0,
    verbose=0,
).fit(X_train, y_train)
print(f"Accuracy: {pipeline.score(X_test, y_test):.0%} of {len(y_test)} images")

# %%
# Two answers
# -----------
# Occlusion sensitivity hides one patch after the other and says how much the
# probability falls: it finds the mark. Grad-CAM adds up the feature maps of the last
# convolution that speak for the class. Of an image of 64 pixels these have two by two
# cells: a map so coarse shows a quarter of the image, not always the right one, or
# nothing at all.

covid = X_test[y_test == "COVID-19"][:3]
figures = {
    "augmentation": samples.figure_,
    "grad_cam": SaliencyDisplay.from_estimator(
        pipeline, covid, target="COVID-19", verbose=0
    ).figure_,
    "occlusion": SaliencyDisplay.from_estimator(
        pipeline, covid, target="COVID-19", method="occlusion_sensitivity", verbose=0
    ).figure_,
}

# %%
# As a number: how much of the saliency lies in the central half of the image, where the
# lungs are. One half would be no preference.

saliency = occlusion_sensitivity(pipeline, covid, target="COVID-19", verbose=0)
print(f"In the central half: {central_share(saliency, fraction=0.5).mean():.0%}")

# %%
# Do they show the network?
# -------------------------
# The layers are made random from the top downwards, in several networks. Edges, which
# ignore the network, look like many a published saliency map, and fail.


def edges(estimator, images, target):
    """Draw the outlines of the images, whatever the network."""
    return np.stack([gaussian_gradient_magnitude(image, 1.0) for image in images])


explained = {
    "Grad-CAM": partial(grad_cam, verbose=0),
    "Edges": edges,
}
for name, explain in explained.items():
    check = randomization_check(
        explain, pipeline, X_test[:12], n_steps=2, n_repeats=2, random_state=0
    )
    print(f"{name}: {check}")
    for layer, similarity in zip(
        check.layers, check.similarity.mean(axis=(0, 2)), strict=True
    ):
        print(f"    random down to {layer}: {similarity:.2f}")

# %%
# The figures as files, for who runs this as a script:

output = Path("output")
output.mkdir(exist_ok=True)
for name, figure in figures.items():
    figure.savefig(output / f"{name}.png", dpi=150)
print(f"Figures are in {output}")
plt.show()
