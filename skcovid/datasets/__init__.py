"""Sets of radiographs, found in folders, archives and tables, or synthetic."""

from skcovid.datasets._cohen import cohen_patients
from skcovid.datasets._loaders import load_radiographs
from skcovid.datasets._make_radiographs import make_radiographs
from skcovid.datasets._patients import kermany_patient, nih_patient
from skcovid.datasets._saving import save_radiographs

__all__ = [
    "cohen_patients",
    "kermany_patient",
    "load_radiographs",
    "make_radiographs",
    "nih_patient",
    "save_radiographs",
]
