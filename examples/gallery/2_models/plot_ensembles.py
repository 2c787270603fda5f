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
# Two networks, the second with two strengths of regularisation.

import os
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression

from skcovid import evaluate, make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs

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
    (
        "strict resnet",
        make_transfer_pipeline(
            "resnet50", classify__param_grid={"C": [1e-5]}, **common
        ),
    ),
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
accuracies = {}
for name, ensemble in ensembles.items():
    result = evaluate(ensemble, X, y, cv=2, random_state=0, verbose=0)
    accuracies[name] = result.accuracy
    print(f"{name:<14} {result.accuracy}, {sum(result.timings['fit_seconds']):.1f} s")

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
