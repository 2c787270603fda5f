"""Transformers from files to what a backbone takes as input."""

from skcovid.preprocessing._backbone_preprocessor import BackbonePreprocessor
from skcovid.preprocessing._reader import RadiographReader

__all__ = ["BackbonePreprocessor", "RadiographReader"]
