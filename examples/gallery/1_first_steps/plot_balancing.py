"""
Balancing by augmentation, and Figure 4
=======================================

Section 3.2 of the paper makes the classes equal with augmented copies of the training
images: twice the size of the largest class for each, by six transforms of which every
copy gets a random few. Its Figure 4 shows an image of each class beside its copies.
"""

# %%
# Before and after
# ----------------

import os

import matplotlib.pyplot as plt
import numpy as np

from skcovid import AugmentationBalancer, RadiographReader, augment
from skcovid.augmentation import (
    PAPER_TRANSFORMS,
    Brightness,
    Elastic,
    Gamma,
    Rotation,
    Translation,
    Zoom,
)
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.inspection import AugmentationDisplay, ClassDistributionDisplay

folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y = RadiographReader(224).fit_transform(data.paths[::20]), data.target[::20]
else:
    X, y = make_radiographs(120, image_size=224, random_state=1, return_X_y=True)

balancer = AugmentationBalancer(factor=2, random_state=0)
X_balanced, y_balanced = balancer.fit_resample(X, y)

figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", sharey=True)
ClassDistributionDisplay.from_labels(y, ax=axes[0])
ClassDistributionDisplay.from_labels(y_balanced, ax=axes[1])
axes[0].set_title("before")
axes[1].set_title("after")

# %%
# Which image each copy was made from, and which copy of it it is:

print(balancer.sample_indices_[:8], balancer.copy_numbers_[:8])

# %%
# Figure 4
# --------

# sphinx_gallery_thumbnail_number = 2
AugmentationDisplay.from_sampler(balancer, X, y, n_copies=3)

# %%
# The six transforms
# ------------------
# One at a time, each at the far end of the paper's range, on one image.

transforms = {
    "Brightness": Brightness(1.1, 1.1),
    "Gamma": Gamma(1.11, 1.11),
    "Elastic": Elastic(),
    "Zoom": Zoom(1.1, 1.1),
    "Translation": Translation(0.9, 0.9),
    "Rotation": Rotation(5, 5),
}
assert [type(transform).__name__ for transform in PAPER_TRANSFORMS] == list(transforms)
image = np.asarray(X[0])
figure, axes = plt.subplots(2, 6, figsize=(12, 4.4), layout="constrained")
for column, (name, transform) in zip(axes.T, transforms.items(), strict=True):
    changed = augment(image, transforms=[transform], random_state=0)
    column[0].imshow(changed, cmap="gray", vmin=0, vmax=255)
    difference = changed.astype(int) - image
    column[1].imshow(difference, cmap="RdBu", vmin=-100, vmax=100)
    column[0].set_title(name)
    for ax in column:
        ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("image")
axes[1, 0].set_ylabel("difference")
plt.show()
