"""
DICOM files
===========

Radiographs come as DICOM: with windows, inverted greys, 12 bits in 16, and the patient
in the header. With the ``dicom`` extra (``pip install 'skcovid[dicom]'``) a folder of
them is a folder of radiographs. The files here are written first.
"""

# %%
# A study
# -------
# Three patients with two images each: of 12 bits, one of them inverted (MONOCHROME1),
# with a window.

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from skcovid import RadiographReader
from skcovid.datasets import load_radiographs, make_radiographs
from skcovid.reading import read_radiograph


def write_dicom(path, image, patient, view, inverted=False, modality="DX"):
    """Write grey levels as a digital radiograph of 12 bits."""
    levels = image.astype(np.uint16) * 8 + 1000
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = modality
    dataset.PatientID = patient
    dataset.ViewPosition = view
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.SamplesPerPixel = 1
    dataset.Rows, dataset.Columns = levels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = 2000, 2000
    dataset.PixelData = (4095 - levels if inverted else levels).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


folder = os.environ.get("SKCOVID_DATA")
if not folder:
    temporary = TemporaryDirectory()
    folder = temporary.name
    drawn = make_radiographs(
        6, image_size=256, weights=(1, 1, 1), n_patients=3, random_state=3
    )
    for number, (image, label, patient) in enumerate(
        zip(drawn.images, drawn.target, drawn.groups, strict=True)
    ):
        write_dicom(
            Path(folder) / label / f"image{number}",
            image,
            patient=patient,
            view="PA" if number < 3 else "LATERAL",
            inverted=number == 3,
        )

# %%
# What the headers say
# --------------------
# File names need no ending. The patient's ID is the group; the view is kept.

data = load_radiographs(folder, verbose=0)
print(data.DESCR)
print(data.groups)
print(data.view_position)

# %%
# ``views="frontal"`` leaves the others out, and says which.

frontal = load_radiographs(folder, views="frontal", verbose=0)
print(len(frontal.paths), "frontal,", len(frontal.dropped), "left out")

# %%
# Grey levels
# -----------
# Lungs are dark in every file, however it is stored. ``read_radiograph`` reads one file
# at its own size; ``RadiographReader`` brings all to one size.

print(read_radiograph(data.paths[0]).shape)
images = np.asarray(RadiographReader(256).fit_transform(data.paths[:4]))
figure, axes = plt.subplots(1, len(images), figsize=(10, 3), layout="constrained")
for ax, image, label, path in zip(axes, images, data.target, data.paths, strict=False):
    ax.imshow(image, cmap="gray", vmin=0, vmax=255)
    ax.set(title=f"{label}\n{Path(path).name}", xticks=[], yticks=[])

# %%
# Other DICOM files are an error
# ------------------------------
# The error names every file that is not a radiograph, such as a CT slice.

with TemporaryDirectory() as other:
    path = Path(other) / "slice"
    write_dicom(path, images[0], patient="P0", view="", modality="CT")
    try:
        RadiographReader(256).fit_transform([path])
    except ValueError as error:
        print(fill(str(error).replace(other, "…"), 88))
plt.show()
