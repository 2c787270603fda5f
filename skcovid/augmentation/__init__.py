"""Random transforms of radiographs, and samplers that balance classes."""

from skcovid.augmentation._augment import augment
from skcovid.augmentation._balancer import AugmentationBalancer
from skcovid.augmentation._cell_samplers import CellOverSampler, MatchingUnderSampler
from skcovid.augmentation._transform_types import GeometricTransform, IntensityTransform
from skcovid.augmentation._transforms import (
    PAPER_TRANSFORMS,
    Brightness,
    Elastic,
    Gamma,
    Rotation,
    Translation,
    Zoom,
)

__all__ = [
    "PAPER_TRANSFORMS",
    "AugmentationBalancer",
    "Brightness",
    "CellOverSampler",
    "Elastic",
    "Gamma",
    "GeometricTransform",
    "IntensityTransform",
    "MatchingUnderSampler",
    "Rotation",
    "Translation",
    "Zoom",
    "augment",
]
