"""Random transforms of radiographs, and the sampler that balances classes with them."""

from skcovid.augmentation._augment import augment
from skcovid.augmentation._balancer import AugmentationBalancer
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
    "Elastic",
    "Gamma",
    "GeometricTransform",
    "IntensityTransform",
    "Rotation",
    "Translation",
    "Zoom",
    "augment",
]
