"""
Exporting to ONNX
=================

A model that leaves Python: pixels in, probabilities out, the preprocessing inside
(``pip install 'skcovid[onnx]'``).

The radiographs are drawn: the figures say nothing about real ones.
"""

# %%
# A fitted pipeline
# -----------------

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime

from skcovid import RadiographReader, export, make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs

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
# One call
# --------
# Before the file is there, onnxruntime has given the pipeline's own probabilities.

output = TemporaryDirectory()
path = Path(output.name) / "model.onnx"
export(pipeline, path)
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
metadata = session.get_modelmeta().custom_metadata_map
classes = json.loads(metadata["classes"])
print(f"{path.stat().st_size / 1e6:.1f} MB")
for name, value in metadata.items():
    print(f"{name}: {value}")

# %%
# Without skcovid
# ---------------
# The model takes grey levels of the size it names; reading and resizing stay outside.

images = np.asarray(RadiographReader(pipeline[0].image_size).fit_transform(X[:20]))
(found,) = session.run(["probabilities"], {"images": images})
expected = pipeline.predict_proba(X[:20])
print(f"largest difference: {np.abs(found - expected).max():.1e}")

# %%
figure, ax = plt.subplots(layout="constrained")
for label, ours, theirs in zip(classes, expected.T, found.T, strict=True):
    ax.plot(ours, theirs, "o", alpha=0.6, label=label)
ax.plot([0, 1], [0, 1], color="grey", linestyle=":")
ax.set(xlabel="probability in Python", ylabel="probability in onnxruntime")
ax.legend()
output.cleanup()
plt.show()
