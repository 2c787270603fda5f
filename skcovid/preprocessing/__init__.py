"""Transformers from files to the input of a backbone, and of features."""

from skcovid.preprocessing._backbone_preprocessor import BackbonePreprocessor
from skcovid.preprocessing._reader import RadiographReader
from skcovid.preprocessing._source_standard_scaler import SourceStandardScaler

__all__ = ["BackbonePreprocessor", "RadiographReader", "SourceStandardScaler"]
