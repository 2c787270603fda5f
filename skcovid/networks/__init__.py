"""Keras networks: backbones, weights, heads, and stored features of frozen layers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skcovid.networks.backbones import (
    Backbone,
    get_backbone,
    list_backbones,
    register_backbone,
)

if TYPE_CHECKING:
    from skcovid.networks._feature_store import (
        FeatureStore,
        StoredFeatures,
        feature_bytes,
    )

__all__ = [
    "Backbone",
    "FeatureStore",
    "StoredFeatures",
    "feature_bytes",
    "get_backbone",
    "list_backbones",
    "register_backbone",
]


def __getattr__(name: str) -> Any:
    # The feature store needs Keras, which takes seconds to import; backbones do not.
    if name not in __all__:
        raise AttributeError(f"module 'skcovid.networks' has no attribute {name!r}")
    return getattr(import_module("skcovid.networks._feature_store"), name)
