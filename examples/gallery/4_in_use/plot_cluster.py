"""
On a cluster
============

Folds, grid points and archives go to the workers of Dask (``pip install
'skcovid[cluster]'``). The cluster here is two threads of this process; a
``dask_jobqueue.SLURMCluster`` or the address of a scheduler takes its place without
another change.

Drawn radiographs, random weights: the figures say nothing about real radiographs.
"""

# %%
# A cluster, and files that all workers see
# -----------------------------------------

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, LocalCluster
from pyarrow import parquet
from sklearn.metrics import accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from skcovid import make_transfer_pipeline, predict_archive
from skcovid.datasets import load_radiographs, make_radiographs, save_radiographs

folder = os.environ.get("SKCOVID_DATA")
shared = TemporaryDirectory()
network = {}
if not folder:
    folder = Path(shared.name) / "radiographs"
    X, y = make_radiographs(
        60, image_size=48, weights=(1, 1, 1), random_state=0, return_X_y=True
    )
    save_radiographs(X, y, folder)
    network = {"weights": None, "image_size": 48}
data = load_radiographs(folder)

cluster = LocalCluster(
    n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
)
client = Client(cluster)

# %%
# Folds on workers
# ----------------
# joblib's Dask backend takes what scikit-learn runs in parallel. ``memory`` is a folder
# that all workers see: features that one has computed, another finds.

pipeline = make_transfer_pipeline(
    "mobilenetv2",
    recipe="linear",
    memory=Path(shared.name) / "features",
    random_state=0,
    verbose=0,
    **network,
)
folds = StratifiedKFold(n_splits=2, shuffle=True, random_state=0)
with joblib.parallel_config(backend="dask"):
    on_cluster = cross_val_predict(
        pipeline, data.paths, data.target, cv=folds, n_jobs=2
    )
print(f"accuracy {accuracy_score(data.target, on_cluster):.2f}")

# %%
# The same as here:

here = cross_val_predict(pipeline, data.paths, data.target, cv=folds)
print("equal predictions:", np.mean(here == on_cluster))

# %%
# An archive
# ----------
# :func:`skcovid.predict_archive` sends chunks of paths to the workers and writes what
# comes back as Parquet. A bad file is a row with a reason.

bad = Path(shared.name) / "truncated.png"
bad.write_bytes(Path(data.paths[0]).read_bytes()[:200])
pipeline.fit(data.paths, data.target)
result = predict_archive(
    pipeline,
    [*data.paths, bad],
    Path(shared.name) / "predictions",
    client=client,
    chunk_size=40,
    verbose=0,
)
print(result.n_images, "images,", result.n_errors, "bad")
table = parquet.read_table(result.path).to_pandas()
print(table.iloc[-1].error)

# %%
# The result, an :class:`~skcovid.persistence.ArchivePredictions`, names the folder. The
# same call again, after whatever interruption, goes on where it was.

again = predict_archive(
    pipeline,
    [*data.paths, bad],
    result.path,
    client=client,
    chunk_size=40,
    verbose=0,
)
print(again.n_resumed, "images had been dealt with")

# %%
table.prediction.value_counts().plot.barh(xlabel="images", ylabel="")
plt.tight_layout()
client.close()
cluster.close()
shared.cleanup()
plt.show()
