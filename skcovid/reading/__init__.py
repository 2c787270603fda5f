"""Image files to pixels: PNG, JPEG, TIFF, BMP, WebP, PGM and DICOM."""

from skcovid.reading._read import read_radiograph

__all__ = ["read_radiograph"]
