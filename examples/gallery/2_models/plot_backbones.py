"""
Comparing the paper's networks
==============================

How networks are compared over the same folds, not which is best: to be quick, the
weights are random and the radiographs drawn, for the two networks of fewest layers. A
folder in ``SKCOVID_DATA`` is given all four, with ImageNet weights.

Each has its own size and pixel mode (Table 1 of the paper), and the difference of two
is tested as results over the same folds have to be.
"""

# %%
# What is known of a network
# --------------------------
# Tables 1 and 2 are a registry of :class:`~skcovid.networks.backbones.Backbone`.

import os
from tempfile import TemporaryDirectory
from textwrap import fill

import matplotlib.pyplot as plt

from skcovid import compare, evaluate, make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.networks.backbones import get_backbone, list_backbones

print(list_backbones())
names = ["resnet50", "vgg19", "densenet121", "inceptionv3"]
for name in names:
    backbone = get_backbone(name)
    print(
        f"{name:<12} {backbone.image_size} {backbone.mode:<6} {backbone.fine_tune_from}"
    )

# %%
# The same folds for all
# ----------------------
# Folds depend on labels and ``random_state`` alone. With ``memory`` a network sees
# every image once, for all folds.

folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y, network = data.paths, data.target, {}
else:
    X, y = make_radiographs(
        60, image_size=48, weights=(1, 1, 1), random_state=0, return_X_y=True
    )
    names, network = ["resnet50", "vgg19"], {"weights": None, "image_size": 48}

memory = TemporaryDirectory()
results = {}
for name in names:
    pipeline = make_transfer_pipeline(
        name,
        recipe="linear",
        memory=memory.name,
        random_state=0,
        verbose=0,
        **network,
    )
    results[name] = evaluate(pipeline, X, y, cv=3, random_state=0, verbose=0)
    print(f"{name:<12} {results[name].accuracy}")

# %%
# With their intervals:

accuracies = [result.accuracy for result in results.values()]
values = [accuracy.value for accuracy in accuracies]
bars = [
    [accuracy.value - accuracy.low for accuracy in accuracies],
    [accuracy.high - accuracy.value for accuracy in accuracies],
]
figure, ax = plt.subplots(layout="constrained")
ax.errorbar(values, list(results), xerr=bars, fmt="o", capsize=4)
ax.axvline(1 / 3, color="grey", linestyle=":", label="chance")
ax.set(xlabel="Multi-class accuracy", xlim=(0, 1))
ax.margins(y=0.2)
ax.legend()

# %%
# Is one better?
# --------------
# Folds share their training images, so that a plain t-test would claim too much.
# :func:`skcovid.compare` returns a :class:`~skcovid.model_selection.Comparison` that
# allows
# for it, and an exact test of the images that only one of the two got right.

print(fill(str(compare(results["resnet50"], results["vgg19"])), 88))
memory.cleanup()
plt.show()
