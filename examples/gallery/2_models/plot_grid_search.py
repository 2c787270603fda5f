"""
GridSearchCV over the head
==========================

How a search is run and what it costs, not which setting is best: the weights are random
and the radiographs drawn, to be quick. The parameters of every step are ordinary
scikit-learn parameters. With ``memory`` the frozen layers see every image once, for all
folds and all points of the grid: what is searched is the head, and only that and the
layers that are fine-tuned are trained again.
"""

# %%
# The grid
# --------

import os
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from skcovid import make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs

folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y, network = data.paths, data.target, {}
else:
    X, y = make_radiographs(
        60, image_size=48, weights=(1, 1, 1), random_state=0, return_X_y=True
    )
    network = {
        "weights": None,
        "image_size": 48,
        "epochs": 1,
        "validation_fraction": 0.2,
    }

grid = {"classify__dense_units": [32, 128]}
memory = TemporaryDirectory()
pipeline = make_transfer_pipeline(
    "mobilenetv2",
    recipe="fast",
    memory=memory.name,
    random_state=0,
    verbose=0,
    **network,
)

# %%
# The search
# ----------
# The time of the first fit is that of the features; later ones find them.

folds = StratifiedKFold(n_splits=2, shuffle=True, random_state=0)
search = GridSearchCV(pipeline, grid, cv=folds, refit=False).fit(X, y)
for parameters, seconds in zip(
    search.cv_results_["params"], search.cv_results_["mean_fit_time"], strict=True
):
    print(parameters, f"{seconds:.1f} s a fit")

# %%
# The accuracy in each fold, and the mean. Chosen on these images, the best of them is
# too good: for a figure to report, pass the search itself to :func:`skcovid.evaluate`.

units = [str(value) for value in grid["classify__dense_units"]]
figure, ax = plt.subplots(layout="constrained")
for fold in range(folds.get_n_splits()):
    scores = search.cv_results_[f"split{fold}_test_score"]
    ax.plot(units, scores, "o", color="C0", alpha=0.5)
ax.plot(units, search.cv_results_["mean_test_score"], "_", color="C1", markersize=30)
ax.axhline(1 / 3, linestyle=":", color="grey", label="chance")
ax.set(xlabel="dense_units", ylabel="accuracy", ylim=(0, 1))
ax.margins(x=0.5)
ax.legend()
memory.cleanup()
plt.show()
