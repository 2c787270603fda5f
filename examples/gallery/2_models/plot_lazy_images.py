"""
Images computed on access
=========================

Between the steps of a pipeline images are not an array but a
:class:`~skcovid.LazyImages`: it has a shape and is indexed as an array is, and computes
an image when it is asked for. Memory does not grow with the number of images, and what
is kept of an image is found by its key.
"""

# %%
# Images from anything
# --------------------
# A function and what each image is made from. The key names the content: equal keys
# mean equal pixels, in any process.

import os

import matplotlib.pyplot as plt
import numpy as np

from skcovid import AugmentationBalancer, LazyImages, RadiographReader
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.images import image_key, read_ahead


def gradient(angle):
    """Draw a ramp of grey levels."""
    rows, columns = np.mgrid[-1:1:64j, -1:1:64j]
    ramp = columns * np.cos(angle) + rows * np.sin(angle)
    return np.uint8(255 * (ramp - ramp.min()) / np.ptp(ramp))


angles = np.linspace(0, np.pi, 1_000_000)
images = LazyImages(
    gradient,
    angles,
    image_shape=(64, 64),
    keys=[image_key("gradient", angle) for angle in angles],
)
print(images, images.ndim, len(images))
print("as an array:", f"{np.prod(images.shape) / 1e9:.1f} GB")

# %%
# A slice computes nothing; an integer computes one image, ``np.asarray`` all of them.

some = images[::250_000]
figure, axes = plt.subplots(1, 4, figsize=(8, 2.3), layout="constrained")
for ax, image in zip(axes, np.asarray(some), strict=True):
    ax.imshow(image, cmap="gray")
    ax.set(xticks=[], yticks=[])

# %%
# Steps make lazy images of lazy images
# -------------------------------------
# Paths become lazy images, and the balancer's copies are lazy, too.

folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y = data.paths, data.target
else:
    X, y = make_radiographs(30, image_size=96, random_state=0, return_X_y=True)
# sphinx_gallery_thumbnail_number = 2
lazy = RadiographReader(96, lazy=True).fit_transform(X)
copies, labels = AugmentationBalancer(random_state=0).fit_resample(lazy, y)
print(lazy, copies)

figure, axes = plt.subplots(1, 4, figsize=(8, 2.3), layout="constrained")
for ax, row in zip(axes, (0, 1, -2, -1), strict=True):
    ax.imshow(copies[row], cmap="gray", vmin=0, vmax=255)
    ax.set(title=labels[row], xticks=[], yticks=[])

# %%
# Batches ahead of a consumer
# ---------------------------
# ``batches`` computes in threads what comes next; :func:`~skcovid.images.read_ahead`
# does that for anything.

for rows, batch in copies[:70].batches(32, n_jobs=2):
    print(rows, batch.shape, batch.dtype)
squares = read_ahead(
    lambda rows: np.arange(rows.start, rows.stop) ** 2, 5, batch_size=2, n_jobs=1
)
print([batch.tolist() for _, batch in squares])
plt.show()
