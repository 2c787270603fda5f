"""Radiographs: those of a folder, and synthetic ones."""

from skcovid.datasets._loaders import load_radiographs
from skcovid.datasets._saving import save_radiographs
from skcovid.datasets._synthetic import make_radiographs

__all__ = ["load_radiographs", "make_radiographs", "save_radiographs"]
