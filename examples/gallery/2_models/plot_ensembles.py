"""
Ensembles that share one feature store
======================================

Pipelines are classifiers, so scikit-learn's ``VotingClassifier`` and
``StackingClassifier`` take them as members. One ``memory`` serves members and
ensembles: a network sees every image once.

The radiographs are drawn: the figures say nothing about real ones.
"""

# %%
# Members
# -------
# Two networks, fitted once. A third of the images is for testing, and a third of the
# rest for what is learned about the members.

import os
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skcovid import make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.metrics import Estimate

folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y = data.paths, data.target
else:
    X, y = make_radiographs(
        90, image_size=224, weights=(1, 1, 1), random_state=0, return_X_y=True
    )

memory = TemporaryDirectory()
common = {
    "recipe": "linear",
    "memory": memory.name,
    "random_state": 0,
    "verbose": 0,
}
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=1 / 3, stratify=y, random_state=0
)
X_fit, X_blend, y_fit, y_blend = train_test_split(
    X_train, y_train, test_size=1 / 3, stratify=y_train, random_state=0
)
members = {
    name: make_transfer_pipeline(name, **common).fit(X_fit, y_fit)
    for name in ("efficientnetlite0", "efficientnetlite2")
}

# %%
# Voting and stacking
# -------------------
# Soft voting averages the members' probabilities. Stacking learns their weights, from
# predictions for images that the members have not seen. Members that are frozen, or
# ``"prefit"``, are not fitted again; without that, both ensembles fit their own.

frozen = [(name, FrozenEstimator(member)) for name, member in members.items()]
voting = VotingClassifier(frozen, voting="soft").fit(X_fit, y_fit)
stacking = StackingClassifier(frozen, LogisticRegression(), cv="prefit").fit(
    X_blend, y_blend
)

accuracies = {}
for name, fitted in {**members, "voting": voting, "stacking": stacking}.items():
    n_right = np.sum(fitted.predict(X_test) == y_test)
    accuracies[name] = Estimate.from_counts(int(n_right), len(y_test))
    print(f"{name:<18} {accuracies[name]}")

# %%
figure, ax = plt.subplots(layout="constrained")
for name, accuracy in accuracies.items():
    ax.plot([accuracy.low, accuracy.high], [name, name], color="grey")
    ax.plot(accuracy.value, name, "o", color="C0")
ax.axvline(1 / 3, linestyle=":", color="grey", label="chance")
ax.set(xlabel="Multi-class accuracy, with 95 % interval", xlim=(0, 1))
ax.margins(y=0.2)
ax.legend()
memory.cleanup()
plt.show()
