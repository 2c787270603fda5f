"""Transfer learning on chest radiographs as scikit-learn estimators."""

from importlib import import_module
from typing import Any

from skcovid._version import __version__

_MODULES = {
    "AugmentationBalancer": "balancing",
    "BackboneFeatures": "feature_extraction",
    "BackbonePreprocessor": "preprocessing",
    "HoldoutPipeline": "pipeline",
    "LazyImages": "images",
    "RadiographReader": "preprocessing",
    "TransferLearningClassifier": "classifier",
    "audit": "auditing",
    "augment": "augmentation",
    "evaluate": "model_selection",
    "make_transfer_pipeline": "pipeline",
    "register_backbone": "backbones",
}

__all__ = [
    "AugmentationBalancer",
    "BackboneFeatures",
    "BackbonePreprocessor",
    "HoldoutPipeline",
    "LazyImages",
    "RadiographReader",
    "TransferLearningClassifier",
    "audit",
    "augment",
    "evaluate",
    "make_transfer_pipeline",
    "register_backbone",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: Keras takes seconds to load, and not every user needs it.
    if name not in _MODULES:
        raise AttributeError(f"module 'skcovid' has no attribute {name!r}")
    return getattr(import_module(f"skcovid.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
