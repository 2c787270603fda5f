"""
Saving, loading, and a model card
=================================

A fitted pipeline in one file without pickle, which says what it is and what it was
trained on, and predicts elsewhere what it predicted here.

The radiographs are drawn: the figures say nothing about real ones.
"""

# %%
# A fitted pipeline
# -----------------

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

from skcovid import (
    __version__,
    evaluate,
    load,
    make_transfer_pipeline,
    model_card,
    save,
)
from skcovid.command import main
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.persistence import ModelFileError, describe, fingerprint_model

folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y = data.paths, data.target
else:
    X, y = make_radiographs(
        60, image_size=224, weights=(1, 1, 1), random_state=0, return_X_y=True
    )
pipeline = make_transfer_pipeline(
    "efficientnetlite0", recipe="linear", random_state=0, verbose=0
).fit(X, y)

# %%
# One file
# --------

output = TemporaryDirectory()
path = Path(output.name) / "model.skcovid"
save(pipeline, path, X=X, y=y)
print(f"{path.stat().st_size / 1e6:.1f} MB")
for name, value in describe(path).items():
    print(f"{name}: {str(value)[:70]}")
assert describe(path)["versions"]["skcovid"] == __version__

# %%
# The loaded pipeline is the saved one.

loaded = load(path)
assert fingerprint_model(loaded) == fingerprint_model(pipeline)
before, after = pipeline.predict_proba(X[:20]), loaded.predict_proba(X[:20])
print("largest difference:", np.abs(before - after).max())

# %%
figure, ax = plt.subplots(layout="constrained")
for label, ours, theirs in zip(pipeline.classes_, before.T, after.T, strict=True):
    ax.plot(ours, theirs, "o", alpha=0.6, label=label)
ax.plot([0, 1], [0, 1], color="grey", linestyle=":")
ax.set(xlabel="probability before saving", ylabel="probability after loading")
ax.legend()

# %%
# What is refused
# ---------------
# A damaged file is a :class:`~skcovid.persistence.ModelFileError`, and nothing in it
# runs.

damaged = path.with_name("damaged.skcovid")
damaged.write_bytes(path.read_bytes()[:-1000])
try:
    load(damaged)
except ModelFileError as error:
    print(str(error).replace(output.name, "…"))

# %%
# So does the command ``skcovid predict damaged.skcovid new.png``, which ends with exit
# code 2. :func:`skcovid.command.main` runs it from Python.

print("exit code:", main(["predict", str(damaged), "new.png"]))

# %%
# A model card
# ------------
# What the model is for, what it is made of and how well it does. What is not given,
# here an audit, it says is missing. It begins with

result = evaluate(pipeline, X, y, cv=2, verbose=0)
print(model_card(pipeline, result).partition("### Parameters")[0])
output.cleanup()
plt.show()
