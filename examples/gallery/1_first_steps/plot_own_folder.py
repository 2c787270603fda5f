"""
A folder of one's own
=====================

One sub-folder a class is all that is needed; a table beside it says which images are of
one patient. The folder here is written first, from synthetic radiographs.
"""

# %%
# A folder
# --------
# Twenty patients with three images each.

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

from skcovid import RadiographReader, evaluate, make_transfer_pipeline
from skcovid.datasets import (
    cohen_patients,
    kermany_patient,
    load_radiographs,
    make_radiographs,
    nih_patient,
    save_radiographs,
)
from skcovid.reading import read_radiograph

folder = os.environ.get("SKCOVID_DATA")
if not folder:
    temporary = TemporaryDirectory()
    folder = Path(temporary.name) / "radiographs"
    drawn = make_radiographs(
        60,
        image_size=224,
        weights=(1, 1, 1),
        n_patients=20,
        lesion_contrast=2,
        random_state=0,
    )
    save_radiographs(drawn.images, drawn.target, folder, groups=drawn.groups)

for path in sorted(Path(folder).rglob("*"))[:6]:
    print(path.relative_to(folder))

# %%
# What is in it
# -------------
# :func:`~skcovid.datasets.load_radiographs` reads no pixels: it returns paths, labels
# and patients, and describes the set.

data = load_radiographs(folder)
print(data.DESCR)

# %%
# :func:`~skcovid.reading.read_radiograph` reads one file, and
# :class:`~skcovid.RadiographReader` all of them, resized to one size.

print("one file:", read_radiograph(data.paths[0], channels="grey").shape)

reader = RadiographReader(image_size=128)
shown = np.unique(data.target, return_index=True)[1]
images = np.asarray(reader.fit_transform(data.paths[shown]))
figure, axes = plt.subplots(1, len(shown), figsize=(8, 3), layout="constrained")
for ax, image, label in zip(axes, images, data.target[shown], strict=True):
    ax.imshow(image, cmap="gray")
    ax.set(title=label, xticks=[], yticks=[])

# %%
# Patients stay whole
# -------------------
# With ``groups`` no patient is in a training and a test set at once, and intervals
# allow for images of one patient being alike.

pipeline = make_transfer_pipeline(
    "efficientnetlite0", recipe="linear", random_state=0, verbose=0
)
result = evaluate(
    pipeline, data.paths, data.target, cv=3, groups=data.groups, verbose=0
)
print(f"Accuracy: {result.accuracy}")
print(f"Test images whose patient plain folds train on: {result.patient_overlap}")

# %%
# Patients without a table
# ------------------------
# Where there is no table, the file names of known collections tell the patient, and
# ``load_radiographs`` finds them itself.

print(nih_patient("00000013_005"))
print(kermany_patient("person1000_virus_1681"))

# %%
# The COVID-19 image data collection of Cohen et al. has a table of its own.

with TemporaryDirectory() as other:
    table = Path(other) / "metadata.csv"
    table.write_text("patientid,filename\n2,a.png\n2,b.png\n4,c.png\n")
    print(cohen_patients(table, ["a.png", "b.png", "c.png"]))

plt.show()
