"""Transfer learning on chest radiographs as scikit-learn estimators."""

from importlib import import_module
from typing import Any

from skcovid._malloc import keep_freed_blocks
from skcovid._version import __version__

keep_freed_blocks()

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
    "compare": "comparison",
    "evaluate": "model_selection",
    "export": "exporting",
    "load": "persistence",
    "make_transfer_pipeline": "pipeline",
    "model_card": "model_cards",
    "predict_archive": "archive",
    "register_backbone": "backbones",
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
