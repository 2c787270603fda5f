"""
The feature store
=================

What a frozen network makes of an image never changes. With ``memory`` it is computed
once and found again: by the next fold, the next point of a grid, the next process.

Drawn radiographs, random weights: times are those of the machine that made this page.
"""

# %%
# Twice the same fit
# ------------------

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

from skcovid import make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.networks import FeatureStore, feature_bytes

folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y, network = data.paths, data.target, {}
else:
    X, y = make_radiographs(
        60, image_size=96, weights=(1, 1, 1), random_state=0, return_X_y=True
    )
    network = {"weights": None, "image_size": 96}
memory = TemporaryDirectory()
pipeline = make_transfer_pipeline(
    "resnet50",
    recipe="linear",
    memory=memory.name,
    random_state=0,
    verbose=0,
    **network,
)

seconds, passes = [], []
for _ in range(2):
    started = time.perf_counter()
    pipeline.fit(X, y)
    seconds.append(time.perf_counter() - started)
    passes.append(pipeline["features"].n_trunk_passes_)
print("images that went through the network:", passes)

# %%
figure, ax = plt.subplots(layout="constrained")
ax.bar(["empty store", "full store"], seconds)
ax.set(ylabel="seconds a fit")

# %%
# What is in it
# -------------
# One file an image, in a folder named after the network. Equal images have equal keys,
# wherever they come from.

files = sorted(Path(memory.name).rglob("*.npy"))
print(len(files), "files of", files[0].stat().st_size, "bytes")

# %%
# By hand
# -------
# :class:`~skcovid.networks.FeatureStore` works with any Keras model; what it returns, a
# :class:`~skcovid.networks.StoredFeatures`, reads them in batches.
# :func:`~skcovid.networks.feature_bytes` says beforehand how much room they take.

trunk = pipeline["features"].trunk_
print(f"10,000 images: {feature_bytes(trunk, 10_000) / 1e6:.0f} MB")

images = pipeline[:2].transform(X)
store = FeatureStore(Path(memory.name) / "by hand", trunk)
stored = store.fill(images, batch_size=32, n_jobs=2, verbose=0)
print("computed:", store.n_computed, "shapes:", stored.load(slice(0, 4))[0].shape)
first = stored[:1].load(slice(None))
assert np.array_equal(first[0], stored.load(slice(0, 1))[0])
memory.cleanup()
plt.show()
