"""
Figures with intervals, from predictions alone
==============================================

Whatever made the predictions, another library or a reader, skcovid's metrics take
labels. This example has 300 patients with two images each and predictions drawn at
random; with ``SKCOVID_DATA`` the labels are those of a folder, and the predictions are
still drawn.
"""

# %%
# Labels and predictions
# ----------------------

import os

import matplotlib.pyplot as plt
import numpy as np

from skcovid.datasets import load_radiographs
from skcovid.inspection import PerClassTableDisplay, PooledConfusionMatrixDisplay
from skcovid.metrics import (
    bootstrap_intervals,
    calibration_table,
    compare_roc_auc,
    decision_curve,
    heterogeneity,
    multiclass_accuracy,
    operating_point,
    patient_confusion_matrices,
    per_class_table,
    pooled_confusion_matrix,
    predictive_values,
    roc_auc_table,
    sample_size,
    subgroup_table,
    wilson_interval,
)

folder = os.environ.get("SKCOVID_DATA")
rng = np.random.default_rng(0)
if folder:
    y = load_radiographs(folder).target
    patients = np.arange(len(y))
else:
    y = np.repeat(["COVID-19", "NORMAL", "Viral Pneumonia"], [80, 260, 260])
    patients = np.arange(len(y)) // 2
labels = np.unique(y)
scores = rng.normal(size=(len(y), 3)) + rng.normal(size=(len(y), 3))[patients]
scores += 3 * (y[:, None] == labels)
probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
predictions = labels[probabilities.argmax(axis=1)]

display = PooledConfusionMatrixDisplay.from_predictions(y, predictions)

# %%
# A table with intervals
# ----------------------
# A :class:`~skcovid.metrics.PerClassTable` has a :class:`~skcovid.metrics.ClassMetrics`
# a class. Images are taken to be independent here.

table = per_class_table(display.confusion_matrix, labels)
print(table.to_markdown())
print("recall of COVID-19:", table["COVID-19"].recall)
PerClassTableDisplay(table).plot()

# %%
# Patients, not images
# --------------------
# Two images of a patient are alike. One confusion matrix a patient tells the metrics
# so, and the intervals become wider.

matrices = patient_confusion_matrices(y, predictions, patients)
print("images:  ", multiclass_accuracy(display.confusion_matrix))
print("patients:", multiclass_accuracy(matrices))
assert (pooled_confusion_matrix(matrices) == display.confusion_matrix).all()

# %%
# ROC AUC (a :class:`~skcovid.metrics.RocAucTable`), and by resampling patients, in
# :class:`~skcovid.metrics.BootstrapIntervals`:

areas = roc_auc_table(y, probabilities, labels, groups=patients)
resampled = bootstrap_intervals(
    y, predictions, probabilities, groups=patients, n_resamples=199
)
for label in labels:
    area, boot = areas[label], resampled.roc_auc[label]
    print(
        f"{label:<16} {area.format_fraction()}   {boot.format_fraction()} {boot.method}"
    )

# %%
# Sources
# -------
# Only pairs of images of one hospital count, so telling hospitals apart is of no use.
# The :class:`~skcovid.metrics.Heterogeneity` of the hospitals' own areas says what to
# expect of another one.

hospitals = np.array(["north", "south", "east"])[patients % 3]
within = roc_auc_table(y, probabilities, labels, groups=patients, source=hospitals)
print("within hospitals:", within["COVID-19"])
each = [
    roc_auc_table(y[rows], probabilities[rows], labels, groups=patients[rows])
    for rows in (hospitals == name for name in np.unique(hospitals))
]
print(heterogeneity([areas["COVID-19"] for areas in each]))

# %%
# Another model on the same images, in a :class:`~skcovid.metrics.RocAucComparison`:

covid = probabilities[:, list(labels).index("COVID-19")]
other = covid + rng.normal(scale=0.3, size=len(y))
print(compare_roc_auc(y, covid, other, pos_label="COVID-19", groups=patients))

# %%
# Where the class is rarer
# ------------------------
# A collection says nothing of how many of those who come are ill. The
# :class:`~skcovid.metrics.PredictiveValues` of a named prevalence do.

prevalences = np.geomspace(0.001, 0.5, 30)
recall, specificity = table["COVID-19"].recall, table["COVID-19"].specificity
values = [
    predictive_values(recall, specificity, prevalence).ppv for prevalence in prevalences
]
figure, ax = plt.subplots(layout="constrained")
ax.plot(prevalences, [value.value for value in values])
ax.fill_between(
    prevalences,
    [value.low for value in values],
    [value.high for value in values],
    alpha=0.3,
)
ax.set(
    xscale="log",
    xlabel="prevalence of COVID-19",
    ylabel="positive predictive value",
    ylim=(0, 1),
)

# %%
# Wilson's interval of 18 in 20, the part that all of them are made of:

print(wilson_interval(18, 20))
plt.show()

# %%
# What a clinic asks
# ------------------
# Are the probabilities right (a :class:`~skcovid.metrics.CalibrationTable` of
# :class:`~skcovid.metrics.CalibrationMetrics`)? Is acting on them worth it (a
# :class:`~skcovid.metrics.DecisionCurve`)? What does a threshold give (an
# :class:`~skcovid.metrics.OperatingPoint`)? Whom does it fail (a
# :class:`~skcovid.metrics.SubgroupTable` of
# :class:`~skcovid.metrics.SubgroupMetrics`)? How many patients are enough?

calibration = calibration_table(y, probabilities, labels, groups=patients)
print("slope:", calibration["COVID-19"].slope.format_fraction(2))
covid = np.asarray(probabilities)[:, list(labels).index("COVID-19")]
curve = decision_curve(y, covid, pos_label="COVID-19", thresholds=[0.1, 0.5])
print("net benefit:", [benefit.format_fraction() for benefit in curve.net_benefit])
print(operating_point(y, covid, pos_label="COVID-19", sensitivity=0.95))
views = np.where(np.arange(len(y)) % 2, "PA", "AP")
for view, row in subgroup_table(y, predictions, views, name="view").items():
    print(view, row.n_images, row.accuracy)
print("patients:", sample_size(0.9, 0.05))
