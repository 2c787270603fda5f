"""DICOM files for tests, written with pydicom."""

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    RLELossless,
)

__all__ = ["make_dataset", "shipped_file", "write_dicom"]


def make_dataset(levels, **elements):
    """Make a digital radiograph; an element of value None is left out."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.Modality = "DX"
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.SamplesPerPixel = 1 if levels.ndim == 2 else levels.shape[-1]
    if levels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = levels.shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8 * levels.itemsize
    dataset.PixelRepresentation = int(levels.dtype.kind == "i")
    dataset.PixelData = levels.tobytes()
    for name, value in elements.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.HighBit = dataset.BitsStored - 1
    return dataset


def write_dicom(path, levels=None, *, compress=False, **elements):
    """Write a radiograph, RLE compressed or not, and return its path."""
    if levels is None:
        levels = np.arange(64, dtype=np.uint16).reshape(4, 16)
    dataset = make_dataset(levels, **elements)
    if compress:
        dataset.compress(RLELossless)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def shipped_file(name):
    """Return the path of a test file of pydicom; skip the test if it has none."""
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom ships no {name}")
    return path
