"""Saving a fitted pipeline to one file and loading it, without running anything in it.

A model file is a zip of a manifest, the pipeline as skops keeps it, and the weights of
its networks as safetensors. There is no pickle and no code in it.
"""

from skcovid.persistence._container import ModelFileError
from skcovid.persistence._fingerprint import fingerprint_model
from skcovid.persistence._model_file import describe, load, save

__all__ = ["ModelFileError", "describe", "fingerprint_model", "load", "save"]
