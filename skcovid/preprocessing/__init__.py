"""Transformers from files to what a network takes as input."""

from skcovid.preprocessing._preprocessing import (
    BackbonePreprocessor,
    RadiographReader,
)

__all__ = [
    "BackbonePreprocessor",
    "RadiographReader",
]
