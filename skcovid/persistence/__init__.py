"""A fitted pipeline as one file, as ONNX, described, and applied to an archive.

A model file is a zip of a manifest, the pipeline as skops keeps it, and the weights of
its networks as safetensors. There is no pickle and no code in it.
"""

from skcovid.persistence._archive import ArchivePredictions, predict_archive
from skcovid.persistence._container import ModelFileError
from skcovid.persistence._fingerprint import fingerprint_model
from skcovid.persistence._model_card import model_card
from skcovid.persistence._model_file import describe, load, save
from skcovid.persistence._onnx import export

__all__ = [
    "ArchivePredictions",
    "ModelFileError",
    "describe",
    "export",
    "fingerprint_model",
    "load",
    "model_card",
    "predict_archive",
    "save",
]
