"""Transfer learning on chest radiographs as scikit-learn estimators."""

from importlib import import_module
from typing import Any

from skcovid._base._malloc import keep_freed_blocks
from skcovid._base._version import __version__

keep_freed_blocks()

_MODULES = {
    "AugmentationBalancer": "augmentation",
    "BackboneFeatures": "estimators",
    "BackbonePreprocessor": "preprocessing",
    "HoldoutPipeline": "pipeline",
    "LazyImages": "images",
    "RadiographReader": "preprocessing",
    "TransferLearningClassifier": "estimators",
    "audit": "auditing",
    "augment": "augmentation",
    "compare": "model_selection",
    "evaluate": "model_selection",
    "export": "persistence",
    "load": "persistence",
    "make_transfer_pipeline": "pipeline",
    "model_card": "persistence",
    "predict_archive": "persistence",
    "register_backbone": "networks.backbones",
    "save": "persistence",
    "write_report": "report",
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
    "compare",
    "evaluate",
    "export",
    "load",
    "make_transfer_pipeline",
    "model_card",
    "predict_archive",
    "register_backbone",
    "save",
    "write_report",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: Keras takes seconds to load, and not every user needs it.
    if name not in _MODULES:
        raise AttributeError(f"module 'skcovid' has no attribute {name!r}")
    return getattr(import_module(f"skcovid.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
