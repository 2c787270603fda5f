"""Transformers from files to the input of a backbone."""

from skcovid.preprocessing._backbone_preprocessor import BackbonePreprocessor
from skcovid.preprocessing._reader import RadiographReader

__all__ = ["BackbonePreprocessor", "RadiographReader"]
