"""Model files, the ONNX export, model cards, and predictions for whole archives."""

from skcovid.persistence._archive import ArchivePredictions, predict_archive
from skcovid.persistence._atlas_card import atlas_card
from skcovid.persistence._fingerprint import fingerprint_model
from skcovid.persistence._model_card import model_card
from skcovid.persistence._model_file import describe, load, save
from skcovid.persistence._onnx import export
from skcovid.persistence._zip_container import ModelFileError

__all__ = [
    "ArchivePredictions",
    "ModelFileError",
    "atlas_card",
    "describe",
    "export",
    "fingerprint_model",
    "load",
    "model_card",
    "predict_archive",
    "save",
]
