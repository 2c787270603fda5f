"""Transfer learning on chest radiographs as scikit-learn estimators."""

from importlib import import_module
from typing import TYPE_CHECKING

from skcovid._base._version import __version__

if TYPE_CHECKING:
    from skcovid.auditing import audit
    from skcovid.augmentation import (
        AugmentationBalancer,
        CellOverSampler,
        MatchingUnderSampler,
        augment,
    )
    from skcovid.estimators import (
        BackboneFeatures,
        NoveltyDetector,
        TransferLearningClassifier,
    )
    from skcovid.images import LazyImages
    from skcovid.model_selection import LeaveOneSourceOut, compare, evaluate
    from skcovid.networks import register_backbone
    from skcovid.persistence import (
        atlas_card,
        export,
        load,
        model_card,
        predict_archive,
        save,
    )
    from skcovid.pipeline import HoldoutPipeline, make_transfer_pipeline
    from skcovid.preprocessing import (
        BackbonePreprocessor,
        RadiographReader,
        SourceStandardScaler,
    )
    from skcovid.report import write_report, write_reviewer_pack

__all__ = [
    "AugmentationBalancer",
    "BackboneFeatures",
    "BackbonePreprocessor",
    "CellOverSampler",
    "HoldoutPipeline",
    "LazyImages",
    "LeaveOneSourceOut",
    "MatchingUnderSampler",
    "NoveltyDetector",
    "RadiographReader",
    "SourceStandardScaler",
    "TransferLearningClassifier",
    "atlas_card",
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
    "write_reviewer_pack",
    "__version__",
]

_NAMES = {
    "auditing": ["audit"],
    "augmentation": [
        "AugmentationBalancer",
        "CellOverSampler",
        "MatchingUnderSampler",
        "augment",
    ],
    "estimators": ["BackboneFeatures", "NoveltyDetector", "TransferLearningClassifier"],
    "images": ["LazyImages"],
    "model_selection": ["LeaveOneSourceOut", "compare", "evaluate"],
    "networks": ["register_backbone"],
    "persistence": [
        "atlas_card",
        "export",
        "load",
        "model_card",
        "predict_archive",
        "save",
    ],
    "pipeline": ["HoldoutPipeline", "make_transfer_pipeline"],
    "preprocessing": [
        "BackbonePreprocessor",
        "RadiographReader",
        "SourceStandardScaler",
    ],
    "report": ["write_report", "write_reviewer_pack"],
}
_ROOM_OF = {name: room for room, names in _NAMES.items() for name in names}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # A type checker then reports names that do not exist.

    def __getattr__(name):
        # Imported on first use: Keras takes seconds to load, and few names need it.
        if name not in _ROOM_OF:
            raise AttributeError(f"module 'skcovid' has no attribute {name!r}")
        return getattr(import_module(f"skcovid.{_ROOM_OF[name]}"), name)
