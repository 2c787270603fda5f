"""
Ensembles that share one feature store
======================================

Pipelines are classifiers, so scikit-learn's ``VotingClassifier`` and
``StackingClassifier`` take them as members. Where members have a network in common, one
``memory`` serves them all: the network sees every image once.

The weights are random: what an ensemble gains here means nothing.
"""

# %%
# Members
# -------
# Two networks. The features of each are computed once for all that follows.

import os
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skcovid import make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.metrics import Estimate

folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y, network = data.paths, data.target, {}
else:
    X, y = make_radiographs(
        90, image_size=64, weights=(1, 1, 1), random_state=0, return_X_y=True
    )
    network = {"weights": None, "image_size": 64}

memory = TemporaryDirectory()
common = {
    "recipe": "linear",
    "memory": memory.name,
    "random_state": 0,
    "verbose": 0,
    **network,
}
members = [
    ("mobilenet", make_transfer_pipeline("mobilenetv2", **common)),
    ("resnet", make_transfer_pipeline("resnet50", **common)),
]

# %%
# Voting and stacking
# -------------------
# Soft voting averages the members' probabilities. Stacking learns their weights, from
# predictions for images that the members have not seen.

ensembles = {
    **dict(members),
    "voting": VotingClassifier(members, voting="soft"),
    "stacking": StackingClassifier(members, LogisticRegression(), cv=2),
}
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.3, stratify=y, random_state=0
)
accuracies = {}
for name, ensemble in ensembles.items():
    n_right = np.sum(ensemble.fit(X_train, y_train).predict(X_test) == y_test)
    accuracies[name] = Estimate.from_counts(int(n_right), len(y_test))
    print(f"{name:<10} {accuracies[name]}")

# %%
figure, ax = plt.subplots(layout="constrained")
for name, accuracy in accuracies.items():
    ax.plot([accuracy.low, accuracy.high], [name, name], color="grey")
    ax.plot(accuracy.value, name, "o", color="C0")
ax.axvline(1 / 3, linestyle=":", color="grey", label="chance")
ax.set(xlabel="Multi-class accuracy, with 95 % interval", xlim=(0, 1))
ax.legend()
memory.cleanup()
plt.show()
