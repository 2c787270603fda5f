"""
Features, and any classifier behind them
========================================

:class:`~skcovid.BackboneFeatures` is a transformer: it turns images into a table of
pooled activations, and what follows may be any scikit-learn classifier. With ``memory``
all of them share the features, which the network computes once.

The radiographs are drawn: the figures say nothing about real ones.
"""

# %%
# One table of features
# ---------------------

import os
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skcovid import BackboneFeatures, BackbonePreprocessor, RadiographReader, evaluate
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
steps = [
    RadiographReader(224),
    BackbonePreprocessor("efficientnetlite0"),
    BackboneFeatures("efficientnetlite0", memory=memory.name, verbose=0),
    StandardScaler(),
]
features = make_pipeline(*steps)
table = features.fit_transform(X)
print(table.shape, "of the layers", *features[2].layer_names_, sep="\n")

# %%
# Two components of it, which know no labels:

components = PCA(2).fit_transform(table)
figure, ax = plt.subplots(layout="constrained")
for label in sorted(set(y)):
    ax.scatter(*components[y == label].T, label=label, alpha=0.7)
ax.set(xlabel="first component", ylabel="second component")
ax.legend()

# %%
# Four classifiers
# ----------------
# The whole pipeline is cross-validated, so that the scaler is fitted in the training
# folds alone.

classifiers = {
    "logistic regression": LogisticRegression(C=0.01, max_iter=1000),
    "support vectors": SVC(),
    "nearest neighbours": KNeighborsClassifier(),
    "extra trees": ExtraTreesClassifier(n_jobs=1, random_state=0),
}
accuracies: dict[str, Estimate] = {}
for name, classifier in classifiers.items():
    result = evaluate(make_pipeline(*steps, classifier), X, y, cv=2, verbose=0)
    accuracies[name] = result.accuracy
    print(f"{name:<24} {result.accuracy}")

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
