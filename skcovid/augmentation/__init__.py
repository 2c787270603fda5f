"""Random transforms of radiographs, and the sampler that balances classes with them."""

from skcovid.augmentation._augment import (
    PAPER_TRANSFORMS,
    augment,
)
from skcovid.augmentation._balancer import (
    AugmentationBalancer,
)
from skcovid.augmentation._transform_types import (
    GeometricTransform,
    IntensityTransform,
)
from skcovid.augmentation._transforms import (
    Brightness,
    Elastic,
    Gamma,
    Rotation,
    Translation,
    Zoom,
)

__all__ = [
    "AugmentationBalancer",
    "Brightness",
    "Elastic",
    "Gamma",
    "GeometricTransform",
    "IntensityTransform",
    "PAPER_TRANSFORMS",
    "Rotation",
    "Translation",
    "Zoom",
    "augment",
]
